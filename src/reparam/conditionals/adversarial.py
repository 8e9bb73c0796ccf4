"""The two sides of a GAN.

Shapes: `B` batch, `C H W` image, `K` latent.
"""

from torch import Tensor, nn

from reparam.distributions import Bernoulli, Delta


class Generator(nn.Module):
    """z [..., K] -> a point, the image sigmoid(network(z)) in [0, 1]; batch shape [...], event shape [C, H, W]. It has no
    density."""

    density = "none"

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Tensor) -> Delta:
        return Delta(self.network(z).float().sigmoid(), event_dim=3)


class Discriminator(nn.Module):
    """x [B, C, H, W] -> Bernoulli of batch shape [B]: D(x), the probability that x is an image of the data."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Bernoulli:
        return Bernoulli(self.network(2 * x - 1).float().squeeze(-1))
