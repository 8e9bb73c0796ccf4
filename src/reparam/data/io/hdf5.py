"""Arrays in an HDF5 file, by name; each is read when it is needed. Nothing outside of the file is read, whatever it links to.

Format: https://docs.hdfgroup.org, read by h5py (the extra `hdf5`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from reparam.data.io.archives import MiB, require_plain, unpacked_limit
from reparam.errors import DataError, escaped

SUFFIXES = (".h5", ".hdf5")
_DEPTH = 4  # groups in groups: links may lead in a circle
_REMEDY = "write plain arrays of uint8, or of floats in [0, 1], into the file itself"


@contextmanager
def open_hdf5(path: Path) -> Iterator[dict[str, Callable[[], np.ndarray]]]:
    """The arrays of a file by name, those in groups as `group/name`. Raises `DataError` for what is no such file, and, when an
    array is read, for objects, for arrays that lie in other files, and for ones that unpack to too much."""
    try:
        import h5py
    except ImportError:
        raise DataError("HDF5 needs the package h5py: pip install h5py") from None
    require_plain(path)
    try:
        file = h5py.File(path, "r")
    except Exception as error:  # the library raises almost anything on damaged data
        raise DataError(f"{path} is no HDF5 file that can be read ({_reason(error)}): write it again") from error
    with file:
        found: dict[str, Callable[[], np.ndarray]] = {}
        for name in _names(h5py, file, path):
            found[name] = partial(_read, file, name, path)
        yield found


def _names(h5py: Any, group: Any, path: Path, before: str = "", depth: int = 0) -> Iterator[str]:
    """The names of the arrays that lie in the file itself."""
    try:
        links = sorted((name, group.get(name, getlink=True)) for name in group)
        for name, link in links:
            if not isinstance(link, h5py.HardLink):  # others lead to names, and to other files
                continue
            own = group[name]
            if isinstance(own, h5py.Dataset):
                yield f"{before}{name}"
            elif isinstance(own, h5py.Group) and depth < _DEPTH:
                yield from _names(h5py, own, path, f"{before}{name}/", depth + 1)
    except Exception as error:
        raise DataError(f"{path} is damaged ({_reason(error)}): write it again") from error


def _read(file: Any, name: str, path: Path) -> np.ndarray:
    where = f"{path}: '{escaped(name)}'"
    try:
        array = file[name]
        if array.is_virtual or array.external:
            raise DataError(f"{where} lies in other files: {_REMEDY}")
        if array.dtype.hasobject or array.dtype.kind == "V" or array.shape is None:
            raise DataError(f"{where} holds {array.dtype}, no plain numbers: {_REMEDY}")
        size, limit = array.size * array.dtype.itemsize, unpacked_limit(path.stat().st_size)
        if size > limit:
            raise DataError(f"{where} unpacks to {size // MiB:,} MiB, beyond {limit // MiB:,} MiB (a bomb?): {_REMEDY}")
        return np.asarray(array[()])
    except (DataError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"{where} is damaged ({_reason(error)}): write it again") from error


def _reason(error: Exception) -> str:
    return escaped(" ".join(str(error).split())[:150]) or type(error).__name__
