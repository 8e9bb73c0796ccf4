"""Random moves of images, whatever their shape."""

import pytest
import torch

from reparam.data import warp
from reparam.distributions import keyed_generator


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 48), (40, 100)])
def test_a_turn_keeps_a_disc_round(height: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And takes a bar by the same angle in any shape: its axis of most variance, in pixels."""
    monkeypatch.setattr(warp, "SHIFT", 0.0)
    monkeypatch.setattr(warp, "BEND", 0.0)
    down, across = torch.meshgrid(
        torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij"
    )
    disc = ((down.square() + across.square()).sqrt() < 16).float()
    bar = ((down.abs() < 3) & (across.abs() < 15)).float()
    images = torch.stack([disc, bar])[:, None].repeat(4, 1, 1, 1)
    drawn = 2 * torch.rand(len(images), 3, generator=keyed_generator("cpu", "turn")) - 1
    moved = warp.random_warp(images, keyed_generator("cpu", "turn"))(1.0)
    for number, (turned, angle) in enumerate(zip(moved[:, 0], warp.ANGLE * drawn[:, 0], strict=True)):
        weight = turned / turned.sum()
        spread = torch.tensor([[(weight * a * b).sum() for b in (down, across)] for a in (down, across)])
        values, axes = torch.linalg.eigh(spread)
        if number % 2 == 0:
            assert float(values[1] / values[0]) == pytest.approx(1, abs=0.03)
        else:
            found = torch.atan(axes[0, 1] / axes[1, 1])
            # The grid says where each pixel comes from, so that the picture turns the other way; pixels are worth half a degree.
            assert float(found) == pytest.approx(-float(angle), abs=0.02)
