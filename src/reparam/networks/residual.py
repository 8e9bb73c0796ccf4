"""A residual convolutional encoder and decoder for any image side from 28 to 128, grey or RGB.

Shapes: `B` batch, `C H W` image, `F` features, `K` latent, `P` parameters of the likelihood a pixel.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from reparam.errors import ConfigError
from reparam.networks.pair import ACTIVATIONS, ImageDecoder, NetworkOptions, Pair

SMALLEST, LARGEST = 28, 128
LAST_SIDE = 8  # downsampling stops at the first side that is no larger: 28 -> 14 -> 7, 64 -> 32 -> 16 -> 8


class ResidualBlock(nn.Module):
    """h + conv(act(norm(conv(act(norm(h)))))): pre-activation (He et al. 2016), group norm, so batches do not mix.

    The last convolution starts at zero, so that each block starts as the identity.
    """

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__()
        act = ACTIVATIONS[activation]
        self.body = nn.Sequential(
            _norm(channels),
            act(),
            nn.Conv2d(channels, channels, 3, padding=1),
            _norm(channels),
            act(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        nn.init.zeros_(self.body[-1].weight)  # type: ignore[arg-type]

    def forward(self, h: Tensor) -> Tensor:
        return h + self.body(h)


class Upsample(nn.Module):
    """Nearest-neighbour to an exact side, then a convolution: no checkerboard, and odd sides come back as they were."""

    def __init__(self, inputs: int, outputs: int, side: tuple[int, int]) -> None:
        super().__init__()
        self.side = side
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        return self.conv(F.interpolate(h, size=self.side, mode="nearest"))


class Centre(nn.Module):
    """[0, 1] -> [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x - 1


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8 if channels % 8 == 0 else 1, channels)


def _sides(side: int) -> list[int]:
    """The sides from full resolution down: a stride-2 convolution with kernel 3 and padding 1 gives ceil(side / 2)."""
    sides = [side]
    while sides[-1] > LAST_SIDE:
        sides.append((sides[-1] + 1) // 2)
    return sides


def residual_pair(shape: tuple[int, int, int], latent: int, parameters: int, options: NetworkOptions) -> Pair:
    """Stages of residual blocks, each at half the side and (up to four times) twice the channels of the one before.

    Raises ConfigError for sides outside 28 to 128.
    """
    channels, height, width = shape
    if height != width or not SMALLEST <= height <= LARGEST:
        raise ConfigError(
            f"network 'residual' serves square images of {SMALLEST} to {LARGEST} pixels, not {height} x {width}: "
            "choose --size in that range, or --network mlp"
        )
    sides = _sides(height)
    widths = [options.width * min(2**stage, 4) for stage in range(len(sides))]
    act = ACTIVATIONS[options.activation]

    def blocks(count: int) -> list[nn.Module]:
        return [ResidualBlock(count, options.activation) for _ in range(options.blocks)]

    down: list[nn.Module] = [Centre(), nn.Conv2d(channels, widths[0], 3, padding=1)]
    for stage in range(1, len(sides)):
        down += [nn.Conv2d(widths[stage - 1], widths[stage], 3, stride=2, padding=1), *blocks(widths[stage])]
    down += [_norm(widths[-1]), act(), nn.Flatten()]

    small = (widths[-1], sides[-1], sides[-1])
    features = small[0] * small[1] * small[2]
    up: list[nn.Module] = [nn.Linear(latent, features), nn.Unflatten(1, small)]
    for stage in range(len(sides) - 1, 0, -1):
        up += [
            *blocks(widths[stage]),
            Upsample(widths[stage], widths[stage - 1], (sides[stage - 1], sides[stage - 1])),
        ]
    up += [_norm(widths[0]), act(), nn.Conv2d(widths[0], parameters * channels, 3, padding=1)]
    return Pair(
        nn.Sequential(*down), features, ImageDecoder(nn.Sequential(*up), (parameters * channels, height, width))
    )
