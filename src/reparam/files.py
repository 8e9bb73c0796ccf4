"""Writing so that a kill, a full disk or a power cut leaves either the old file or the new one, never half of one."""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError

from reparam.errors import ConfigError, ReparamError, RunError, short

LONGEST_NAME = 120  # bytes; file systems take 255, and names get endings
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f\ud800-\udfff/\\:*?"<>|]')  # surrogates: of file names that are not UTF-8
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices of Windows
PARTIAL = ".partial"  # ends the name of a file that is being written; a killed process leaves one behind
LOST = "restore it from a copy, or train the run again"
LARGEST_DOCUMENT = 64 << 20  # bytes of a JSON document; Reparam's own have some kilobytes
DEEPEST = 50  # levels of one in another


def sweep(folder: Path) -> None:
    """Removes what killed processes left half-written in a folder that nobody else is writing to."""
    for path in folder.rglob(f".*{PARTIAL}"):
        path.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Where downloads and feature networks are kept: REPARAM_CACHE, else XDG_CACHE_HOME/reparam, else ~/.cache/reparam."""
    if chosen := os.environ.get("REPARAM_CACHE"):
        return user_path(chosen).absolute()
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").absolute() / "reparam"


def user_path(written: str | Path) -> Path:
    """A path as a person writes it, `~` and `~NAME` for home folders, `./~NAME` for what has such a name itself. The result does
    not begin with `~`: it can be given again. Raises ConfigError where there is no such user or home."""
    text = str(written)
    try:
        path = Path(text).expanduser() if text.startswith("~") else Path(text)
    except (RuntimeError, ValueError):  # ValueError: no user can have such a name
        remedy = f"write the path in full, or './{text}' for what is so named in the current folder"
        if text == "~/.cache":
            remedy = "set REPARAM_CACHE to a folder of yours"
        raise ConfigError(f"{short(text)} names a home folder that is not known: {remedy}") from None
    return path.absolute() if str(path).startswith("~") else path  # to pathlib, ./~NAME is ~NAME


def state_folder() -> Path:
    """Where Reparam remembers what this user did: REPARAM_STATE, else XDG_STATE_HOME/reparam, else ~/.local/state/reparam.

    Raises ReparamError where it would depend on the current folder, which may be somebody else's."""
    try:
        chosen = os.environ.get("REPARAM_STATE")
        whole = Path(chosen).expanduser() if chosen else _state_home() / "reparam"
    except RuntimeError as error:
        raise ReparamError(f"there is no home folder ({error}): set REPARAM_STATE to a folder of yours") from None
    if not whole.is_absolute():
        raise ReparamError(f"REPARAM_STATE is '{chosen}', which depends on the current folder: give an absolute path")
    return whole


def _state_home() -> Path:
    chosen = Path(os.environ.get("XDG_STATE_HOME", ""))
    return chosen if chosen.is_absolute() else Path.home() / ".local" / "state"  # relative ones are to be ignored


def make_folder(path: Path) -> None:
    """Raises ReparamError with the remedy where it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReparamError(why_not_written(path, error)) from error


def refuse_link(path: Path) -> None:
    """Raises ReparamError where `path` itself is a symbolic link: what is written there would land elsewhere."""
    if path.is_symlink():
        raise ReparamError(
            f"{path} is a symbolic link, and what is written would land elsewhere: remove it, or put a copy there"
        )


def append_to(path: Path) -> BinaryIO:
    """A plain file that is written in place, made where it is missing. Raises ReparamError for a symbolic link, a
    pipe, a device."""
    refuse_link(path)
    if path.exists() and not path.is_file():
        raise ReparamError(f"{path} is not a plain file: remove it")
    aside = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # should it be exchanged between
    try:
        return open(path, "ab", opener=lambda name, flags: os.open(name, flags | aside, 0o666))
    except OSError as error:
        raise ReparamError(why_not_written(path, error)) from error


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """`write(temporary)` in the same folder, then sync and rename, which replaces a symbolic link. Raises ReparamError with the
    remedy if the disk refuses."""
    _require_name(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Of a long name a part: the temporary name must not be too long where the name itself is not.
        begun = path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}{PARTIAL}")
        os.close(os.open(begun, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # less the process's umask
        temporary = begun
        mode = temporary.stat().st_mode
        write(temporary)
        temporary.chmod(mode)  # safetensors replaces the file by one that only its owner may read
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except (OSError, SafetensorError) as error:
        raise ReparamError(why_not_written(path, error)) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _require_name(path: Path) -> None:
    """An empty text (a shell variable that is not set) is the current folder."""
    if not path.name:
        raise ConfigError(f"'{path}' is a folder that is there already: give a name to write to")


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows does not open folders, nor need it
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# What is wrong with a path itself, whatever was to be done with it, and what helps.
_OF_PATHS = {
    errno.ENOENT: "it does not exist: check the path",
    errno.ENOTDIR: "a part of it is a file, not a folder: check the path",
    errno.EISDIR: "it is a folder, not a file: check the path",
    errno.ELOOP: "its links lead in a circle, or are not to be followed: give the file itself",
    errno.ENAMETOOLONG: "its name is too long: take a shorter one",
    errno.EIO: "its disk or network drive fails: see to that, and try again; the file may be whole",
    errno.ESTALE: "its network drive has lost it: see to that, and try again; the file may be whole",
    errno.EMFILE: "too many files are open: end other programs, or raise 'ulimit -n'",
}
_FULL = {
    errno.ENOSPC: "no space left on the disk for {path}: free some",
    errno.EDQUOT: "your quota of disk space has no room for {path}: remove files of yours, or ask for more,",
    errno.EFBIG: "{path} is larger than a file may be here: raise 'ulimit -f', or choose another disk,",
}
_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # in the text of safetensors' errors, which have no number
_FORBIDDEN = (errno.EACCES, errno.EPERM)


def why_not_read(path: Path | str, error: OSError) -> str:
    """One line with the remedy. A file that may not be read, or not now, is neither missing nor damaged."""
    if error.errno in _FORBIDDEN:
        return f"not allowed to read {path}: change its permissions, or those of its folder"
    return f"cannot read {path}: {_OF_PATHS.get(error.errno or 0) or error.strerror or error}"


def why_not_written(path: Path | str, error: Exception) -> str:
    """One line with the remedy."""
    told = _OS_ERROR.search(str(error)) if isinstance(error, SafetensorError) else None
    code = int(told[1]) if told else getattr(error, "errno", None) or 0
    if code in _FULL:
        intact = "; what was written before is intact" if os.path.lexists(path) else ""
        return f"{_FULL[code].format(path=path)} and try again{intact}"
    if code in _FORBIDDEN or code == errno.EROFS:
        return f"not allowed to write {path}: choose another place, or change the folder's permissions"
    return f"cannot write {path}: {_OF_PATHS.get(code) or getattr(error, 'strerror', None) or error}"


def why_refused(error: OSError) -> str:
    """One line for what the system refused, where nobody closer to it knew more."""
    if error.filename is None:
        return f"the system refused ({error.strerror or error}): free space or memory, and try again"
    names = [name for name in (error.filename, error.filename2) if name is not None]
    explain = why_not_written if error.errno in (*_FULL, errno.EROFS) else why_not_read
    return explain(" and ".join(map(str, names)), error)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, PATH.unfinished, which becomes PATH when all is there, and is removed where that fails. Raises
    ConfigError where PATH holds something already, or a killed attempt was left."""
    refuse_link(path)
    _require_name(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        what = "not empty" if path.is_dir() else "no folder"
        raise ConfigError(f"{path} is there already and {what}: choose another --out, or remove it")
    begun = path.with_name(path.name + ".unfinished")
    if os.path.lexists(begun):
        raise ConfigError(f"{begun} is left of an attempt that did not end: remove it")
    make_folder(begun)
    try:
        yield begun
        try:
            begun.replace(path)
        except OSError as error:
            raise ReparamError(why_not_written(path, error)) from error
    except BaseException:
        shutil.rmtree(begun, ignore_errors=True)
        raise


def file_names(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Names from data as names of files: each is one part of a path on every system, and no two are one name on any (case,
    accents as two characters), nor one that is `taken`. What is a good name stays as it is; of another, what cannot stay becomes
    `_`, and eight digits of its SHA-256 keep it apart."""
    keys = {_as_compared(name) for name in taken}
    found = []
    for name in names:
        good = _part_of_path(name)
        if good != name or _as_compared(good) in keys:
            digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
            tries = (f"{good}-{digest}" + f"-{number}" * (number > 1) for number in count(1))
            good = next(one for one in tries if _as_compared(one) not in keys)
        keys.add(_as_compared(good))
        found.append(good)
    return found


def _part_of_path(name: str) -> str:
    """`name` without what some system refuses or reads as more than a name. A leading dot would hide the file."""
    good = _UNSAFE.sub("_", name).encode()[:LONGEST_NAME].decode(errors="ignore").rstrip(". ")
    return f"_{good[1:]}" if not good or good[0] == "." else f"_{good}" if _RESERVED.fullmatch(good) else good


def _as_compared(name: str) -> str:
    """Equal for names that some file system takes for one."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def write_text(path: Path, text: str) -> None:
    """As UTF-8; what it cannot hold (file names in another encoding, as Python reads them) is written as an escape."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8", errors="backslashreplace"))


def write_bytes(path: Path, data: bytes) -> None:
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def json_text(document: Any, **how: Any) -> str:
    """As JSON, which knows no NaN and no infinity: ValueError for a document that holds one. `how`: as json.dumps takes it."""
    return json.dumps(document, allow_nan=False, **how)


def document_text(document: Mapping[str, Any]) -> str:
    """What `write_json` writes."""
    return json_text(document, indent=2) + "\n"


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    write_text(path, document_text(document))


def read_json(path: Path, remedy: str = LOST) -> dict[str, Any]:
    """Raises RunError naming the file, with the remedy, if it is missing or no JSON object."""
    try:
        document = parse_json(read_limited(path, LARGEST_DOCUMENT))
    except ValueError as error:
        raise RunError(f"{path} is no valid JSON ({error}): {remedy}") from None
    if not isinstance(document, dict):
        raise RunError(f"{path} does not hold a JSON object: {remedy}")
    return document


def read_limited(path: Path, largest: int) -> bytes:
    """The bytes of a file of at most so many. Raises RunError for a larger one, and for one that cannot be read."""
    try:
        if not stat.S_ISREG((found := path.stat()).st_mode):  # a pipe would be waited for
            raise RunError(f"{path} is a folder, pipe or device, not a file: restore the file from a copy")
        if found.st_size > largest:
            raise RunError(f"{path} has {found.st_size:,} bytes, and such files have at most {largest:,}: restore it")
        return path.read_bytes()
    except OSError as error:
        raise RunError(why_not_read(path, error)) from None


def parse_json(data: bytes) -> Any:
    """Raises ValueError with the reason for what is no JSON, or is nested deeper than anything that Reparam writes."""
    try:
        document = json.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deep") from None
    level: list[Any] = [document]
    for _ in range(DEEPEST):
        level = [part for one in level if isinstance(one, dict | list) for part in _parts(one)]
        if not level:
            return document
    raise ValueError("nested too deep")


def _parts(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
