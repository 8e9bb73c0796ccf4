"""The IDX files of MNIST (magic, dimensions, bytes; big-endian), read with every length checked.

Format: http://yann.lecun.com/exdb/mnist. Only unsigned bytes (type 0x08) occur in image data sets.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from reparam.data.io.archives import MiB, unpacked_limit
from reparam.data.io.npy import is_possible
from reparam.errors import DataError

_UNSIGNED_BYTE = 0x08
_DEFLATE_RATIO = 1032  # the most that deflate reaches: a header that promises more is wrong


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """The uint8 array of `ndim` dimensions in an IDX file, gzipped or not.

    Raises `DataError` for another magic, type or rank, and for a file that is shorter or longer than its header says.
    """
    zipped, size = path.suffix == ".gz", path.stat().st_size
    try:
        with gzip.open(path) if zipped else path.open("rb") as file:
            shape = _shape(file.read(4 + 4 * ndim), ndim, path)
            promised = math.prod(shape)
            if promised > (size * _DEFLATE_RATIO if zipped else size):
                raise DataError(f"{path} is truncated: its header promises {promised:,} bytes of data; fetch it again")
            if zipped and promised > unpacked_limit(size):
                raise DataError(f"{path} unpacks to {promised // MiB:,} MiB (a bomb?): unpack it yourself (gunzip)")
            data = file.read(promised)
            surplus = file.read(1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged ({error}): delete it and fetch it again") from error
    if len(data) < promised:
        raise DataError(f"{path} is truncated: {len(data):,} of {promised:,} bytes of data; fetch it again")
    if surplus:
        raise DataError(f"{path} holds more than the {promised:,} bytes that its header promises: fetch it again")
    if not is_possible(shape):
        raise DataError(f"{path} has an impossible shape {shape}: fetch it again")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _shape(head: bytes, ndim: int, path: Path) -> tuple[int, ...]:
    if head[:2].strip(b"\0"):
        raise DataError(f"{path} is not an IDX file (magic {head[:4].hex()}): give it as published, .gz or unpacked")
    if len(head) < 4:
        raise DataError(f"{path} is truncated: {len(head)} bytes, no IDX header; fetch it again")
    kind, rank = head[2:4]
    if kind != _UNSIGNED_BYTE or rank != ndim:
        found = f"type 0x{kind:02x} in {rank} dimensions, not unsigned bytes in {ndim}"
        raise DataError(f"{path} holds {found}: are images and labels swapped?")
    if len(head) < 4 + 4 * ndim:
        raise DataError(f"{path} is truncated inside its header: fetch it again")
    return struct.unpack(f">{ndim}I", head[4:])


def idx_bytes(array: np.ndarray) -> bytes:
    """A uint8 array as the bytes of an IDX file."""
    return struct.pack(f">HBB{array.ndim}I", 0, _UNSIGNED_BYTE, array.ndim, *array.shape) + array.tobytes()
