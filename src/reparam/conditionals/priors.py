"""p(z) and p(z|c).

Shapes: `B` batch, `F` features, `K` latent.
"""

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from reparam.conditionals.context import Given
from reparam.conditionals.encoders import diagonal_normal
from reparam.distributions import Bernoulli


class StandardNormal(nn.Module):
    """p(z) = N(0, I), batch shape [], event shape [K]; the same whatever is given."""

    loc: Tensor
    scale: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(latent), persistent=False)
        self.register_buffer("scale", torch.ones(latent), persistent=False)

    def forward(self, given: Given | None = None) -> Independent:
        return Independent(Normal(self.loc, self.scale, validate_args=False), 1, validate_args=False)


class ConditionalPrior(nn.Module):
    """p(z|c) = N(loc, diag(scale^2)), batch shape [B], event shape [K], from what c says."""

    def __init__(self, network: nn.Module, features: int, latent: int) -> None:
        super().__init__()
        self.network = network
        self.head = nn.Linear(features, 2 * latent)

    def forward(self, given: Given) -> Independent:
        return diagonal_normal(self.head(self.network(given.features, given.hint)))


class BinaryPrior(nn.Module):
    """p(z|c) over z in {0, 1}^K, independent, batch shape [B], event shape [K] (Tang and Salakhutdinov 2013)."""

    def __init__(self, network: nn.Module, features: int, latent: int) -> None:
        super().__init__()
        self.network = network
        self.head = nn.Linear(features, latent)

    def forward(self, given: Given) -> Independent:
        logits = self.head(self.network(given.features, given.hint)).float()
        return Independent(Bernoulli(logits), 1, validate_args=False)
