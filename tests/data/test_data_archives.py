"""Archives from strangers."""

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile

import pytest
from PIL import Image

from reparam.data import load
from reparam.data.io import archives
from reparam.data.io.archives import ZipTree
from reparam.data.io.tar import read_tar


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


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_methods_that_unpack_without_bound_are_refused(tmp_path, method, refused):
    with refused("is packed by", "('0.png')", "deflate"):
        load(f"folder:{make(tmp_path / 'z.zip', good(), compression=method)}")


def test_a_member_that_comes_twice_is_refused(tmp_path, refused):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = make(tmp_path / "z.zip", [*good(), ("0.png", b"another")])
    with refused("holds '0.png' twice"):
        load(f"folder:{path}")
    both = make(tmp_path / "both.zip", [("a/0.png", b""), ("a\\0.png", b"")])
    with refused("holds 'a/0.png' twice"):
        load(f"folder:{both}")


def test_a_member_without_a_name_is_refused(tmp_path, refused):
    with refused("a member without a name ('.')"):
        load(f"folder:{make(tmp_path / 'z.zip', [*good(), ('.', b'x')])}")


def test_backslashes_of_windows_are_folders(tmp_path):
    members = [(f"{name}\\{i}.png", picture()) for name in ("cat", "dog") for i in range(6)]
    path = make(tmp_path / "z.zip", [("cat\\", b""), *members])
    data = load(f"folder:{path}")
    assert data.classes == ("cat", "dog")
    assert sum(len(data.split(split)) for split in ("train", "validation", "test")) == 12


@pytest.mark.parametrize("name", ["z.zip", "a.npz", "a.npy"])
def test_a_pipe_is_refused_unread(tmp_path, name, refused):
    os.mkfifo(tmp_path / name)
    with refused("is not a plain file"):
        load(f"{'folder' if name == 'z.zip' else 'array'}:{tmp_path / name}")


def test_a_folder_name_of_thousands_of_digits_is_a_class(tmp_path):
    members = [(f"{name}/{i}.png", picture()) for name in ("10", "9", "1" * 5000) for i in range(3)]
    assert load(f"folder:{make(tmp_path / 'z.zip', members)}").classes == ("9", "10", "1" * 5000)


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


def blocks(*parts):
    """Each part filled up to 512 bytes."""
    return b"".join(part + bytes(-len(part) % 512) for part in parts)


def member(name, size=b"00000000001\0", kind=b"0", fix=True):
    """The header of a member of a tar."""
    head = name.ljust(100, b"\0") + bytes(24) + size.ljust(12, b"\0") + bytes(12) + b" " * 8 + kind + bytes(100)
    head += b"ustar\x0000" + bytes(512 - 265)
    checksum = b"%06o\0 " % (sum(head) + (0 if fix else 1))
    return head[:148] + checksum + head[156:]


END = bytes(1024)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (blocks(member(b"a"), b"1"), "cut short"),
        (blocks(member(b"a"), b"1", member(b"b", fix=False), b"2") + END, "differs from its checksum"),
        (blocks(member(b"a"), b"1") + END + b"more" + bytes(508), "there is more behind its end"),
        (blocks(member(b"a", b"\xff" * 12)), "for a number"),
        (blocks(member(b"a", b"-1")), "for a number"),
        (blocks(member(b"a", b"7" * 11)), "unpacks to more than"),
        (blocks(member(b"a", b"0", b"S")) + END, "type b'S'"),
        (blocks(member(b"", b"0")) + END, "without a name"),
        (blocks(member(b"a"), b"1", member(b"x/a"), b"2") + END, "holds 'a' twice"),
        (
            blocks(member(b"p", b"00000000013\0", b"x"), b"11 size=-1\n", member(b"a"), b"1") + END,
            "a member of '-1' bytes",
        ),
        (blocks(member(b"p", b"00000000036\0", b"x"), b"30 GNU.sparse.map=0,1,99,1234\n") + END, "with holes"),
        (blocks(member(b"p", b"00000000004\0", b"x"), b"999 ") + END, "a header that is not one"),
        (blocks(member(b"p", b"00077777777\0", b"L")), "a header of 16,777,215 bytes"),
    ],
)
def test_tar_headers_that_lie_are_refused(content, words, refused):
    with refused(words):
        read_tar(io.BytesIO(content), ("a", "b"))
    assert read_tar(io.BytesIO(blocks(member(b"x/a"), b"1") + END), ("a",)) == {"a": b"1"}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_in_every_form_of_tar(form):
    out, name = io.BytesIO(), "x" * 80 + "/" + "y" * 60 + "/a"
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for path in ("./", name, "é/b"):
            info = tarfile.TarInfo(path)
            info.type, info.size = (tarfile.DIRTYPE, 0) if path == "./" else (tarfile.REGTYPE, 3)
            archive.addfile(info, io.BytesIO(b"abc"))
    assert read_tar(io.BytesIO(out.getvalue()), ("a", "b")) == {"a": b"abc", "b": b"abc"}


def test_a_tar_that_unpacks_too_far_is_refused(tmp_path, refused):
    path = tmp_path / "x.tgz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(member(b"a", b"01000000000\0"))  # 128 MiB, of which nothing is there
    with refused("unpacks to more than 100 MiB"):
        read_tar(path, ("a",))


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_every_cut_of_a_tar_is_refused(tmp_path, mode, refused):
    path = tar(tmp_path / "x.tar", [("a", b"1" * 700)], mode)
    whole = path.read_bytes()
    for length in range(0, len(whole) if mode == "w:gz" else 512 + 1024, 7):
        path.write_bytes(whole[:length])
        with refused("damaged"):
            read_tar(path, ("a",))


def test_xz_is_no_tar_that_is_read(tmp_path, refused):
    with refused("damaged"):
        read_tar(tar(tmp_path / "x.tar.xz", [("a", b"1")], "w:xz"), ("a",))
