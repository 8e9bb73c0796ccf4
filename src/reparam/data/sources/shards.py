"""`shards:PATH`: images in a few large files that are read at random places, for data beyond memory.

The files are ArrayRecords, one record an image, a PNG; beside them lie `labels.npy` and `index.json`. Every record carries a
hash of its own, so that a damaged one is told from a whole one, and those beside it can still be read.

Shapes: `N` images, `C H W` image.
"""

import hashlib
import io
import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from reparam.data.dataset import SPLITS, Dataset, Images, cut
from reparam.data.io.archives import require
from reparam.data.io.on_disk import OnDiskImages, read_ahead, readers_watched
from reparam.data.options import Damaged, DataOptions
from reparam.errors import DataError, ReparamError, RunError
from reparam.files import make_folder, new_folder, read_json, write_atomically, write_json

FORMAT = 1
INDEX, LABELS = "index.json", "labels.npy"
SHARD_MIB = 256
OPEN_FILES = 128  # of each process: the usual limit is 1,024
_REMEDY = "copy it again from where it was made, or make it anew with 'reparam data shard'"


def _engine() -> Any:
    try:
        from array_record.python import array_record_module
    except ImportError:
        raise DataError(
            "shards are read and written by the package array-record, which is not installed: pip install 'reparam[shards]'"
        ) from None
    return array_record_module


def _part(ends: Sequence[int], place: int) -> tuple[int, int]:
    """Which of several parts behind each other holds a place, and the place within it."""
    part = bisect_right(ends, place)
    return part, place - (ends[part - 1] if part else 0)


class ShardReader:
    """Random access to the records of files that follow each other; each process opens them for itself, as it needs them."""

    def __init__(self, folder: Path, files: list[dict[str, Any]], shape: tuple[int, int, int], identity: str) -> None:
        self.folder, self.shape, self.identity = folder, shape, identity
        self.names = [file["name"] for file in files]
        self.ends = list(accumulate(file["records"] for file in files))
        self._open: OrderedDict[int, Any] = OrderedDict()
        self._process = 0

    def __len__(self) -> int:
        return self.ends[-1]

    def read(self, place: int) -> np.ndarray:
        file, record = _part(self.ends, place)
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
                raise ReparamError(
                    f"cannot open {path} ({error.strerror}): check that it is there and may be read"
                ) from None
            # No reading ahead: the records are asked for in a random order.
            options = "readahead_buffer_size:0,max_parallelism:0"
            self._open[number] = _engine().ArrayRecordReader(str(path), options)
            if len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(number)
        return self._open[number]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": OrderedDict(), "_process": 0}


def load_shards(path: Path, options: DataOptions) -> Dataset:
    """What `write_shards` made at `path`. Raises `DataError` for a folder that is none, and where a file is missing or cut
    short."""
    require(path)
    _engine()
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
        files, counts = index["files"], tuple(index["splits"][split] for split in SPLITS)
        shape, classes, identity = tuple(index["shape"]), tuple(index["classes"]), index["sha256"]
        for file in files:
            if not (path / file["name"]).is_file():
                raise DataError(f"{path / file['name']} is missing: {_REMEDY}")
            size = (path / file["name"]).stat().st_size
            if size != file["bytes"]:
                raise DataError(f"{path / file['name']} has {size:,} bytes, not {file['bytes']:,}: {_REMEDY}")
        if options.size not in (None, shape[1]) or options.colour not in ("auto", "grey" if shape[0] == 1 else "rgb"):
            raise DataError(
                f"{path} holds {'grey' if shape[0] == 1 else 'coloured'} images of {shape[2]} x {shape[1]}, as settled when they "
                "were packed: leave --size and --colour out, or pack the pictures anew"
            )
        reader = ShardReader(path, files, shape, identity)
        labels = torch.from_numpy(_labels(path / LABELS).astype(np.int64))
        if not len(labels) == len(reader) == sum(counts) or min(counts) < 1:
            raise DataError(f"{path / LABELS} has {len(labels):,} labels for {len(reader):,} records: {_REMEDY}")
        stored = OnDiskImages(reader, torch.arange(len(labels)), options.damaged, options.workers)
        return cut(stored, labels, counts, classes, tuple(index["notes"]))
    except (KeyError, TypeError, ValueError, AttributeError, EOFError) as error:
        raise DataError(f"{path} is damaged ({error}): {_REMEDY}") from None


def _labels(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}): {_REMEDY}") from None


class _Packed(torch.utils.data.Dataset):
    """The images of all splits as PNG, made in worker processes; an image that cannot be read is the line that says so."""

    def __init__(self, splits: list[Images]) -> None:
        self.splits = splits
        self.ends = list(accumulate(len(split) for split in splits))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, place: int) -> bytes | str:
        number, row = _part(self.ends, place)
        images = self.splits[number].images
        try:
            pixels = (
                images.reader.read(int(images.places[row])) if isinstance(images, OnDiskImages) else images[row].numpy()
            )
        except DataError as error:
            return str(error)
        out = io.BytesIO()
        Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(out, "PNG", compress_level=1)
        return out.getvalue()


def write_shards(
    dataset: Dataset,
    out: Path,
    workers: int = 2,
    damaged: Damaged = "stop",
    mebibytes: int = SHARD_MIB,
    track: Callable[[Sequence[int], str], Iterator[int]] = lambda places, what: iter(places),
) -> list[str]:
    """The data set as files of about so many MiB in the folder `out`, which appears when all is there; images on disk are read
    one by one, by `workers` processes; `track` shows how far it is. Returns a line for each image that `damaged` "skip" left out.

    Raises DataError for one that cannot be read, and for label maps, which shards do not hold; ReparamError where `out` is
    taken or the disk is full.
    """
    if dataset.map_values:
        raise DataError("shards hold images and classes, not label maps: train on these pairs where they are")
    splits = [dataset.split(split) for split in SPLITS]
    packed = _Packed(splits)
    labels = torch.cat([split.labels for split in splits])
    counts, skipped = dict.fromkeys(SPLITS, 0), list[str]()
    kept: list[int] = []
    with readers_watched(), new_folder(out) as begun:
        make_folder(begun)
        writer = _Writer(begun, mebibytes * 2**20)
        try:
            records = read_ahead(packed, range(len(packed)), workers)
            for place, record in zip(track(range(len(packed)), "shards"), records, strict=True):
                if isinstance(record, str):
                    if damaged == "stop":
                        raise DataError(f"{record} (or leave such images out: --damaged skip)")
                    skipped.append(record)
                    continue
                writer.write(record, int(labels[place]))
                kept.append(place)
                counts[SPLITS[_part(packed.ends, place)[0]]] += 1
            for split, count in counts.items():
                if not count:
                    raise DataError(f"no image of {split} can be read: {skipped[-1]}")
            notes = [*dataset.notes, f"made of {dataset.name}"]
            if skipped:
                notes.append(f"left out, for they could not be read: {len(skipped):,}")
            facts = {"shape": dataset.shape, "classes": dataset.classes, "splits": counts, "notes": notes}
            writer.finish({"format": FORMAT, **facts}, labels[kept])
        except BaseException:
            writer.remove()
            raise
    return skipped


class _Writer:
    """Files of records, each closed when it is large enough."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self.files: list[dict[str, Any]] = []
        self.digest = hashlib.sha256()
        self._file: Any = None
        self._records = self._bytes = 0

    def write(self, record: bytes, label: int) -> None:
        if self._file is None:
            self._path = self.folder / f"images-{len(self.files):05}.array_record"
            self._records = self._bytes = 0
            # PNGs do not get smaller; a group of one is a record that can be read alone.
            self._file = _engine().ArrayRecordWriter(str(self._path), "group_size:1,uncompressed")
        self.digest.update(hashlib.sha256(record).digest() + label.to_bytes(8, "little", signed=True))
        try:
            self._file.write(record)
        except RuntimeError as error:
            raise ReparamError(self._refused(error)) from None
        self._records += 1
        self._bytes += len(record)
        if self._bytes >= self.limit:
            self._close()

    def _close(self) -> None:
        try:
            self._file.close()
        except RuntimeError as error:
            raise ReparamError(self._refused(error)) from None
        self._file = None
        with self._path.open("rb+") as file:
            os.fsync(file.fileno())
        size = self._path.stat().st_size
        self.files.append({"name": self._path.name, "records": self._records, "bytes": size})

    def finish(self, facts: dict[str, Any], labels: Tensor) -> None:
        if self._file is not None:
            self._close()
        write_atomically(self.folder / LABELS, lambda path: _save(path, labels))
        write_json(self.folder / INDEX, {**facts, "files": self.files, "sha256": self.digest.hexdigest()})

    def remove(self) -> None:
        self._file = None
        for path in self.folder.glob("*"):
            path.unlink(missing_ok=True)
        self.folder.rmdir()

    def _refused(self, error: Exception) -> str:
        return f"cannot write {self._path} ({error}): free space on the disk, or choose another --out"


def _save(path: Path, labels: Tensor) -> None:
    with path.open("wb") as file:
        np.save(file, labels.numpy(), allow_pickle=False)
