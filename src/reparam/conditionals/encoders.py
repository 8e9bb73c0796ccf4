"""q(z|x) and q(z|x, c): a network and a head that turns its features into a distribution over the latent.

Shapes: `B` batch, `C H W` image, `D` values of a label map, `F` features, `K` latent.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from reparam.core.conditional import Encoder
from reparam.core.context import ContextOutput
from reparam.distributions import Delta

# exp of it stays finite in float32, squared too: no overflow from one wild batch.
LOG_SCALE_RANGE = (-10.0, 10.0)


def diagonal_normal(output: Tensor) -> Independent:
    """[B, 2 K] -> N(loc, diag(scale^2)), batch shape [B], event shape [K]."""
    loc, log_scale = output.float().chunk(2, -1)
    scale = F.hardtanh(log_scale, *LOG_SCALE_RANGE).exp()  # clamp, in one operation of the backward pass
    return Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)


class DiagonalNormal(Encoder):
    """x [B, C, H, W] -> N(loc, diag(scale^2)), batch shape [B], event shape [K]. `head`: [B, F] -> loc and log scale [B, 2 K],
    where it is not to be a linear layer."""

    def __init__(self, network: nn.Module, features: int, latent: int, head: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network
        self.head = head or nn.Linear(features, 2 * latent)

    def forward(self, x: Tensor) -> Independent:
        return diagonal_normal(self.head(self.network(x)))


class ConditionalNormal(Encoder):
    """q(z|x, c), the paper's recognition network: the part of x that c does not show (a label map as one-hot planes), and what c
    says, to N(loc, diag(scale^2)), batch shape [B], event shape [K]. `map_values`: D of label maps, 0 for images."""

    def __init__(self, network: nn.Module, features: int, latent: int, map_values: int = 0) -> None:
        super().__init__()
        self.network, self.map_values = network, map_values
        self.head = nn.Linear(features, 2 * latent)

    def forward(self, x: Tensor, context: ContextOutput) -> Independent:
        if self.map_values:
            # One-hot; a pixel that does not count has no plane.
            x = (x == torch.arange(self.map_values, device=x.device).view(-1, 1, 1)).float()
        return diagonal_normal(self.head(self.network(x, context.features, context.hint)))


class Point(Encoder):
    """x [B, C, H, W] -> a point, batch shape [B], event shape [K]: a plain autoencoder's encoder. `head`: [B, F] -> [B, K], where
    it is not to be a linear layer."""

    point = True

    def __init__(self, network: nn.Module, features: int, latent: int, head: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network
        self.head = head or nn.Linear(features, latent)

    def forward(self, x: Tensor) -> Delta:
        return Delta(self.head(self.network(x)).float(), event_dim=1)
