"""One batch as objectives see it, and what the condition `c` of a task is.

Shapes: `B` batch, `C H W` image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """What a task makes of labelled images; fields that a task does not set are None.

    x: the target image, float in [0, 1], [B, C, H, W], or the target label map, int64 [B, 1, H, W] (`IGNORED` where it does not
    count); c: what is known, a class [B] or an image [B, C', H, W], see `Condition`; y: int64 [B], -1 where unlabelled;
    index: int64 [B], place in the split; source: the encoder's input where that is not x, [B, C, H, W] (a noisy image); near: an
    image that resembles x, [B, C, H, W], in training under an objective that asks for `neighbours`.
    """

    x: Tensor
    c: Tensor | None
    y: Tensor
    index: Tensor
    source: Tensor | None = None
    near: Tensor | None = None

    @property
    def input(self) -> Tensor:
        """The encoder's input: `source`, or x."""
        return self.x if self.source is None else self.source

    def take(self, rows: Tensor) -> "Batch":
        """Those rows."""
        found: dict[str, Any] = {name: None if value is None else value[rows] for name, value in vars(self).items()}
        return Batch(**found)

    @staticmethod
    def concatenate(parts: "Sequence[Batch]") -> "Batch":
        """Batches of one task behind each other."""
        found: dict[str, Any] = {}
        for name, value in vars(parts[0]).items():
            found[name] = None if value is None else torch.cat([getattr(part, name) for part in parts])
        return Batch(**found)


@dataclass(frozen=True)
class Condition:
    """What c is: a class, or an image.

    classes: c is a class, int64 [B], one of so many. channels: c is an image, float [B, channels, H, W]; with `masked` its last
    channel is the mask, 1 where the pixels of the others are observed, and only the others' unobserved pixels are the target.
    fixed: that mask where it is the same for every image, bool [H, W].
    """

    classes: int = 0
    channels: int = 0
    masked: bool = False
    fixed: Tensor | None = None
