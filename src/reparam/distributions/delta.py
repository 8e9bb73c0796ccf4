"""A point as a distribution: what the encoder of a plain autoencoder returns.

Shapes: `B` batch, `K` latent.
"""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints


class Delta(Distribution):
    """All mass on `point`; the last `event_dim` dimensions are one event.

    It has a mean and can be drawn from, but no density: `log_prob` raises, so nothing can mistake it for one.
    """

    arg_constraints = {"point": constraints.real}  # noqa: RUF012  (torch's own protocol)
    support = constraints.real
    has_rsample = True

    def __init__(self, point: Tensor, event_dim: int = 1) -> None:
        self.point = point
        split = point.dim() - event_dim
        super().__init__(point.shape[:split], point.shape[split:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.point

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.point)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.point.expand(*sample_shape, *self.point.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        raise NotImplementedError("a point has no density; likelihoods need an encoder that returns a distribution")
