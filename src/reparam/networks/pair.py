"""What every family of networks builds: an encoder and its mirror.

Shapes: `B` batch, `C H W` image, `F` features, `K` latent, `P` parameters of the likelihood a pixel.
"""

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

Activation = Literal["relu", "tanh", "silu", "gelu", "leaky-relu"]
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "leaky-relu": lambda: nn.LeakyReLU(0.2),
}


# Options that several networks have.
Units = Annotated[int, Field(ge=1)]
Width = Annotated[int, Field(ge=8, le=1024, description="residual: channels at full resolution")]
Blocks = Annotated[int, Field(ge=1, le=16, description="residual: blocks at each resolution")]
ActivationName = Annotated[Activation, Field(description="nonlinearity between layers")]


class Pair(NamedTuple):
    """An encoder [B, C, H, W] -> [B, F] and a decoder [..., K] -> [..., P * C, H, W]."""

    encoder: nn.Module
    features: int
    decoder: nn.Module


class ImageDecoder(nn.Module):
    """Lets a network written for one batch dimension take any: [..., K] -> [..., channels, H, W]."""

    def __init__(self, network: nn.Module, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.network = network
        self.shape = shape

    def forward(self, z: Tensor) -> Tensor:
        flat = z if z.dim() == 2 else z.reshape(-1, z.shape[-1])
        return self.network(flat).reshape(*z.shape[:-1], *self.shape)


def last_layer(network: nn.Module) -> nn.Linear | nn.Conv2d | nn.ConvTranspose2d:
    """The layer whose outputs are a decoder's: the last one that has weights."""
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)][-1]


class Pad(nn.Module):
    """[B, C, H, W] -> [B, C, height, width]: the last row and column repeated."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.sides = height, width

    def forward(self, x: Tensor) -> Tensor:
        height, width = self.sides
        return F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]), mode="replicate")


class Cut(nn.Module):
    """[B, C, ...] -> [B, C, height, width]: what `Pad` added is taken away."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.sides = height, width

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : self.sides[0], : self.sides[1]]
