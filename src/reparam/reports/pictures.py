"""Images as images: tiles on a sheet, labels beside them, PNG files.

Shapes: `n` images, `C H W` image in [0, 1], rows x columns of a sheet.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from reparam.files import write_atomically

GAP = 2
BEHIND = 0.5  # the grey behind what is transparent
COMFORTABLE = 96  # longer side in pixels at which a tile is large enough to look at
CAPTIONED = 72  # pixels that a caption takes
LARGEST_TILE = 128  # of the longer side; larger ones are reduced: a page of them would be too heavy to pass on
WIDEST = 1400  # enlargement stops where a sheet would become wider
FONT_SIZE = 14
CAPTION_SIZE = 11  # so that a class and a number fit under a tile
PADDING = 8


def shown(images: Tensor) -> Tensor:
    """Images [n, C, H, W] as they are shown, [n, 1 or 3, H, W]: one channel as grey, two as red and green, three as RGB, four as
    RGBA over grey, of more the first three as RGB."""
    channels = images.shape[1]
    if channels == 2:
        return torch.cat([images, torch.zeros_like(images[:, :1])], 1)
    if channels == 4:
        return torch.lerp(torch.full_like(images[:, :3], BEHIND), images[:, :3], images[:, 3:])
    return images if channels == 1 else images[:, :3]


def sheet(images: Tensor, columns: int, gap: int = GAP, transparent: bool = False) -> Image.Image:
    """Images [n, C, H, W] row by row, as they are `shown`, on a white sheet, or with `transparent` on none (the gaps let the page
    through)."""
    images = shown(images)
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    depth = channels + transparent
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, depth), 255, np.uint8)
    if transparent:
        canvas[:, :, -1] = 0
    pixels = (images.nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    for number, tile in enumerate(pixels):
        top, left = (number // columns) * (height + gap), (number % columns) * (width + gap)
        canvas[top : top + height, left : left + width, :channels] = tile
        canvas[top : top + height, left : left + width, channels:] = 255
    return Image.fromarray(canvas[:, :, 0] if depth == 1 else canvas)


def cut_sheet(image: Image.Image, shape: tuple[int, int, int], gap: int = GAP) -> Tensor:
    """The inverse of an opaque `sheet`: its tiles [rows, columns, C, H, W]. Raises ValueError where they do not fit it."""
    channels, height, width = shape
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"), np.float32).reshape(
        image.height, image.width, channels
    )
    rows, rest_of_rows = divmod(image.height + gap, height + gap)
    columns, rest_of_columns = divmod(image.width + gap, width + gap)
    if rest_of_rows or rest_of_columns:
        raise ValueError(f"a picture of {image.height} x {image.width} pixels is no sheet of {height} x {width} tiles")
    framed = np.pad(pixels, ((0, gap), (0, gap), (0, 0))) / 255
    tiles = torch.from_numpy(framed).unflatten(0, (rows, height + gap)).unflatten(2, (columns, width + gap))
    return tiles[:, :height, :, :width].permute(0, 2, 4, 1, 3)


def legible(images: Tensor, columns: int, least: int = 1) -> Tensor:
    """Small tiles [n, C, H, W] enlarged by a whole number without smoothing, to a width of `least` pixels at least; very large
    ones reduced by one."""
    width, longer = images.shape[-1], max(images.shape[-2:])
    factor = max(-(-least // width), min(COMFORTABLE // longer, WIDEST // (columns * width)))
    if factor > 1:
        return images.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    reduction = -(-longer // LARGEST_TILE)
    return F.avg_pool2d(images, reduction, ceil_mode=True) if reduction > 1 else images


@dataclass(frozen=True)
class Panel:
    """Tiles [n, C, H, W], `across` in a row; what rows and columns are called (empty: not named); a line of text under each."""

    tiles: Tensor
    across: int
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    captions: Sequence[str] = ()

    @cached_property
    def image(self) -> Image.Image:
        """The tiles at a size that can be looked at, with transparent gaps."""
        tiles = shown(self.tiles)
        if not self.captions:
            return sheet(legible(tiles, self.across), self.across, transparent=True)
        tiles = legible(tiles, self.across, CAPTIONED)
        height, width = tiles.shape[-2:]
        whole = sheet(F.pad(tiles, (0, 0, 0, FONT_SIZE), value=1.0), self.across, transparent=True)
        draw, font = ImageDraw.Draw(whole), ImageFont.load_default(CAPTION_SIZE)
        for number, text in enumerate(self.captions):
            down, right = divmod(number, self.across)
            place = right * (width + GAP) + width / 2, down * (height + FONT_SIZE + GAP) + height
            draw.text(place, text, "black", font, anchor="mt")
        return whole


def joined(panels: Mapping[str, Panel]) -> Panel:
    """The same panel of several runs as one, their rows below each other. A run's name is that of its last named row, else of its
    first; an equal row of the same name (original images) is shown once."""
    shown: list[tuple[str, Tensor]] = []
    for run, panel in panels.items():
        rows = panel.tiles.split(panel.across)
        names = [*panel.rows[:-1], run] if panel.rows else [run, *[""] * (len(rows) - 1)]
        for name, row in zip(names, rows, strict=True):
            if not name or not any(name == other and row.equal(tiles) for other, tiles in shown):
                shown.append((name, row))
    first = next(iter(panels.values()))
    return Panel(torch.cat([row for _, row in shown]), first.across, [name for name, _ in shown], first.columns)


def to_picture(panels: Sequence[Panel]) -> Image.Image:
    """Panels below each other on white, with their names: a picture that explains itself outside any page."""
    font = ImageFont.load_default(FONT_SIZE)
    left = max((int(font.getlength(name)) + PADDING for part in panels for name in part.rows), default=0)
    tops = [FONT_SIZE + PADDING if any(part.columns) else 0 for part in panels]
    width = left + max(part.image.width for part in panels)
    height = sum(top + part.image.height for top, part in zip(tops, panels, strict=True)) + 2 * PADDING * (
        len(panels) - 1
    )
    canvas = Image.new("RGB", (width + 2 * PADDING, height + 2 * PADDING), "white")
    draw = ImageDraw.Draw(canvas)
    y = PADDING
    for top, part in zip(tops, panels, strict=True):
        x = PADDING + left
        y += top
        # The gaps are left out of the sheet's last row and column, hence one gap more than the sheet has pixels.
        down, across = part.image.height + GAP, part.image.width + GAP
        for number, name in enumerate(part.rows):
            centre = y + (number + 0.5) * down / len(part.rows) - GAP / 2
            draw.text((x - PADDING, centre), name, "black", font, anchor="rm")
        for number, name in enumerate(part.columns):
            centre = x + (number + 0.5) * across / len(part.columns) - GAP / 2
            draw.text((centre, y - PADDING / 2), name, "black", font, anchor="ms")
        canvas.paste(part.image.convert("RGB"), (x, y), part.image.getchannel("A"))
        y += part.image.height + 2 * PADDING
    return canvas


def to_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def write_png(path: Path, image: Image.Image) -> None:
    write_atomically(path, lambda temporary: temporary.write_bytes(to_png(image)))
