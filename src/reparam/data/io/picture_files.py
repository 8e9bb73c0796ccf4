"""What the file of a picture says of itself: whether it is whole, and how many pages it has. Decoders stop as soon as they have
the first page's pixels, and do not see that the rest is missing or was changed.

Formats: W3C, Portable Network Graphics, 2003; CompuServe, GIF89a, 1990; Adobe, TIFF 6.0, 1992, and BigTIFF.
"""

import struct
import zlib
from typing import BinaryIO

from PIL import Image

_CUT_SHORT = "it is cut short"


def check_whole(file: BinaryIO, kind: str) -> None:
    """Raises ValueError where a file of the format `kind` (Pillow's name) is cut short or differs from its checksums, as far as
    decoders do not notice."""
    if kind == "PNG":
        _check_png(file.read())
    elif kind == "GIF":
        _gif_pages(file.read())


def pages(file: BinaryIO, kind: str, picture: Image.Image) -> int:
    """How many pages or frames it has. Raises ValueError where the file is gone through for that, and is cut short."""
    if kind == "GIF":
        return _gif_pages(file.read())
    if kind == "TIFF":
        return _tiff_pages(file.read())
    return (
        getattr(picture, "n_frames", 1) if kind in ("PNG", "WEBP") else 1
    )  # of a phone's JPEG, the others are made of it


def _check_png(data: bytes) -> None:
    view, place = memoryview(data), 8
    while True:
        if place + 12 > len(data):
            raise ValueError(_CUT_SHORT)
        length, name = struct.unpack_from(">I4s", data, place)
        end = place + 8 + length
        if end + 4 > len(data):
            raise ValueError(_CUT_SHORT)
        if zlib.crc32(view[place + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise ValueError(f"the chunk {name!r} differs from its checksum")
        if name == b"IEND":
            return
        place = end + 4


def _gif_pages(data: bytes) -> int:
    try:
        place, found = 13 + _table(data[10]), 0
        while (kind := data[place]) != 0x3B:  # the trailer
            place += 1
            if kind == 0x2C:  # an image
                place += 10 + _table(data[place + 8])
                found += 1
            elif kind == 0x21:  # an extension
                place += 1
            else:  # strays between blocks are ignored by all decoders
                continue
            while size := data[place]:
                place += 1 + size
            place += 1
    except IndexError:
        raise ValueError(_CUT_SHORT) from None
    return found


def _table(flags: int) -> int:
    """Bytes of the colours that follow a descriptor."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _tiff_pages(data: bytes) -> int:
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    count, offset, entry = ("Q", "Q", 20) if big else ("H", "I", 12)
    seen: set[int] = set()
    try:
        (place,) = struct.unpack_from(order + offset, data, 8 if big else 4)
        while place and place not in seen:  # a list that comes back to itself ends there
            seen.add(place)
            (entries,) = struct.unpack_from(order + count, data, place)
            (place,) = struct.unpack_from(order + offset, data, place + struct.calcsize(count) + entry * entries)
    except (struct.error, OverflowError):
        raise ValueError("a page lies outside of it") from None
    return len(seen)
