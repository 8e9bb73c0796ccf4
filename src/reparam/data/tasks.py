"""From stored images to batches: what the model is asked to do with them.

Shapes: `B` batch, `C H W` image. Images are stored as uint8 and become float in [0, 1] here, on their device.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from reparam.batch import Batch


@dataclass(frozen=True)
class TaskOptions:
    """What is asked of the images, and how grey values are read."""

    task: Annotated[Literal["unconditional", "denoising"], Field(description="what the model is asked to do")] = (
        "unconditional"
    )
    binarise: Annotated[
        Literal["none", "threshold", "dynamic"],
        Field(description="none: grey values; threshold: x >= 1/2; dynamic: x ~ Bernoulli(grey), afresh at every use"),
    ] = "none"
    corruption: Annotated[
        Literal["gaussian", "mask"], Field(description="denoising: added noise, or pixels zeroed")
    ] = "gaussian"
    noise: Annotated[
        float, Field(gt=0, le=1, description="denoising: standard deviation, or share of pixels zeroed")
    ] = 0.3


def to_float(images: Tensor, binarise: str = "none", generator: torch.Generator | None = None) -> Tensor:
    """uint8 [B, C, H, W] -> float32 in [0, 1], binarised as asked (dynamic: Salakhutdinov and Murray 2008)."""
    x = images / 255
    if binarise == "threshold":
        return (x >= 0.5).float()
    if binarise == "dynamic":
        return torch.bernoulli(x, generator=generator)
    return x


def unconditional(x: Tensor, options: TaskOptions, generator: torch.Generator | None) -> Tensor | None:
    return None


def denoising(x: Tensor, options: TaskOptions, generator: torch.Generator | None) -> Tensor:
    """c = x + noise * eps clipped to [0, 1], or x with a share `noise` of its pixels zeroed (all channels of a pixel)."""
    if options.corruption == "mask":
        kept = torch.rand(x[:, :1].shape, device=x.device, generator=generator) >= options.noise
        return x * kept
    eps = torch.randn(x.shape, device=x.device, generator=generator)
    return torch.add(x, eps, alpha=options.noise).clamp_(0, 1)


TASKS: dict[str, Callable[[Tensor, TaskOptions, torch.Generator | None], Tensor | None]] = {
    "unconditional": unconditional,
    "denoising": denoising,
}


def make_batch(
    images: Tensor, labels: Tensor, index: Tensor, options: TaskOptions, generator: torch.Generator | None = None
) -> Batch:
    """Stored images [B, C, H, W] and labels [B] to a batch, on their device; random parts come from `generator`."""
    x = to_float(images, options.binarise, generator)
    return Batch(x=x, c=TASKS[options.task](x, options, generator), y=labels, mask=None, index=index)
