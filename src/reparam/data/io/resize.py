"""To which square images are brought, and images in memory brought to it.

Shapes: `N` images, `C H W` image, `S` side in pixels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from reparam.data.options import SMALLEST, Crop, ImageOptions

NATIVE_LIMIT = 128  # square pictures of one size up to this side are taken as they are
DEFAULT_SIZE = 64
_CHUNK = 2**24  # values converted at a time


def choose_size(sizes: Sequence[tuple[int, int]], options: ImageOptions) -> tuple[int, tuple[str, ...]]:
    """The side to decode pictures of these (width, height) at, and a note if that changes them.

    It is the one requested; else their own where all are square, of one size and at most 128; else 64, or the largest
    multiple of 8 that the median picture fills.
    """
    shorter = sorted(min(size) for size in sizes)
    square = len(set(sizes)) == 1 and sizes[0][0] == sizes[0][1]
    if options.size is not None:
        size = options.size
    elif square and shorter[0] <= NATIVE_LIMIT:
        size = shorter[0]
    else:
        size = min(DEFAULT_SIZE, shorter[len(shorter) // 2] // SMALLEST * SMALLEST)
    if square and shorter[0] == size:
        return size, ()
    low, high = min(sizes, key=lambda s: s[0] * s[1]), max(sizes, key=lambda s: s[0] * s[1])
    span = f"{low[0]} x {low[1]}" if low == high else f"{low[0]} x {low[1]} to {high[0]} x {high[1]}"
    how = "cut to the central square and resized" if options.crop == "centre" else "squeezed"
    note = f"pictures of {span} pixels are {how} to {size} x {size}"
    if enlarged := sum(side < size for side in shorter):
        note += f" ({enlarged:,} of {len(sizes):,} enlarged)"
    return size, (note if options.size else f"{note}; choose another with --size",)


def crop_box(width: int, height: int, crop: Crop) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of what is kept."""
    if crop == "none":
        return 0, 0, width, height
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def conform(images: Tensor, options: ImageOptions) -> Tensor:
    """Images in memory, uint8 [N, C, H, W], with the size, crop and colour of `options`, [N, C', S, S].

    Resizing is antialiased bicubic, as for picture files; images that fit already are returned as they are.
    """
    channels, height, width = images.shape[1:]
    chunk = max(1, _CHUNK // (3 * height * width))
    if options.colour == "rgb" and channels == 1:
        images = images.expand(-1, 3, -1, -1).contiguous()
    elif options.colour == "grey" and channels == 3:
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)  # ITU-R 601, as Pillow's
        images = torch.cat([(x * weights).sum(1, keepdim=True).round().byte() for x in images.split(chunk)])
    left, top, right, bottom = crop_box(width, height, options.crop)
    size = options.size or min(right - left, bottom - top)
    images = images[..., top:bottom, left:right]
    if images.shape[2:] == (size, size):
        return images.contiguous()
    resized = [
        F.interpolate(x.float(), (size, size), mode="bicubic", antialias=True).round().clamp(0, 255).byte()
        for x in images.split(chunk)
    ]
    return torch.cat(resized)
