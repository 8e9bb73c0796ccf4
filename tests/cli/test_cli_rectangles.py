"""Images that are not square through every model, network, task and command; a sweep of all is marked slow."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusals import refused

import reparam
from reparam.core.abilities import Ability
from reparam.core.options import tables_of
from reparam.models import MODELS
from reparam.reports.pictures import cut_sheet

SHAPES = ((8, 13), (28, 20), (9, 40))
SMALL = {"hidden": "8", "latent": 2, "width": 8, "levels": "8,8", "channels": 4, "features": 4, "components": 3}
LOOP = {"epochs": 1, "least_steps": 0, "batch_size": 16, "pictures": 1, "device": "cpu"}


def fill(folder: Path, shape: tuple[int, int], channels: int) -> dict[str, str]:
    """Blobs of two classes, and the same with their masks; what `--data` names them by."""
    generator, (height, width) = np.random.default_rng(0), shape
    down, across = np.mgrid[0:height, 0:width]
    n = 60
    centre = generator.uniform(0.3, 0.7, (n, 2)) * shape
    inside = np.hypot(down - centre[:, 0, None, None], across - centre[:, 1, None, None]) < min(shape) / 3
    images = (40 + 180 * inside + generator.integers(0, 30, inside.shape)).astype(np.uint8)
    if channels == 3:
        images = np.stack([images, 255 - images, images // 2], -1)
    np.savez(folder / "images.npz", images=images, labels=np.arange(n) % 2)
    for number in range(12):
        for kind, array in (("images", images[number]), ("masks", inside[number].astype(np.uint8))):
            (folder / "pairs" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / "pairs" / kind / f"{number}.png")
    return {"images": f"array:{folder / 'images.npz'}", "pairs": f"pairs:{folder / 'pairs'}"}


def trained(folder: Path, model: str, data: dict[str, str], **options: object) -> reparam.Run:
    known = MODELS[model].options.__dataclass_fields__
    small = {name: value for name, value in SMALL.items() if name in known}
    for choice, table in tables_of(MODELS[model].options).items():
        from reparam.core.options import own_options

        chosen = options.get(choice, known[choice].default)
        others = {name for key, part in table.items() if key != chosen for name in own_options(part)}
        small = {name: value for name, value in small.items() if name not in others - set(own_options(table[chosen]))}
    if model == "gmvae" and options.get("prior") != "vamp":
        small["place_after"] = 0
    source = data["pairs" if options.get("task") == "segmentation" else "images"]
    return reparam.train(model, source, out=folder / "run", progress=False, **{**small, **LOOP, **options})


def commands(run: reparam.Run, folder: Path, own: Path, mask: Path) -> Iterator[tuple[str, ...]]:
    """All that the run's model can be asked for, with the pictures of one's own that it takes."""
    able, path = run.model.abilities, str(run.path)

    def out(name: str) -> tuple[str, str]:
        return "--out", str(folder / name)

    if Ability.SAMPLE in able:
        yield ("sample", path, "--n", "4", *out("sample.png"))
    if Ability.RECONSTRUCT in able:
        yield ("reconstruct", path, "--n", "4", *out("reconstruct.png"))
        yield ("traverse", path, "--steps", "3", *out("traverse.png"))
        yield ("compress", path, str(own), "--bytes", "4000", *out("own.rpz"))
        yield ("decompress", path, str(folder / "own.rpz"), *out("unpacked"))
    if Ability.RECONSTRUCT in able or Ability.DECODE in able:
        yield ("grid", path, "--steps", "3", *out("grid.png"))
        yield ("interpolate", path, "--steps", "3", *out("interpolate.png"))
    if Ability.ENCODE in able:
        yield ("encode", path, *out("latents.npz"))
        yield ("encode", path, "--data", "digits", *out("of-others.npz"))
    if Ability.AUGMENT in able:
        yield ("augment", path, "--images", "4", "--no-judge", *out("augmented"))
    if Ability.SEGMENT in able:
        yield ("segment", path, str(own), "--samples", "2", *out("segmented"))
    elif Ability.COMPLETE in able:
        boxes = run.config.task.task == "boxes"
        yield ("complete", path, "--n", "2", "--samples", "2", *out("complete.png"))
        yield ("complete", path, str(own), *(("--mask", str(mask)) if boxes else ()), *out("own.png"))
    yield ("report", path)


def check(run: reparam.Run, command: Callable, folder: Path, shape: tuple[int, int]) -> None:
    """Every command, and that what it writes has the run's shape, or the shape of the picture that it was given."""
    height, width = shape
    own, mask = folder / "own-picture.png", folder / "own-mask.png"
    Image.fromarray(np.arange(3 * height * 2 * width, dtype=np.uint8).reshape(3 * height, 2 * width)).save(own)
    seen = np.zeros((3 * height, 2 * width), np.uint8)
    seen[:, :width] = 255
    Image.fromarray(seen).save(mask)
    for words in commands(run, folder, own, mask):
        done = command(*words)
        assert done.code == 0, (words, done.err)
    for path in (run.path / "pictures").glob("*.png"):
        with Image.open(path) as sheet:
            cut_sheet(sheet, (3 if sheet.mode == "RGB" else 1, *shape))  # raises where tiles have another shape
    for path in [*folder.glob("unpacked/*.png"), *folder.glob("augmented/*/*.png")]:
        with Image.open(path) as picture:
            assert picture.size == (width, height)
    for path in folder.glob("segmented/*-labels.png"):
        with Image.open(path) as picture:
            assert picture.size == (2 * width, 3 * height)


# --- the core ---


@pytest.mark.parametrize("shape", [(28, 20), (8, 13)])
def test_a_vae_of_rectangles(shape: tuple[int, int], command: Callable, tmp_path: Path) -> None:
    run = trained(tmp_path, "vae", fill(tmp_path, shape, 1))
    assert run.spec.image_shape == (1, *shape)
    assert run.sample(2).shape == (2, 1, *shape)
    check(run, command, tmp_path, shape)
    found = run.evaluate(["elbo", "psnr", *(["ssim"] if min(shape) >= 11 else [])], progress=False)
    assert all(np.isfinite(measure.value) for measure in found.values())
    if min(shape) < 11:
        refused(command("evaluate", run.path, "--metrics", "ssim"), "11 pixels")


def test_pictures_of_several_shapes_are_fitted_by_what_is_asked_for(command: Callable, tmp_path: Path) -> None:
    """`--size` and `--crop` as a person types them, and what the run then says of a picture of another shape."""
    (tmp_path / "photos").mkdir()
    for number, (height, width) in enumerate([(30, 50), (50, 30), (16, 16), (12, 20), (90, 10)]):
        array = np.random.default_rng(number).integers(0, 256, (height, width), np.uint8)
        Image.fromarray(array).save(tmp_path / "photos" / f"{number}.png")
    words = ("train", "ae", "--data", f"folder:{tmp_path / 'photos'}", "--recipe", "default", "--hidden", "8")
    for crop in ("centre", "none", "pad"):
        out = tmp_path / crop
        done = command(*words, "--size", "12x20", "--crop", crop, "--epochs", 1, "--pictures", 0, "--out", out)
        assert done.code == 0, done.err
        assert "to 12 x 20" in done.err
        done = command(
            "compress", out, tmp_path / "photos" / "0.png", "--bytes", 4000, "--out", tmp_path / f"{crop}.rpz"
        )
        assert done.code == 0, done.err
        assert "to 12 x 20, as the run's were" in done.err
    for size in ("12x", "7x20", "20x513", "twelve"):
        refused(command(*words, "--size", size, "--out", tmp_path / "x"), "option 'size'", "48x64")


def test_labels_of_a_wide_picture(command: Callable, tmp_path: Path) -> None:
    shape = (12, 20)
    run = trained(tmp_path, "nn", fill(tmp_path, shape, 3), task="segmentation", network="mlp")
    check(run, command, tmp_path, shape)


# --- the sweep ---


def cases() -> Iterator[tuple[str, dict[str, str]]]:
    """Every model with each of its tasks, and with each of its networks."""
    for model, family in MODELS.items():
        networks = tables_of(family.options).get("network", {"": None})
        for task in family.tasks:
            for network in networks if task in (family.tasks[0], "segmentation") else list(networks)[:1]:
                yield model, {"task": task, **({"network": network} if network else {})}


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(SHAPES)))
@pytest.mark.parametrize(
    ("model", "options"), [pytest.param(*case, id="-".join((case[0], *case[1].values()))) for case in cases()]
)
def test_everything_takes_rectangles(
    number: int, model: str, options: dict[str, str], command: Callable, tmp_path: Path
) -> None:
    shape, channels = SHAPES[number], (1, 3)[number % 2]
    run = trained(tmp_path, model, fill(tmp_path, shape, channels), **options)
    assert run.spec.image_shape == (channels, *shape)
    check(run, command, tmp_path, shape)
    done = command("evaluate", run.path, "--samples", 3, "--nll-images", 4, "--images", 20)
    assert done.code == 0, done.err
