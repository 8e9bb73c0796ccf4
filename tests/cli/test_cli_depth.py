"""Images of more than 8 bits and of other channels through every model, task and command; a sweep of all is marked slow."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import refused
from test_cli_rectangles import cases, commands, trained

import reparam
from reparam.data.scale import Scale
from reparam.data.tasks import to_float
from reparam.reports.pictures import cut_sheet

SHAPE = (12, 16)
KINDS = {
    "12 bits": (1, np.uint16, 4095),
    "5 channels": (5, np.uint8, 255),
    "2 channels of 16 bits": (2, np.uint16, 65535),
}
PLAIN = {"network": "mlp", "hidden": "8", "latent": 2, "recipe": "default", "least_steps": 0}


def fill(folder: Path, kind: str) -> dict[str, str]:
    """Blobs of two classes in numbers of a kind, of one channel also with masks; what `--data` names them by."""
    channels, dtype, top = KINDS[kind]
    generator, (height, width) = np.random.default_rng(0), SHAPE
    down, across = np.mgrid[0:height, 0:width]
    centre = generator.uniform(0.3, 0.7, (60, channels, 2)) * SHAPE
    inside = np.hypot(down - centre[..., 0, None, None], across - centre[..., 1, None, None]) < min(SHAPE) / 3
    images = (inside * 0.7 + generator.random(inside.shape) * 0.3) * top
    images[:, :, 0, :2] = 0, top
    images = images.round().astype(dtype)
    np.savez(folder / "images.npz", images=images, labels=np.arange(60) % 2)
    np.save(folder / "own.npy", images[:3])
    if channels == 1:
        for number in range(12):
            for part, array in (("images", images[number, 0]), ("masks", inside[number, 0].astype(np.uint8))):
                (folder / "pairs" / part).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(folder / "pairs" / part / f"{number}.png")
    return {"images": f"array:{folder / 'images.npz'}", "pairs": f"pairs:{folder / 'pairs'}"}


def check(run: reparam.Run, command: Callable, folder: Path, kind: str) -> None:
    """Every command, and that what it writes is what is said: pictures to look at, and numbers where pictures lose some."""
    channels, dtype, top = KINDS[kind]
    own, mask = folder / "own.npy", folder / "own-mask.png"
    if channels == 1:
        own = folder / "own-picture.png"
        Image.fromarray(np.load(folder / "own.npy")[0, 0]).save(own)
    Image.fromarray(np.repeat([[0, 255]], SHAPE[1] // 2, 1).repeat(SHAPE[0], 0).astype(np.uint8)).save(mask)
    for words in commands(run, folder, own, mask):
        if channels > 1 and ("digits" in words or (words[0] == "complete" and str(own) in words)):
            continue  # of one channel; and a picture has at most four
        done = command(*words)
        assert done.code == 0, (words, done.err)
    for path in (run.path / "pictures").glob("*.png"):
        with Image.open(path) as sheet:
            assert sheet.mode == ("L" if channels == 1 else "RGB")
            cut_sheet(sheet, (3 if sheet.mode == "RGB" else 1, *SHAPE))
    for path in (*folder.glob("unpacked/images.npy"), *folder.glob("augmented/images.npy")):
        numbers = np.load(path)
        assert numbers.shape[1:] == (channels, *SHAPE)
        assert numbers.dtype == dtype
        assert numbers.max() <= top


# --- the core ---


@pytest.mark.parametrize("kind", KINDS)
def test_a_vae_of_them(kind: str, command: Callable, tmp_path: Path) -> None:
    channels, _, top = KINDS[kind]
    data = fill(tmp_path, kind)
    run = trained(tmp_path, "vae", data, likelihood="discretised-logistic")
    assert run.spec.image_shape == (channels, *SHAPE)
    assert run.spec.levels == top + 1
    assert run.config.data.range == (() if top == 255 else (0.0, float(top)))
    assert run.scale == Scale(0, top, top + 1)
    check(run, command, tmp_path, kind)
    draws = run.sample(4, draw=True) * top  # of a mass on levels
    torch.testing.assert_close(draws, draws.round(), rtol=0, atol=1e-2)
    found = run.evaluate(["bits_per_dim", "psnr", "kid_random"], progress=False)
    assert all(np.isfinite(measure.value) for measure in found.values())
    assert f"{top + 1:,} levels" in found["bits_per_dim"].note or top == 255
    if channels > 1:
        refused(command("evaluate", run.path, "--metrics", "fid_inception"), f"these images have {channels} channels")


def test_augmented_numbers_are_data_again(command: Callable, tmp_path: Path) -> None:
    run = trained(tmp_path, "vae", fill(tmp_path, "12 bits"))
    done = command("augment", run.path, "--images", 6, "--no-judge", "--out", tmp_path / "more")
    assert done.code == 0, done.err
    remedy = next(line for line in done.err.splitlines() if "they are numbers" in line).partition("--data ")[2].split()
    done = command("train", "vae", "--data", *remedy, "--epochs", 1, "--pictures", 0, "--out", tmp_path / "again")
    assert done.code == 0, done.err
    assert reparam.load(tmp_path / "again").scale == run.scale
    rows = (tmp_path / "more" / "manifest.csv").read_text().splitlines()
    assert (
        len(rows) - 1
        == len(np.load(tmp_path / "more" / "images.npy"))
        == len(np.load(tmp_path / "more" / "labels.npy"))
    )
    assert rows[1].startswith("images.npy/0,")


def test_a_run_goes_on_in_its_range_and_reads_others_in_it(command: Callable, tmp_path: Path) -> None:
    run = trained(tmp_path, "vae", fill(tmp_path, "12 bits"))
    again = reparam.resume(run.path, progress=False)
    assert again.dataset.fingerprint == run.document.data.fingerprint
    np.save(tmp_path / "dark.npy", np.full((4, *SHAPE), 1000, np.uint16))
    Image.fromarray(np.full(SHAPE, 1000, np.uint16)).save(tmp_path / "dark.png")
    Image.fromarray(np.full(SHAPE, 100, np.uint8)).save(tmp_path / "bytes.png")
    for name, value in (("dark.npy", 1000), ("dark.png", 1000), ("bytes.png", 100)):
        found = run.read(tmp_path / name).images.pixels
        torch.testing.assert_close(found, torch.full_like(found, value / 4095), rtol=0, atol=1e-7)
    bright = run.read(tmp_path / "dark.npy")
    assert not any("cut off" in note for note in bright.notes)
    np.save(tmp_path / "bright.npy", np.full((4, *SHAPE), 5000, np.uint16))
    assert any(
        "768 of 768 values of these images lie outside 0 to 4095" in n for n in run.read(tmp_path / "bright.npy").notes
    )


def test_a_run_of_bytes_reads_others_as_bytes_as_one_of_an_earlier_version_did(tmp_path: Path) -> None:
    floats = np.random.default_rng(0).random((40, 8, 8))
    np.save(tmp_path / "floats.npy", floats)
    data = f"array:{tmp_path / 'floats.npy'}"
    run = reparam.train("vae", data, depth="8", out=tmp_path / "run", epochs=1, pictures=0, progress=False, **PLAIN)
    document = json.loads((run.path / "run.json").read_text())
    assert document["spec"].pop("levels") == 256
    for option in ("range", "depth", "layout"):  # as an earlier version wrote it, which rounded to 256 levels
        del document["config"]["data"][option]
    (run.path / "run.json").write_text(json.dumps(document))
    again = reparam.resume(run.path, progress=False)
    assert again.spec.levels == 256
    assert again.dataset.train.images.dtype == torch.uint8
    assert again.dataset.fingerprint == document["data"]["fingerprint"]
    found = np.sort(to_float(again.read(tmp_path / "floats.npy").images.pixels).numpy().ravel() * 255)
    assert np.array_equal(found.round(), np.sort(np.rint(floats * 255).ravel()))
    Image.fromarray(np.full((8, 8), 32768 + 128, np.uint16)).save(tmp_path / "deep.png")
    assert again.read(tmp_path / "deep.png").images.pixels.unique().tolist() == [128]


def test_the_range_stays_with_the_recipe_for_photographs(command: Callable, tmp_path: Path) -> None:
    """Which is chosen after the images are known, and resolves all options anew."""
    data = fill(tmp_path, "2 channels of 16 bits")["images"]
    done = command("train", "vae", "--data", data, "--epochs", 1, "--least-steps", 0, "--pictures", 0, "--latent", 2,
                   "--fit-prior", "none", "--out", tmp_path / "run")  # fmt: skip
    assert done.code == 0, done.err
    run = reparam.load(tmp_path / "run")
    assert run.config.recipe == "photos"
    assert run.config.data.range == (0.0, 65535.0)


def test_floats_without_levels(command: Callable, tmp_path: Path) -> None:
    np.save(tmp_path / "floats.npy", np.random.default_rng(0).random((60, *SHAPE)))
    words = (
        "train",
        "vae",
        "--data",
        f"array:{tmp_path / 'floats.npy'}",
        "--recipe",
        "default",
        "--hidden",
        8,
        "--epochs",
        1,
    )
    out = ("--pictures", 0, "--out", tmp_path / "run")
    refused(command(*words, "--likelihood", "discretised-logistic", *out), "--likelihood gaussian-pixel", "--depth 8")
    for remedy in (("--likelihood", "gaussian-pixel"), ("--likelihood", "discretised-logistic", "--depth", 8)):
        done = command(*words, *remedy, "--pictures", 0, "--out", tmp_path / remedy[1])
        assert done.code == 0, done.err
    run = reparam.load(tmp_path / "gaussian-pixel")
    assert (run.spec.levels, run.config.data.range, run.scale) == (0, (), Scale(0, 1, 0))
    refused(command("evaluate", run.path, "--metrics", "bits_per_dim"), "floats of any value")
    Image.fromarray(np.full(SHAPE, 51, np.uint8)).save(tmp_path / "own.png")
    assert run.read(tmp_path / "own.png").images.pixels.unique().tolist() == [pytest.approx(0.2)]


# --- the sweep ---


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("model", "options"), [pytest.param(*case, id="-".join((case[0], *case[1].values()))) for case in cases()]
)
def test_everything_takes_them(
    kind: str, model: str, options: dict[str, str], command: Callable, tmp_path: Path
) -> None:
    if options["task"] == "segmentation" and KINDS[kind][0] > 1:
        pytest.skip("pairs are pictures")
    run = trained(tmp_path, model, fill(tmp_path, kind), **options)
    assert run.spec.levels == KINDS[kind][2] + 1
    check(run, command, tmp_path, kind)
    done = command("evaluate", run.path, "--samples", 3, "--nll-images", 4, "--images", 20)
    assert done.code == 0, done.err
