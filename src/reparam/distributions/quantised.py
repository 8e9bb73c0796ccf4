"""Probability mass on the integer grey levels of an image.

Shapes: `...` any batch; images hold `levels` equally spaced values in [0, 1].
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, constraints

SUMMED = 256  # levels at most


class DiscretisedLogistic(Distribution):
    r"""A logistic integrated over the bin of each grey level (Salimans et al. 2017, PixelCNN++, eq. 2, one component).

    With levels x_k = k / (levels - 1), half a bin h = 1 / (2 (levels - 1)) and F the logistic CDF:

        P(x_k) = F(x_k + h) - F(x_k - h),  with F(x_0 - h) := 0 and F(x_top + h) := 1,

    so the mass over all levels sums to one and its log is a true likelihood in nats (divide by log 2 for bits).
    Values off the grid are read as the bin around them.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    support = constraints.unit_interval

    def __init__(self, loc: Tensor, scale: Tensor, levels: int = 256) -> None:
        self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        self.levels = levels
        super().__init__(self.loc.shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: object = None) -> "DiscretisedLogistic":
        return DiscretisedLogistic(self.loc.expand(batch_shape), self.scale.expand(batch_shape), self.levels)

    def log_prob(self, value: Tensor) -> Tensor:
        half = 0.5 / (self.levels - 1)
        below = (value - half - self.loc) / self.scale
        above = (value + half - self.loc) / self.scale
        # log(F(a) - F(b)) = log F(a) + log(1 - F(b)) + log(1 - exp(b - a)): exact, and finite however far out the bin is.
        width = 2 * half / self.scale
        log_width = torch.log(-torch.expm1(-width))
        middle = F.logsigmoid(above) + F.logsigmoid(-below) + log_width
        lowest = F.logsigmoid(above)
        highest = F.logsigmoid(-below)
        return torch.where(value < half, lowest, torch.where(value > 1 - half, highest, middle))

    def _upper_cdf(self, level: int) -> Tensor:
        return torch.sigmoid(((level + 0.5) / (self.levels - 1) - self.loc) / self.scale)

    @property
    def mean(self) -> Tensor:
        """E[x] = sum over k >= 1 of P(level >= k) / (levels - 1); a loop, so that memory stays at one image a term.

        Of more than `SUMMED` levels the sum takes too long. It is the midpoint rule, with as many intervals, of the integral

            int_0^1 1 - F(t) dt = scale (softplus(loc / scale) - softplus((loc - 1) / scale)),

        the mean of the logistic cut to [0, 1], which is given instead. They differ by less than half a level, since a cut
        draw and its level do, and by less than a fiftieth of one where the scale is at least a level."""
        if self.levels > SUMMED:
            high, low = (F.softplus((self.loc - end) / self.scale) for end in (0, 1))
            return (self.scale * (high - low)).clamp(0, 1)
        total = torch.zeros_like(self.loc)
        for level in range(self.levels - 1):
            total += 1 - self._upper_cdf(level)
        return total / (self.levels - 1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """The level whose bin holds a draw of the logistic."""
        loc, scale = self.loc.detach(), self.scale.detach()
        uniform = torch.rand(*sample_shape, *loc.shape, device=loc.device, dtype=loc.dtype)
        eps, top = torch.finfo(loc.dtype).eps, self.levels - 1
        uniform = uniform.clamp(eps, 1 - eps)  # the ends have infinite quantiles
        draw = loc + scale * (uniform.log() - torch.log1p(-uniform))
        return (draw * top).round().clamp(0, top) / top
