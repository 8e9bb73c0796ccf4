"""`compress` and `decompress`: what they write, and what they refuse in one line."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import refused

import reparam
from reparam.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    options = {"hidden": (32,), "latent": 4, "epochs": 3, "pictures": 0}
    for name in ("ae", "other"):
        reparam.train("ae", data="digits", out=folder / name, device="cpu", seed=len(name), **options)
    reparam.train("gan", data="digits", out=folder / "gan", device="cpu", epochs=0.1, width=4, pictures=0)
    return {path.name: path for path in folder.iterdir()}


def test_test_images_come_back_as_the_model_rebuilds_their_rounded_latents(
    runs: dict[str, Path], command: Callable, tmp_path: Path
) -> None:
    file, folder = tmp_path / "digits.rpz", tmp_path / "digits"
    done = command("compress", runs["ae"], "--n", 200, "--bytes", 3, "--out", file, "--device", "cpu", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["images"] == 200
    assert found["bytes"] == file.stat().st_size <= 600
    assert found["psnr"] <= found["psnr_uncompressed"] + 0.01
    done = command("decompress", runs["ae"], file, "--out", folder, "--device", "cpu")
    assert done.code == 0, done.err
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"{number:06d}.png" for number in range(200)]
    run = reparam.load(runs["ae"], device="cpu")
    images = run.decompress(file.read_bytes())
    seen = np.stack([np.asarray(Image.open(folder / name)) for name in names])
    assert np.array_equal(seen, (images[:, 0] * 255).round().to(torch.uint8).numpy())


def test_pictures_of_ones_own(runs: dict[str, Path], command: Callable, tmp_path: Path) -> None:
    for number in range(2):
        Image.fromarray(np.full((20, 16), 100 * number, np.uint8)).save(tmp_path / f"{number}.png")
    pictures = [tmp_path / "0.png", tmp_path / "1.png"]
    done = command("compress", runs["ae"], *pictures, "--bytes", 60, "--out", tmp_path / "two.rpz", "--device", "cpu")
    assert done.code == 0, done.err
    assert "2 images" in done.out
    assert "2 of 2 pictures are cut to the central square and resized to 8 x 8" in done.err
    assert command("decompress", runs["ae"], tmp_path / "two.rpz", "--out", tmp_path / "two").code == 0
    assert len(list((tmp_path / "two").iterdir())) == 2


def test_what_cannot_be_is_refused_in_one_line(runs: dict[str, Path], command: Callable, tmp_path: Path) -> None:
    file = tmp_path / "digits.rpz"
    assert command("compress", runs["ae"], "--n", 100, "--bytes", 4, "--out", file).code == 0
    cut, foreign = tmp_path / "cut.rpz", tmp_path / "foreign.rpz"
    cut.write_bytes(file.read_bytes()[:-5])
    foreign.write_bytes(b"GIF89a" + bytes(200))
    out = ("--out", tmp_path / "folder")
    refused(command("decompress", runs["ae"], cut, *out), "cut.rpz", "damaged")
    refused(command("decompress", runs["ae"], foreign, *out), "foreign.rpz", "no file that")
    refused(command("decompress", runs["other"], file, *out), "another run's weights")
    refused(command("decompress", runs["ae"], tmp_path / "none.rpz", *out), "cannot read", "does not exist")
    os.mkfifo(tmp_path / "pipe.rpz")
    refused(command("decompress", runs["ae"], tmp_path / "pipe.rpz", *out), "pipe.rpz is not a plain file")
    assert not (tmp_path / "folder").exists()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    refused(command("decompress", runs["ae"], file, *out), "not empty")

    new = ("--out", tmp_path / "new.rpz")
    refused(command("compress", runs["ae"], "--n", 1, "--bytes", 4, *new), "header alone")
    refused(command("compress", runs["gan"], *new), "cannot compress images")
    refused(command("compress", runs["ae"], "--bytes", 0, *new), "--bytes")
    refused(command("compress", runs["ae"], "--bytes", "nan", *new), "--bytes", "nan")
    refused(command("compress", runs["ae"], tmp_path, *new), "holds no pictures")
    refused(command("compress", runs["ae"], cut, "--n", 3, *new), "leave it out for new pictures")
    refused(command("compress", runs["ae"], cut, *new), "cut.rpz")
    refused(command("compress", runs["ae"], cut, "--out", cut), "would overwrite")
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop.name)
    refused(command("compress", runs["ae"], loop, *new), "loop.png")
    assert not (tmp_path / "new.rpz").exists()


def test_a_gan_is_explored_by_walks_between_random_latents(
    runs: dict[str, Path], command: Callable, tmp_path: Path
) -> None:
    words = ("interpolate", runs["gan"], "--steps", 5, "--out", tmp_path / "walks.png")
    assert command(*words).code == 0
    first = (tmp_path / "walks.png").read_bytes()
    assert command(*words, "--seed", 1).code == 0
    assert (tmp_path / "walks.png").read_bytes() != first
    refused(command(*words, "--index", 1, "--index", 2), "cannot encode", "--index")


def test_in_python(runs: dict[str, Path]) -> None:
    run = reparam.load(runs["ae"], device="cpu")
    x = torch.rand(50, 1, 8, 8)
    data = run.compress(x, 8.0)
    assert len(data) <= 400
    assert run.decompress(data).shape == x.shape
    with pytest.raises(DataError, match=r"use images\[None\]"):
        run.compress(x[0])
    with pytest.raises(ConfigError, match="header alone"):
        run.compress(x[:1], 8.0)
