"""Picture files that are not whole, have several pages, or cannot be read; and that strips change nothing."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from reparam.data import DataOptions, load
from reparam.data.io import pictures
from reparam.data.io.picture_files import pages

RNG = np.random.default_rng(0)
SPLITS = ("train", "validation", "test")


def noise(side=16, channels=3):
    return Image.fromarray(RNG.integers(0, 256, (side, side, channels), np.uint8).squeeze())


def saved(kind, picture=None, **options):
    out = io.BytesIO()
    (picture or noise()).save(out, kind, **options)
    return out.getvalue()


def folder(path, n=5, bad=None):
    path.mkdir(exist_ok=True)
    for i in range(n):
        (path / f"{i}.png").write_bytes(saved("PNG"))
    for name, data in (bad or {}).items():
        (path / name).write_bytes(data)
    return path


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_every_cut_is_refused(tmp_path, kind, refused):
    whole = saved(kind)
    path = folder(tmp_path / "p") / f"x.{kind.lower()}"
    for length in [*range(len(whole) - 30, len(whole)), *range(0, len(whole) - 30, 97)]:
        path.write_bytes(whole[:length])
        with refused(path.name):
            load(f"folder:{path.parent}")
    path.write_bytes(whole)
    load(f"folder:{path.parent}")


def test_every_changed_byte_of_a_png_is_refused(tmp_path, refused):
    whole = saved("PNG", noise(8))
    path = folder(tmp_path / "p") / "x.png"
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0x10]) + whole[i + 1 :])
        with refused(path.name):
            load(f"folder:{path.parent}")


def test_what_follows_a_whole_picture_does_no_harm(tmp_path):
    bad = {f"x.{kind}": saved(kind) + b"more" for kind in ("png", "gif", "jpeg")}
    assert sum(len(load(f"folder:{folder(tmp_path / 'p', bad=bad)}").split(s)) for s in SPLITS) == 8


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
@pytest.mark.parametrize("stream", [False, True])
def test_further_pages_are_noted(tmp_path, kind, stream):
    some = [noise() for _ in range(4)]
    data = saved(kind, some[0], save_all=True, append_images=some[1:])
    path = folder(tmp_path / "p", bad={f"{i}.{kind.lower()}": data for i in range(2)})
    notes = load(f"folder:{path}", DataOptions(stream=stream)).notes
    assert "2 files have several pages or frames, of which the first is read: 6 are left out" in notes
    assert not any("pages" in note for note in load(f"folder:{folder(tmp_path / 'q')}").notes)


def test_pages_of_a_big_tiff_and_of_one_that_goes_round_in_circles():
    entry = struct.pack("<HHQQ", 256, 4, 1, 16)
    big = b"II" + struct.pack("<HHHQ", 43, 8, 0, 16)
    big += struct.pack("<Q", 1) + entry + struct.pack("<Q", 52)  # at 16, as long as 36 bytes
    big += struct.pack("<Q", 1) + entry + struct.pack("<Q", 0)
    assert pages(io.BytesIO(big), "TIFF", Image.new("L", (8, 8))) == 2
    loop = b"MM" + struct.pack(">HI", 42, 8) + struct.pack(">HI", 0, 8)
    assert pages(io.BytesIO(loop), "TIFF", Image.new("L", (8, 8))) == 1
    with pytest.raises(ValueError, match="outside"):
        pages(io.BytesIO(loop[:6] + b"\xff" * 8), "TIFF", Image.new("L", (8, 8)))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


BAD = {
    "text.png": b"just text",
    "small.png": saved("PNG", noise(4)),
    "cut.png": saved("PNG")[:-200],
    "late.png": saved("PNG")[:-1],
    "cut.gif": saved("GIF")[:-1],
    "thin.bmp": saved("BMP", Image.new("L", (60_000, 1))),
}


@pytest.mark.parametrize("stream", [False, True])
def test_one_error_names_every_picture_that_cannot_be_read(tmp_path, stream, refused):
    path = folder(tmp_path / "p", bad=BAD)
    with refused(f"{path} holds 6 pictures that cannot be read: ", *BAD, "1 x 60000 pixels", "--damaged skip"):
        load(f"folder:{path}", DataOptions(stream=stream))


def test_of_many_twenty_are_named_and_the_others_counted(tmp_path, refused):
    path = folder(tmp_path / "p", bad={f"bad{i:02}.png": b"text" for i in range(25)})
    with refused("25 pictures that cannot be read", "bad00.png", "bad19.png", "; and 5 more (or leave"):
        load(f"folder:{path}")
    with pytest.raises(Exception, match="^((?!bad20).)*$"):
        load(f"folder:{path}")


def test_skipping_reads_as_if_they_were_not_there(tmp_path):
    bad = {**BAD, "far.png": saved("PNG", noise(200))[:-500]}  # alone of another size, which would change that of all
    path = folder(tmp_path / "p", n=12, bad=bad)
    data = load(f"folder:{path}", DataOptions(damaged="skip"))
    note = next(note for note in data.notes if "left out" in note)
    assert "cannot be read are left out: 7 (" in note
    assert all(name in note for name in bad)
    for name in bad:
        (path / name).unlink()
    clean = load(f"folder:{path}")
    assert data.fingerprint == clean.fingerprint
    assert data.notes[-1] == clean.notes[-1]


def test_skipping_leaves_enough_or_says_so(tmp_path, refused):
    path = folder(tmp_path / "p", n=2, bad={"x.png": b"text"})
    with refused("2 readable pictures"):
        load(f"folder:{path}", DataOptions(damaged="skip"))


def test_pairs_name_every_bad_image_and_mask(tmp_path, refused):
    for side, channels in (("images", 3), ("masks", 1)):
        folder(tmp_path / side)
        for i in range(5):
            (tmp_path / side / f"{i}.png").write_bytes(saved("PNG", noise(channels=channels)))
    (tmp_path / "images" / "1.png").write_bytes(b"text")
    (tmp_path / "masks" / "2.png").write_bytes(saved("PNG")[:-1])
    with refused("2 pictures that cannot be read", "images/1.png", "masks/2.png"):
        load(f"pairs:{tmp_path}")


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(RNG.integers(0, 65536, (40, 24)).astype(np.uint16)),
        noise(40, 4),
        noise(40, 1),
        noise(40).convert("CMYK"),
        noise(40).quantize(16),
        noise(40, 1).convert("1"),
    ],
    ids=["16 bits", "transparent", "grey", "CMYK", "palette", "black and white"],
)
def test_strips_change_nothing(monkeypatch, picture):
    if picture.mode == "P":
        picture.info["transparency"] = 3
    whole = pictures.flat(picture)
    monkeypatch.setattr(pictures, "_STRIP", 100)
    strips = pictures.flat(picture)
    assert strips.mode == whole.mode
    assert np.array_equal(np.asarray(strips), np.asarray(whole))


def test_a_mask_of_inks_is_no_grey(tmp_path, refused):
    for side in ("images", "masks"):
        (tmp_path / side).mkdir()
        for i in range(3):
            (tmp_path / side / f"{i}.tif").write_bytes(saved("TIFF", Image.new("CMYK", (8, 8), (i, i, i, i))))
    with refused("has colours of another kind (CMYK)"):
        load(f"pairs:{tmp_path}")


@pytest.mark.parametrize("name", ["a\nb", "x\x1b[31m", "caf\udce9"])
def test_classes_are_named_in_a_line_of_utf_8(tmp_path, name):
    for other in (name, "plain"):
        folder(tmp_path / other)
    data = load(f"folder:{tmp_path}")
    assert all(c.isprintable() and c.encode("utf-8") for c in data.classes)
    assert len(data.classes) == 2
    assert bool((torch.bincount(data.train.labels) == 4).all())
