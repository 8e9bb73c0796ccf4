"""`shards:PATH`: images in a few large files that are read at random places, for data beyond memory.

The files are ArrayRecords, one record an image: a PNG or, of other channels than grey and RGB and of more than 8 bits, its values
[C, H, W], little-endian, packed by zlib. Beside them are `labels.npy` and `index.json`. Every record carries
its own hash, so that a damaged one is recognised and its neighbours can still be read. `shard_writing` makes them.

Shapes: `N` images, `C H W` image.
"""

import io
import math
import os
import zlib
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import Field, TypeAdapter, ValidationError

from reparam.core.spec import BYTES
from reparam.data.dataset import SPLITS, Dataset, cut
from reparam.data.io.archives import read_plain, require
from reparam.data.io.npy import read_npy
from reparam.data.io.on_disk import OnDiskImages
from reparam.data.options import COLOURS, LARGEST, MOST_CHANNELS, SMALLEST, OnDiskOptions, spelled
from reparam.data.scale import EIGHT_BITS, Scale
from reparam.errors import DataError, ReparamError, RunError
from reparam.files import read_json

FORMAT, FORMAT_OF_VALUES = 1, 2  # of PNGs of bytes, and of all others, which earlier versions do not read
INDEX, LABELS = "index.json", "labels.npy"
OPEN_FILES = 128  # of each process: the usual limit is 1,024
_REMEDY = "copy it again from where it was made, or make it anew with 'reparam data shard'"


_Count = Annotated[int, Field(ge=0, lt=2**48)]
_Side = Annotated[int, Field(ge=SMALLEST, le=LARGEST)]


@dataclass(frozen=True)
class _File:
    name: Annotated[str, Field(pattern=r"^[\w-]+\.array_record$")]
    records: _Count
    bytes: _Count


@dataclass(frozen=True)
class _Index:
    """What `index.json` holds beside its format."""

    files: list[_File]
    splits: dict[str, Annotated[int, Field(ge=1, lt=2**48)]]
    shape: tuple[int, _Side, _Side]
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    sha256: str
    values: Literal["PNG", "uint8", "uint16", "float32"] = "PNG"
    scale: Scale = EIGHT_BITS


def array_record() -> Any:
    """The module that reads and writes records. Raises `DataError` where it is not installed."""
    try:
        from array_record.python import array_record_module
    except ImportError:
        raise DataError("shards need the package array-record: pip install array-record") from None
    return array_record_module


def utf8(path: Path) -> str:
    """Raises `DataError` for a name that array-record does not take."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise DataError(f"{path} is not UTF-8, and array-record takes no other names: give it another name") from None
    return str(path)


class ShardReader:
    """Random access to the records of files that follow each other; each process opens them for itself, as needed."""

    def __init__(
        self,
        folder: Path,
        files: list[_File],
        shape: tuple[int, int, int],
        identity: str,
        values: str = "PNG",
        levels: int = BYTES,
    ) -> None:
        self.folder, self.shape, self.identity, self.values, self.levels = folder, shape, identity, values, levels
        self.dtype = np.float32 if values in ("uint16", "float32") else np.uint8
        self.names = [file.name for file in files]
        self.ends = list(accumulate(file.records for file in files))
        self._open: OrderedDict[int, Any] = OrderedDict()
        self._process = 0

    def __len__(self) -> int:
        return self.ends[-1]

    def read(self, place: int) -> np.ndarray:
        file = bisect_right(self.ends, place)
        record = place - (self.ends[file - 1] if file else 0)
        where = f"record {record} of {self.folder / self.names[file]}"
        try:
            packed = self._file(file).read([record])[0]
        except RuntimeError as error:
            raise DataError(f"{where} is damaged ({str(error).partition(' (')[0]}): {_REMEDY}") from None
        if self.values != "PNG":
            return self._values(packed, where)
        try:
            with Image.open(io.BytesIO(packed), formats=("PNG",)) as picture:
                if picture.size != (self.shape[2], self.shape[1]):  # before any size is believed
                    raise ValueError(f"{spelled(picture.size[::-1])} pixels")
                pixels = np.asarray(picture)
        except Exception as error:  # decoders raise almost anything on damaged data
            raise DataError(f"{where} is no picture ({' '.join(str(error).split())}): {_REMEDY}") from None
        pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        if pixels.shape != self.shape or pixels.dtype != np.uint8:
            raise DataError(f"{where} holds {pixels.dtype} of shape {pixels.shape}, not {self.shape}: {_REMEDY}")
        return pixels

    def _values(self, packed: bytes, where: str) -> np.ndarray:
        kind = np.dtype(self.values).newbyteorder("<")
        size = math.prod(self.shape) * kind.itemsize
        try:
            data = zlib.decompressobj().decompress(packed, size + 1)
        except zlib.error as error:
            raise DataError(f"{where} is no image ({error}): {_REMEDY}") from None
        if len(data) != size:
            raise DataError(f"{where} holds {len(data):,} bytes, not {size:,}: {_REMEDY}")
        found = np.frombuffer(data, kind).reshape(self.shape)
        if self.values == "uint16":
            found = found / np.float64(self.levels - 1)
        if self.values != "uint8" and not (found.min() >= 0 and found.max() <= 1):
            raise DataError(f"{where} holds values outside 0 to 1: {_REMEDY}")
        return found.astype(self.dtype)

    def _file(self, number: int) -> Any:
        """Raises ReparamError where it cannot be opened, which says nothing of its records."""
        if self._process != os.getpid():
            self._open, self._process = OrderedDict(), os.getpid()
        if number not in self._open:
            path = self.folder / self.names[number]
            try:
                path.open("rb").close()  # the reader itself would call it damaged
            except OSError as error:
                raise ReparamError(f"cannot open {path} ({error.strerror}): check that it is there, readable") from None
            # No reading ahead: the records are read in a random order.
            options = "readahead_buffer_size:0,max_parallelism:0"
            opened = array_record().ArrayRecordReader(utf8(path), options)
            expected = self.ends[number] - (self.ends[number - 1] if number else 0)
            if opened.num_records() != expected:
                raise DataError(f"{path} holds {opened.num_records():,} records, not {expected:,}: {_REMEDY}")
            self._open[number] = opened
            if len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(number)
        return self._open[number]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": OrderedDict(), "_process": 0}


def load_shards(path: Path, options: OnDiskOptions) -> Dataset:
    """What `write_shards` made at `path`. Raises `DataError` for another folder, and for missing or truncated files."""
    require(path)
    array_record()
    if not (path / INDEX).exists():
        raise DataError(f"{path} holds no shards (there is no {INDEX}): make them with 'reparam data shard'")
    try:
        index = read_json(path / INDEX, _REMEDY)
    except RunError as error:
        raise DataError(str(error)) from None
    if index.get("format") not in (FORMAT, FORMAT_OF_VALUES):
        found = f"format {index['format']!r}" if "format" in index else "no format"
        raise DataError(f"{path / INDEX} has {found} and this version reads {FORMAT} and {FORMAT_OF_VALUES}: {_REMEDY}")
    try:
        known = TypeAdapter(_Index).validate_python(index)
    except ValidationError as error:
        first = error.errors()[0]
        found = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise DataError(f"{path / INDEX} is damaged ({' '.join(found.split())}): {_REMEDY}") from None
    shape, scale = known.shape, known.scale
    if not _fits_together(known):
        raise DataError(f"{path / INDEX} is damaged (its parts do not fit together): {_REMEDY}")
    for file in known.files:
        if not (path / file.name).is_file():
            raise DataError(f"{path / file.name} is missing: {_REMEDY}")
        size = (path / file.name).stat().st_size
        if size != file.bytes:
            raise DataError(f"{path / file.name} has {size:,} bytes, not {file.bytes:,}: {_REMEDY}")
    if options.sides not in (None, shape[1:]) or options.colour not in ("auto", COLOURS.get(shape[0])):
        kind = {1: "grey", 3: "coloured"}.get(shape[0], f"{shape[0]}-channel")
        found = f"{kind} images of {spelled(shape[1:])} (height x width), as settled when they were packed"
        raise DataError(f"{path} holds {found}: leave --size and --colour out, or pack the pictures anew")
    if options.range not in ((), (scale.low, scale.high)) or (options.depth == "8" and scale.levels != BYTES):
        found = f"numbers from {scale.low:.6g} to {scale.high:.6g}, as settled when they were packed"
        raise DataError(f"{path} holds {found}: leave --range and --depth out, or pack the images anew")
    reader = ShardReader(path, known.files, shape, known.sha256, known.values, scale.levels)
    labels = _labels(path / LABELS)
    counts = [known.splits[split] for split in SPLITS]
    if not len(labels) == len(reader) == sum(counts):
        raise DataError(f"{path / LABELS} has {len(labels):,} labels for {len(reader):,} records: {_REMEDY}")
    stored = OnDiskImages(reader, torch.arange(len(labels)), options.damaged, options.workers)
    return cut(stored, labels, counts, known.classes, known.notes, scale=scale)


def _fits_together(known: _Index) -> bool:
    """Whether channels, type and levels are those that `write_shards` writes together, and splits and files are all there."""
    channels, scale = known.shape[0], known.scale
    if known.values == "PNG":
        fits = channels in (1, 3) and scale.levels == BYTES
    else:
        levels = {
            "uint8": scale.levels == BYTES,
            "uint16": 1 < scale.levels != BYTES,
            "float32": not scale.levels,
        }
        fits = 1 <= channels <= MOST_CHANNELS and levels[known.values]
    return fits and scale.low < scale.high and set(known.splits) == set(SPLITS) and bool(known.files)


def _labels(path: Path) -> torch.Tensor:
    """int64 [N]."""
    try:
        data = read_plain(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}): {_REMEDY}") from None
    labels = read_npy(data, str(path), _REMEDY)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"{path} holds {labels.dtype} of shape {labels.shape}, not a label for each record: {_REMEDY}")
    return torch.from_numpy(labels.astype(np.int64))
