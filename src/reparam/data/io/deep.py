"""Pictures of more than 8 bits, as the numbers that their files hold.

Shapes: `C H W` picture, upright.
"""

import numpy as np
from PIL import Image, ImageOps

GREY_MODES = ("1", "L")  # of 8 bits
WHITE = 2**16 - 1
# How Pillow unpacks 16 bits a channel: the first byte of each pair, or the second. Either way it keeps the high one; given the
# other's name it keeps the low one.
_BYTES = {f"{mode};16{order}": f"{mode};16{other}" for mode in ("RGB", "RGBA") for order, other in ("BL", "LB", "NB")}


def is_deep(picture: Image.Image) -> bool:
    """Whether it has more than 8 bits a channel that can be read, by its header."""
    return holds_numbers(picture) or bool(_unpacked(picture))


def holds_numbers(picture: Image.Image) -> bool:
    """Whether it has more than 8 bits in Pillow too, which has 16 bits of grey but not of colours."""
    return picture.mode.startswith("I") or is_float(picture)


def is_float(picture: Image.Image) -> bool:
    return picture.mode == "F"


def _unpacked(picture: Image.Image) -> str:
    """How its colours are unpacked, where they have 16 bits; else ""."""
    for tile in getattr(picture, "tile", ()):
        how = tile[3][0] if isinstance(tile[3], tuple) else tile[3]
        if how in _BYTES:
            return str(how)
    return ""


def low_bytes(picture: Image.Image) -> bool:
    """Turns an opened picture of 16 bits a colour into one of their low bytes; false for others, which are left as they are."""
    how = _unpacked(picture)
    if not how:
        return False
    other = _BYTES[how]
    picture.tile = [  # type: ignore[attr-defined]
        tile._replace(args=(other, *tile.args[1:]) if isinstance(tile.args, tuple) else other)
        for tile in picture.tile  # type: ignore[attr-defined]
    ]
    return True


def numbers_of(picture: Image.Image, low: Image.Image | None) -> np.ndarray:
    """float32 [C, H, W], C being 1 or 3, of a grey or RGB picture, or of one of 16 bits a colour and its `low_bytes`; what is
    transparent of that lies on white."""
    ImageOps.exif_transpose(picture, in_place=True)
    if low is None:
        values = np.asarray(picture).astype(np.float32)
        return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    ImageOps.exif_transpose(low, in_place=True)
    values = np.asarray(picture).astype(np.float32) * 256 + np.asarray(low)
    if values.shape[-1] == 4:
        alpha = values[..., 3:] / WHITE
        values = np.rint(values[..., :3] * alpha + WHITE * (1 - alpha))
    return np.ascontiguousarray(values.transpose(2, 0, 1))
