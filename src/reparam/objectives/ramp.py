"""Weights that change with time."""

from typing import Literal

from torch import Tensor


def ramp(step: Tensor, length: float) -> Tensor | Literal[1]:
    """min(1, step / length), on the device; 1 where there is no ramp."""
    return 1 if length <= 0 else (step / length).clamp(max=1)
