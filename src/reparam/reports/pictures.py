"""Images as images: tiles on a sheet, PNG files.

Shapes: `n` images, `C H W` image in [0, 1], rows x columns of a sheet.
"""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from reparam.config import RunConfig
from reparam.data import Dataset
from reparam.data.tasks import make_batch
from reparam.distributions import keyed_generator
from reparam.files import write_atomically
from reparam.generation import reconstruct, sample
from reparam.models import Model
from reparam.runs import RunFolder

GAP = 2
SAMPLES = 64
PAIRS = 16


def sheet(images: Tensor, columns: int, gap: int = GAP) -> Image.Image:
    """Images [n, C, H, W] row by row on a white sheet."""
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, np.uint8)
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    for number, tile in enumerate(pixels):
        top, left = (number // columns) * (height + gap), (number % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    return Image.fromarray(canvas[:, :, 0] if channels == 1 else canvas)


def enlarged(image: Image.Image, tile: int) -> Image.Image:
    """Whole-number enlargement without smoothing, so that small digits can be looked at."""
    factor = max(1, 64 // tile)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def to_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def write_png(path: Path, image: Image.Image) -> None:
    write_atomically(path, lambda temporary: temporary.write_bytes(to_png(image)))


class Painter:
    """Draws what the loop asks for: samples (the same latents every time) and reconstructions (the same images)."""

    def __init__(self, folder: RunFolder, dataset: Dataset, config: RunConfig) -> None:
        self.folder = folder
        split = dataset.validation
        index = torch.arange(min(PAIRS, len(split)))
        batch = make_batch(
            split.images[index], split.labels[index], index, config.task, keyed_generator("cpu", 0, "pictures")
        )
        self.x, self.c = batch.x, batch.c

    def __call__(self, model: nn.Module, epoch: float) -> None:
        assert isinstance(model, Model)
        stamp = f"{epoch:08.2f}"
        if "sample" in model.abilities:
            images = sample(model, SAMPLES, seed=0)
            write_png(self.folder.pictures / f"samples-{stamp}.png", sheet(images, 8))
        if "reconstruct" in model.abilities:
            shown = self.x if self.c is None else self.c
            rows = [self.x, *([] if self.c is None else [self.c]), reconstruct(model, shown)]
            write_png(self.folder.pictures / f"reconstructions-{stamp}.png", sheet(torch.cat(rows), len(self.x)))
