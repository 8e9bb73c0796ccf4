"""One picture of the user's, read as a run's images were.

Shapes: `C H W` image, `D` values of a label map.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from reparam.data.io.archives import FolderTree, require
from reparam.data.io.pictures import FORMATS, decode, decode_maps, refuse
from reparam.data.io.resize import Fit, fit
from reparam.data.options import ImageOptions
from reparam.errors import DataError

HALF = 128  # of 255


@dataclass(frozen=True)
class Picture:
    """pixels: float [1, C, H, W] in [0, 1] as the model takes them; size: (width, height) of the upright file; fit: which part of
    it pixels show, and where."""

    pixels: Tensor
    size: tuple[int, int]
    fit: Fit

    def placed(self, probs: Tensor) -> Tensor:
        """Probabilities of a label map [D, H, W], enlarged to what they are of: the most probable value at each pixel of the
        file, int64 [height, width], 0 outside of what the model saw."""
        (left, top, right, bottom), (start, first, end, last) = self.fit
        known = probs[None, :, first:last, start:end]
        enlarged = F.interpolate(known, size=(bottom - top, right - left), mode="bilinear", align_corners=False)
        values = torch.zeros(self.size[1], self.size[0], dtype=torch.int64)
        values[top:bottom, left:right] = enlarged[0].argmax(0)
        return values


def read_picture(path: Path, shape: tuple[int, int, int], options: ImageOptions) -> Picture:
    """The picture at `path`, cut by `options`, in `shape` (C, H, W). Raises `DataError` for one that cannot be read."""
    require(path)
    file = FolderTree(path.parent, [path.name])
    channels, *sides = shape
    chosen = ImageOptions(crop=options.crop, colour="grey" if channels == 1 else "rgb")
    pixels, _ = decode(file, file.names, (sides[0], sides[1]), chosen).required(file)
    with Image.open(path, formats=FORMATS) as picture:
        size = ImageOps.exif_transpose(picture).size
    return Picture(pixels.float() / 255, size, fit(size, (sides[0], sides[1]), options.crop))


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
        found, expected = (f"{width} x {height}" for width, height in (size, picture.size))
        raise DataError(f"{path} has {found} pixels and the picture {expected}: draw the mask on the picture itself")
    return values.float()


def _observed(mask: Image.Image) -> np.ndarray:
    """uint8 [H, W], 1 where the mask says that a pixel is observed."""
    if mask.has_transparency_data:
        opaque = np.asarray(mask.convert("RGBA"))[..., 3] >= HALF
        if not opaque.all():
            return opaque.astype(np.uint8)
    levels = np.asarray(mask.convert("L"))
    return (levels >= (1 if levels.max() == 1 else HALF)).astype(np.uint8)
