"""What `--json` prints is JSON that any reader takes: no NaN, no Infinity."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_training_without_validation_has_no_best_loss(tmp_path: Path, command: Callable) -> None:
    small = ("--data", "digits", "--train-on", "all", "--epochs", "0.2", "--latent", "2", "--hidden", "8")
    done = command("train", "vae", *small, "--pictures", "0", "--out", tmp_path / "run", "--json")
    assert done.code == 0
    assert strict(done.out)["best"] is None


def test_evaluate_says_what_has_no_value_and_why(tmp_path: Path, command: Callable) -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 8, 8)).astype(np.uint8)
    labels = np.where(np.arange(50) < 40, np.arange(50) % 2, -1)
    np.savez(
        tmp_path / "data.npz",
        **{"train_images": images[:40], "train_labels": labels[:40]},
        **{"test_images": images[40:], "test_labels": labels[40:]},
    )
    data, out = f"array:{tmp_path / 'data.npz'}", tmp_path / "run"
    assert command("train", "classifier", "--data", data, "--epochs", "1", "--pictures", "0", "--out", out).code == 0
    done = command("evaluate", out, "--json")
    assert done.code == 0
    assert strict(done.out) == {"metrics": {}, "left_out": {"accuracy": "no test image has a label"}, "diagnosis": []}
    shown = command("evaluate", out)
    assert "left out: accuracy: no test image has a label" in shown.err
    assert "nan" not in shown.out
