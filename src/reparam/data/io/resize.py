"""To which shape images are brought, and images in memory brought to it.

Shapes: `N` images, `C H W` image. Sides are (height, width); sizes of pictures are (width, height), as files have them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from reparam.core.spec import BYTES
from reparam.data.options import COLOURS, LARGEST, SMALLEST, Colour, Crop, ImageOptions, Sides, spelled
from reparam.errors import DataError

# Pictures of one size up to these sides, squares and others, are taken as they are.
NATIVE_SQUARE, NATIVE_SIDE = 128, 256
DEFAULT_SIZE = 64
_CHUNK = 2**24  # values converted at a time

Box = tuple[int, int, int, int]  # left, top, right, bottom


class Fit(NamedTuple):
    """How a picture becomes an image: its part `box` fills the part `place` of the image, and beside that there is nothing."""

    box: Box
    place: Box

    @property
    def sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(width, height) of both."""
        return tuple((right - left, bottom - top) for left, top, right, bottom in self)  # type: ignore[return-value]


def fit(size: tuple[int, int], sides: Sides, crop: Crop) -> Fit:
    """Of a picture of (width, height) and an image of `sides`. centre: the largest central part of the image's shape fills it;
    none: the whole picture does; pad: the whole picture is in the middle, and keeps its shape."""
    (width, height), (rows, columns) = size, sides
    if crop == "none":
        return Fit((0, 0, width, height), (0, 0, columns, rows))
    if crop == "pad":
        return Fit((0, 0, width, height), _central(columns, rows, width, height))
    return Fit(_central(width, height, columns, rows), (0, 0, columns, rows))


def _central(width: int, height: int, across: int, down: int) -> Box:
    """The largest central box in width x height whose sides are as across to down, to the nearest pixel."""
    inner = min(width, max(1, round(height * across / down))), min(height, max(1, round(width * down / across)))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    return left, top, left + inner[0], top + inner[1]


def choose_sides(sizes: Sequence[tuple[int, int]], options: ImageOptions) -> tuple[Sides, tuple[str, ...]]:
    """The sides to decode pictures of these (width, height) at, and a note where these are no squares of that side already.

    They are those requested; else those of `_own` where all pictures are of one size; else a square of 64, or of the largest
    multiple of 8 that the median picture fills.
    """
    shorter = sorted(min(size) for size in sizes)
    alike = len(set(sizes)) == 1
    if options.sides is not None:
        sides = options.sides
    elif alike:
        sides = _own(*sizes[0])
    else:
        sides = (min(DEFAULT_SIZE, shorter[len(shorter) // 2] // SMALLEST * SMALLEST),) * 2
    square = sides[0] == sides[1]
    if alike and sizes[0] == sides[::-1]:
        how = f"images keep the shape of the pictures, {spelled(sides)} pixels (height x width); --size N makes squares"
        return sides, () if square or options.size else (how,)
    low, high = (end(sizes, key=lambda s: s[0] * s[1]) for end in (min, max))
    span = spelled(low[::-1]) if low == high else f"{spelled(low[::-1])} to {spelled(high[::-1])}"
    named = " (height x width)" if not square or any(width != height for width, height in sizes) else ""
    note = f"pictures of {span} pixels{named} are {manner(options.crop, sides)} to {spelled(sides)}"
    fits = (fit(size, sides, options.crop).sizes for size in sizes)
    if enlarged := sum(box[0] < place[0] or box[1] < place[1] for box, place in fits):
        note += f" ({enlarged:,} of {len(sizes):,} enlarged)"
    return sides, (note if options.size else f"{note}; choose another with --size",)


def manner(crop: Crop, sides: Sides) -> str:
    """What is done to pictures of other shapes, in words that "to 48 x 64" can follow."""
    if crop == "centre":
        return f"cut to the central {'square' if sides[0] == sides[1] else 'part of that shape'} and resized"
    return "stretched" if crop == "none" else "reduced or enlarged whole, with black beside them,"


def _own(width: int, height: int) -> Sides:
    """Of pictures that are all of one size: as they are up to `NATIVE_SQUARE` (squares) or `NATIVE_SIDE`; larger ones with a
    shorter side of 64, or less where the longer one would pass 512, to multiples of 8."""
    if max(width, height) <= (NATIVE_SQUARE if width == height else NATIVE_SIDE):
        return height, width
    scale = min(1, DEFAULT_SIZE / min(width, height), LARGEST / max(width, height))
    rows, columns = (max(SMALLEST, round(side * scale / SMALLEST) * SMALLEST) for side in (height, width))
    return rows, columns


def conform(images: Tensor, options: ImageOptions, levels: int = BYTES) -> Tensor:
    """Images in memory, uint8 or float32 in [0, 1] of so many levels (0: any), [N, C, H, W], with the size, crop and colour of
    `options`, [N, C', H', W'].

    Resizing is antialiased bicubic, as for picture files; images that fit already are returned as they are. Raises `DataError`
    for a colour that images of so many channels do not have.
    """
    height, width = images.shape[2:]
    chunk = max(1, _CHUNK // (3 * height * width))
    images = _coloured(images, options.colour, levels, chunk)
    sides = options.sides or (height, width)
    (left, top, right, bottom), place = fit((width, height), sides, options.crop)
    images = images[..., top:bottom, left:right]
    size = (place[3] - place[1], place[2] - place[0])
    if images.shape[2:] != size:
        resized = [
            _stored(F.interpolate(x.float(), size, mode="bicubic", antialias=True), images.dtype, levels)
            for x in images.split(chunk)
        ]
        images = torch.cat(resized)
    if size == sides:
        return images.contiguous()
    return F.pad(images, (place[0], sides[1] - place[2], place[1], sides[0] - place[3]))


def _coloured(images: Tensor, colour: Colour, levels: int, chunk: int) -> Tensor:
    channels, top = images.shape[1], 1.0 if images.is_floating_point() else BYTES - 1
    if colour == "auto" or colour == COLOURS.get(channels):
        return images
    if channels not in (1, 3, 4):
        raise DataError(
            f"--colour {colour} is for grey, RGB and RGBA, and these images have {channels} channels: leave it out"
        )
    if colour == "rgba":
        rgb = images.expand(-1, 3, -1, -1)
        return torch.cat([rgb, torch.full_like(rgb[:, :1], top)], 1)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)  # ITU-R 601, as Pillow's

    def change(x: Tensor) -> Tensor:
        if channels == 4:  # on white
            x = torch.lerp(
                torch.full_like(x[:, :3], top, dtype=torch.float32), x[:, :3].float(), x[:, 3:].float() / top
            )
        grey = (x * weights).sum(1, keepdim=True) if colour == "grey" else x
        return _stored(grey, images.dtype, levels)

    if channels == 1:
        return images.expand(-1, 3, -1, -1).contiguous()
    return torch.cat([change(x) for x in images.split(chunk)])


def _stored(x: Tensor, dtype: torch.dtype, levels: int) -> Tensor:
    """Floats that were computed of images as these are stored: bytes, or the nearest of the levels."""
    if dtype == torch.uint8:
        return x.round().clamp(0, BYTES - 1).byte()
    x = x.clamp(0, 1)
    return (x * (levels - 1)).round() / (levels - 1) if levels else x
