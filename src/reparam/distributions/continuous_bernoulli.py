r"""The continuous Bernoulli, a density on [0, 1].

Shapes: `B` batch shape.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

# Nearer to 0 than this a logit's functions are series: the closed forms are differences of numbers that grow as 1 / l.
NEAR = 0.5
# B_2, B_4, ... The first term left out is below 2e-15 of the mean.
BERNOULLI_NUMBERS = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730)


def _series(square: Tensor, weight: Callable[[int], float]) -> Tensor:
    """sum_k weight(2 k) B_2k / (2 k)! l^(2 k - 2) of l^2, by Horner's rule."""
    total = torch.zeros_like(square)
    for k, number in reversed(list(enumerate(BERNOULLI_NUMBERS, 1))):
        total = total * square + weight(2 * k) * number / math.factorial(2 * k)
    return total


class ContinuousBernoulli(Distribution):
    r"""p(x) = l exp(l x) / (exp(l) - 1) on [0, 1], l the logits; uniform at l = 0 (Loaiza-Ganem and Cunningham 2019).

    With a = |l| and the distance d = x for l < 0, 1 - x for l > 0, and Bernoulli's numbers B_2k near 0:

        log p(x) = -a d - log((1 - e^-a) / a) = l (x - 1/2) - sum_k B_2k l^2k / (2 k (2 k)!)
        E[d]     = 1 / a - 1 / (e^a - 1),  E[x] = 1/2 + sum_k B_2k l^(2 k - 1) / (2 k)!

    No logit is clamped: torch's class clamps the probability, and beyond a logit of 16 its density does not integrate to 1.
    Values and gradients are finite for logits of any size. The rounding error is a few units in the last place of the larger of
    1 and a d.
    """

    arg_constraints = {"logits": constraints.real}  # noqa: RUF012  (torch's own protocol)
    support = constraints.unit_interval

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> "ContinuousBernoulli":
        return ContinuousBernoulli(self.logits.expand(torch.Size(batch_shape)))

    def _size(self) -> tuple[Tensor, Tensor]:
        """Where the series hold, and |l| elsewhere; 1 in their place, whose gradient is finite and then not chosen."""
        size = self.logits.abs()
        near = size < NEAR
        return near, torch.where(near, 1.0, size)

    def log_prob(self, value: Tensor) -> Tensor:
        near, size = self._size()
        distance = torch.where(self.logits > 0, 1 - value, value)
        far = -size * distance - torch.log(-torch.expm1(-size) / size)
        square = torch.where(near, self.logits, 0.0).square()
        return torch.where(near, self.logits * (value - 0.5) - square * _series(square, lambda n: 1 / n), far)

    @property
    def mean(self) -> Tensor:
        near, size = self._size()
        distance = 1 / size + torch.exp(-size) / torch.expm1(-size)
        inside = torch.where(near, self.logits, 0.0)
        series = 0.5 + inside * _series(inside.square(), lambda n: 1.0)
        return torch.where(near, series, torch.where(self.logits > 0, 1 - distance, distance))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """The inverse of the distribution function at a uniform draw, without gradient."""
        logits = self.logits.detach()
        uniform = torch.rand((*sample_shape, *logits.shape), device=logits.device, dtype=logits.dtype)
        size = logits.abs().clamp(min=torch.finfo(logits.dtype).tiny)  # of which expm1 and log1p are exact
        right = logits > 0
        distance = -torch.log1p(torch.where(right, 1 - uniform, uniform) * torch.expm1(-size)) / size
        return torch.where(right, 1 - distance, distance)
