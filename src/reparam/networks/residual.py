"""A residual convolutional encoder and decoder for images of any sides, grey or RGB.

Shapes: `B` batch, `C H W` image, `F` features, `K` latent, `P` parameters of the likelihood a pixel.
"""

import itertools
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

from reparam.networks.pair import ACTIVATIONS, ActivationName, Blocks, ImageDecoder, Pair, Width

LAST_SIDE = 8  # downsampling stops where the longer side is no larger: 28 -> 14 -> 7, 64 -> 32 -> 16 -> 8

Level = tuple[tuple[int, int], int]  # (height, width), channels


class ResidualBlock(nn.Module):
    """h + conv(act(norm(conv(act(norm(h)))))): pre-activation (He et al. 2016), group norm, so batches do not mix.

    The last convolution starts at zero, so that each block starts as the identity.
    """

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__()
        act = ACTIVATIONS[activation]
        self.body = nn.Sequential(
            group_norm(channels),
            act(),
            nn.Conv2d(channels, channels, 3, padding=1),
            group_norm(channels),
            act(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        nn.init.zeros_(self.body[-1].weight)  # type: ignore[arg-type]

    def forward(self, h: Tensor) -> Tensor:
        return h + self.body(h)


class Upsample(nn.Module):
    """Nearest-neighbour to exact sides, then a convolution: no checkerboard, and odd sides come back as they were.

    Where both sides are doubled, the two are one transposed convolution of stride 2, whose 4 x 4 kernel holds sums of the 3 x 3
    kernel's weights: 4 products a pixel and channel in place of 9, and no enlarged maps in memory.
    """

    def __init__(self, inputs: int, outputs: int, sides: tuple[int, int]) -> None:
        super().__init__()
        self.sides = sides
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        if self.sides == (2 * h.shape[-2], 2 * h.shape[-1]):
            return F.conv_transpose2d(h, doubling_kernel(self.conv.weight), self.conv.bias, stride=2, padding=1)
        return self.conv(F.interpolate(h, size=self.sides, mode="nearest"))


def doubling_kernel(weight: Tensor) -> Tensor:
    """[O, I, 3, 3] of a convolution -> [I, O, 4, 4] of the transposed one: each weight reaches the 2 x 2 pixels that were one."""
    padded = F.pad(weight.transpose(0, 1).flip(-1, -2), (1, 1, 1, 1))
    rows = padded[..., 1:, :] + padded[..., :-1, :]
    return rows[..., 1:] + rows[..., :-1]


class Centre(nn.Module):
    """[0, 1] -> [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x - 1


class GroupNorm(nn.GroupNorm):
    """torch's, whose derivative in forward mode takes no maps that lie with channels last: they are laid out anew for it."""

    def forward(self, h: Tensor) -> Tensor:
        return super().forward(h.contiguous() if forward_ad._current_level >= 0 else h)


def group_norm(channels: int) -> nn.GroupNorm:
    return GroupNorm(8 if channels % 8 == 0 else 1, channels)


def _sides(height: int, width: int) -> list[tuple[int, int]]:
    """The sides from full resolution down, halved once at least: a stride-2 convolution with kernel 3 and padding 1 gives
    ceil(side / 2)."""
    sides = [(height, width)]
    while len(sides) == 1 or max(sides[-1]) > LAST_SIDE:
        sides.append(((sides[-1][0] + 1) // 2, (sides[-1][1] + 1) // 2))
    return sides


class Shape(NamedTuple):
    """Of a residual network: image shape (C, H, W), channels at full resolution, blocks at each resolution, nonlinearity."""

    image: tuple[int, int, int]
    width: int
    blocks: int
    activation: str

    def levels(self) -> list[Level]:
        """Sides and channels of each resolution from full down: half the sides and (up to four times) twice the channels of the
        one before."""
        return [(sides, self.width * min(2**stage, 4)) for stage, sides in enumerate(_sides(*self.image[1:]))]

    def stack(self, channels: int) -> list[nn.Module]:
        """The residual blocks of one resolution."""
        return [ResidualBlock(channels, self.activation) for _ in range(self.blocks)]

    def output_head(self, channels: int, outputs: int) -> nn.Sequential:
        """The last layers of a network whose maps have `channels`."""
        return nn.Sequential(
            group_norm(channels), ACTIVATIONS[self.activation](), nn.Conv2d(channels, outputs, 3, padding=1)
        )

    def encoder(self, inputs: int) -> tuple[nn.Sequential, int]:
        """[B, inputs, H, W] in [0, 1] -> [B, F], and F."""
        levels = self.levels()
        layers: list[nn.Module] = [Centre(), nn.Conv2d(inputs, levels[0][1], 3, padding=1)]
        for (_, above), (_, channels) in itertools.pairwise(levels):
            layers += [nn.Conv2d(above, channels, 3, stride=2, padding=1), *self.stack(channels)]
        (height, width), channels = levels[-1]
        layers += [group_norm(channels), ACTIVATIONS[self.activation](), nn.Flatten()]
        return nn.Sequential(*layers), channels * height * width

    def decoder(self, latent: int) -> list[nn.Module]:
        """[B, K] -> maps [B, width, H, W], for an `output_head`."""
        levels = self.levels()
        (height, width), channels = levels[-1]
        layers: list[nn.Module] = [
            nn.Linear(latent, channels * height * width),
            nn.Unflatten(1, (channels, height, width)),
        ]
        for (_, channels), (sides, below) in itertools.pairwise(reversed(levels)):
            layers += [*self.stack(channels), Upsample(channels, below, sides)]
        return layers


def residual_pair(
    shape: tuple[int, int, int],
    latent: int,
    parameters: int,
    width: Width = 32,
    blocks: Blocks = 1,
    activation: ActivationName = "relu",
) -> Pair:
    """Stages of residual blocks down to sides of at most 8, and back."""
    network, outputs = Shape(shape, width, blocks, activation), parameters * shape[0]
    down, features = network.encoder(shape[0])
    up = [*network.decoder(latent), *network.output_head(width, outputs)]
    return Pair(down, features, ImageDecoder(nn.Sequential(*up), (outputs, *shape[1:])))
