"""One picture of a person's own, read as a run's images were.

Shapes: `C H W` image.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from reparam.data.archives import LooseFile, require
from reparam.data.options import DataOptions
from reparam.data.pictures import crop_box, decode


@dataclass(frozen=True)
class Picture:
    """pixels: float [1, C, H, W] in [0, 1] as the model takes them; size: (width, height) of the file, upright; box: (left,
    top, right, bottom) of what was taken of it."""

    pixels: Tensor
    size: tuple[int, int]
    box: tuple[int, int, int, int]

    def placed(self, probs: Tensor) -> Tensor:
        """Probabilities of a label map [D, H, W], enlarged to the box they are of: the most probable value at each pixel of
        the file, int64 [height, width], 0 outside of the box."""
        left, top, right, bottom = self.box
        enlarged = F.interpolate(probs[None], size=(bottom - top, right - left), mode="bilinear", align_corners=False)
        values = torch.zeros(self.size[1], self.size[0], dtype=torch.int64)
        values[top:bottom, left:right] = enlarged[0].argmax(0)
        return values


def read_picture(path: Path, shape: tuple[int, int, int], options: DataOptions) -> Picture:
    """The picture at `path`, cut and resized as `options` say, to `shape` (C, H, W). Raises `DataError` for one that cannot be
    read."""
    require(path)
    channels, side, _ = shape
    chosen = DataOptions(size=side, crop=options.crop, colour="grey" if channels == 1 else "rgb")
    file = LooseFile(path)
    pixels, _ = decode(file, file.names, side, chosen)
    with Image.open(path) as picture:
        size = ImageOps.exif_transpose(picture).size
    return Picture(pixels.float() / 255, size, crop_box(*size, options.crop))


def read_mask(path: Path, shape: tuple[int, int, int], options: DataOptions) -> Tensor:
    """A picture as a mask [1, 1, H, W]: 1 where it is lighter than half grey."""
    return (read_picture(path, (1, *shape[1:]), options).pixels >= 0.5).float()
