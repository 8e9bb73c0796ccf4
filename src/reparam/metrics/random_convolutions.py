"""Features of images by convolutions that are drawn and never trained: a distance that needs no labels, and few images.

Shapes: `N` images, `C H W` image, `F` features.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reparam.distributions import keyed_generator

NAME = "random-convolutions-1"  # its name and version: other weights or layers have another number
WIDTHS = (16, 32, 64, 64)
PLACES = 2  # parts of each side


class RandomConvolutions(nn.Module):
    """Images [N, C, H, W] in [0, 1] of any size -> features [N, 5 (16 + 32 + 64 + 64)].

    Four convolutions of 3 x 3 with rectifiers, the first at full size, each other one at half of the size before it: from edges
    and dots to shapes of 31 pixels. Every filter is drawn from N(0, 1) and has the norm 2^{1/2}; half of the first ones have the
    sum 0, so that they see edges and not brightness. Of each channel there are the means over the four quarters of the image, and
    the root mean square over all of it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        generator = keyed_generator("cpu", NAME, channels)
        self.filters = nn.ParameterList()
        inputs = channels
        for number, width in enumerate(WIDTHS):
            drawn = torch.randn(width, inputs, 3, 3, generator=generator)
            if number == 0:
                drawn[: width // 2] -= drawn[: width // 2].mean((2, 3), keepdim=True)
            norm = drawn.flatten(1).norm(dim=1)[:, None, None, None]
            self.filters.append(nn.Parameter(math.sqrt(2) * drawn / norm, requires_grad=False))
            inputs = width

    def forward(self, x: Tensor) -> Tensor:
        found, x = [], x - 0.5
        for number, weight in enumerate(self.filters):
            padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
            x = F.conv2d(padded, weight, stride=2 if number else 1).relu()
            found += [F.adaptive_avg_pool2d(x, PLACES).flatten(1), x.square().mean((2, 3)).sqrt()]
        return torch.cat(found, 1)
