"""Archives from strangers."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from reparam.data import load
from reparam.data.io import archives
from reparam.data.io.archives import ZipTree, read_tar


def picture():
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, "PNG")
    return buffer.getvalue()


def make(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def good(n=5):
    return [(f"{i}.png", picture()) for i in range(n)]


@pytest.mark.parametrize(
    "name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:/evil.png", "..\\evil.png", "\\evil.png"]
)
def test_members_that_leave_the_archive_are_refused(tmp_path, name, refused):
    path = make(tmp_path / "z.zip", [*good(), (name, picture())])
    with refused("points outside of it"):
        load(f"folder:{path}")
    assert {p.name for p in tmp_path.iterdir()} == {"z.zip"}


def test_links_are_refused(tmp_path, refused):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with refused("holds a link"):
        load(f"folder:{make(tmp_path / 'z.zip', [*good(), (link, '/etc/passwd')])}")


def test_passwords_are_refused(tmp_path, refused):
    path = make(tmp_path / "z.zip", good())
    data = bytearray(path.read_bytes())
    for start, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(start)
        data[at + flags] |= 1
    path.write_bytes(data)
    with refused("password"):
        load(f"folder:{path}")


def test_a_bomb_of_one_large_member_is_refused_unread(tmp_path, refused):
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("0.png", "w") as member:
        for _ in range(257):
            member.write(bytes(2**20))
    with refused("more than the 256 MiB allowed: a zip bomb?"):
        load(f"folder:{path}")


def test_a_bomb_of_many_members_is_refused_unread(tmp_path, refused):
    path = make(tmp_path / "z.zip", [(f"{i}.png", bytes(2**22)) for i in range(26)], compression=zipfile.ZIP_DEFLATED)
    with refused("a zip bomb?"):
        load(f"folder:{path}")


def test_an_array_that_is_a_bomb_is_refused_unread(tmp_path, refused):
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((2**15, 64, 64), np.uint8))
    with refused("a zip bomb?", "numpy.savez"):
        load(f"array:{tmp_path / 'a.npz'}")


def test_a_member_that_declares_less_than_it_holds_gives_no_more(tmp_path, refused):
    """The declared size is a bound on what is read, not a hint: here a megabyte hides behind 1,000 bytes."""
    path = make(tmp_path / "z.zip", [("0.png", bytes(2**20))], compression=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    for start, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        at = data.find(start)
        data[at + offset : at + offset + 4] = struct.pack("<I", 1000)
    path.write_bytes(data)
    with ZipTree(path) as tree:
        assert tree.size("0.png") == 1000
        with refused("damaged"):
            tree.open("0.png")


def test_damaged_zips_are_refused(tmp_path, refused):
    path = make(tmp_path / "z.zip", good())
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with refused("not a zip"):
        load(f"folder:{path}")
    at = whole.find(b"IDAT")
    path.write_bytes(whole[:at] + b"oops" + whole[at + 4 :])
    with refused("'0.png' in"):
        load(f"folder:{path}")
    path.write_text("text")
    with refused("not a zip"):
        load(f"folder:{path}")


def tar(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            else:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data or b""))
    return path


def test_tar_gives_only_the_plain_members_asked_for(tmp_path):
    path = tar(tmp_path / "x.tgz", [("p/a", b"1"), ("p/b", b"2"), ("c", None), ("q/d", b"4")])
    assert read_tar(path, ("a", "c", "d")) == {"a": b"1", "d": b"4"}
    assert read_tar(io.BytesIO(path.read_bytes()), ("b",)) == {"b": b"2"}


@pytest.mark.parametrize("name", ["../a", "/a", "x/../../a"])
def test_tar_members_that_leave_it_are_refused(tmp_path, name, refused):
    with refused("points outside"):
        read_tar(tar(tmp_path / "x.tgz", [(name, b"1")]), ("a",))


def test_tar_bombs_and_damage_are_refused(tmp_path, refused):
    path = tar(tmp_path / "x.tgz", [("a", bytes(2**20)), ("b", bytes(2**20))])
    with refused("unpacks to more than 1 MiB"):
        read_tar(path, ("a",), limit=archives.MiB)
    path.write_bytes(path.read_bytes()[:-500])
    with refused("damaged"):
        read_tar(path, ("a",))
    for content in (b"text", b"", gzip.compress(b"text" * 1000)):
        path.write_bytes(content)
        with refused("damaged"):
            read_tar(path, ("a",))
