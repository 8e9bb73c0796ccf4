"""Tar archives, plain or gzipped, read as a stream and strictly: every header is checked, and the stream to its end, so that a
damaged archive is not taken for a shorter one.

Format: POSIX.1-2001 (pax), and GNU's long names. Names, links and sizes are as in `archives`.
"""

import gzip
import io
import re
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from reparam.data.io.archives import GiB, MiB, check_name, unpacked_limit
from reparam.errors import DataError, escaped

_BLOCK = 512
_CHUNK = 2**18
_PLAIN, _LINKS_AND_FOLDERS = b"0\x007", b"123456"  # types of members with and without contents
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"
_EXTENSION_LIMIT = MiB  # of the header that extends another


def read_tar(file: Path | BinaryIO, names: Collection[str], limit: int = GiB) -> dict[str, bytes]:
    """The plain members whose last name is in `names`, by that name; `file` is a path or a stream.

    Raises `DataError` for a damaged archive, a name that leaves it or comes twice, and more than `limit` bytes unpacked.
    """
    if isinstance(file, Path):
        limit = min(limit, unpacked_limit(file.stat().st_size))
        with file.open("rb") as opened:
            return _read(opened, names, limit, str(file))
    stream: io.BufferedReader[Any] = io.BufferedReader(cast(Any, file))
    try:
        return _read(stream, names, limit, "the archive")
    finally:
        stream.detach()  # it is the caller's to close


def _read(stream: "io.BufferedReader[Any]", names: Collection[str], limit: int, where: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        zipped = stream.peek(2)[:2] == b"\x1f\x8b"
        tar = _Tar(gzip.GzipFile(fileobj=stream) if zipped else stream, limit, where)
        for path, kind, size in tar.members():
            name = PurePosixPath(path).name
            if kind not in _PLAIN or name not in names:
                tar.skip(size)
            elif name in found:
                raise DataError(f"{where} holds '{escaped(name)}' twice: fetch it again")
            else:
                found[name] = tar.take(size)
            tar.skip(-size % _BLOCK)
    except (_DamageError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{where} is damaged ({error}): fetch it again") from error
    return found


class _DamageError(Exception):
    """What is wrong with an archive."""


class _Tar:
    """The members of an archive, one after the other. All that is read counts against the limit."""

    def __init__(self, stream: "gzip.GzipFile | io.BufferedReader[Any]", limit: int, where: str) -> None:
        self._stream, self._limit, self._where = stream, limit, where
        self._read = 0

    def take(self, size: int) -> bytes:
        """Exactly so many bytes."""
        self._count(size)
        data = self._stream.read(size)
        if len(data) != size:
            raise _DamageError("it is cut short")
        return data

    def skip(self, size: int) -> None:
        self._count(size)
        while size:
            block = self._stream.read(min(size, _CHUNK))
            if not block:
                raise _DamageError("it is cut short")
            size -= len(block)

    def _count(self, size: int) -> None:
        self._read += size
        if self._read > self._limit:
            raise DataError(
                f"{self._where} unpacks to more than {self._limit // MiB:,} MiB: it is not what it should be"
            )

    def members(self) -> Iterator[tuple[str, bytes, int]]:
        """Name, type and size; the contents, to a multiple of 512 bytes, are the caller's to take or skip."""
        long_name: str | None = None
        long_size: int | None = None
        while (header := self.take(_BLOCK)).strip(b"\0"):
            kind, size = header[156:157], _number(header[124:136])
            if _number(header[148:156]) != sum(header[:148]) + 8 * ord(" ") + sum(header[156:]):
                raise _DamageError("a header differs from its checksum")
            if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
                if size > _EXTENSION_LIMIT:
                    raise _DamageError(f"a header of {size:,} bytes")
                data = self.take(size)
                self.skip(-size % _BLOCK)
                if kind == _LONG_NAME:
                    long_name = _text(data)
                elif kind == _PAX:
                    records = _records(data)
                    long_name = records.get("path", long_name)
                    long_size = _decimal(records["size"]) if "size" in records else long_size
                continue
            name = _text(header[:100])
            if header[257:263] == b"ustar\0" and header[345:346] != b"\0":
                name = f"{_text(header[345:500])}/{name}"
            name, size = long_name or name, size if long_size is None else long_size
            long_name = long_size = None
            check_name(name, self._where)
            if kind not in _PLAIN + _LINKS_AND_FOLDERS:
                raise _DamageError(f"a member of type {kind!r}")
            yield name, kind, size if kind in _PLAIN else 0
        while block := self._stream.read(_CHUNK):
            self._count(len(block))
            if block.strip(b"\0"):
                raise _DamageError("there is more behind its end")


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    """An octal number. GNU's binary ones are of 8 GiB or more, or negative."""
    digits = field.strip(b"\0 ")
    if not re.fullmatch(rb"[0-7]{0,12}", digits):
        raise _DamageError(f"{field!r} for a number in a header")
    return int(digits or b"0", 8)


def _decimal(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise _DamageError(f"a member of {text[:20]!r} bytes")
    return int(text)


def _records(data: bytes) -> dict[str, str]:
    """The records `LENGTH KEY=VALUE` of a pax header."""
    found: dict[str, str] = {}
    while data:
        length, _, _ = data[:20].partition(b" ")
        size = _decimal(length.decode("latin-1"))
        key, equals, value = data[len(length) + 1 : size].partition(b"=")
        if size > len(data) or not equals or not value.endswith(b"\n"):
            raise _DamageError("a header that is not one")
        found[_text(key)] = _text(value[:-1])
        data = data[size:]
    if sparse := next((key for key in found if key.startswith("GNU.sparse")), None):
        raise _DamageError(f"a member with holes ({sparse})")
    return found
