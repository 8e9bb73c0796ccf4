"""What figures show: orientation, order and names, against the model itself."""

import numpy as np
import pytest
import torch
from PIL import Image

import reparam
from reparam.api import Run
from reparam.core.abilities import Ability
from reparam.data.selection import task_images
from reparam.data.tasks import to_float
from reparam.errors import ConfigError
from reparam.latent import generation
from reparam.reports.figures import FIGURES, Drawing
from reparam.reports.figures.figure import SPREAD_DRAWS
from reparam.reports.figures.latents import ellipses
from reparam.reports.figures.reconstructions import (
    frames,
    grid,
    interpolations,
    posterior,
    reconstructions,
    traversals,
    walks,
)
from reparam.reports.figures.samples import components, neighbours, samples
from reparam.reports.options import (
    GridOptions,
    InterpolationOptions,
    ReconstructionOptions,
    SampleOptions,
    TraversalOptions,
)
from reparam.reports.pictures import GAP, Panel, sheet
from reparam.reports.run_view import RunView, page_size

TILE = 96  # an 8 x 8 digit, enlarged twelve times


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    models = {
        "one": ("vae", {"latent": 1}),
        "two": ("vae", {"latent": 2}),
        "five": ("vae", {"latent": 5}),
        "mixture": ("gmvae", {"latent": 2, "components": 3}),
        "ae": ("ae", {"latent": 3}),
        "dae": ("dae", {"latent": 3}),
    }
    small = {"data": "digits", "hidden": (16,), "epochs": 3, "pictures": 0, "device": "cpu"}
    return {
        name: reparam.train(model, out=folder / name, **small, **options) for name, (model, options) in models.items()
    }


def only(drawing: Drawing) -> Panel:
    (panel,) = drawing.parts
    assert isinstance(panel, Panel)
    return panel


def test_nearest_training_images_of_training_images_are_these(
    trained: dict[str, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained["two"]
    images = to_float(run.dataset.train.images[[5, 900, 33]])
    monkeypatch.setattr(Run, "sample", lambda self, n, seed: images + 0.01)
    tiles = only(neighbours(RunView(run), SampleOptions(n=3))).tiles
    assert torch.equal(tiles[3:], images)
    assert torch.allclose(tiles[:3], images + 0.01)


def tile(image: Image.Image, row: int, column: int, side: int = TILE) -> np.ndarray:
    """A tile's pixels at their stored size, from a panel."""
    step = side + GAP
    grey = np.asarray(image)[row * step :, column * step :][:side, :side, 0]
    return grey[:: side // 8, :: side // 8]


def decoded(run: Run, z: list[float]) -> np.ndarray:
    image = generation.decode(run.model, torch.tensor([z]))
    return np.asarray(sheet(image, 1))


def near(part: Panel, row: int, column: int, expected: np.ndarray) -> bool:
    """Equal but for rounding."""
    return bool(np.abs(tile(part.image, row, column).astype(int) - expected).max() <= 1)


def test_the_grid_has_its_second_latent_upwards(trained: dict[str, Run]) -> None:
    part = only(grid(RunView(trained["two"]), GridOptions(steps=3)))
    for row, second in enumerate((5.0, 0.0, -5.0)):
        for column, first in enumerate((-5.0, 0.0, 5.0)):
            assert np.array_equal(tile(part.image, row, column), decoded(trained["two"], [first, second]))
    assert part.rows == ["5", "0", "-5"]
    assert part.columns == ["-5", "0", "5"]


def test_one_latent_is_a_strip(trained: dict[str, Run]) -> None:
    part = only(grid(RunView(trained["one"]), GridOptions(steps=5)))
    assert part.image.height == TILE
    for column, z in enumerate((-5.0, -2.5, 0.0, 2.5, 5.0)):
        assert np.array_equal(tile(part.image, 0, column), decoded(trained["one"], [z]))


def test_a_grid_of_more_latents_takes_the_two_most_active(trained: dict[str, Run]) -> None:
    view = RunView(trained["five"])
    codes, _ = view.run.encode(task_images(view.run.dataset.test, view.run.config.task, 300).x)
    first, second = codes.var(0, correction=0).argsort(descending=True)[:2].tolist()
    assert view.latent == 5
    drawing = grid(view, GridOptions(steps=3))
    assert f"z{first} grows to the right, z{second} upwards. They are the two most active" in drawing.note
    corner = torch.zeros(5)
    corner[first], corner[second] = 5.0, -5.0
    assert near(only(drawing), 2, 2, decoded(view.run, corner.tolist()))


def test_what_holds_of_a_standard_normal_prior_is_said_of_no_other(trained: dict[str, Run]) -> None:
    for name, said in (("two", True), ("mixture", False), ("ae", False)):
        assert (Ability.STANDARD_NORMAL in trained[name].model.abilities) == said
        assert ("N(0, I)" in grid(RunView(trained[name]), GridOptions(steps=3)).note) == said
    assert not any("N(0, I)" in figure.caption for figure in FIGURES.values())


def test_traversals_move_one_latent_of_one_image(trained: dict[str, Run]) -> None:
    run = trained["five"]
    view = RunView(run)
    part = only(traversals(view, TraversalOptions(index=4, dimensions=(3, 1), steps=5)))
    z = run.encode(view.examples(1, (4,)).x)[0][0].tolist()
    for row, dimension in enumerate((3, 1)):
        for column, value in enumerate((-3.0, -1.5, 0.0, 1.5, 3.0)):
            moved = [value if k == dimension else v for k, v in enumerate(z)]
            assert near(part, row, column, decoded(run, moved))
    assert part.rows == ["z3", "z1"]
    with pytest.raises(ConfigError, match="no latent dimension 7: choose 0 to 4"):
        traversals(view, TraversalOptions(dimensions=(7,)))


def test_latents_that_reach_further_are_walked_in_their_own_unit(trained: dict[str, Run]) -> None:
    """Unless an extent is given: then it is what was asked for."""
    view = RunView(trained["five"])
    codes, labels = view.codes
    wide = codes.clone()
    wide[:, 3] = torch.linspace(-2, 9, len(codes))
    view.__dict__["codes"] = (wide, labels)
    z = view.run.encode(view.examples(1, (4,)).x)[0][0].tolist()
    middle, spread = float(wide[:, 3].mean()), float(wide[:, 3].std(correction=0))
    drawn = traversals(view, TraversalOptions(index=4, dimensions=(3,), steps=3))
    assert "standard deviation of test images' latents" in drawn.note
    for column, value in enumerate((middle - 3 * spread, middle, middle + 3 * spread)):
        assert near(only(drawn), 0, column, decoded(view.run, [*z[:3], value, z[4]]))
    assert only(drawn).columns == ["-3 sd", "mean", "3 sd"]
    plain = only(traversals(view, TraversalOptions(index=4, dimensions=(3,), steps=3, extent=3.0)))
    assert plain.columns == ["-3", "0", "3"]
    assert near(plain, 0, 2, decoded(view.run, [*z[:3], 3.0, z[4]]))


def test_codes_without_a_prior_are_walked_in_their_own_unit(trained: dict[str, Run]) -> None:
    view = RunView(trained["ae"])
    part = only(traversals(view, TraversalOptions(index=None, dimensions=(2,), steps=3)))
    codes, _ = view.codes
    z = view.run.encode(view.examples(1).x)[0][0].tolist()
    middle, spread = float(codes[:, 2].mean()), float(codes[:, 2].std(correction=0))
    for column, end in enumerate((middle - 3 * spread, middle, middle + 3 * spread)):
        assert near(part, 0, column, decoded(view.run, [*z[:2], end]))
    assert part.columns == ["-3 sd", "mean", "3 sd"]


def test_interpolations_stand_between_their_images(trained: dict[str, Run]) -> None:
    view = RunView(trained["two"])
    part = only(interpolations(view, InterpolationOptions(index=(5, 9, 2, 4), steps=3)))
    x = view.examples(4, (5, 9, 2, 4)).x
    for row in range(2):
        a, b = view.run.encode(x[2 * row : 2 * row + 2])[0]
        between = [generation.decode(view.run.model, (a + t * (b - a))[None]) for t in (0, 0.5, 1)]
        for column, image in enumerate([x[2 * row][None], *between, x[2 * row + 1][None]]):
            assert near(part, row, column, np.asarray(sheet(image, 1)))


def test_a_moving_picture_goes_through_its_images_one_after_the_other(trained: dict[str, Run]) -> None:
    view = RunView(trained["two"])
    found = frames(view, InterpolationOptions(index=(5, 9, 2), steps=4))
    assert len(found) == 7  # the second image ends one part and begins the next
    stops = trained["two"].reconstruct(view.examples(3, (5, 9, 2)).x)
    torch.testing.assert_close(found[[0, 3, 6]], stops)


def test_walks_go_from_one_random_latent_to_another(trained: dict[str, Run]) -> None:
    part = only(walks(RunView(trained["two"]), InterpolationOptions(steps=4, seed=2)))
    assert torch.equal(part.tiles, generation.walks(trained["two"].model, 8, 4, 2).flatten(0, 1))


def test_reconstructions_stand_below_their_originals(trained: dict[str, Run]) -> None:
    view = RunView(trained["dae"])
    drawing = reconstructions(view, ReconstructionOptions(n=7, across=4))
    first, last = drawing.panels
    assert first.rows == ["original", "given", "rebuilt"]
    assert "middle row" in drawing.note
    examples = view.examples(7)
    rebuilt = view.run.reconstruct(examples.input)
    for row, images in enumerate((examples.x, examples.input, rebuilt)):
        assert near(first, row, 3, np.asarray(sheet(images[3:4], 1)))
        assert near(last, row, 2, np.asarray(sheet(images[6:7], 1)))
    plain = reconstructions(RunView(trained["two"]), ReconstructionOptions(index=(3, 1)))
    assert only(plain).rows == ["original", "rebuilt"]
    assert plain.note == ""


def test_the_spread_is_the_standard_deviation_of_draws(trained: dict[str, Run]) -> None:
    view = RunView(trained["two"])
    part = only(posterior(view))
    assert (part.columns[0], part.columns[-1]) == ("input", "spread")
    spread = generation.posterior_draws(view.run.model, view.examples(5).x, SPREAD_DRAWS).std(1)
    for row, image in enumerate(spread / spread.max()):
        assert near(part, row, 12, np.asarray(sheet(image[None], 1)))


def test_samples_are_those_of_the_run(trained: dict[str, Run]) -> None:
    run = trained["two"]
    drawing = samples(RunView(run), SampleOptions(n=5, seed=3, draw=True))
    assert torch.equal(only(drawing).tiles, run.sample(5, seed=3, draw=True))
    assert drawing.picture().mode == "RGB"
    with pytest.raises(ConfigError, match="cannot sample"):
        samples(RunView(trained["ae"]), SampleOptions())


def test_components_are_rows_by_weight(trained: dict[str, Run]) -> None:
    run = trained["mixture"]
    part = only(components(RunView(run), SampleOptions(n=4, seed=5)))
    weights = run.model.prior().mixture_distribution.probs.tolist()
    order = sorted(range(3), key=lambda m: -weights[m])
    assert part.rows == [f"{m}: {weights[m]:.0%}" for m in order]
    for m, row in zip(order, part.tiles.split(4), strict=True):
        assert torch.equal(row, run.sample(4, 5, component=m))


def test_the_plane_of_a_mixture_shows_its_components(trained: dict[str, Run]) -> None:
    p_z = trained["mixture"].model.prior()
    found = ellipses(RunView(trained["mixture"]))
    assert [one.middle for one in found] == [tuple(mean) for mean in p_z.component_distribution.mean.tolist()]
    assert [one.weight for one in found] == p_z.mixture_distribution.probs.tolist()
    assert ellipses(RunView(trained["two"])) == []


def test_examples_are_fixed_balanced_and_as_evaluation_sees_them(trained: dict[str, Run]) -> None:
    run = trained["dae"]
    examples = RunView(run).examples(20)
    assert examples.y.tolist() == [*range(10), *range(10)]
    again = RunView(run).examples(20)
    assert torch.equal(examples.input, again.input)
    whole = task_images(run.dataset.test, run.config.task, 300)
    x, c = whole.x, whole.input
    assert not torch.equal(c, x)
    for shown, noisy in zip(examples.x, examples.input, strict=True):
        index = next(i for i in range(300) if torch.equal(x[i], shown))
        assert torch.equal(c[index], noisy)


def test_a_view_shows_other_images_or_a_batch_as_it_is(trained: dict[str, Run]) -> None:
    run = trained["two"]
    other = run.dataset.validation
    assert torch.equal(RunView(run, other).examples(2, (1, 0)).x[0, 0], other.images[1, 0] / 255)
    batch = run.examples(3)
    assert RunView(run, batch=batch).examples(8) is batch


def test_larger_images_are_fewer() -> None:
    sizes = [page_size(side) for side in (28, 64, 128)]
    for large, small in zip(sizes, sizes[1:], strict=False):
        assert all(fewer <= more for fewer, more in zip(small, large, strict=True))


@pytest.mark.parametrize("mode", [{}, {"directions": 2}, {"images": 2}, {"classes": True}])
def test_options_of_a_traversal_are_those_of_its_mode(mode: dict) -> None:
    other = {"index": 3, "count": 4, "extent": 2.0, "steps": 5, "by": "effect", "share": 0.2}
    allowed = {"directions": {"index", "by"}, "images": {"by", "share"}, "classes": {"index"}}
    known = next((allowed[name] for name in mode), {"index", "count", "extent", "steps"})
    for name, value in other.items():
        if name in known:
            TraversalOptions(**mode, **{name: value})
        else:
            with pytest.raises(ConfigError, match=f"--{name} is for --"):
                TraversalOptions(**mode, **{name: value})
    with pytest.raises(ConfigError, match="choose one"):
        TraversalOptions(**{"directions": 2, "images": 3} | mode)
