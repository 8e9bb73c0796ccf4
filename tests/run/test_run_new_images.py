"""New images of other kinds than a run's own."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import reparam

SMALL = {"network": "mlp", "hidden": "8", "latent": 2, "epochs": 1, "pictures": 0, "device": "cpu", "recipe": "default"}
RNG = np.random.default_rng(3)


def pictures(folder: Path, n: int, *channels: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(n):
        Image.fromarray(RNG.integers(0, 256, (8, 12, *channels), np.uint8)).save(folder / f"{number}.png")
    return folder


def test_new_pairs_for_a_run_that_was_split_by_groups(tmp_path: Path) -> None:
    """No name of the new pictures has to match what names of the run's own did."""
    for i in range(10):
        pictures(tmp_path / "own" / f"day{i}", 2)
    run = reparam.train("vae", f"folder:{tmp_path / 'own'}", out=tmp_path / "run", group=r"day\d", **SMALL)
    pictures(tmp_path / "new" / "images", 3)
    pictures(tmp_path / "new" / "masks", 3)
    for path in (tmp_path / "new" / "masks").iterdir():
        Image.fromarray(RNG.integers(0, 2, (8, 12), np.uint8)).save(path)
    found = run.read(f"pairs:{tmp_path / 'new'}").images
    assert (len(found), found.maps is None) == (3, False)


def test_images_of_other_channels_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "five.npy", RNG.integers(0, 256, (30, 5, 8, 12), np.uint8))
    run = reparam.train("vae", f"array:{tmp_path / 'five.npy'}", out=tmp_path / "run", **SMALL)
    coloured = pictures(tmp_path / "new", 3, 3)
    with pytest.raises(reparam.ReparamError, match=r"these images are \(3, 8, 12\) and the run's \(5, 8, 12\)"):
        run.read(coloured)
    with pytest.raises(reparam.ReparamError, match=r"have shapes \(3, 8, 12\) and \(5, 8, 12\)"):
        run.read([coloured, tmp_path / "five.npy"])
