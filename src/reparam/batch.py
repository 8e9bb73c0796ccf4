"""One batch as objectives see it.

Shapes: `B` batch, `C H W` image.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """What a task makes of labelled images; fields that a task does not set are None.

    x: the wanted image, float in [0, 1], [B, C, H, W]; c: what is observed (a noisy or partial image, a class);
    y: int64 [B], -1 where unlabelled; mask: 1 where c is observed; index: int64 [B], place in the split.
    """

    x: Tensor
    c: Tensor | None
    y: Tensor
    mask: Tensor | None
    index: Tensor
