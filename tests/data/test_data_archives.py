"""Archives from strangers."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile

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


def declare(path, *sizes):
    """Members declare other sizes than they have: what is refused by its declared size needs not be written."""
    data, start = bytearray(path.read_bytes()), {b"PK\3\4": (0, 22), b"PK\1\2": (0, 24)}
    for size in sizes:
        for magic, (at, offset) in start.items():
            at = data.find(magic, at)
            data[at + offset : at + offset + 4] = struct.pack("<I", size)
            start[magic] = (at + 4, offset)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("kind", "name", "sizes", "words"),
    [
        ("folder", "z.zip", [257 * 2**20], ["more than the 256 MiB allowed: a zip bomb?"]),
        ("folder", "z.zip", [2**22] * 26, ["a zip bomb?", "unpack it yourself"]),
        ("array", "a.npz", [2**27], ["a zip bomb?", "numpy.savez"]),
    ],
)
def test_bombs_are_refused_unread(tmp_path, kind, name, sizes, words, refused):
    path = make(tmp_path / name, [(f"{i}.png", b"x") for i in range(len(sizes))])
    with refused(*words):
        load(f"{kind}:{declare(path, *sizes)}")


def test_a_member_that_declares_less_than_it_holds_gives_no_more(tmp_path, refused):
    """The declared size is a bound on what is read, not a hint: here a megabyte hides behind 1,000 bytes."""
    path = make(tmp_path / "z.zip", [("0.png", bytes(2**20))], compression=zipfile.ZIP_DEFLATED)
    with ZipTree(declare(path, 1000)) as tree:
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
