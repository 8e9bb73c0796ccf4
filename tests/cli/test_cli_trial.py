"""`augment-test`: what it calls help helps, what it calls harm harms, on drawn images whose truth is known."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import reparam
from reparam import trial
from reparam.errors import ConfigError
from reparam.progress import SaidOnce, Silent
from reparam.trial import HARMS, HELPS, NEITHER, RESULT, paired_gain, verdict

SIDE = 12


def place(generator: np.random.Generator) -> tuple[np.ndarray, int]:
    """A bright column; its class is where it stands, which a shift changes."""
    column = int(generator.integers(SIDE))
    image = np.zeros((SIDE, SIDE))
    image[:, column] = 1
    return image, column // 3


def shape(generator: np.random.Generator) -> tuple[np.ndarray, int]:
    """A disc or a ring, anywhere: turned and shifted it is of the same class."""
    y, x = np.mgrid[:SIDE, :SIDE]
    centre = generator.uniform(3, SIDE - 4, 2)
    radius = np.hypot(y - centre[0], x - centre[1])
    label = int(generator.integers(2))
    return ((radius < 3) & (radius >= 1.2 * label)).astype(float), label


class Noting(Silent):
    def __init__(self, said: list[str]) -> None:
        self.note = said.append


def drawn(path: Path, draw: Callable, count: int = 3000) -> str:
    generator = np.random.default_rng(0)
    images, labels = zip(*(draw(generator) for _ in range(count)), strict=True)
    noisy = np.clip(np.array(images) * 0.7 + generator.normal(0, 0.05, (count, SIDE, SIDE)) + 0.15, 0, 1)
    np.savez(path, images=(255 * noisy).astype(np.uint8), labels=np.array(labels))
    return f"array:{path}"


@pytest.mark.parametrize(
    ("draw", "labels", "strength", "share", "expected"), [(shape, 3, 2.5, 0.5, HELPS), (place, 10, 5.0, 1.0, HARMS)]
)
def test_what_is_called_help_helps_and_harm_harms(
    draw: Callable, labels: int, strength: float, share: float, expected: str, tmp_path: Path
) -> None:
    """Moves that keep the class, of three examples each; and moves, of all images, by more than a class is wide."""
    said: list[str] = []
    found = reparam.augment_test(
        drawn(tmp_path / "drawn.npz", draw),
        out=tmp_path / "out",
        say=said.append,
        **{"labels_per_class": labels, "seeds": 2, "steps": 100, "arms": "pixels"},
        **{"pixel_strength": strength, "share": share},
    )
    none, pixels = found.arms
    assert [none.name, pixels.name] == ["none", "pixels"]
    assert pixels.verdict == expected, found
    assert pixels.gain is not None
    assert pixels.stderr is not None
    assert abs(pixels.gain) > 0.05
    assert pixels.gain == pytest.approx(pixels.accuracy - none.accuracy, abs=1e-6)
    assert none.gain is None
    assert found.best is (pixels if expected == HELPS else none)
    assert (found.images, found.labels) == (300, labels * (2 if draw is shape else 4))
    assert len(said) == 1
    assert "minutes here: 4 classifiers" in said[0]
    assert json.loads((tmp_path / "out" / RESULT).read_text())["arms"][1]["verdict"] == expected


def test_what_was_said_of_one_training_is_not_said_again() -> None:
    said: list[str] = []
    progress = SaidOnce(Noting(said))
    for text in ("600 steps", "600 steps", "800 steps", "600 steps"):
        progress.note(text)
    assert said == ["600 steps", "800 steps"]


def test_gains_are_paired_over_images_and_seeds() -> None:
    """Of 400 sets of two arms that are equally right, with images that are hard for both: seldom called a difference."""
    generator = torch.Generator().manual_seed(0)
    hard = torch.rand(400, 1, 200, generator=generator)
    arms = [(torch.rand(400, 3, 200, generator=generator) < hard).float() for _ in range(2)]
    said = [verdict(*paired_gain(a, b)) for a, b in zip(*arms, strict=True)]
    assert said.count(NEITHER) >= 0.92 * len(said), "two standard errors, of which those over seeds are of three"
    gain, stderr = paired_gain(torch.tensor([[1.0, 1, 0, 1]]), torch.tensor([[0.0, 1, 0, 0]]))
    assert gain == 0.5
    assert stderr == pytest.approx((1 / 3 / 4) ** 0.5)  # of 1, 0, 0, 1: a variance of 1/3, over four images
    seeds = torch.tensor([[1.0, 1], [0, 0]]), torch.zeros(2, 2)
    assert paired_gain(*seeds)[1] == pytest.approx(0.5), "of 1 and 0: over seeds alone, the images agree"
    assert [verdict(*pair) for pair in ((0.1, 0.04), (-0.1, 0.04), (0.1, 0.05))] == [HELPS, HARMS, NEITHER]


def test_what_has_ended_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable) -> None:
    begun: list[str] = []
    plain = trial.start

    def counted(config, path, progress):
        begun.append(path.name)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return plain(config, path, progress)

    monkeypatch.setattr(trial, "start", counted)
    words = (
        "augment-test",
        "--data",
        "digits",
        "--labels-per-class",
        5,
        "--steps",
        5,
        "--out",
        tmp_path / "out",
        "--seeds",
    )
    assert command(*words, 1).code == 130
    done = command(*words, 1)
    assert done.code == 0, done.err
    assert "none " in done.out
    assert "points" in done.out
    assert begun == ["seed0-none", "seed0-pixels", "seed0-model", "seed0-model", "seed0-gvae", "seed0-both"]
    assert command(*words, 2).code == 0, "more seeds of the same"
    assert begun[6:] == [f"seed1-{arm}" for arm in ("none", "pixels", "model", "gvae", "both")]
    with pytest.raises(ConfigError, match="other images or options"):
        reparam.augment_test("digits", out=tmp_path / "out", labels_per_class=6)
    with pytest.raises(ConfigError, match="labels_per_class"):
        reparam.augment_test("digits", out=tmp_path / "none", labels=6)
    seen = {name: reparam.load(tmp_path / "out" / f"seed1-{name}").config for name in ("model", "gvae")}
    labels = [config.labelled_index(reparam.data.load("digits"), "train").tolist() for config in seen.values()]
    assert labels[0] == labels[1], "the G-VAE has the classifier's labels"
