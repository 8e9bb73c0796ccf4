"""A residual convolutional encoder and decoder on patches of pixels, for images of any shape from 8 pixels up.

Full resolution is where convolutions cost most and say least: each patch of pixels is one place of the first maps (space to
depth, Shi et al. 2016), so that they have 8 to 16 places along the longer side, whatever the size of the image.

Shapes: `B` batch, `C H W` image, `F` features, `K` latent, `P` parameters of the likelihood a pixel.
"""

import itertools
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from reparam.errors import ConfigError
from reparam.networks.pair import ACTIVATIONS, ActivationName, Cut, ImageDecoder, Pad, Pair
from reparam.networks.residual import Centre, ResidualBlock, Upsample, group_norm

SMALLEST = 8  # pixels of a side
PLACES = 16  # of the first maps along the longer side, at most

Channels = Annotated[int, Field(ge=8, le=1024)]


def patch_size(height: int, width: int) -> int:
    """The smallest power of two that leaves at most `PLACES` patches along the longer side: 1 up to 16 pixels, 2 up to 32, ..."""
    size = 1
    while max(height, width) > PLACES * size:
        size *= 2
    return size


def patch_pair(
    shape: tuple[int, int, int],
    latent: int,
    parameters: int,
    levels: Annotated[
        tuple[Channels, ...],
        Field(min_length=1, max_length=5, description="patches: channels of each resolution, each half the one before"),
    ] = (48, 128, 256),
    patch: Annotated[
        int,
        Field(ge=0, le=64, description="patches: side of a patch (0: 1 up to 16 pixels, 2 up to 32, 4 up to 64, ...)"),
    ] = 0,
    activation: ActivationName = "relu",
) -> Pair:
    """Patches, then a residual block at each of the resolutions and strided convolutions between them; and back. Sides that do
    not divide are padded inside. Raises ConfigError for sides below 8 pixels."""
    channels, height, width = shape
    if min(height, width) < SMALLEST:
        raise ConfigError(
            f"network 'patches' takes images of at least {SMALLEST} x {SMALLEST} pixels, not {height} x {width}: "
            "choose a larger --size, or --network mlp"
        )
    side = patch or patch_size(height, width)
    unit = side * 2 ** (len(levels) - 1)
    padded = tuple(-(-one // unit) * unit for one in (height, width))
    down: list[nn.Module] = [
        Centre(),
        Pad(*padded),
        nn.PixelUnshuffle(side),
        nn.Conv2d(channels * side**2, levels[0], 3, padding=1),
        ResidualBlock(levels[0], activation),
    ]
    for above, below in itertools.pairwise(levels):
        down += [nn.Conv2d(above, below, 3, stride=2, padding=1), ResidualBlock(below, activation)]
    down += [group_norm(levels[-1]), ACTIVATIONS[activation](), nn.Flatten()]

    smallest = (padded[0] // unit, padded[1] // unit)
    features = levels[-1] * smallest[0] * smallest[1]
    up: list[nn.Module] = [
        nn.Linear(latent, features),
        nn.Unflatten(1, (levels[-1], *smallest)),
        ResidualBlock(levels[-1], activation),
    ]
    for number, (below, above) in enumerate(itertools.pairwise(reversed(levels)), 1):
        sides = (smallest[0] * 2**number, smallest[1] * 2**number)
        up += [Upsample(below, above, sides), ResidualBlock(above, activation)]
    outputs = parameters * channels
    up += [
        group_norm(levels[0]),
        ACTIVATIONS[activation](),
        nn.Conv2d(levels[0], outputs * side**2, 3, padding=1),
        nn.PixelShuffle(side),
        Cut(height, width),
    ]
    decoder = ImageDecoder(nn.Sequential(*up), (outputs, height, width))
    # The layout that convolutions of so many channels are fastest in, twice as fast as torch's own.
    encoder, decoder = (part.to(memory_format=torch.channels_last) for part in (nn.Sequential(*down), decoder))  # type: ignore[call-overload]
    return Pair(encoder, features, decoder)
