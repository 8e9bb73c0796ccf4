"""What users import refuses what the command refuses."""

from pathlib import Path

import pytest
import torch

import reparam


def test_evaluation_options_are_strict_in_python_too(run: Path) -> None:
    with pytest.raises(reparam.ReparamError, match="no option 'sampels'; did you mean 'samples'"):
        reparam.evaluate(run, sampels=3)
    with pytest.raises(reparam.ReparamError, match="'samples'"):
        reparam.evaluate(run, samples=0)


def test_python_is_as_strict_as_the_command(run: Path) -> None:
    opened = reparam.load(run)
    wrong = {
        "which images": lambda: reparam.train("vae"),
        "named by text": lambda: reparam.train(None, data="digits"),  # type: ignore[arg-type]
        "at least 1": lambda: opened.sample(-1),
        "float tensor": lambda: opened.encode(torch.zeros(2, 1, 9, 9)),
        "not list": lambda: opened.reconstruct([1]),  # type: ignore[arg-type]
        "did you mean 'elbo'": lambda: opened.evaluate("elbow"),
    }
    for message, call in wrong.items():
        with pytest.raises(reparam.ReparamError, match=message):
            call()
