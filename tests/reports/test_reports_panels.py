"""What the command's pictures show: orientation, order and labels, against the model itself."""

import numpy as np
import pytest
import torch
from PIL import Image

import reparam
from reparam.api import Run
from reparam.data.selection import task_images
from reparam.errors import ConfigError
from reparam.latent import generation
from reparam.reports import panels
from reparam.reports.pictures import GAP, sheet
from reparam.reports.run_view import RunView

TILE = 96  # an 8 x 8 digit, enlarged twelve times


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    made = {}
    for name, model, latent in [
        ("one", "vae", 1),
        ("two", "vae", 2),
        ("five", "vae", 5),
        ("ae", "ae", 3),
        ("dae", "dae", 3),
    ]:
        options = {"latent": latent, "hidden": (16,), "epochs": 3, "pictures": 0}
        made[name] = reparam.train(model, data="digits", out=folder / name, device="cpu", **options)
    return made


def tile(image: Image.Image, row: int, column: int, side: int = TILE) -> np.ndarray:
    """A tile's pixels at their stored size, from a panel."""
    step = side + GAP
    grey = np.asarray(image)[row * step :, column * step :][:side, :side, 0]
    return grey[:: side // 8, :: side // 8]


def decoded(run: Run, z: list[float]) -> np.ndarray:
    image = generation.decode(run.model, torch.tensor([z]))
    return np.asarray(sheet(image, 1))


def test_the_grid_has_its_second_latent_upwards(trained: dict[str, Run]) -> None:
    part = panels.grid(trained["two"], 5.0, 3, 2, (0, 1))
    for row, second in enumerate((5.0, 0.0, -5.0)):
        for column, first in enumerate((-5.0, 0.0, 5.0)):
            assert np.array_equal(tile(part.image, row, column), decoded(trained["two"], [first, second]))
    assert part.rows == ("5", "0", "-5")
    assert part.columns == ("-5", "0", "5")


def test_one_latent_is_a_strip(trained: dict[str, Run]) -> None:
    part = panels.grid(trained["one"], 5.0, 5, 1, (0, 1))
    assert part.image.height == TILE
    for column, z in enumerate((-5.0, -2.5, 0.0, 2.5, 5.0)):
        assert np.array_equal(tile(part.image, 0, column), decoded(trained["one"], [z]))


def test_a_grid_of_more_latents_takes_the_two_most_active(trained: dict[str, Run]) -> None:
    subject = RunView(trained["five"])
    codes, _ = trained["five"].encode(task_images(subject.run.dataset.test, subject.run.config.task, 300).x)
    assert list(panels.grid_dimensions(subject)) == codes.var(0, correction=0).argsort(descending=True)[:2].tolist()
    assert subject.latent == 5


def test_traversals_move_one_latent_of_one_image(trained: dict[str, Run]) -> None:
    run = trained["five"]
    subject = RunView(run)
    x = subject.examples(1).x
    part = panels.traversals(subject, x, [3, 1], 3.0, 5)
    z = run.encode(x)[0][0].tolist()
    for row, dimension in enumerate((3, 1)):
        for column, value in enumerate((-3.0, -1.5, 0.0, 1.5, 3.0)):
            moved = [value if k == dimension else v for k, v in enumerate(z)]
            assert np.abs(tile(part.image, row, column).astype(int) - decoded(run, moved)).max() <= 1
    assert part.rows == ("z3", "z1")
    with pytest.raises(ConfigError, match="no latent dimension 7: the model has 0 to 4"):
        panels.traversals_picture(run, x[0], [7])


def test_codes_without_a_prior_are_walked_in_their_own_unit(trained: dict[str, Run]) -> None:
    run = trained["ae"]
    subject = RunView(run)
    x = subject.examples(1).x
    part = panels.traversals(subject, x, [2], 3.0, 3)
    codes, _ = subject.codes
    z = run.encode(x)[0][0].tolist()
    ends = [
        codes[:, 2].mean() - 3 * codes[:, 2].std(correction=0),
        codes[:, 2].mean(),
        codes[:, 2].mean() + 3 * codes[:, 2].std(correction=0),
    ]
    for column, end in enumerate(ends):
        assert np.abs(tile(part.image, 0, column).astype(int) - decoded(run, [*z[:2], float(end)])).max() <= 1
    assert part.columns == ("-3 sd", "mean", "3 sd")


def test_interpolations_stand_between_their_images(trained: dict[str, Run]) -> None:
    run = trained["two"]
    x = RunView(run).examples(2).x
    part = panels.interpolations(run, x[:1], x[1:], 3)
    a, b = run.encode(x)[0]
    expected = [x[:1], *(generation.decode(run.model, (a + t * (b - a))[None]) for t in (0, 0.5, 1)), x[1:]]
    for column, image in enumerate(expected):
        assert np.abs(tile(part.image, 0, column).astype(int) - np.asarray(sheet(image, 1))).max() <= 1


def test_reconstructions_stand_below_their_originals(trained: dict[str, Run]) -> None:
    run = trained["dae"]
    x, given = panels.example_images(run, 7)
    first, last = panels.reconstructions(run, x, given, 4)
    assert first.rows == ("original", "given", "rebuilt")
    rebuilt = run.reconstruct(given)
    for row, images in enumerate((x, given, rebuilt)):
        assert np.abs(tile(first.image, row, 3).astype(int) - np.asarray(sheet(images[3:4], 1))).max() <= 1
        assert np.abs(tile(last.image, row, 2).astype(int) - np.asarray(sheet(images[6:7], 1))).max() <= 1
    assert panels.reconstructions(trained["two"], x)[0].rows == ("original", "rebuilt")


def test_the_spread_is_the_standard_deviation_of_draws(trained: dict[str, Run]) -> None:
    run = trained["two"]
    x = RunView(run).examples(2).x
    part = panels.posterior(run, x, x, 10)
    assert (part.columns[0], part.columns[-1]) == ("input", "spread")
    spread = generation.posterior_draws(run.model, x, panels.SPREAD_DRAWS).std(1)
    for row, image in enumerate(spread / spread.max()):
        assert np.abs(tile(part.image, row, 12).astype(int) - np.asarray(sheet(image[None], 1))).max() <= 1


def test_examples_are_fixed_varied_and_as_evaluation_sees_them(trained: dict[str, Run]) -> None:
    run = trained["dae"]
    examples = RunView(run).examples(20)
    assert examples.y.tolist() == [*range(10), *range(10)]
    again = RunView(run).examples(20)
    assert torch.equal(examples.shown, again.shown)
    whole = task_images(run.dataset.test, run.config.task, 300)
    x, c = whole.x, whole.shown
    assert not torch.equal(c, x)
    for shown, noisy in zip(examples.x, examples.shown, strict=True):
        index = next(i for i in range(300) if torch.equal(x[i], shown))
        assert torch.equal(c[index], noisy)


def test_the_commands_pictures(trained: dict[str, Run]) -> None:
    run = trained["five"]
    x, given = panels.example_images(run, 6)
    pictures = [
        panels.samples_picture(run, 5, seed=3, draw=True),
        panels.reconstructions_picture(run, x, given),
        panels.interpolations_picture(run, x[:3], x[3:]),
        panels.traversals_picture(run, x[0], count=2),
        panels.grid_picture(run, steps=3),
        panels.grid_picture(trained["ae"], steps=3),
    ]
    assert all(picture.mode == "RGB" and min(picture.size) > TILE for picture in pictures)
    with pytest.raises(ConfigError, match="cannot sample"):
        panels.samples_picture(trained["ae"], 4)
