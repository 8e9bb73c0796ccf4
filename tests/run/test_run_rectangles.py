"""Runs on images that are not square: those of before their time, and new images of other shapes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import reparam
from reparam.data import DataOptions, load

SMALL = {"hidden": "8", "latent": 2, "epochs": 1, "pictures": 0, "device": "cpu"}
RNG = np.random.default_rng(3)


def test_a_run_of_earlier_versions_keeps_its_central_squares(tmp_path: Path) -> None:
    """They stored no size where none was given, and read the central square."""
    np.save(tmp_path / "wide.npy", RNG.integers(0, 256, (30, 8, 12), np.uint8))
    (tmp_path / "photos").mkdir()
    for number in range(10):
        Image.fromarray(RNG.integers(0, 256, (30, 50), np.uint8)).save(tmp_path / "photos" / f"{number}.png")
    for data, square in ((f"array:{tmp_path / 'wide.npy'}", 8), (f"folder:{tmp_path / 'photos'}", 24)):
        out = tmp_path / str(square)
        reparam.train("vae", data, out=out, size=square, **SMALL)
        stored = json.loads((out / "run.json").read_text())
        stored["config"]["data"]["size"] = None
        (out / "run.json").write_text(json.dumps(stored))
        run = reparam.load(out, "cpu")
        assert load(data).shape != run.spec.image_shape
        assert run.dataset.shape == run.spec.image_shape == (1, square, square)
        assert run.dataset.fingerprint == stored["data"]["fingerprint"]
        assert reparam.resume(out).dataset.fingerprint == stored["data"]["fingerprint"]


@pytest.mark.parametrize("crop", ["centre", "none", "pad"])
def test_new_images_come_in_the_shape_that_a_run_knows(tmp_path: Path, crop: str) -> None:
    np.save(tmp_path / "own.npy", RNG.integers(0, 256, (30, 12, 20), np.uint8))
    run = reparam.train("vae", f"array:{tmp_path / 'own.npy'}", out=tmp_path / "run", crop=crop, **SMALL)
    assert run.spec.image_shape == (1, 12, 20)
    assert run.sample(3).shape == (3, 1, 12, 20)
    (tmp_path / "photos").mkdir()
    for number, size in enumerate([(30, 50), (50, 30), (16, 16), (12, 20)]):
        Image.fromarray(RNG.integers(0, 256, (*size, 3), np.uint8)).save(tmp_path / "photos" / f"{number}.png")
    for new in ("digits", f"folder:{tmp_path / 'photos'}", f"array:{tmp_path / 'own.npy'}"):
        found = run.read(new).images.pixels
        asked = load(new, DataOptions(size="12x20", crop=crop, colour="grey"))
        expected = torch.cat([asked.split(split).pixels for split in ("train", "validation", "test")])
        assert found.shape[1:] == (1, 12, 20)
        assert {x.numpy().tobytes() for x in found} == {x.numpy().tobytes() for x in expected}
