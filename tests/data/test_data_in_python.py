"""Images that Python gives: each form is what the same images in a file are, or is refused in one line."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from reparam.data import DataOptions, load
from reparam.data.sources.in_python import as_dataset

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (30, 1, 8, 8), np.uint8)
RGB = RNG.integers(0, 256, (30, 3, 8, 8), np.uint8)
LABELS = np.arange(30) % 3


class Own(TorchDataset):
    """Items as `make(place)` gives them."""

    def __init__(self, make, number=30, classes=None):
        self.make, self.number = make, number
        if classes:
            self.classes = classes

    def __len__(self):
        return self.number

    def __getitem__(self, place):
        return self.make(place)


def of_file(tmp_path, **arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    return load(f"array:{tmp_path / 'a.npz'}")


def picture(place):
    return Image.fromarray(RGB[place].transpose(1, 2, 0))


LABELLED = {
    "tensors": lambda: (torch.from_numpy(GREY), torch.from_numpy(LABELS)),
    "floats": lambda: (torch.from_numpy(GREY) / 255, torch.from_numpy(LABELS)),
    "bfloat16 labels in a list": lambda: (GREY, LABELS.tolist()),
    "arrays": lambda: (GREY, LABELS),
    "a list of two": lambda: [GREY[:, 0], LABELS],
    "a dict": lambda: {"x": GREY, "y": LABELS},
    "a TensorDataset": lambda: TensorDataset(torch.from_numpy(GREY), torch.from_numpy(LABELS)),
    "a loader": lambda: DataLoader(Own(lambda i: (torch.from_numpy(GREY[i]), int(LABELS[i]))), 4, shuffle=True),
    "items without a channel": lambda: Own(lambda i: (GREY[i, 0], LABELS[i])),
    "items of floats": lambda: Own(lambda i: (torch.from_numpy(GREY[i]).float() / 255, torch.tensor(LABELS[i]))),
    "dicts": lambda: Own(lambda i: {"image": GREY[i], "label": LABELS[i], "other": object()}),
    "a list of pairs": lambda: [(GREY[i], LABELS[i]) for i in range(30)],
    "pictures": lambda: [(Image.fromarray(GREY[i, 0]), LABELS[i]) for i in range(30)],
    "a subset": lambda: Subset(Own(lambda i: (GREY[i], LABELS[i])), range(30)),
}


@pytest.mark.parametrize("form", LABELLED)
def test_every_form_is_what_a_file_is(tmp_path, form):
    expected = of_file(tmp_path, images=GREY, labels=LABELS)
    found = as_dataset(LABELLED[form](), DataOptions())
    assert found.fingerprint == expected.fingerprint
    assert found.classes == expected.classes
    assert found.name == "python"


UNLABELLED = {
    "a tensor": lambda: torch.from_numpy(RGB),
    "channels last": lambda: RGB.transpose(0, 2, 3, 1),
    "half": lambda: (torch.from_numpy(RGB) / 255).double(),
    "a list of arrays": lambda: list(RGB),
    "items": lambda: Own(lambda i: torch.from_numpy(RGB[i])),
    "pictures": lambda: [picture(i) for i in range(30)],
    "items in brackets": lambda: Own(lambda i: (RGB[i],)),
    "without labels": lambda: Own(lambda i: (RGB[i], None)),
    "one that needs gradients": lambda: (torch.from_numpy(RGB) / 255).requires_grad_(),
}


@pytest.mark.parametrize("form", UNLABELLED)
def test_every_form_without_labels_too(tmp_path, form):
    found = as_dataset(UNLABELLED[form](), DataOptions())
    assert found.fingerprint == of_file(tmp_path, images=RGB).fingerprint
    assert found.classes == ()


def test_splits_as_a_dict(tmp_path):
    expected = of_file(tmp_path, x_train=GREY[:20], y_train=LABELS[:20], x_test=GREY[20:], y_test=LABELS[20:])
    train, test = (Subset(Own(lambda i: (GREY[i], LABELS[i])), part) for part in (range(20), range(20, 30)))
    forms = (
        {"train": (GREY[:20], LABELS[:20]), "test": (GREY[20:], LABELS[20:])},
        {"train": train, "test": test},
        {"x_train": GREY[:20], "y_train": LABELS[:20].tolist(), "x_test": GREY[20:], "y_test": LABELS[20:]},
    )
    for form in forms:
        assert as_dataset(form, DataOptions()).fingerprint == expected.fingerprint


def test_names_of_classes_are_those_of_the_data_set():
    own = Own(lambda i: (GREY[i], LABELS[i]), classes=["cat", "dog", "hen"])
    assert as_dataset(own, DataOptions()).classes == ("cat", "dog", "hen")
    assert as_dataset(Subset(own, range(20)), DataOptions()).classes == ("cat", "dog", "hen")
    assert as_dataset(Own(own.make, classes=["cat"]), DataOptions()).classes == ("0", "1", "2")  # too few


def test_sizes_and_colours_that_differ(refused):
    mixed = [RNG.integers(0, 256, (side, side), np.uint8) for side in (16, 24, 32, 16)]
    with refused("3 shapes, from (1, 16, 16) to (1, 32, 32): give size="):
        as_dataset(mixed, DataOptions())
    data = as_dataset(mixed, DataOptions(size=16))
    assert data.shape == (1, 16, 16)
    exact = {x[0].numpy().tobytes() for split in ("train", "validation", "test") for x in data.split(split).pixels}
    assert {mixed[0].tobytes(), mixed[3].tobytes()} <= exact
    found = as_dataset([Image.fromarray(GREY[0, 0]), picture(0), picture(1)], DataOptions())
    assert found.shape == (3, 8, 8)


def test_channels_and_types_that_differ(refused):
    rgba = RNG.integers(0, 256, (4, 8, 8), np.uint8)
    mixed = [RGB[0], RGB[1], rgba, GREY[0]]
    with refused("images of 1 and 3 and 4 channels: give colour='rgb' or 'grey'"):
        as_dataset(mixed, DataOptions())
    assert as_dataset(mixed, DataOptions(colour="rgb")).shape == (3, 8, 8)
    assert as_dataset(mixed, DataOptions(colour="grey", size=16)).shape == (1, 16, 16)
    with refused("images of 3 and 5 channels: give all of one kind"):
        as_dataset([RGB[0], RGB[1], np.zeros((5, 8, 8), np.uint8)], DataOptions())
    with refused("images of float64 and uint8: give all of one type"):
        as_dataset([GREY[0], GREY[1], GREY[2] / 255], DataOptions())


def test_pictures_of_more_than_8_bits_keep_them(tmp_path):
    deep = RNG.integers(0, 4096, (30, 8, 8)).astype(np.uint16)
    floats = RNG.random((30, 8, 8)).astype(np.float32)
    for array in (deep, deep.astype(np.int32), floats):
        found = as_dataset([Image.fromarray(image) for image in array], DataOptions())
        expected = of_file(tmp_path, images=array)
        assert found.fingerprint == expected.fingerprint
        assert found.scale == expected.scale


def test_images_that_are_drawn_anew_are_told():
    rng = np.random.default_rng(0)
    own = Own(lambda i: rng.integers(0, 256, (8, 8), np.uint8))
    assert any("drawn at random" in note for note in as_dataset(own, DataOptions()).notes)
    assert not any("drawn" in note for note in as_dataset(GREY, DataOptions()).notes)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "data is int, no images"),
        ("text", "data is str, no images"),
        (b"bytes", "data is bytes, no images"),
        (None, "data is NoneType"),
        ((), "data is empty"),
        ({}, "data holds no arrays"),
        ([], "data is empty"),
        (torch.zeros(3), "has shape (3,)"),
        (torch.zeros(9, 1, 8, 8) * float("nan"), "NaN"),
        (torch.zeros(9, 1, 8, 8, device="meta"), "on no device"),
        (torch.zeros(9, 1, 8, 8).to_sparse(), "sparse"),
        (torch.zeros(9, 1, 8, 8, dtype=torch.complex64), "complex64"),
        ((GREY, LABELS[:3]), "for 30 images"),
        ((GREY, LABELS / 2), "float64"),
        ([1, 2, 3], "item 0 is int"),
        ([[[1, 2], [3]]], "ragged"),
        (Own(lambda i: 1 / 0), "item 0 cannot be read (ZeroDivisionError: division by zero)"),
        (Own(lambda i: (GREY[i], "cat")), "item 0 has no whole number for a label but str"),
        (Own(lambda i: (GREY[i], np.zeros((8, 8)))), "no whole number for a label"),
        (Own(lambda i: "x.png"), "no image [C, H, W]"),
        (Own(lambda i: {"pixels_of": 3}), "item 0"),
        (Own(lambda i: (GREY[i], 7 if i == 3 else -5)), "run from -5 to 7"),
        (Own(lambda i: GREY[i], 2), "2 images"),
        ({"train": 3}, "data['train'] is int"),
        ({"stuff": GREY}, "holds stuff: name the images"),
    ],
)
def test_what_is_no_images_is_refused(value, words, refused):
    with refused(words):
        as_dataset(value, DataOptions())


def test_options_for_files_are_refused(refused):
    with refused("--group is for files"):
        as_dataset(GREY, DataOptions(group="x"))


MODULE = """
import numpy as np
from torch.utils.data import TensorDataset
import torch

x = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (30, 1, 8, 8), np.uint8))
y = torch.arange(30) % 3
whole = TensorDataset(x, y)

def without_options():
    return whole

def with_options(options):
    return {"train": (x[:20], y[:20]), "test": (x[20:], y[20:])}

def needs_two(a, b):
    return whole

class Mine(TensorDataset):
    def __init__(self):
        super().__init__(x, y)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_images.py").write_text(MODULE)
    yield "own_images"
    sys.modules.pop("own_images", None)


@pytest.mark.parametrize("name", ["whole", "without_options", "Mine"])
def test_an_import_path_of_a_torch_data_set(module, name):
    data = load(f"{module}:{name}")
    expected = as_dataset((GREY, LABELS), DataOptions())
    assert data.fingerprint == expected.fingerprint
    assert data.name == f"{module}:{name}"


def test_an_import_path_of_splits(module):
    data = load(f"{module}:with_options")
    assert [len(data.split(split)) for split in ("train", "validation", "test")] == [18, 2, 10]


def test_an_import_path_that_cannot_be_called(module, refused):
    with refused("'own_images:needs_two' failed"):
        load(f"{module}:needs_two")


def test_a_run_s_images_in_python_are_not_read_by_name(refused):
    with refused("these images were given in Python"):
        load("python")
