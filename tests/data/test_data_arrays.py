"""array:FILE, and the digits of scikit-learn."""

import io
import mmap
import struct
import zipfile

import numpy as np
import pytest
import torch

from reparam.data import DataOptions, depth, load
from reparam.data.io.npy import map_npy, read_npy
from reparam.data.sources import arrays as source
from reparam.errors import DataError

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


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("highest", [1, 255])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    "chunk", [2**24, 128]
)  # 128 values, two pictures: pictures out of range come before the one that is not finite
def test_advice_on_pixels_that_are_not_finite_keeps_the_other_pictures(
    tmp_path, monkeypatch, value, highest, dtype, chunk
):
    monkeypatch.setattr(depth, "CHUNK", chunk)
    array = (GREY / 255 * highest).astype(dtype)
    array[3, 2, 1] = value
    with pytest.raises(DataError, match="NaN or infinite pixels") as first:
        load(save(tmp_path, array))
    better = eval(str(first.value).rpartition("use ")[2], {"images": array, "numpy": np})  # our own words
    found = load(save(tmp_path, better))
    levels = {np.frombuffer(x, np.uint8).tobytes() for x in every(found)}
    expected = {x.tobytes() for x in np.delete(GREY, 3, 0)}
    assert expected <= levels
    (last,) = levels - expected
    differing = np.frombuffer(last, np.uint8).reshape(8, 8) != GREY[3]
    assert differing.sum() - differing[2, 1] == 0


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


def test_labels_stay_with_their_images(tmp_path):
    labels = np.arange(20) % 4
    data = load(save(tmp_path, None, images=GREY, labels=labels[:, None].astype(np.int32)))
    assert data.classes == ("0", "1", "2", "3")
    by_image = {GREY[i].tobytes(): labels[i] for i in range(20)}
    for split in ("train", "validation", "test"):
        part = data.split(split)
        assert [by_image[x.numpy().tobytes()] for x in part.images] == part.labels.tolist()


@pytest.mark.parametrize("names", [("train_images", "train_labels", "test_images", "test_labels"),
                                   ("x_train", "y_train", "x_test", "y_test"),
                                   ("X-Train", "trainY", "testSet_x", "labels_testing"),
                                   ("train", "train_label", "test", "test_target"),
                                   ("data.training", "Targets Training", "imgs_test", "ytest")])  # fmt: skip
def test_splits_by_key(tmp_path, names):
    x, y, xt, yt = names
    spec = save(tmp_path, None, **{x: GREY[:15], y: np.zeros(15, int), xt: GREY[15:], yt: np.ones(5, int)})
    data = load(spec)
    assert [len(data.split(s)) for s in ("train", "validation", "test")] == [13, 2, 5]
    assert torch.equal(data.test.images[:, 0], torch.from_numpy(GREY[15:]))
    assert data.test.labels.tolist() == [1] * 5
    assert any("validation: 10 %" in note for note in data.notes)


def test_images_that_are_not_square_stay_as_they_are_unless_a_size_is_asked_for(tmp_path):
    wide = RNG.integers(0, 256, (10, 8, 12), np.uint8)
    spec = save(tmp_path, wide)
    assert every(load(spec)) == {x.tobytes() for x in wide}
    square = load(spec, DataOptions(size=8))
    assert every(square) == {x[:, 2:10].tobytes() for x in wide}
    assert any("8 x 12" in note and "to 8 x 8" in note for note in square.notes)
    assert load(spec, DataOptions(size=16, crop="none", colour="rgb")).shape == (3, 16, 16)
    padded = load(spec, DataOptions(size=12, crop="pad"))
    assert every(padded) == {np.pad(x, ((2, 2), (0, 0))).tobytes() for x in wide}


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
        (GREY.astype(complex), "complex"),
        (np.full((20, 8, 8), "NaT", "m8[s]"), "are timedelta64[s]: save images as integers or floats"),
        (GREY.reshape(20, 64), "reshape(-1, height, width)"),
        (GREY.reshape(20, 1, 1, 8, 8), "has shape"),
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
        (np.zeros(20, "m8[s]"), "timedelta64"),
    ],
)
def test_malformed_labels_are_refused(tmp_path, labels, words, refused):
    with refused(words):
        load(save(tmp_path, None, images=GREY, labels=labels))


def test_a_split_of_fewer_images_than_classes(tmp_path):
    labels = np.arange(20) % 10
    data = load(save(tmp_path, None, x_train=GREY, y_train=labels, x_test=GREY[:2], y_test=np.array([9, 7])))
    assert data.test.labels.tolist() == [9, 7]
    assert len(data.classes) == 10


def test_suffixes_in_capitals_are_read_too(tmp_path, refused):
    save(tmp_path, GREY)
    (tmp_path / "a.npy").rename(tmp_path / "IMAGES.NPY")
    assert load(f"array:{tmp_path / 'IMAGES.NPY'}").shape == (1, 8, 8)
    with refused(f"--data array:{tmp_path / 'IMAGES.NPY'}"):
        load(str(tmp_path / "IMAGES.NPY"))


def test_keys_are_suggested(tmp_path, refused):
    with refused("did you mean 'images'"):
        load(save(tmp_path, None, imagse=GREY))
    with refused("keep one of the two"):
        load(save(tmp_path, None, images=GREY, test_images=GREY))


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header(text, data=b"", version=1):
    """A .npy of any header."""
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode("utf-8") + data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (npy(GREY)[:-1], "damaged"),
        (npy(GREY) + b"\0", "damaged"),
        (npy(GREY).replace(b"(20, 8, 8)", b"(99, 9, 9)"), "promises"),
        (npy(GREY).replace(b"(20, 8, 8), ", b"(9**99, 8), "), "not a .npy"),
        (npy(GREY).replace(b"(20, 8, 8), ", b"(20,-8,-8), "), "shape (20, -8, -8)"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (0, " + "9" * 30 + "), }"), "impossible shape"),
        (
            header("{'descr': '|b1', 'fortran_order': False, 'shape': (9" + "9" * 4000 + ", 99" + "9" * 900 + "), }"),
            "impossible",
        ),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (0, " + "9" * 5000 + "), }"), "not a .npy"),
        (header("{'descr': '|V0', 'fortran_order': False, 'shape': (9, 8, 8), }"), "type '|V0'"),
        (header("{'descr': '<U0', 'fortran_order': False, 'shape': (9, 8, 8), }"), "type '<U0'"),
        (
            header("{'descr': ('<u1', (8, 8)), 'fortran_order': False, 'shape': (9,), }", bytes(576)),
            "type ('<u1', (8, 8))",
        ),
        (header("{'descr': '8u1', 'fortran_order': False, 'shape': (9, 8), }", bytes(576)), "type '8u1'"),
        (header("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (9, 8), }", bytes(576)), "not a .npy"),
        (header("{'descr': '|u1', 'fortran_order': 0, 'shape': (9, 8, 8), }", bytes(576)), "fortran_order 0"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (True, 8, 8), }", bytes(64)), "shape (True, 8, 8)"),
        (
            header("{'descr': '|u1', 'fortran_order': False, 'shape': (9, 8, 8), 'x': 1}", bytes(576)),
            "not that of an array",
        ),
        (
            header("{'descr': '|b1', 'fortran_order': False, 'shape': (9, 8, 8), }", bytes(575) + b"\7"),
            "not all 0 or 1",
        ),
        (header("[" * 9000), "not a .npy"),
        (header("-" * 9000 + "1"), "not a .npy"),
        (
            header("{'descr': '|u1', 'fortran_order': False, 'shape': (9, 8, 8), }", bytes(576), version=4),
            "version 4.0",
        ),
        (header(" " * 10_001), "a header of 10,001 bytes"),
        (b"\x93NUMPY\2\0\xff\xff\xff\xff", "a header of 4,294,967,295 bytes"),
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


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("kind", ["<f4", ">f4", ">f8", "<f2"])
@pytest.mark.parametrize("fortran", [False, True])
def test_every_form_of_npy_is_read_as_numpy_reads_it(version, kind, fortran):
    array = np.array(GREY / 255, dtype=kind, order="F" if fortran else "C")
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=version)
    found = read_npy(out.getvalue(), "x", "y")
    assert np.array_equal(found, array)
    assert found.dtype == array.dtype


def test_a_header_of_python_2_is_read():
    data = header("{'descr': '|u1', 'fortran_order': False, 'shape': (2L, 3L), }", bytes(range(6)))
    assert np.array_equal(read_npy(data, "x", "y"), np.arange(6).reshape(2, 3))


def test_labels_of_big_endian_are_read(tmp_path):
    labels = (np.arange(20) % 4).astype(">i4")
    data = load(save(tmp_path, None, images=np.repeat(labels, 64).reshape(20, 8, 8).astype(np.uint8), labels=labels))
    for split in ("train", "validation", "test"):
        part = data.split(split)
        assert torch.equal(part.images[:, 0, 0, 0].long(), part.labels)


def test_other_files_are_refused(tmp_path, refused):
    (tmp_path / "a.txt").write_text("1,2")
    with refused("is none of .npy, .npz"):
        load(f"array:{tmp_path / 'a.txt'}")
    with refused("did you mean 'a.txt'"):
        load(f"array:{tmp_path / 'b.txt'}")


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


def test_arrays_that_are_not_needed_are_not_opened(tmp_path, monkeypatch):
    opened, real = [], source._member
    monkeypatch.setattr(source, "_member", lambda tree, name: opened.append(name) or real(tree, name))
    load(save(tmp_path, None, images=GREY, y=np.zeros(20, int), codes=np.zeros(9), x=GREY[:3]))
    assert sorted(opened) == ["images.npy", "y.npy"]


def test_a_npy_is_mapped_and_not_copied(tmp_path):
    np.save(tmp_path / "a.npy", GREY)
    array = map_npy(tmp_path / "a.npy", "x")
    assert np.array_equal(array, GREY)
    while isinstance(array.base, np.ndarray):
        array = array.base
    assert isinstance(array.base.obj, mmap.mmap)
    assert not array.flags.writeable


def test_rows_of_a_single_1_are_labels(tmp_path, refused):
    labels = np.arange(20) % 4
    whole = load(save(tmp_path, None, images=GREY, y=labels))
    assert load(save(tmp_path, None, images=GREY, y=np.eye(4)[labels])).fingerprint == whole.fingerprint
    with refused("(20, 4) for 20 images"):
        load(save(tmp_path, None, images=GREY, y=np.eye(4)[labels] / 2))
