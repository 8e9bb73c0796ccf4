"""CIFAR-10: 60,000 colour images of 32 x 32, as the official binary files or as picture folders or zips.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
Binary layout: records of one label byte and 3,072 pixel bytes (red, green, blue planes, row by row).
"""

from pathlib import Path

import numpy as np
import torch

from reparam.data.dataset import Dataset, cut
from reparam.data.io.archives import FolderTree, open_tree, require
from reparam.data.io.download import Download, File, Mirror
from reparam.data.io.pictures import decode
from reparam.data.io.resize import conform
from reparam.data.io.tar import read_tar
from reparam.data.options import ImageOptions
from reparam.data.sources.layout import find_pictures, without_common
from reparam.data.splitting import hold_out
from reparam.errors import DataError, escaped, suggest

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_FOLDER, _TAR = "cifar-10-batches-bin", "cifar-10-binary.tar.gz"
DOWNLOAD = Download(
    megabytes=170,
    files=(File(_TAR, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),),
    ways=(Mirror("https://www.cs.toronto.edu/~kriz/"),),
)
_SIDE = 32
_RECORD = 1 + 3 * _SIDE * _SIDE
_TRAIN, _TEST = tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"
_BINARY = (*_TRAIN, _TEST)
_VALIDATION = 10  # one training image in so many: 5,000 of the official 50,000


def load_cifar10(path: Path, options: ImageOptions) -> Dataset:
    """45,000 / 5,000 / 10,000 images from any of the layouts below `path`.

    The official binary files (in the folder, in `cifar-10-batches-bin/`, or in the official .tar.gz): validation is the
    last 5,000 of the training files. Pictures in `train` and `test`, folders or zips, one subfolder a class: validation
    is 5,000 of train, stratified, fixed by name. Raises `DataError` for missing, truncated or mislabelled files.
    """
    require(path)
    folder, tar = _find(path)
    if folder:
        if absent := [name for name in _BINARY if not (folder / name).is_file()]:
            raise DataError(f"{folder / absent[0]} is missing: give all of {_TRAIN[0]} to {_TRAIN[-1]} and {_TEST}")
        tree = FolderTree(folder, _BINARY)
        return _from_binary({name: tree.open(name).read() for name in _BINARY}, folder, options)
    if tar:
        return _from_binary(read_tar(tar, _BINARY), tar, options)
    return _from_pictures(path, options)


def has_cifar10(path: Path) -> bool:
    """Whether one of the layouts begins at `path`."""
    return any(_find(path)) or _pictures(path, "train") is not None


def _find(path: Path) -> tuple[Path | None, Path | None]:
    """The folder of the binary files, and the official archive, where there are such."""
    folder = next((place for place in (path, path / _FOLDER) if (place / _TRAIN[0]).is_file()), None)
    tar = path if path.is_file() and path.name.endswith((".tar.gz", ".tgz")) else path / _TAR
    return folder, tar if tar.is_file() else None


def _from_binary(files: dict[str, bytes], where: Path, options: ImageOptions) -> Dataset:
    for name in _BINARY:
        data = files.get(name, b"")
        if not data or len(data) % _RECORD:
            found = f"{len(data):,} bytes, not a multiple of {_RECORD}"
            raise DataError(f"{where}/{name} has {found}: truncated? fetch it again")
    if len({len(files[name]) for name in _TRAIN}) > 1:
        raise DataError(f"{where}: the five data_batch files differ in length: one is truncated; fetch them again")
    records = np.frombuffer(b"".join(files[name] for name in _BINARY), np.uint8).reshape(-1, _RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.max() >= len(CLASSES):
        raise DataError(f"{where} holds label {labels.max()}, not 0 to 9: is this CIFAR-10's binary version?")
    test = len(files[_TEST]) // _RECORD
    train = len(records) - test
    held = max(1, train // _VALIDATION)
    images = torch.from_numpy(records[:, 1:].reshape(-1, 3, _SIDE, _SIDE).copy())
    notes = (f"validation is the last {held:,} of the training files",)
    return cut(conform(images, options), torch.from_numpy(labels), (train - held, held, test), CLASSES, notes)


def _pictures(path: Path, split: str) -> Path | None:
    return next((place for place in (path / f"{split}.zip", path / split) if place.exists()), None)


def _from_pictures(path: Path, options: ImageOptions) -> Dataset:
    images, labels, keys = [], [], []
    for split in ("train", "test"):
        place = _pictures(path, split)
        if place is None:
            forms = f"{_TAR}, the .bin files, or train and test (folders or .zip, one subfolder a class)"
            raise DataError(f"{path} holds no CIFAR-10: put {forms} there")
        with open_tree(place) as tree:
            names, _ = find_pictures(tree)
            parts = without_common(names)
            labels.append(torch.tensor([_label(p, place) for p in parts]))
            keys.append(["/".join(p) for p in parts])
            images.append(decode(tree, names, options.sides or (_SIDE, _SIDE), options.as_colour()).required(tree)[0])
    kept, held = hold_out(keys[0], labels[0].tolist(), max(1, len(keys[0]) // _VALIDATION))
    order = np.concatenate([kept, held])
    notes = (
        f"validation is {len(held):,} of train, stratified, fixed by the files' names",
        "read from picture files: not the official bytes",
    )
    all_images, all_labels = (torch.cat([train[order], test]) for train, test in (images, labels))
    return cut(all_images, all_labels, (len(kept), len(held), len(keys[1])), CLASSES, notes)


def _label(parts: tuple[str, ...], place: Path) -> int:
    if len(parts) < 2 or parts[0] not in CLASSES:
        near = (
            f" ({', '.join(CLASSES)}){suggest(parts[0], CLASSES)}; for other classes use --data folder:{place.parent}"
        )
        raise DataError(f"{place}: '{escaped('/'.join(parts))}' is in none of CIFAR-10's classes{near}")
    return CLASSES.index(parts[0])
