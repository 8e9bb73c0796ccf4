"""Cases of headers, values, labels and names that no damage makes, but a program could write, or one who means harm."""

import io
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import inputs
import mutations
import numpy as np
from cases import Case


def opening(spec: str, *options: str) -> tuple[str, ...]:
    return "open", spec, *options


def written(file: str, data: bytes) -> Callable[[Path], None]:
    return lambda place: mutations.write(place / "in" / file, data)


def of_headers() -> Iterator[Case]:
    yield from _arrays()
    yield from _idx()
    yield from _zips()


def _npy(header: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin1", "replace")
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    size = struct.pack("<H", len(text)) if version[0] == 1 else struct.pack("<I", len(text))
    return b"\x93NUMPY" + version + size + text + body


def _arrays() -> Iterator[Case]:
    """Headers that a program could write, or one that means harm."""
    body = bytes(30 * 64)
    headers = {
        "a negative dimension": "{'descr': '|u1', 'fortran_order': False, 'shape': (-30, 8, 8), }",
        "two negative dimensions": "{'descr': '|u1', 'fortran_order': False, 'shape': (-30, -8, 8), }",
        "a huge dimension": "{'descr': '|u1', 'fortran_order': False, 'shape': (4611686018427387904, 8, 8), }",
        "dimensions whose product wraps to 0": "{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296, 8), }",
        "5,000 digits": f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({mutations.DIGITS}, 8, 8), }}",
        "a zero dimension": "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 8, 8), }",
        "no dimension": "{'descr': '|u1', 'fortran_order': False, 'shape': (), }",
        "40 dimensions": f"{{'descr': '|u1', 'fortran_order': False, 'shape': {(1,) * 37 + (30, 8, 8)}, }}",
        "70 dimensions": f"{{'descr': '|u1', 'fortran_order': False, 'shape': {(1,) * 67 + (30, 8, 8)}, }}",
        "a dimension that is a bool": "{'descr': '|u1', 'fortran_order': False, 'shape': (True, 8, 240), }",
        "a dimension that is a fraction": "{'descr': '|u1', 'fortran_order': False, 'shape': (30.0, 8, 8), }",
        "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (30, 8, 8), }",
        "records": "{'descr': [('a', '|u1'), ('b', '|u1')], 'fortran_order': False, 'shape': (15, 8, 8), }",
        "records with objects": "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (15, 8, 8), }",
        "text": "{'descr': '<U1', 'fortran_order': False, 'shape': (15, 4, 8), }",
        "dates": "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (15, 4, 4), }",
        "complex numbers": "{'descr': '<c8', 'fortran_order': False, 'shape': (15, 4, 4), }",
        "no width": "{'descr': '|V0', 'fortran_order': False, 'shape': (30, 8, 8), }",
        "an unknown type": "{'descr': '|z9', 'fortran_order': False, 'shape': (30, 8, 8), }",
        "a type that is a number": "{'descr': 5, 'fortran_order': False, 'shape': (30, 8, 8), }",
        "no shape": "{'descr': '|u1', 'fortran_order': False}",
        "another key": "{'descr': '|u1', 'fortran_order': False, 'shape': (30, 8, 8), 'x': 1}",
        "a call": "__import__('os').system('touch evil')",
        "deep": "(" * 3000 + ")" * 3000,
        "a NUL": "{'descr': '|u1\0', 'fortran_order': False, 'shape': (30, 8, 8), }",
        "markup": "<script>alert(1)</script>",
        "nothing": "",
    }
    for name, header in headers.items():
        data = _npy(header, body)
        yield _array_case("array, header", name, "bytes.npy", data, True)
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("images.npy", data)
        yield _array_case("array in .npz, header", name, "plain.npz", out.getvalue(), True)
    good = "{'descr': '|u1', 'fortran_order': False, 'shape': (30, 8, 8), }"
    for version in (b"\x02\x00", b"\x03\x00", b"\x04\x00", b"\x00\x00", b"\xff\xff"):
        yield _array_case(
            "array, header", f"version {version[0]}", "bytes.npy", _npy(good, body, version), version[0] not in (2, 3)
        )
    yield _array_case(
        "array, header", "a length beyond the file", "bytes.npy", b"\x93NUMPY\x02\x00" + b"\xff" * 4 + bytes(90), True
    )

    images = inputs.pixels(30, 8, 8)
    values = {
        "NaN": (np.where(images > 250, np.nan, images / 255), True),
        "infinity": (np.where(images > 250, np.inf, images / 255), True),
        "negative": (images / 255 - 0.5, True),
        "beyond 1": (images / 16, True),
        "1e300": (images * 1e298, True),
        "16 bits": (images.astype(np.uint16) * 256, False),
        "signed": (images.astype(np.int64) - 128, True),
        "one image": (images[:1], True),
        "no image": (images[:0], True),
        "flat": (images.reshape(30, -1), True),
        "two channels": (np.stack([images] * 2, -1), True),
        "five dimensions": (images[None, None], True),
        "one pixel": (images[:, :1, :1], True),
        "too large": (np.zeros((3, 600, 600), np.uint8), True),
        "a strip": (np.zeros((3, 8, 4000), np.uint8), False),
        "half precision": ((images / 255).astype(np.float16), False),
        "Fortran order": (np.asfortranarray(images), False),
        "big-endian floats": ((images / 255).astype(">f4"), False),
    }
    for name, (array, told) in values.items():
        out = io.BytesIO()
        np.save(out, array)
        yield _array_case("array, values", name, "bytes.npy", out.getvalue(), told)
    labels = {
        "too few": np.arange(20) % 3,
        "too many": np.arange(40) % 3,
        "negative": np.full(30, -2),
        "huge": np.full(30, 2**62),
        "unsigned": np.full(30, 2**63, np.uint64),
        "fractions": np.arange(30) / 2,
        "NaN": np.full(30, np.nan),
        "text": np.full(30, "cat"),
        "two columns": np.zeros((30, 2), int),
        "none": np.zeros(0, int),
        "a number": np.array(3),
        "dates": np.zeros(30, "M8[s]"),
    }
    for name, array in labels.items():
        out = io.BytesIO()
        np.savez(out, images=images, labels=array)
        yield _array_case("array, labels", name, "plain.npz", out.getvalue(), True)
    names = {
        "no images": ("stuff",),
        "two sets": ("images", "train_images"),
        "only test": ("test_images",),
        "none at all": (),
        "names that leave": ("../images",),
        "markup": ("<b>images</b>",),
        "a line break": ("ima\nges",),
        "300 characters": ("x" * 300,),
    }
    for name, keys in names.items():
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for key in keys:
                member = io.BytesIO()
                np.save(member, images)
                archive.writestr(f"{key}.npy", member.getvalue())
        yield _array_case("array, names", name, "plain.npz", out.getvalue(), True)


def _array_case(kind: str, name: str, file: str, data: bytes, told: bool) -> Case:
    return Case(kind, name, opening(f"array:IN/{file}"), "arrays", None, written(file, data), told)


def _idx() -> Iterator[Case]:
    body = inputs.pixels(30, 28, 28).tobytes()
    shapes = {
        "a huge dimension": (2**32 - 1, 28, 28),
        "all huge": (2**32 - 1,) * 3,
        "product beyond 64 bits": (2**31, 2**31, 4),
        "no images": (0, 28, 28),
        "no pixels": (30, 0, 28),
        "another side": (30, 14, 56),
        "one more": (31, 28, 28),
        "one fewer": (29, 28, 28),
    }
    for name, shape in shapes.items():
        data = bytes([0, 0, 8, 3]) + struct.pack(">3I", *shape) + body
        for source, suffix, pack in (
            ("mnist", "", bytes),
            ("mnist-gz", ".gz", lambda data: __import__("gzip").compress(data, 1)),
        ):
            file = f"train-images-idx3-ubyte{suffix}"
            yield Case(
                "IDX, header", f"{name}{suffix}", opening("mnist:IN"), source, None, written(file, pack(data)), True
            )
    for label in (10, 200, 255):
        data = bytes([0, 0, 8, 1]) + struct.pack(">I", 30) + bytes([label]) * 30
        yield Case(
            "IDX, header",
            f"label {label}",
            opening("mnist:IN"),
            "mnist",
            None,
            written("train-labels-idx1-ubyte", data),
            True,
        )


def _zips() -> Iterator[Case]:
    picture = inputs.packed(inputs.pixels(16, 16, 3))
    good = [(f"{c}/{i}.png", picture) for i in range(6) for c in "ab"]

    def case(
        name: str, members: list, told: bool, change: Callable[[bytes], bytes] = bytes, **options: int
    ) -> Iterator[Case]:
        out = io.BytesIO()
        with warnings.catch_warnings(), zipfile.ZipFile(out, "w", **options) as archive:
            warnings.simplefilter("ignore")
            for member, data in members:
                archive.writestr(member, data)
        damage = written("pictures.zip", change(out.getvalue()))
        yield Case("zip, members", name, opening("folder:IN/pictures.zip"), "zip-stored", None, damage, told)
        yield Case(
            "zip, members, on disk",
            name,
            opening("folder:IN/pictures.zip", "--stream"),
            "zip-stored",
            None,
            damage,
            told,
        )

    for name in ("../evil.png", "/etc/evil.png", "a/../../evil.png", "C:\\evil.png", "..\\evil.png", "a/\0/evil.png"):
        yield from case(f"a member {name!r}", [*good, (name, picture)], "\0" not in name)
    for name in (
        "x" * 300 + ".png",
        "a\nb/c.png",
        "<script>/x.png",
        "a/\x1b[31m.png",
        "/".join("d" * 300) + "/x.png",
        " /.png",
        ".png",
        "a/b.PNG",
    ):
        yield from case(f"a member {name[:40]!r}", [*good, (name, picture)], False)
    link = zipfile.ZipInfo("a/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    yield from case("a link", [*good, (link, "/etc/passwd")], True)
    yield from case("a member twice", [*good, good[0]], False)
    yield from case("a member's name as a folder", [*good, ("a/0.png/x.png", picture)], False)
    yield from case("no member", [], True)
    yield from case("a zip in it", [("inner.zip", zlib.compress(b"x"))], True)
    yield from case("text named .png", [*good, ("a/text.png", b"text")], True)
    yield from case("an empty .png", [*good, ("a/empty.png", b"")], True)
    yield from case("a bomb", [(f"a/{i}.png", bytes(2**24)) for i in range(8)], True, compression=zipfile.ZIP_DEFLATED)
    yield from case("a password", good, True, lambda data: _with_flag(data, 1))
    yield from case("strong encryption", good, True, lambda data: _with_flag(data, 0x41))
    yield from case(
        "an unknown compression",
        good,
        True,
        lambda data: data.replace(b"PK\1\2\x14\3\x14\0\0\0\0\0", b"PK\1\2\x14\3\x14\0\0\0\x63\0"),
    )
    yield from case("a comment", good, False, lambda data: data[:-2] + b"\x05\0hello")
    yield from case("more members than it has", good, False, lambda data: data[:-12] + b"\xff\xff" + data[-10:])
    yield from case("a directory beyond the file", good, True, lambda data: data[:-6] + b"\xff\xff\xff\x7f" + data[-2:])


def _with_flag(data: bytes, flag: int) -> bytes:
    changed = bytearray(data)
    for start, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(start)
        while at >= 0:
            changed[at + offset] |= flag
            at = data.find(start, at + 4)
    return bytes(changed)
