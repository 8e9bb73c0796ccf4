"""Packing the images of a data set into the few large files that `shards:PATH` reads."""

import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import ConcatDataset
from torch.utils.data import Dataset as TorchDataset

from reparam.data.dataset import SPLITS, Dataset, Images
from reparam.data.io.npy import write_npy
from reparam.data.io.on_disk import OnDiskImages, ReadAhead, readers_watched
from reparam.data.options import Damaged
from reparam.data.scale import Scale
from reparam.data.sources.shards import FORMAT, FORMAT_OF_VALUES, INDEX, LABELS, array_record, utf8
from reparam.errors import DataError, ReparamError
from reparam.files import new_folder, write_json

SHARD_MIB = 256


def write_shards(
    dataset: Dataset,
    out: Path,
    workers: int = 2,
    damaged: Damaged = "stop",
    mebibytes: int = SHARD_MIB,
    track: Callable[[Sequence[int], str], Iterator[int]] = lambda places, what: iter(places),
) -> list[str]:
    """The data set as files of about so many MiB in the folder `out`, which appears when all is there. `workers` processes
    read images on disk; `track` shows progress. Returns a line for each image that `damaged` "skip" left out.

    Raises DataError for an image that cannot be read, and for label maps, which shards do not hold; ReparamError where
    `out` is taken or the disk is full.
    """
    if dataset.map_values:
        raise DataError("shards hold images and classes, not label maps: train on these pairs where they are")
    splits = [dataset.split(split) for split in SPLITS]
    values = _stored_as(dataset)
    packed: ConcatDataset[bytes | str] = ConcatDataset([_Packed(split, values, dataset.scale) for split in splits])
    labels = torch.cat([split.labels for split in splits])
    split_of = np.repeat(range(len(SPLITS)), [len(split) for split in splits])
    skipped, kept = list[str](), list[int]()
    with readers_watched(), new_folder(out) as folder, ReadAhead(packed, range(len(packed)), workers) as records:
        writer = _Writer(folder, mebibytes * 2**20)
        for place, record in zip(track(range(len(packed)), "shards"), records, strict=True):
            if isinstance(record, bytes):
                writer.write(record, int(labels[place]))
                kept.append(place)
            elif damaged == "stop":
                raise DataError(f"{record} (or leave such images out: --damaged skip)")
            else:
                skipped.append(record)
        counts = dict(zip(SPLITS, np.bincount(split_of[kept], minlength=len(SPLITS)).tolist(), strict=True))
        for split, count in counts.items():
            if not count:
                raise DataError(f"no image of {split} can be read: {skipped[-1]}")
        notes = [*dataset.notes, f"made of {dataset.name}"]
        if skipped:
            notes.append(f"left out, since they could not be read: {len(skipped):,}")
        facts = {"shape": dataset.shape, "classes": dataset.classes, "splits": counts, "notes": notes}
        if values == "PNG" and dataset.scale.of_bytes:
            writer.finish({"format": FORMAT, **facts}, labels[kept])
        else:
            more = {"values": values, "scale": vars(dataset.scale)}
            writer.finish({"format": FORMAT_OF_VALUES, **facts, **more}, labels[kept])
    return skipped


def _stored_as(dataset: Dataset) -> str:
    """What a record holds: a PNG, or values of that type."""
    if dataset.train.images.dtype == torch.uint8:
        return "PNG" if dataset.shape[0] in (1, 3) else "uint8"
    return "uint16" if dataset.scale.levels else "float32"


class _Packed(TorchDataset[bytes | str]):
    """The images of a split as records, made in worker processes; for an image that cannot be read, the error's line."""

    def __init__(self, split: Images, values: str, scale: Scale) -> None:
        self.images, self.values, self.scale = split.images, values, scale

    def __len__(self) -> int:
        return self.images.shape[0]

    def __getitem__(self, row: int) -> bytes | str:
        images = self.images
        try:
            pixels = (
                images.reader.read(int(images.places[row])) if isinstance(images, OnDiskImages) else images[row].numpy()
            )
        except DataError as error:
            return str(error)
        if self.values != "PNG":
            levels = np.rint(pixels.astype(np.float64) * (self.scale.levels - 1)) if self.values == "uint16" else pixels
            return zlib.compress(np.ascontiguousarray(levels, np.dtype(self.values).newbyteorder("<")).tobytes(), 1)
        out = io.BytesIO()
        Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(out, "PNG", compress_level=1)
        return out.getvalue()


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
            self._file = array_record().ArrayRecordWriter(utf8(self._path), "group_size:1,uncompressed")
        self.digest.update(hashlib.sha256(record).digest() + label.to_bytes(8, "little", signed=True))
        self._ask(self._file.write, record)
        self._records += 1
        self._bytes += len(record)
        if self._bytes >= self.limit:
            self._close()

    def _close(self) -> None:
        self._ask(self._file.close)
        self._file = None
        with self._path.open("rb+") as file:
            os.fsync(file.fileno())
        size = self._path.stat().st_size
        self.files.append({"name": self._path.name, "records": self._records, "bytes": size})

    def _ask(self, method: Callable[..., object], *values: object) -> None:
        try:
            method(*values)
        except RuntimeError as error:
            remedy = "free space on the disk, or choose another --out"
            raise ReparamError(f"cannot write {self._path} ({error}): {remedy}") from None

    def finish(self, facts: dict[str, Any], labels: Tensor) -> None:
        if self._file is not None:
            self._close()
        write_npy(self.folder / LABELS, labels.numpy())
        write_json(self.folder / INDEX, {**facts, "files": self.files, "sha256": self.digest.hexdigest()})
