"""p(z) and p(z|c).

Shapes: `B` batch, `C H W` image, `F` features, `K` latent, `M` components.
"""

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from reparam.conditionals.encoders import diagonal_normal
from reparam.core.conditional import Prior
from reparam.core.context import ContextOutput


class StandardNormal(Prior):
    """p(z) = N(0, I), batch shape [], event shape [K]."""

    standard_normal = True

    loc: Tensor
    scale: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(latent), persistent=False)
        self.register_buffer("scale", torch.ones(latent), persistent=False)

    def forward(self) -> Independent:
        return Independent(Normal(self.loc, self.scale, validate_args=False), 1, validate_args=False)


class ConditionalPrior(Prior):
    """p(z|c) = N(loc, diag(scale^2)), batch shape [B], event shape [K], from what c says."""

    def __init__(self, network: nn.Module, features: int, latent: int) -> None:
        super().__init__()
        self.network = network
        self.head = nn.Linear(features, 2 * latent)

    def forward(self, context: ContextOutput) -> Independent:
        return diagonal_normal(self.head(self.network(context.features, context.hint)))
