"""Moves in the plane of an image: turned, shifted and bent, each at random. Nothing is learnt.

Shapes: `B` batch, `C H W` image.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from reparam.distributions import drawn_by

ANGLE, SHIFT, BEND = torch.pi / 12, 1 / 14, 1 / 20  # of strength 1: up to 15 degrees, shares of the side
KNOTS = 5  # of the field of displacements, a side


def random_warp(images: Tensor, generator: torch.Generator | None = None) -> Callable[[float], Tensor]:
    """Draws a move for each image [B, C, H, W], and gives the moved images as a function of the strength: strength 1 is up to 15
    degrees, a fourteenth of the sides, and displacements of a twentieth of them. Outside an image its border goes on."""
    n, device, (height, width) = len(images), images.device, images.shape[2:]
    uniform = 2 * torch.rand(n, 3, **drawn_by(generator, device)).to(device) - 1
    knots = torch.randn(n, 2, KNOTS, KNOTS, **drawn_by(generator, device)).to(device)
    bent = F.interpolate(knots, images.shape[2:], mode="bicubic", align_corners=False).movedim(1, -1)

    @torch.no_grad()
    @torch.autocast(device.type, enabled=False)  # places of pixels are no products to be short of digits
    def path(strength: float) -> Tensor:
        angle = strength * ANGLE * uniform[:, 0]
        shift = 2 * strength * SHIFT * uniform[:, 1:]  # the plane is 2 wide and 2 high, whatever the image's shape
        across, down = -angle.sin() * (height / width), angle.sin() * (width / height)
        turned = torch.stack([angle.cos(), across, down, angle.cos()], 1).view(n, 2, 2)
        grid = F.affine_grid(torch.cat([turned, shift[..., None]], 2), list(images.shape), align_corners=False)
        grid = grid + 2 * BEND * strength * bent
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False).clamp(0, 1)

    return path
