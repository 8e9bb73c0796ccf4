"""IDX files and the two sets made of them."""

import gzip
import struct

import numpy as np
import pytest
import torch

from reparam.data import DataOptions, load
from reparam.data.io.idx import idx_bytes, read_idx
from reparam.data.sources.mnist import _FILES

HEAD = struct.pack(">HBBIII", 0, 8, 3, 12, 28, 28)


def mini_mnist(folder, n=12, n_test=4, seed=0, zipped=True):
    """Files of MNIST's layout; returns pixels and labels, train then test."""
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    pixels, labels = rng.integers(0, 256, (n + n_test, 28, 28), np.uint8), rng.integers(0, 10, n + n_test, np.uint8)
    for name, array in zip(_FILES, (pixels[:n], labels[:n], pixels[n:], labels[n:]), strict=True):
        data = idx_bytes(array)
        (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(data) if zipped else data)
    return torch.from_numpy(pixels)[:, None], torch.from_numpy(labels.astype(np.int64))


@pytest.mark.parametrize("shape", [(5,), (3, 8, 9), (0, 4, 4)])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_round_trip(tmp_path, shape, suffix):
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(gzip.compress(idx_bytes(array)) if suffix else idx_bytes(array))
    assert np.array_equal(read_idx(path, len(shape)), array)


def test_idx_bytes_are_those_of_the_format():
    assert idx_bytes(np.array([[7, 8]], np.uint8)) == bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 7, 8])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no IDX header"),
        (HEAD[:3], "no IDX header"),
        (HEAD[:10], "inside its header"),
        (HEAD, "truncated"),
        (HEAD + bytes(12 * 784 - 1), "truncated"),
        (HEAD + bytes(12 * 784 + 1), "more than the 9,408 bytes"),
        (b"\x89PNG" + bytes(100), "not an IDX file"),
        (struct.pack(">HBBIII", 0, 0x0D, 3, 1, 28, 28) + bytes(784 * 4), "type 0x0d"),
        (struct.pack(">HBBI", 0, 8, 1, 4) + bytes(4), "swapped"),
        (struct.pack(">HBBIII", 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1) + bytes(50), "header promises"),
        (struct.pack(">HBBIII", 0, 8, 3, 0, 2**32 - 1, 2**32 - 1), "impossible shape"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_malformed_idx_is_refused(tmp_path, data, words, suffix, refused):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(gzip.compress(data) if suffix else data)
    with refused(words):
        read_idx(path, 3)


@pytest.mark.parametrize("damage", [
        lambda d: d[:-20], lambda d: d[:60] + b"\0\1\2\3" + d[64:], lambda d: b"text" + d, lambda d: d + b"text",
        lambda d: d[:-8] + bytes(8),
    ])  # fmt: skip
def test_damaged_gzip_is_refused(tmp_path, damage, refused):
    path = tmp_path / "x.gz"
    rng = np.random.default_rng(0)
    path.write_bytes(damage(gzip.compress(idx_bytes(rng.integers(0, 256, (3, 28, 28), np.uint8)))))
    with refused("damaged"):
        read_idx(path, 3)


def test_a_gzip_bomb_is_refused_unread(tmp_path, refused):
    path = tmp_path / "x.gz"
    shape = struct.pack(">HBBIII", 0, 8, 3, 2**27, 1, 1)
    path.write_bytes(gzip.compress(shape, 0) + bytes(2**18))  # what is behind the header need not be there
    with refused("unpacks to 128 MiB (a bomb?)"):
        read_idx(path, 3)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_splits_are_consecutive(tmp_path, zipped, name):
    pixels, labels = mini_mnist(tmp_path / "m", zipped=zipped)
    data = load(f"{name}:{tmp_path / 'm'}")
    assert data.name == f"{name}:{tmp_path / 'm'}"
    bounds = {"train": (0, 10), "validation": (10, 12), "test": (12, 16), "all": (0, 12)}
    for split, (start, stop) in bounds.items():
        assert torch.equal(data.split(split).images, pixels[start:stop])
        assert torch.equal(data.split(split).labels, labels[start:stop])
    assert len(data.classes) == 10
    assert any("last 2 of the 12" in note for note in data.notes)


def test_size_and_colour(tmp_path):
    pixels, _ = mini_mnist(tmp_path / "m")
    data = load(f"mnist:{tmp_path / 'm'}", DataOptions(size=32, colour="rgb"))
    assert data.shape == (3, 32, 32)
    assert torch.equal(data.train.images[:, 0], data.train.images[:, 2])
    same = load(f"mnist:{tmp_path / 'm'}", DataOptions(size=28, crop="none"))
    assert torch.equal(same.train.images, pixels[:10])


def test_missing_file_is_named(tmp_path, refused):
    mini_mnist(tmp_path / "m")
    (tmp_path / "m" / "t10k-labels-idx1-ubyte.gz").unlink()
    with refused("lacks t10k-labels-idx1-ubyte"):
        load(f"mnist:{tmp_path / 'm'}")


def rewrite(folder, name, array):
    (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array)))


@pytest.mark.parametrize(
    ("file", "array", "words"),
    [
        (1, np.zeros(11, np.uint8), "12 images in train-images-idx3-ubyte but 11 labels"),
        (1, np.full(12, 10, np.uint8), "label 10, not 0 to 9"),
        (2, np.zeros((4, 32, 32), np.uint8), "give one set"),
        (0, np.zeros(12, np.uint8), "swapped"),
    ],
)
def test_sets_that_do_not_fit_are_refused(tmp_path, file, array, words, refused):
    mini_mnist(tmp_path / "m")
    rewrite(tmp_path / "m", _FILES[file], array)
    with refused(words):
        load(f"mnist:{tmp_path / 'm'}")


def test_empty_files_are_refused(tmp_path, refused):
    mini_mnist(tmp_path / "m")
    rewrite(tmp_path / "m", _FILES[0], np.zeros((0, 28, 28), np.uint8))
    rewrite(tmp_path / "m", _FILES[1], np.zeros(0, np.uint8))
    with refused("no images"):
        load(f"mnist:{tmp_path / 'm'}")
