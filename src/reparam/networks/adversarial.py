"""Generators and discriminators of a GAN. `GAN_NETWORKS` names the pairs.

Shapes: `B` batch, `C H W` image, `K` latent.
"""

import itertools
import math
from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from reparam.networks.mlp import MLP
from reparam.networks.pair import Cut, ImageDecoder, Pad, Units

LARGEST = 8  # longer side of the grid that a DCGAN begins with


Normalise = Annotated[
    Literal["batch", "spectral", "none"],
    Field(
        description="the discriminator: weights over their largest singular value, or, in a dcgan, batch normalisation"
    ),
]


class GANPair(NamedTuple):
    """A generator [..., K] -> [..., C, H, W] and a discriminator [B, C, H, W] -> [B, 1], both before their sigmoid."""

    generator: nn.Module
    discriminator: nn.Module


def mlp_gan(
    shape: tuple[int, int, int],
    latent: int,
    hidden: Annotated[
        tuple[Units, ...],
        Field(description="mlp: units of each hidden layer of the generator, mirrored in the discriminator"),
    ] = (256, 512),
    normalise: Normalise = "batch",
) -> GANPair:
    """Fully connected, leaky ReLU of slope 0.2 (as in the GAN note; Goodfellow et al. 2014 for MNIST)."""
    pixels = math.prod(shape)
    generator = ImageDecoder(MLP((latent, *hidden, pixels), "leaky-relu"), shape)
    discriminator = nn.Sequential(nn.Flatten(), MLP((pixels, *reversed(hidden), 1), "leaky-relu"))
    return GANPair(generator, _bounded(discriminator, normalise))


def dcgan(
    shape: tuple[int, int, int],
    latent: int,
    width: Annotated[
        int, Field(ge=4, le=1024, description="dcgan: channels at half resolution, doubled with each halving")
    ] = 64,
    normalise: Normalise = "batch",
) -> GANPair:
    """Strided 4 x 4 convolutions from a grid whose longer side has at most 8 pixels up to the image, and down to it again, where
    the discriminator halves once more (Radford et al. 2016). Sides that are not doubled grids are padded inside."""
    channels, *sides = shape
    halvings = 1
    while max(sides) > LARGEST * 2**halvings:
        halvings += 1
    grid = [-(-side // 2**halvings) for side in sides]
    padded = [side * 2**halvings for side in grid]
    widths = [width * 2**level for level in range(halvings)]  # of the discriminator, and mirrored
    down: list[nn.Module] = [Pad(*padded)] if padded != sides else []
    for level, (inputs, outputs) in enumerate(itertools.pairwise([channels, *widths, 2 * widths[-1]])):
        kernel = 4 if level < halvings else 3  # from a grid of 7 a kernel of 4 would leave the last row out
        # Not of the first layer, which sees pixels (Radford et al. 2016).
        normalisation = [nn.BatchNorm2d(outputs)] if level and normalise == "batch" else []
        down += [nn.Conv2d(inputs, outputs, kernel, stride=2, padding=1), *normalisation, nn.LeakyReLU(0.2)]
    discriminator = nn.Sequential(
        *down, nn.Flatten(), nn.Linear(2 * widths[-1] * math.prod(-(-side // 2) for side in grid), 1)
    )

    up: list[nn.Module] = [
        nn.Linear(latent, widths[-1] * math.prod(grid), bias=False),
        nn.Unflatten(1, (widths[-1], *grid)),
        nn.BatchNorm2d(widths[-1]),
        nn.ReLU(),
    ]
    for inputs, outputs in zip(widths[::-1], widths[-2::-1], strict=False):
        up += [
            nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
    up.append(nn.ConvTranspose2d(widths[0], channels, 4, stride=2, padding=1))
    if padded != sides:
        up.append(Cut(*sides))
    pair = GANPair(ImageDecoder(nn.Sequential(*up), shape), _bounded(discriminator, normalise))
    return GANPair(*(network.to(memory_format=torch.channels_last) for network in pair))  # type: ignore[call-overload]


class PatchDiscriminator(nn.Module):
    """[B, C, H, W] -> the maps of each hidden layer, and logits [B, 1, h, w], each of a patch of the image.

    Patches of pixels become channels, then a convolution and one that halves for every further width (Isola et al. 2017), all
    spectrally normalised, leaky ReLU of slope 0.2."""

    def __init__(self, shape: tuple[int, int, int], patch: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        channels, *sides = shape
        unit = patch * 2 ** (len(widths) - 1)
        self.patches = nn.Sequential(Pad(*(-(-side // unit) * unit for side in sides)), nn.PixelUnshuffle(patch))
        layers: list[nn.Module] = [nn.Conv2d(channels * patch**2, widths[0], 3, padding=1)]
        layers += [nn.Conv2d(above, below, 3, stride=2, padding=1) for above, below in itertools.pairwise(widths)]
        self.layers = nn.ModuleList(layers)
        self.last = nn.Conv2d(widths[-1], 1, 3, padding=1)
        _bounded(self, "spectral")
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        maps, last = [], self.patches(x)
        for layer in self.layers:
            last = F.leaky_relu(layer(last), 0.2)
            maps.append(last)
        return maps, self.last(last)


def _bounded(discriminator: nn.Module, normalise: str) -> nn.Module:
    """Under spectral normalisation (Miyato et al. 2018) each layer is about 1-Lipschitz."""
    if normalise == "spectral":
        for layer in discriminator.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                spectral_norm(layer)
    return discriminator


GAN_NETWORKS: dict[str, Callable[..., GANPair]] = {
    "dcgan": dcgan,
    "mlp": mlp_gan,
}
