"""Valid files, small, and checksums set right in changed ones: without that a fuzzer would not get past them."""

import gzip
import io
import json
import math
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from random import Random

import numpy as np
import torch
from PIL import Image

from reparam.data.io.idx import idx_bytes
from reparam.latent.compression import CHECK, fitted

RNG = np.random.default_rng(0)
WHOSE = b"somebody"


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, np.uint8)


def npy(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=version)
    return out.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name in ("p/a", "x" * 90 + "/" + "y" * 60 + "/b", "é"):
            info = tarfile.TarInfo(name)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
    return out.getvalue()


def picture(kind: str, mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(noise(9, 10, 3)).convert(mode)
    image.save(out, kind, **options)
    return out.getvalue()


def pages(kind: str) -> bytes:
    some = [Image.fromarray(noise(9, 10, 3)) for _ in range(3)]
    out = io.BytesIO()
    some[0].save(out, kind, save_all=True, append_images=some[1:])
    return out.getvalue()


def sixteen_bits(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(RNG.integers(0, 65536, (9, 10)).astype(np.uint16)).save(out, kind)
    return out.getvalue()


def turned(kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture(kind, exif=exif)


def rpz(n: int, latent: int) -> bytes:
    z = torch.randn(n, latent, generator=torch.Generator().manual_seed(n))
    return fitted(z, torch.ones(latent), 400.0, WHOSE)


def index() -> bytes:
    """What a folder of shards holds beside its records."""
    files = [{"name": "images-00000.array_record", "records": 4, "bytes": 0}]
    facts = {
        "shape": [3, 9, 9],
        "classes": ["a", "b"],
        "splits": {"train": 2, "validation": 1, "test": 1},
        "notes": ["x"],
    }
    return json.dumps({"format": 1, **facts, "files": files, "sha256": "0" * 64}).encode()


def shared(x: str, y: str) -> bytes:
    return f"{x}\f{y}".encode()


ARRAYS = (
    noise(5, 9, 8),
    noise(5, 9, 8, 3).astype(">f4") / 255,
    np.asfortranarray(noise(5, 3, 8, 9)),
    noise(5, 8, 8) > 99,
)
LABELS = np.arange(6) % 2
SETS = (
    {"images": noise(6, 8, 8), "labels": LABELS},
    {"x_train": noise(6, 8, 8), "y_train": LABELS.astype(">i4"), "x_test": noise(2, 8, 8), "y_test": LABELS[:2]},
)
TARS = [tarred(form) for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
MEMBERS = {f"{name}/{i}.png": picture("PNG") for name in ("a", "b") for i in range(2)}
MALE = "2\nMale Smiling\na.jpg  1 -1\nb.jpg -1 -1\n"
ODD = "\ufeff2\r\nMale\r\na.jpg 1\r\nb.jpg -1\r\n"

SEEDS: dict[str, list[bytes]] = {
    "npy": [*map(npy, ARRAYS), npy(ARRAYS[0], (2, 0)), npy(ARRAYS[1], (3, 0))],
    "npz": [zipped({f"{name}.npy": npy(array) for name, array in arrays.items()}) for arrays in SETS],
    "zip": [zipped(MEMBERS), zipped(MEMBERS, zipfile.ZIP_STORED), zipped({"a\\x.png": b"", **MEMBERS})],
    "tar": [*TARS, gzip.compress(TARS[0])],
    "idx": [b"0" + idx_bytes(noise(3, 8, 8)), b"1" + gzip.compress(idx_bytes(noise(3, 8, 8))), b"0" + idx_bytes(noise(5))],
    "lists": [
        shared(MALE, "a.jpg 0\nb.jpg 1\nc.jpg 2\n"), shared(ODD, "a.jpg 0\r\n"), b"Some_One 1\nSome_Two 12\n",
        shared("1 001.Bird/a.jpg\n2 002.Bird/b.jpg\n", "1 1\n2 0\n"),
    ],
    "cifar": [b"".join(bytes([i]) + noise(3072).tobytes() for i in range(7))],
    "png": [
        picture("PNG"), picture("PNG", "P", transparency=3), picture("PNG", "RGBA"), picture("PNG", "LA"), picture("PNG", "1"),
        sixteen_bits("PNG"), pages("PNG"), turned("PNG"),
    ],
    "jpeg": [
        picture("JPEG"), picture("JPEG", "L"), picture("JPEG", "CMYK"), picture("JPEG", progressive=True), turned("JPEG"),
    ],
    "gif": [picture("GIF"), picture("GIF", "P", transparency=3), pages("GIF")],
    "tiff": [
        picture("TIFF"), picture("TIFF", "CMYK"), sixteen_bits("TIFF"), pages("TIFF"), picture("TIFF", compression="tiff_lzw"),
        picture("TIFF", "1", compression="group4"), picture("TIFF", compression="tiff_adobe_deflate"),
        picture("TIFF", compression="jpeg"),
    ],
    "webp": [picture("WEBP"), picture("WEBP", lossless=True), picture("WEBP", "RGBA"), pages("WEBP")],
    "bitmap": [
        picture("BMP"), picture("BMP", "P"), picture("BMP", "1"), picture("PPM"), picture("PPM", "L"), picture("PPM", "1"),
    ],
    "rpz": [rpz(3, 2), rpz(40, 1), rpz(5, 6)],
    "shards": [b"0" + index(), b"1" + npy(LABELS[:4]), b"2" + picture("PNG")],
}  # fmt: skip


def repaired_png(data: bytes) -> bytes:
    out, place = bytearray(data), 8
    while place + 12 <= len(out):
        (length,) = struct.unpack_from(">I", out, place)
        end = place + 8 + length
        if end + 4 > len(out):
            break
        struct.pack_into(">I", out, end, zlib.crc32(out[place + 4 : end]))
        place = end + 4
    return bytes(out)


def repaired_tar(data: bytes) -> bytes:
    out = bytearray(data)
    for place in range(0, len(out) - 511, 512):
        if out[place + 257 : place + 262] == b"ustar":
            out[place + 148 : place + 156] = b" " * 8
            out[place + 148 : place + 156] = b"%06o\0 " % sum(out[place : place + 512])
    return bytes(out)


def repaired_rpz(data: bytes) -> bytes:
    body = b"RPZ\x01" + WHOSE + data[12 : -CHECK.size]
    return body + CHECK.pack(zlib.crc32(body))


def repaired_zip(data: bytes) -> bytes:
    """The checksums of the central directory are those of what the members hold."""
    out = bytearray(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                start = info.header_offset + 30 + len(info.orig_filename.encode()) + len(info.extra)
                packed = data[start : start + min(info.compress_size, 10**6)]
                content = zlib.decompressobj(-15).decompress(packed, 10**6) if info.compress_type else packed
                old, new = struct.pack("<I", info.CRC), struct.pack("<I", zlib.crc32(content))
                out = out.replace(old, new)
    except Exception:
        return data
    return bytes(out)


def filled(head: bytes, data: bytes, size: int) -> bytes:
    """So many bytes behind a header, where that is few."""
    return head + (data + bytes(size))[:size] if 0 <= size <= 40_000 else head + data


def repaired_npy(data: bytes) -> bytes:
    """The length of the header is right, and about as many bytes follow as it promises."""
    start, end = data.find(b"{"), data.find(b"}")
    if not 0 < start < end:
        return data
    text = data[start : end + 1]
    head = b"\x93NUMPY\1\0" + struct.pack("<H", min(len(text), 65535)) + text
    shape = re.findall(rb"-?[0-9]{1,30}", text.partition(b"'shape'")[2])
    width = re.search(rb"'descr': '[^']*?([0-9]{1,3})'", text)
    return filled(head, data[end + 1 :].lstrip(b" \n"), math.prod(map(int, shape)) * int(width[1] if width else 1))


def repaired_idx(data: bytes) -> bytes:
    """About as many bytes follow as the header promises, in as many dimensions as can be read."""
    ndim = 3 if data[4:5] != b"\1" else 1
    end = 5 + 4 * ndim
    if data[:1] == b"1" or len(data) < end:
        return data
    head = data[:1] + struct.pack(">HBB", 0, 8, ndim) + data[5:end]
    return filled(head, data[end:], math.prod(struct.unpack(f">{ndim}I", data[5:end])))


NUMBERS = ("0", "-1", "-8", "1", "7", "2147483648", "9223372036854775808", "9" * 20, "9" * 5000, "True", "1.5", '"x"')


def renumbered(data: bytes, random: Random) -> bytes:
    """One to three of the numbers that a text begins with are others."""
    for _ in range(random.randint(1, 3)):
        found = list(re.finditer(rb"-?[0-9]+", data[:1000]))
        if found:
            chosen = random.choice(found)
            data = data[: chosen.start()] + random.choice(NUMBERS).encode() + data[chosen.end() :]
    return data


# Words that the formats know, which bytes by chance are seldom.
WORDS = (
    *("-", "-1", "-8", "0", "(0, ", "9" * 20, "9" * 5000, "True", "'|V0'", "'|O'", "'<U0'", "'8u1'", "[('a', 'u1')]"),
    *("ustar", "size=", "path=", "GNU.sparse", "IHDR", "IDAT", "acTL", "tRNS", "eXIf", "PK\1\2", "\\", "../", "\ufeff"),
)


TEXTUAL = ("npy", "lists", "shards")  # numbers are written out

REPAIRS: dict[str, Callable[[bytes], bytes]] = {
    "npy": repaired_npy, "idx": repaired_idx,
    "png": repaired_png, "tar": repaired_tar, "rpz": repaired_rpz, "zip": repaired_zip, "npz": repaired_zip,
    "shards": lambda data: data[:1] + repaired_png(data[1:]) if data[:1] == b"2" else data,
}  # fmt: skip
