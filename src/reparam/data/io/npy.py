"""The .npy format, read strictly: sizes are computed from the header and compared with the bytes that are there before anything
is allocated. Pickles are never read.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, versions 1.0, 2.0 and 3.0.
"""

import ast
import io
import math
import mmap
import re
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from reparam.data.io.archives import require_plain
from reparam.errors import DataError, short
from reparam.files import write_bytes

_MAGIC = b"\x93NUMPY"
_LENGTHS = {(1, 0): "<H", (2, 0): "<I", (3, 0): "<I"}  # how each version writes the length of its header
_HEADER_LIMIT = 10_000  # characters, as numpy's own
_RANK_LIMIT = 32
_ADDRESSABLE = 2**62  # bytes
_PLAIN_TYPE = re.compile(r"[<>|=]?[A-Za-z?]\d*(\[\w+\])?")  # no records, no arrays of arrays
_PYTHON_2 = re.compile(r"(?<=\d)L\b")  # its integers


def map_npy(path: Path, remedy: str) -> np.ndarray:
    """The array in a .npy, mapped into memory: what is looked at is read, and nothing else. Raises as `read_npy`."""
    require_plain(path)
    with path.open("rb") as file:
        empty = not path.stat().st_size  # which cannot be mapped
        data = b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return read_npy(data, str(path), remedy)


def read_npy(data: bytes | mmap.mmap, where: str, remedy: str) -> np.ndarray:
    """The array in the bytes of a .npy, which must be exactly those that its header promises; a view, not to be written to.

    Raises `DataError`, with `where` and `remedy`, for objects, records and arrays of arrays, and where header and bytes do not
    agree.
    """
    try:
        shape, fortran, dtype, start = _header(data)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, struct.error) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise DataError(f"{where} is not a .npy that can be read ({reason}): {remedy}") from error
    if dtype.hasobject:
        raise DataError(f"{where} holds Python objects, which are not read since they can run code: {remedy}")
    if not is_possible(shape, dtype.itemsize):
        raise DataError(f"{where} has an impossible shape {short(shape)}: {remedy}")
    promised, there = math.prod(shape) * dtype.itemsize, len(data) - start
    if promised != there:
        raise DataError(f"{where} is damaged: its header promises {promised:,} bytes, not {there:,}; save it again")
    flat = np.frombuffer(data, dtype, offset=start) if promised else np.empty(0, dtype)
    if dtype.kind == "b" and flat.size and flat.view(np.uint8).max() > 1:
        raise DataError(f"{where} is damaged: its truth values are not all 0 or 1; save it again")
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def write_npy(path: Path, array: np.ndarray) -> None:
    """The array as a .npy, which appears when it is whole."""
    packed = io.BytesIO()
    np.save(packed, array, allow_pickle=False)
    write_bytes(path, packed.getvalue())


def is_possible(shape: tuple[int, ...], itemsize: int = 1) -> bool:
    """Whether numpy takes an array of that shape; of one without elements it counts the sides that are not 0."""
    return math.prod(side or 1 for side in shape) * itemsize <= _ADDRESSABLE


def _header(data: bytes | mmap.mmap) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, whether columns come first, type, and where the elements begin. Raises what parsing raises."""
    if data[:6] != _MAGIC:
        raise ValueError("it does not begin as one")
    version = tuple(data[6:8])
    if version not in _LENGTHS:
        raise ValueError(f"format version {'.'.join(map(str, version))}")
    width = struct.calcsize(_LENGTHS[version])
    (length,) = struct.unpack_from(_LENGTHS[version], data, 8)
    start = 8 + width + length
    if length > _HEADER_LIMIT or start > len(data):
        raise ValueError(f"a header of {length:,} bytes")
    text = data[8 + width : start].decode("utf-8" if version == (3, 0) else "latin-1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a literal that only just is one
        header: Any = ast.literal_eval(_PYTHON_2.sub("", text).strip())
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise ValueError("its header is not that of an array")
    shape, fortran, descr = header["shape"], header["fortran_order"], header["descr"]
    sides = isinstance(shape, tuple) and len(shape) <= _RANK_LIMIT and all(type(side) is int for side in shape)
    if not sides or any(side < 0 for side in shape):
        raise ValueError(f"shape {shape!r}")
    if not isinstance(fortran, bool):
        raise ValueError(f"fortran_order {fortran!r}")
    if not isinstance(descr, str) or not _PLAIN_TYPE.fullmatch(descr):
        raise ValueError(f"type {descr!r}")
    dtype = np.dtype(descr)
    if dtype.kind == "V" or not dtype.itemsize:
        raise ValueError(f"type {descr!r}")
    return shape, fortran, dtype, start
