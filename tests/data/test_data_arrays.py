"""array:FILE, and the digits of scikit-learn."""

import io
import zipfile

import numpy as np
import pytest
import torch

from reparam.data import DataOptions, load

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 8, 8), np.uint8)
RGB = RNG.integers(0, 256, (20, 3, 8, 8), np.uint8)


def every(data):
    """All images of a data set, as a set of bytes."""
    return {x.numpy().tobytes() for s in ("train", "validation", "test") for x in data.split(s).images}


def save(tmp_path, array, **arrays):
    if arrays:
        np.savez(tmp_path / "a.npz", **arrays)
        return f"array:{tmp_path / 'a.npz'}"
    np.save(tmp_path / "a.npy", array)
    return f"array:{tmp_path / 'a.npy'}"


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (GREY, GREY[:, None]),
        (GREY[:, None], GREY[:, None]),
        (GREY[..., None], GREY[:, None]),
        (RGB, RGB),
        (RGB.transpose(0, 2, 3, 1), RGB),
        (np.asfortranarray(RGB), RGB),
        (GREY > 127, (GREY > 127)[:, None] * np.uint8(255)),
        ((GREY > 127).astype(np.uint8), (GREY > 127)[:, None] * np.uint8(255)),
        ((GREY / 255).astype(np.float32), GREY[:, None]),
        (GREY / 255, GREY[:, None]),
    ],
)
def test_layouts_and_types_are_read_exactly(tmp_path, array, expected):
    data = load(save(tmp_path, array))
    assert [len(data.split(s)) for s in ("train", "validation", "test")] == [16, 2, 2]
    assert data.shape == expected.shape[1:]
    assert every(data) == {x.tobytes() for x in expected}
    assert data.classes == ()
    assert bool((data.train.labels == -1).all())


def test_float_rounding_is_said(tmp_path):
    assert "floats in [0, 1] are rounded to 256 levels" in load(save(tmp_path, GREY / 255)).notes
    assert not any("rounded" in note for note in load(save(tmp_path, GREY)).notes)


def test_labels_stay_with_their_images(tmp_path):
    labels = np.arange(20) % 4
    data = load(save(tmp_path, None, images=GREY, labels=labels[:, None].astype(np.int32)))
    assert data.classes == ("0", "1", "2", "3")
    by_image = {GREY[i].tobytes(): labels[i] for i in range(20)}
    for split in ("train", "validation", "test"):
        part = data.split(split)
        assert [by_image[x.numpy().tobytes()] for x in part.images] == part.labels.tolist()


@pytest.mark.parametrize("names", [("train_images", "train_labels", "test_images", "test_labels"),
                                   ("x_train", "y_train", "x_test", "y_test")])  # fmt: skip
def test_splits_by_key(tmp_path, names):
    x, y, xt, yt = names
    spec = save(tmp_path, None, **{x: GREY[:15], y: np.zeros(15, int), xt: GREY[15:], yt: np.ones(5, int)})
    data = load(spec)
    assert [len(data.split(s)) for s in ("train", "validation", "test")] == [13, 2, 5]
    assert torch.equal(data.test.images[:, 0], torch.from_numpy(GREY[15:]))
    assert data.test.labels.tolist() == [1] * 5
    assert any("validation: 10 %" in note for note in data.notes)


def test_images_that_are_not_square_are_cut(tmp_path):
    wide = RNG.integers(0, 256, (10, 8, 12), np.uint8)
    data = load(save(tmp_path, wide))
    assert every(data) == {x[:, 2:10].tobytes() for x in wide}
    assert any("12 x 8" in note for note in data.notes)
    assert load(save(tmp_path, wide), DataOptions(size=16, crop="none", colour="rgb")).shape == (3, 16, 16)


def nan(value):
    array = GREY / 255
    array[3, 2, 1] = value
    return array


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([GREY, None], dtype=object), "Python objects"),
        (nan(np.nan), "NaN"),
        (nan(np.inf), "NaN or infinite"),
        (nan(-0.1), "shift and scale"),
        (GREY.astype(np.float32), "divide by 255"),
        (GREY.astype(np.int64), "astype(numpy.uint8)"),
        (GREY.astype(complex), "complex"),
        (GREY.reshape(20, 64), "reshape(-1, height, width)"),
        (GREY.reshape(20, 1, 1, 8, 8), "has shape"),
        (RNG.integers(0, 256, (20, 8, 8, 4), np.uint8), "C being 1 or 3"),
        (np.zeros((0, 8, 8), np.uint8), "empty"),
        (np.uint8(3), "has shape ()"),
        (np.zeros((20, 4, 4), np.uint8), "8 to 512"),
        (GREY[:2], "2 images"),
        (np.array(["a", "b"]), "has shape (2,)"),
    ],
)
def test_malformed_arrays_are_refused(tmp_path, array, words, refused):
    with refused(words):
        load(save(tmp_path, array))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros(19, int), "(19,) for 20 images"),
        (np.zeros((20, 2), int), "(20, 2)"),
        (np.zeros(20), "float64"),
        (np.full(20, -2), "-2"),
        (np.full(20, 10**6), "1000000"),
        (np.array([None] * 20), "Python objects"),
    ],
)
def test_malformed_labels_are_refused(tmp_path, labels, words, refused):
    with refused(words):
        load(save(tmp_path, None, images=GREY, labels=labels))


def test_keys_are_suggested(tmp_path, refused):
    with refused("did you mean 'images'"):
        load(save(tmp_path, None, image=GREY))
    with refused("keep one of the two"):
        load(save(tmp_path, None, images=GREY, test_images=GREY))


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (npy(GREY)[:-1], "damaged"),
        (npy(GREY) + b"\0", "damaged"),
        (npy(GREY).replace(b"(20, 8, 8)", b"(99, 9, 9)"), "promises"),
        (npy(GREY).replace(b"(20, 8, 8), ", b"(9**99, 8), "), "not a .npy"),
        (b"", "not a .npy"),
        (b"\x93NUMPY", "not a .npy"),
        (b"hello", "not a .npy"),
    ],
)
def test_lying_npy_headers_are_refused(tmp_path, data, words, refused):
    (tmp_path / "a.npy").write_bytes(data)
    with refused(words):
        load(f"array:{tmp_path / 'a.npy'}")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", data)
    with refused(words):
        load(f"array:{tmp_path / 'a.npz'}")


def test_other_files_are_refused(tmp_path, refused):
    (tmp_path / "a.csv").write_text("1,2")
    with refused("neither .npy nor .npz"):
        load(f"array:{tmp_path / 'a.csv'}")
    with refused("did you mean 'a.csv'"):
        load(f"array:{tmp_path / 'b.csv'}")


def test_digits():
    from sklearn.datasets import load_digits

    data, source = load("digits"), load_digits()
    assert [len(data.split(s)) for s in ("train", "validation", "test")] == [1197, 300, 300]
    assert data.shape == (1, 8, 8)
    levels = np.rint(source.images * 255 / 16).astype(np.uint8)
    assert sorted(x.tobytes() for x in levels) == sorted(
        x.numpy().tobytes() for s in ("train", "validation", "test") for x in data.split(s).images
    )
    total = torch.bincount(torch.from_numpy(source.target))
    for split in ("validation", "test"):
        assert (torch.bincount(data.split(split).labels) - total * 300 / 1797).abs().max() <= 1
    big = load("digits", DataOptions(size=28))
    assert big.shape == (1, 28, 28)
    assert torch.equal(big.train.labels, data.train.labels)
    assert load("digits").fingerprint == data.fingerprint != big.fingerprint
