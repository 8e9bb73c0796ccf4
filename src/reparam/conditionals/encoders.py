"""q(z|x): a network and a head that turns its features into a distribution over the latent.

Shapes: `B` batch, `C H W` image, `F` features, `K` latent.
"""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from reparam.distributions import Delta

LOG_SCALE_RANGE = (-10.0, 10.0)  # exp of it stays finite, squared too, in float32: no overflow from one wild batch


class DiagonalNormal(nn.Module):
    """x [B, C, H, W] -> N(loc, diag(scale^2)), batch shape [B], event shape [K]."""

    def __init__(self, network: nn.Module, features: int, latent: int) -> None:
        super().__init__()
        self.network = network
        self.head = nn.Linear(features, 2 * latent)

    def forward(self, x: Tensor) -> Independent:
        loc, log_scale = self.head(self.network(x)).float().chunk(2, -1)
        scale = F.hardtanh(log_scale, *LOG_SCALE_RANGE).exp()  # clamp, in one operation of the backward pass
        return Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)


class Point(nn.Module):
    """x [B, C, H, W] -> a point, batch shape [B], event shape [K]: a plain autoencoder's encoder."""

    def __init__(self, network: nn.Module, features: int, latent: int) -> None:
        super().__init__()
        self.network = network
        self.head = nn.Linear(features, latent)

    def forward(self, x: Tensor) -> Delta:
        return Delta(self.head(self.network(x)).float(), event_dim=1)
