"""HDF5 files: read as the same arrays in a .npz, and nothing outside of them."""

import numpy as np
import pytest

from reparam.data import load

h5py = pytest.importorskip("h5py")
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
LABELS = np.arange(20) % 3


@pytest.fixture
def file(tmp_path):
    """Writes `a.h5` by a function of the open file, and gives what names it."""

    def write(make):
        with h5py.File(tmp_path / "a.h5", "w") as opened:
            make(opened)
        return f"array:{tmp_path / 'a.h5'}"

    return write


@pytest.mark.parametrize("names", [("images", "labels"), ("group/x", "group/y"), ("X", "Y")])
@pytest.mark.parametrize("packed", [{}, {"compression": "gzip"}, {"chunks": (3, 8, 8), "fletcher32": True}])
def test_read_as_the_same_arrays_in_a_npz(tmp_path, file, names, packed):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)

    def make(opened):
        opened.create_dataset(names[0], data=IMAGES, **packed)
        opened[names[1]] = LABELS

    if "/" in names[0]:
        with pytest.raises(Exception, match="name the images"):  # `group` is no word of ours
            load(file(make))
    else:
        assert load(file(make)).fingerprint == load(f"array:{tmp_path / 'a.npz'}").fingerprint


def test_what_is_not_needed_is_not_read(file):
    def make(opened):
        opened["images"] = IMAGES
        opened["text"] = "words"
        opened["other"] = h5py.ExternalLink("/etc/hostname", "x")
        opened["soft"] = h5py.SoftLink("/nowhere")
        opened["group"] = opened["/"]  # a circle

    assert len(load(file(make)).train) == 16


def outside(opened):
    opened["images"] = h5py.ExternalLink("b.h5", "images")


def virtual(opened):
    layout = h5py.VirtualLayout((20, 8, 8), np.uint8)
    layout[:] = h5py.VirtualSource("b.h5", "images", (20, 8, 8))
    opened.create_virtual_dataset("images", layout)


def raw(opened):
    opened.create_dataset("images", (20, 8, 8), np.uint8, external=[("/etc/passwd", 0, 1280)])


def huge(opened):
    opened.create_dataset("images", (10**7, 99, 99), np.uint8, chunks=(1, 99, 99))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (outside, "name the images"),
        (virtual, "lies in other files"),
        (raw, "lies in other files"),
        (huge, "a bomb?"),
        (lambda opened: opened.__setitem__("images", "words"), "no plain numbers"),
        (lambda opened: opened.__setitem__("images", h5py.Empty("u1")), "no plain numbers"),
        (lambda opened: None, "holds no arrays"),
    ],
)
def test_other_files_are_refused(file, make, words, refused):
    with refused(words):
        load(file(make))


@pytest.mark.parametrize("cut", [0, 8, 100, 1500])
def test_damaged_files_are_refused(tmp_path, file, cut, refused):
    spec = file(lambda opened: opened.__setitem__("images", IMAGES))
    path = tmp_path / "a.h5"
    path.write_bytes(path.read_bytes()[:cut])
    with refused("a.h5"):
        load(spec)
