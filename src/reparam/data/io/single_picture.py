"""One picture of the user's, read as a run's images were.

Shapes: `C H W` image, `D` values of a label map.
"""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from reparam.data.depth import settle_pictures
from reparam.data.io.archives import FolderTree, Tree, require
from reparam.data.io.channels import channel_count, decode_files, measure_files
from reparam.data.io.pages import with_pages
from reparam.data.io.pictures import decode_maps, measure, place, refuse
from reparam.data.io.resize import Box, fit
from reparam.data.options import COLOURS, DepthOptions, FolderOptions, ImageOptions, Sides, spelled
from reparam.data.tasks import to_float
from reparam.errors import DataError

HALF = 128  # of 255


@dataclass(frozen=True)
class Picture:
    """pixels: float [1, C, H, W] in [0, 1] as the model takes them; size: (width, height) of the upright file."""

    pixels: Tensor
    size: tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """The whole of a picture, as images of the model's shape that lie on one that has the picture's.

    pixels: float [n, C, H, W] in [0, 1]; corners: (top, left) of each on the whole; sides: the whole's; place: (left, top, right,
    bottom) of the picture there, which is all of it unless there is a border; size: (width, height) of the upright file.
    """

    pixels: Tensor
    corners: tuple[tuple[int, int], ...]
    sides: Sides
    place: Box
    size: tuple[int, int]

    def joined(self, values: Tensor) -> Tensor:
        """Values [n, D, H, W] of the images as those of the picture, [D, H', W'], where images overlap their mean."""
        total = torch.zeros(values.shape[1], *self.sides)
        count = torch.zeros(self.sides)
        for (top, left), one in zip(self.corners, values, strict=True):
            here = (..., slice(top, top + one.shape[1]), slice(left, left + one.shape[2]))
            total[here] += one
            count[here] += 1
        left, top, right, bottom = self.place
        return (total / count)[:, top:bottom, left:right]

    def enlarged(self, values: Tensor) -> Tensor:
        """Values [n, D, H, W] of the images at each pixel of the file, [D, height, width]."""
        return F.interpolate(self.joined(values)[None], self.size[::-1], mode="bilinear", align_corners=False)[0]


def read_picture(path: Path, shape: tuple[int, int, int], options: FolderOptions) -> Picture:
    """The picture at `path`, cut by `options`, in `shape` (C, H, W). Raises `DataError` for one that cannot be read."""
    require(path)
    tree = with_pages(FolderTree(path.parent, [path.name]), options.pages)
    return Picture(_read(tree, path.name, (shape[1], shape[2]), options, shape[0]), _size(tree, path.name))


def read_whole(tree: Tree, name: str, channels: int, options: DepthOptions) -> Tensor:
    """A picture at its own size, float [1, C, height, width] in [0, 1]. Raises `DataError` for one that cannot be read."""
    width, height = _size(tree, name)
    return _read(tree, name, (height, width), replace(options, crop="none"), channels)


def read_windows(tree: Tree, name: str, shape: tuple[int, int, int], options: DepthOptions) -> Windows:
    """The picture `name` for a model of `shape` (C, H, W), whole: padded or stretched if images of `options` are, else as many
    images as it takes, evenly spread over it. Raises `DataError` for one that cannot be read."""
    channels, *image = shape
    sides, size = (image[0], image[1]), _size(tree, name)
    if options.crop != "centre":
        return Windows(
            _read(tree, name, sides, options, channels), ((0, 0),), sides, fit(size, sides, options.crop).place, size
        )
    (left, top, right, bottom), _ = fit(size, sides, "centre")
    whole = round(size[1] * sides[0] / (bottom - top)), round(size[0] * sides[1] / (right - left))
    pixels = _read(tree, name, whole, replace(options, crop="none"), channels)
    corners = tuple(itertools.product(_starts(whole[0], sides[0]), _starts(whole[1], sides[1])))
    images = [pixels[..., top : top + sides[0], left : left + sides[1]] for top, left in corners]
    return Windows(torch.cat(images), corners, whole, (0, 0, whole[1], whole[0]), size)


def _starts(length: int, part: int) -> list[int]:
    """Where the fewest parts begin that cover a length, from its start to its end."""
    count = -(-length // part)
    return [round(number * (length - part) / max(count - 1, 1)) for number in range(count)]


def _read(tree: Tree, name: str, sides: Sides, options: DepthOptions, channels: int) -> Tensor:
    """float [1, C, H, W] in [0, 1]."""
    chosen = replace(options, size=None, colour=COLOURS.get(channels, "auto"))
    if (count := channel_count(tree, name, chosen)) != channels:
        has = f"is read in {count} channels, and the model's images have {channels}"
        raise DataError(f"{place(tree, name)} {has}: give an array")
    pixels, _ = decode_files(tree, [name], measure_files(tree, [name]), sides, chosen).required(tree)
    return to_float(settle_pictures(pixels, [1], chosen, tree.where)[0])


def _size(tree: Tree, name: str) -> tuple[int, int]:
    """(width, height) of a picture held upright."""
    found = measure(tree, [name])
    refuse(tree, found.unreadable)
    return found.sizes[name]


def read_mask(path: Path, picture: Picture, shape: tuple[int, int, int], options: ImageOptions) -> Tensor:
    """The mask [1, 1, H, W] of a picture: 1 where the file is lighter than half grey, or 1 where it holds only 0 and 1, or
    opaque where it is transparent in parts. Raises `DataError` where its proportions are not the picture's."""
    require(path)
    file = FolderTree(path.parent, [path.name])
    sizes = []

    def read(opened: Image.Image, where: str) -> np.ndarray:
        sizes.append(opened.size)
        return _observed(opened)

    # What lies beside a picture that is padded is known: it is black.
    values, _, unreadable = decode_maps(file, file.names, (shape[1], shape[2]), options, read, beside=1)
    refuse(file, unreadable)
    size = sizes[0]
    if abs(size[0] * picture.size[1] - size[1] * picture.size[0]) > 0.02 * size[0] * picture.size[1]:
        found, expected = (spelled(each[::-1]) for each in (size, picture.size))
        has = f"has {found} pixels (height x width) and the picture {expected}"
        raise DataError(f"{path} {has}: draw the mask on the picture itself")
    return values.float()


def _observed(mask: Image.Image) -> np.ndarray:
    """uint8 [H, W], 1 where the mask says that a pixel is observed."""
    if mask.has_transparency_data:
        opaque = np.asarray(mask.convert("RGBA"))[..., 3] >= HALF
        if not opaque.all():
            return opaque.astype(np.uint8)
    levels = np.asarray(mask.convert("L"))
    return (levels >= (1 if levels.max() == 1 else HALF)).astype(np.uint8)
