"""`shards:PATH`: images in a few large files that are read at random places, for data beyond memory.

The files are ArrayRecords, one record an image, a PNG; beside them are `labels.npy` and `index.json`. Every record carries
its own hash, so that a damaged one is recognised and its neighbours can still be read. `shard_writing` makes them.

Shapes: `N` images, `C H W` image.
"""

import io
import os
from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from reparam.data.dataset import SPLITS, Dataset, cut
from reparam.data.io.archives import require
from reparam.data.io.on_disk import OnDiskImages
from reparam.data.options import OnDiskOptions
from reparam.errors import DataError, ReparamError, RunError
from reparam.files import read_json

FORMAT = 1
INDEX, LABELS = "index.json", "labels.npy"
OPEN_FILES = 128  # of each process: the usual limit is 1,024
_REMEDY = "copy it again from where it was made, or make it anew with 'reparam data shard'"


def array_record() -> Any:
    """The module that reads and writes records. Raises `DataError` where it is not installed."""
    try:
        from array_record.python import array_record_module
    except ImportError:
        raise DataError("shards need the package array-record: pip install array-record") from None
    return array_record_module


class ShardReader:
    """Random access to the records of files that follow each other; each process opens them for itself, as needed."""

    def __init__(self, folder: Path, files: list[dict[str, Any]], shape: tuple[int, int, int], identity: str) -> None:
        self.folder, self.shape, self.identity = folder, shape, identity
        self.names = [file["name"] for file in files]
        self.ends = list(accumulate(file["records"] for file in files))
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
        try:
            pixels = np.asarray(Image.open(io.BytesIO(packed), formats=("PNG",)))
        except Exception as error:  # decoders raise almost anything on damaged data
            raise DataError(f"{where} is no picture ({' '.join(str(error).split())}): {_REMEDY}") from None
        pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        if pixels.shape != self.shape or pixels.dtype != np.uint8:
            raise DataError(f"{where} holds {pixels.dtype} of shape {pixels.shape}, not {self.shape}: {_REMEDY}")
        return pixels

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
            self._open[number] = array_record().ArrayRecordReader(str(path), options)
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
    if index.get("format") != FORMAT:
        found = f"format {index['format']!r}" if "format" in index else "no format"
        raise DataError(f"{path / INDEX} has {found} and this version reads {FORMAT}: {_REMEDY}")
    try:
        files, counts = index["files"], [index["splits"][split] for split in SPLITS]
        shape, classes, identity = tuple(index["shape"]), tuple(index["classes"]), index["sha256"]
        for file in files:
            if not (path / file["name"]).is_file():
                raise DataError(f"{path / file['name']} is missing: {_REMEDY}")
            size = (path / file["name"]).stat().st_size
            if size != file["bytes"]:
                raise DataError(f"{path / file['name']} has {size:,} bytes, not {file['bytes']:,}: {_REMEDY}")
        grey = shape[0] == 1
        if options.size not in (None, shape[1]) or options.colour not in ("auto", "grey" if grey else "rgb"):
            found = (
                f"{'grey' if grey else 'coloured'} images of {shape[2]} x {shape[1]}, as settled when they were packed"
            )
            raise DataError(f"{path} holds {found}: leave --size and --colour out, or pack the pictures anew")
        reader = ShardReader(path, files, shape, identity)
        try:
            labels = torch.from_numpy(np.load(path / LABELS, allow_pickle=False).astype(np.int64))
        except (OSError, EOFError, ValueError) as error:
            raise DataError(f"{path / LABELS} cannot be read ({error}): {_REMEDY}") from None
        if not len(labels) == len(reader) == sum(counts) or min(counts) < 1:
            raise DataError(f"{path / LABELS} has {len(labels):,} labels for {len(reader):,} records: {_REMEDY}")
        stored = OnDiskImages(reader, torch.arange(len(labels)), options.damaged, options.workers)
        return cut(stored, labels, counts, classes, tuple(index["notes"]))
    except (KeyError, TypeError, ValueError, AttributeError, EOFError) as error:
        raise DataError(f"{path} is damaged ({error}): {_REMEDY}") from None
