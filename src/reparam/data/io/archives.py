"""Folders and archives, read member by member; nothing is ever unpacked to disk.

Archives come from strangers: names that leave the archive, links, passwords and sizes beyond the limits below are
refused before anything is read, and no more is read than a member declares.
"""

import io
import os
import stat
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol, Self

from reparam.errors import DataError, escaped, suggest
from reparam.files import why_not_read

ARRAY_FILES = (".npy", ".npz", ".h5", ".hdf5", ".csv")  # in which `array:` finds arrays

MiB, GiB = 2**20, 2**30
MEMBER_LIMIT = 256 * MiB  # one picture, packed or not
TOTAL_LIMIT = 64 * GiB  # a whole archive, unpacked
ALWAYS_ALLOWED = 100 * MiB  # unpacked, however small the archive
RATIO_LIMIT = 200  # unpacked over packed, beyond that; deflate itself reaches 1032
_OTHER_METHODS = {9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz"}
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # with other methods, `read(n)` may unpack far more than n bytes


def require(path: Path) -> None:
    """Raises `DataError`, with the nearest name beside it, where nothing is at `path`, or what is there may not be read."""
    try:
        path.stat()
        return
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise DataError(why_not_read(path, error)) from None
    parent = path.parent
    near = suggest(path.name, [p.name for p in parent.iterdir()]) if parent.is_dir() else f"; nor does {parent}"
    raise DataError(f"{path} does not exist{near or '; check the path'}")


def read_plain(path: Path) -> bytes:
    """What a file holds. Raises `DataError` where it is no plain file."""
    if path.exists():
        require_plain(path)
    return path.read_bytes()


def require_plain(path: Path) -> None:
    """Raises `DataError` for what is no plain file."""
    if not path.is_file():  # reading a pipe would wait for ever
        raise DataError(f"{path} is not a plain file: give one")


class FolderTree:
    """Some files of a folder, by relative name with `/`, sorted."""

    def __init__(self, path: Path, names: Collection[str]) -> None:
        self.where, self.names = str(path), tuple(sorted(names))

    def size(self, name: str) -> int:
        return Path(self.where, name).stat().st_size

    def open(self, name: str) -> BinaryIO:
        """Raises `DataError` where it is too large or not a plain file."""
        path = Path(self.where, name)
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
            raise DataError(f"{path} is not a plain file: remove it from the folder")
        if status.st_size > MEMBER_LIMIT:
            raise DataError(f"{path} has {status.st_size // MiB} MiB, more than {MEMBER_LIMIT // MiB} MiB: remove it")
        return path.open("rb")


class ZipTree:
    """The plain members of a zip, by name, sorted; checked before the first is read. After it was closed, and in another
    process, the file is opened anew: an open file's position would be shared."""

    def __init__(self, path: Path, member_limit: int = MEMBER_LIMIT) -> None:
        self.where = str(path)
        self._zip: zipfile.ZipFile | None = None
        self._process = 0
        require_plain(path)
        try:
            infos = self._archive().infolist()
        except PermissionError:
            raise
        except Exception as error:  # the module raises almost anything on damaged data
            raise DataError(f"{path} is not a zip that can be read ({_reason(error)}): pack it again") from error
        self._members: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            self._check(info, member_limit)
            name = info.filename.replace("\\", "/")  # as some programs of Windows write
            if name.endswith("/"):
                continue
            if name in self._members:
                raise DataError(f"{path} holds '{escaped(name)}' twice: pack it again with one of the two")
            self._members[name] = info
        total, packed = sum(info.file_size for info in infos), path.stat().st_size
        if total > unpacked_limit(packed):
            remedy = (
                "save it with numpy.savez"
                if path.suffix.lower() == ".npz"
                else "unpack it yourself and give the folder"
            )
            limits = f"{RATIO_LIMIT} times or {TOTAL_LIMIT // GiB} GiB"
            sizes = f"from {packed // 1024:,} KiB to {total // MiB:,} MiB"
            raise DataError(f"{path} unpacks {sizes}, beyond {limits} (a zip bomb?): {remedy}")
        self.names = tuple(sorted(self._members))

    def _check(self, info: zipfile.ZipInfo, member_limit: int) -> None:
        check_name(info.orig_filename, self.where)
        name = f"'{escaped(info.filename)}'"
        if stat.S_ISLNK(info.external_attr >> 16):
            raise DataError(f"{self.where} holds a link ({name}): pack the file itself")
        if info.flag_bits & 1:
            raise DataError(f"{self.where} is locked with a password ({name}): pack it without")
        if info.compress_type not in _METHODS:
            method = _OTHER_METHODS.get(info.compress_type, f"method {info.compress_type}")
            raise DataError(f"{self.where} is packed by {method} ({name}): pack it by deflate, as zip does by default")
        if info.file_size > member_limit:
            declared = f"{info.file_size // MiB:,} MiB for {name}, more than the {member_limit // MiB:,} MiB"
            raise DataError(f"{self.where} declares {declared} allowed: a zip bomb? remove that member")

    def size(self, name: str) -> int:
        return self._members[name].file_size

    def open(self, name: str) -> BinaryIO:
        """Raises `DataError` where it is damaged."""
        declared = self.size(name)
        try:
            with self._archive().open(self._members[name]) as member:
                data = member.read(declared + 1)
        except PermissionError:
            raise
        except Exception as error:
            raise DataError(
                f"'{escaped(name)}' in {self.where} is damaged ({_reason(error)}): pack the zip again"
            ) from error
        if len(data) != declared:
            raise DataError(
                f"'{escaped(name)}' in {self.where} has {len(data):,} bytes and declares {declared:,}: pack it again"
            )
        return io.BytesIO(data)

    def _archive(self) -> zipfile.ZipFile:
        if self._zip is None or self._process != os.getpid():
            self._zip, self._process = zipfile.ZipFile(self.where), os.getpid()
        return self._zip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive().close()
        self._zip = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_zip": None}


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class Tree(Protocol):
    """Files below a folder, in an archive, or made of these, by name."""

    where: str
    names: tuple[str, ...]

    def size(self, name: str) -> int: ...

    def open(self, name: str) -> BinaryIO:
        """Raises `DataError` where it cannot be read."""
        ...


@contextmanager
def open_tree(path: Path) -> Iterator[Tree]:
    """The folder or .zip at `path`. Raises `DataError` where there is neither."""
    require(path)
    if path.is_dir():
        yield FolderTree(path, _files_below(path))
    elif path.suffix.lower() == ".zip":
        with ZipTree(path) as tree:
            yield tree
    else:
        other = f", or --data array:{path} for arrays" if path.suffix.lower() in ARRAY_FILES else ""
        raise DataError(
            f"{path} is a file, neither a folder nor a .zip: give the folder that holds the pictures{other}"
        )


def _files_below(path: Path) -> list[str]:
    """Names of the files below a folder. Links are followed, each folder once."""
    names: list[str] = []
    seen: set[str] = set()
    for folder, folders, files in os.walk(path, followlinks=True, onerror=_refuse):
        real = os.path.realpath(folder)
        if real in seen:  # a link back to where we have been
            folders.clear()
            continue
        seen.add(real)
        names += [Path(folder, file).relative_to(path).as_posix() for file in files]
    return names


def _refuse(error: OSError) -> None:
    raise DataError(f"cannot list {error.filename} ({error.strerror}): make it readable") from error


def check_name(name: str, where: object) -> None:
    """Raises `DataError` for a member's name that is none, or leaves the archive."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts and not name.endswith("/"):
        raise DataError(f"{where} holds a member without a name ({name!r}): pack it again")
    if ".." in parts or name.startswith(("/", "\\")) or ":" in name[:2] or "\0" in name:
        raise DataError(f"{where} holds a member that points outside of it ({name!r}): do not trust this archive")


def unpacked_limit(packed: int) -> int:
    """The most bytes that an archive of so many may unpack to."""
    return min(TOTAL_LIMIT, max(ALWAYS_ALLOWED, RATIO_LIMIT * packed))
