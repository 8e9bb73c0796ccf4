"""Where an array of images has its channels.

Shapes: `N` images, `C H W` image.
"""

from typing import Literal

import numpy as np

from reparam.data.options import MOST_CHANNELS, SMALLEST
from reparam.errors import DataError

Layout = Literal["auto", "first", "last"]


def channels_first(array: np.ndarray, where: str, layout: Layout) -> np.ndarray:
    """[N, C, H, W], a view, of [N, H, W], [N, H, W, C] or [N, C, H, W].

    Of four axes, the channels are the second or the last: the one below 8, which no side is (the second where both are); else the
    one that differs from two equal ones; else the one of 64 at most where the other is more. Raises `DataError` where that does
    not tell, for more than 64 channels, and for other numbers of axes.
    """
    shape = array.shape
    if array.ndim == 3:
        return array[:, None]
    if array.ndim != 4:
        remedy = "give [N, H, W], [N, H, W, C] or [N, C, H, W]"
        raise DataError(f"{where} has shape {shape}: {remedy} (flat rows: images.reshape(-1, height, width))")
    if layout == "auto":
        layout = _layout(shape, where)
    found = array if layout == "first" else array.transpose(0, 3, 1, 2)
    if found.shape[1] > MOST_CHANNELS:
        remedy = f"give {MOST_CHANNELS} at most, or say where they are with --layout"
        raise DataError(f"{where} has shape {shape}, {found.shape[1]} channels: {remedy}")
    return found


def _layout(shape: tuple[int, ...], where: str) -> Literal["first", "last"]:
    _, second, third, last = shape
    rules = (
        (second < SMALLEST, last < SMALLEST),
        (third == last != second, second == third != last),
        (second <= MOST_CHANNELS < last, last <= MOST_CHANNELS < second),
    )
    for first, behind in rules:
        if first or behind:
            return "first" if first else "last"
    raise DataError(
        f"{where} has shape {shape}, which does not tell where the channels are: add --layout first for [N, C, H, W], --layout "
        "last for [N, H, W, C]"
    )
