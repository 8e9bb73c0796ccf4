"""Fully connected networks of any depth and width.

Shapes: `B` batch, `C H W` image, `F` features, `K` latent, `P` parameters of the likelihood a pixel.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from reparam.networks.pair import ACTIVATIONS, ActivationName, ImageDecoder, Pair, Units


class MLP(nn.Module):
    """Linear layers of `sizes` with a nonlinearity between them; `final` puts one behind the last as well. `dropout` is the share
    of units dropped behind each nonlinearity in training."""

    def __init__(
        self, sizes: Sequence[int], activation: str = "relu", final: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*(layers if final else layers[: -2 if dropout else -1]))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def mlp_pair(
    shape: tuple[int, int, int],
    latent: int,
    parameters: int,
    hidden: Annotated[
        tuple[Units, ...],
        Field(description="mlp: units of each hidden layer of the encoder, mirrored in the decoder"),
    ] = (512, 256),
    activation: ActivationName = "relu",
) -> Pair:
    """784-400-z and z-400-784, and so on: the encoder's hidden sizes, mirrored. No hidden layer: both are linear."""
    channels, height, width = shape
    inputs = math.prod(shape)
    encoder = nn.Sequential(nn.Flatten(), MLP((inputs, *hidden), activation, final=True))
    decoder = MLP((latent, *reversed(hidden), parameters * inputs), activation)
    return Pair(
        encoder, hidden[-1] if hidden else inputs, ImageDecoder(decoder, (parameters * channels, height, width))
    )
