"""What structured prediction needs: label maps, and images of which a part is known.

Shapes: `...` any batch, `C H W` image, `D` values of a label map, `W'` target pixels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from reparam.distributions.sampling import gumbel_max, rsample

IGNORED = 255  # the value of a label map where it does not count


class PixelCategorical(Distribution):
    """One of D values at each pixel: logits [..., D, H, W], batch shape [..., 1, H, W]; pixels of value `IGNORED` count zero."""

    arg_constraints = {"logits": constraints.real_vector}  # noqa: RUF012  (torch's own protocol)
    support = constraints.nonnegative_integer

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        *batch, _, height, width = logits.shape
        super().__init__(torch.Size([*batch, 1, height, width]), validate_args=False)

    @property
    def probs(self) -> Tensor:
        """[..., D, H, W]."""
        return self.logits.softmax(-3)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return gumbel_max(self.logits, sample_shape, -3, keepdim=True)

    def log_prob(self, value: Tensor) -> Tensor:
        counts = value != IGNORED
        log_p = F.log_softmax(self.logits, -3)
        index = torch.where(counts, value, 0).expand(*log_p.shape[:-3], 1, *value.shape[-2:])
        return log_p.gather(-3, index) * counts


class Completion(Distribution):
    """p(x|z, c) where c shows some pixels of x: a density over the others; the mean and every draw hold the observed as they are.

    base: independent over its pixels. With `target` [W'], the places of the unobserved pixels where they are the same for all
    images, base has event shape [C, 1, W']; without, it has that of the image, and `mask` [B, 1, H, W] is 1 where observed.
    observed: [B, C, H, W].
    """

    arg_constraints = {"observed": constraints.real, "mask": constraints.real}  # noqa: RUF012

    def __init__(self, base: Independent, observed: Tensor, mask: Tensor, target: Tensor | None = None) -> None:
        self.base, self.observed, self.mask, self.target = base, observed, mask, target
        super().__init__(base.batch_shape, observed.shape[-3:], validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base.has_rsample

    def log_prob(self, value: Tensor) -> Tensor:
        if self.target is not None:
            return self.base.log_prob(pick(value, self.target))
        return (self.base.base_dist.log_prob(value) * (1 - self.mask)).sum((-3, -2, -1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.complete(rsample(self.base, sample_shape))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self.rsample(sample_shape).detach()

    @property
    def mean(self) -> Tensor:
        return self.complete(self.base.mean)

    def complete(self, values: Tensor) -> Tensor:
        """Values of base's event shape [..., C, ...] with the observed pixels around them, [..., C, H, W]."""
        if self.target is None:
            return torch.where(self.mask.bool(), self.observed, values)
        shape = (*values.shape[:-2], self.observed.shape[-2] * self.observed.shape[-1])
        flat = self.observed.flatten(-2).expand(shape).clone()
        flat[..., self.target] = values.squeeze(-2).to(flat.dtype)
        return flat.unflatten(-1, self.observed.shape[-2:])


def pick(x: Tensor, target: Tensor) -> Tensor:
    """The target pixels of images [..., C, H, W], [..., C, 1, W']."""
    return x.flatten(-2).index_select(-1, target).unsqueeze(-2)


def prediction(distribution: Distribution) -> Tensor:
    """What a distribution over images predicts: its mean [..., C, H, W]; of a label map the probabilities [..., D, H, W]."""
    base: Any = distribution.base_dist if isinstance(distribution, Independent) else distribution
    return base.probs if isinstance(base, PixelCategorical) else distribution.mean
