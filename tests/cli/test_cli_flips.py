"""Augmentation that a person can trust: no labels that are to be unseen, changes that are told, flips that are measured."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from refusals import refused
from torch import Tensor

import reparam
from reparam.api import Run
from reparam.errors import ConfigError
from reparam.evaluation.flips import flips_of
from reparam.latent.augmentation import PixelAugmenter
from reparam.run.config import resolve
from reparam.training.augmentation import build_augmentation


@pytest.fixture(scope="module")
def gvae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "gvae"
    reparam.train("gvae", data="digits", epochs=10, hidden=(64,), latent=12, pictures=0, device="cpu", out=path)
    return path


def open_run(path: Path) -> Run:
    return reparam.load(path, device="cpu")


def test_flips_are_the_share_that_a_judge_reads_otherwise() -> None:
    """Of pictures that are one white column, whose class is its place: a judge that reads the brightest column, and shifts that
    move it by a column to either side or not."""
    images = torch.zeros(300, 1, 8, 8)
    images[torch.arange(300), 0, :, torch.arange(300) % 8] = 1

    def read(x: Tensor) -> Tensor:
        return x.sum(2)[:, 0].argmax(1)

    labels = torch.full((300,), -1)
    still, far = PixelAugmenter(strength=0.0), PixelAugmenter(strength=3.0)
    assert not flips_of(still, images, labels, read)[0].any()
    series = far.generator.get_state() if far.generator else None
    share, change = flips_of(far, images, labels, read)
    assert 0.3 < float(share.mean()) < 1
    assert bool(((share > 0) == (share >= 1 / 3)).all()), "three copies of each"
    assert bool((change > 0).all())
    assert far.generator is not None
    assert series is not None
    assert torch.equal(far.generator.get_state(), series), "the series of draws stays where it is"


def test_a_run_brings_no_labels_that_a_training_with_few_may_not_see(
    gvae: Path, command: Callable, tmp_path: Path
) -> None:
    """A G-VAE of all labels, of more, or of others; a VAE, which knows none, may move the images."""
    options = {"data": "digits", "epochs": 1, "hidden": (16,), "latent": 12, "pictures": 0, "device": "cpu"}
    for name, few in (("same", {}), ("fewer", {"labels_per_class": 2}), ("others", {"seed": 1})):
        reparam.train("gvae", out=tmp_path / name, **{**options, "labels_per_class": 3, **few})
    reparam.train("vae", out=tmp_path / "vae", **options)
    words = (
        "train",
        "classifier",
        "--data",
        "digits",
        "--labels-per-class",
        3,
        "--channels",
        4,
        "--epochs",
        0.1,
        "--device",
        "cpu",
    )
    for mover in (gvae, tmp_path / "others"):
        refused(
            command(*words, "--augment", mover, "--out", tmp_path / "out"),
            "may not see",
            "train gvae --labels-per-class 3 --seed 0",
        )
    for name in ("same", "fewer", "vae"):
        done = command(*words, "--augment", tmp_path / name, "--out", tmp_path / f"with-{name}")
        assert done.code == 0, done.err


def test_training_moves_images_by_a_change(gvae: Path, command: Callable, tmp_path: Path) -> None:
    """The strengths are those of the same change elsewhere."""
    config = resolve(
        "classifier", data="digits", augment=("pixels", str(gvae)), augment_change=(1.0, 0.5), device="cpu"
    )
    data = open_run(gvae).dataset
    moves = build_augmentation(config, data, data.train, torch.device("cpu")).moves
    assert moves[1].strength == pytest.approx(open_run(gvae).augmenter(change=0.5).strength, rel=1e-6)
    x, y = data.train.images.float() / 255, data.train.labels
    assert reparam.Augmenter(open_run(gvae), change=0.5, images=x, labels=y).strength == pytest.approx(
        moves[1].strength, rel=0.05
    )
    changed = (moves[0].moved(x, y) - x).flatten(1).norm(dim=1)
    assert abs(float(changed.mean()) - 1.0) <= 5 * float(changed.std()) / len(x) ** 0.5
    words = ("train", "classifier", "--data", "digits", "--augment", gvae, "--out", tmp_path / "out")
    refused(command(*words, "--augment-change", "1,2"), "augment-change", "one for each")
    refused(command(*words, "--augment-change", 1, "--augment-strength", 2), "give one")
    with pytest.raises(ConfigError, match="images="):
        reparam.Augmenter(open_run(gvae), change=0.5)


def test_flips_are_told_and_refused(gvae: Path, command: Callable, tmp_path: Path) -> None:
    words = ("augment", gvae, "--images", 20, "--device", "cpu", "--json")
    still = command(*words, "--strength", 0, "--apply", "change", "--out", tmp_path / "still")
    found = json.loads(still.out)["flips"]
    assert found["augmenter"]["share"] == 0, "nothing has moved"
    assert found["augmenter"]["change"] < 1e-6
    assert found["pixels"]["share"] > 0
    assert "judge" in found["judge"]
    assert found["images"] == len(open_run(gvae).dataset.validation)
    far = command(*words, "--strength", 30, "--out", tmp_path / "far")
    worse = json.loads(far.out)["flips"]
    assert worse["excess"] > 2 * worse["stderr"]
    assert "more often than pixel moves" in far.err
    assert "more often than pixel moves" not in still.err
    words = (*words[:-1], "--strength", 30, "--out", tmp_path / "refused")
    refused(command(*words, "--max-flips", 0.05), "--max-flips allows 5.0%", "--change")
    assert not (tmp_path / "refused").exists()
    refused(command(*words, "--max-flips", 0.05, "--no-judge"), "--no-judge")
    assert command(*words[:-1], tmp_path / "unjudged", "--no-judge").out.count("\n") == 1, "one line: what was written"
