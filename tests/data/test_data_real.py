"""The real data sets, where a copy lies beside the checkout; a user's machine needs none of this."""

from pathlib import Path

import pytest
import torch

from reparam.data import DataOptions, load
from reparam.data.io import download
from reparam.data.sources import mnist

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def copy_of(name):
    if not (SHARED / name).is_dir():
        pytest.skip(f"no copy of {name} at {SHARED / name}")
    return SHARED / name


@pytest.mark.parametrize(("name", "what"), [("mnist", mnist.MNIST), ("fashion-mnist", mnist.FASHION_MNIST)])
def test_mnist_and_fashion(name, what):
    path = copy_of(name)
    assert download.differing(what.files, path) == []
    data = load(f"{name}:{path}")
    assert data.shape == (1, 28, 28)
    assert [len(data.split(s)) for s in ("train", "validation", "test", "all")] == [50_000, 10_000, 10_000, 60_000]
    if name == "mnist":
        histogram = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert data.split("all").labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
        assert data.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
        # pixels of the training files: mean 0.1307, standard deviation 0.3081, as everybody normalises by
        pixels = data.split("all").images.double() / 255
        assert (round(float(pixels.mean()), 4), round(float(pixels.std()), 4)) == (0.1307, 0.3081)
    else:
        histogram = [6000] * 10
        assert data.split("all").labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert torch.bincount(data.split("all").labels).tolist() == histogram


def test_cifar10_from_zips():
    data = load(f"cifar10:{copy_of('cifar10')}")
    assert data.shape == (3, 32, 32)
    assert torch.bincount(data.train.labels).tolist() == [4500] * 10
    assert torch.bincount(data.validation.labels).tolist() == [500] * 10
    assert torch.bincount(data.test.labels).tolist() == [1000] * 10
    means = (data.split("all").images.float().mean((0, 2, 3)) / 255).tolist()
    assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=2e-3)  # the official ones; these are re-encoded


def test_celeba_5k():
    data = load(f"celeba:{copy_of('celeba-5k')}", DataOptions(attributes=("Smiling",)))
    assert data.shape == (3, 64, 64)
    assert [len(data.split(s)) for s in ("train", "validation", "test")] == [4000, 500, 500]
    assert data.classes == ("not Smiling", "Smiling")
    lines = (SHARED / "celeba-5k" / "list_attr_celeba.txt").read_text().split("\n")[2:]
    smiling = sum(line.split()[2] == "1" for line in lines if line)
    assert sum(int(data.split(s).labels.sum()) for s in ("train", "validation", "test")) == smiling


def test_horses_as_a_folder():
    data = load(f"folder:{copy_of('weizmann-horses') / 'images'}")
    assert data.shape == (3, 128, 128)
    assert [len(data.split(s)) for s in ("train", "validation", "test")] == [262, 33, 33]
