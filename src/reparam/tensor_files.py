"""Files of tensors: safetensors with metadata and a digest of both, checked when they are read."""

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from reparam.errors import RunError
from reparam.files import LOST, json_text, parse_json, why_not_read, write_atomically

METADATA = "reparam"  # the entry in the header of a safetensors file
SHA256 = "sha256:"  # begins a digest
_DIGESTED = re.compile(rf'\{{"digest": "({SHA256}[0-9a-f]{{64}})"(?:, )?(.*)', re.DOTALL)
# torch's text, where a file goes after safetensors has seen it.
_NOT_OPENED = re.compile(r"unable to open file .* \((\d+)\)$")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """A safetensors file; `metadata` is stored as one JSON string, so both become visible in the same instant. It begins with a
    digest of both."""
    plain: dict[str, Tensor] = {}
    written = set()
    for name, tensor in tensors.items():
        value = tensor.detach().to("cpu", copy=False).contiguous()
        storage = value.untyped_storage().data_ptr()
        # Parts that share a parameter: the format has no references, so each name gets a copy.
        plain[name] = value.clone() if storage in written else value
        written.add(storage)
    text = json_text(metadata)
    # One entry: of several, the format does not keep the order, and equal contents would be unequal files.
    entry = {METADATA: json_text({"digest": digest(plain, text)}).removesuffix("}") + _rest(text)}
    write_atomically(path, lambda temporary: save_file(plain, temporary, entry))


def _rest(text: str) -> str:
    """The text of a JSON object as it continues another."""
    return text[1:] if text == "{}" else f", {text[1:]}"


def read_tensors(path: Path, device: str = "cpu", remedy: str = LOST) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, metadata) of a file that `write_tensors` wrote. Raises RunError, with the remedy, for a missing, damaged or
    foreign file. One without a digest, as earlier versions wrote them, is taken as it is."""
    with _opened(path, remedy) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
        header = _header(path, file, remedy)
    if header.digest and header.digest != digest(tensors, header.text):
        raise RunError(f"{path} is damaged (what it holds is not what was written): {remedy}")
    return {name: tensor.to(device) for name, tensor in tensors.items()}, header.metadata


def read_foreign(path: Path, remedy: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file that others wrote. Raises RunError, with the remedy, for a missing or damaged file, and
    for one of another format."""
    with _opened(path, remedy) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)


def read_metadata(path: Path, remedy: str = LOST) -> dict[str, Any]:
    """The metadata alone, which is in the first bytes; the digest is not checked."""
    with _opened(path, remedy) as file:
        return _header(path, file, remedy).metadata


def has_digest(path: Path) -> bool:
    """Whether a file has one, so that damage to it is noticed. Raises RunError for a missing or foreign file."""
    with _opened(path, LOST) as file:
        return bool(_header(path, file, LOST).digest)


class _Header(NamedTuple):
    """The metadata, its text, and the digest ("": none)."""

    metadata: dict[str, Any]
    text: str
    digest: str


@contextlib.contextmanager
def _opened(path: Path, remedy: str) -> Iterator[Any]:
    try:
        kind = path.stat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # a pipe would be waited for
            raise RunError(f"{path} is no file: {remedy}")
        path.open("rb").close()  # safetensors has errors of its own for folders and what cannot be read
        with safe_open(path, framework="pt", device="cpu") as file:
            yield file
    except OSError as error:
        raise _not_read(path, error, remedy) from None
    except RuntimeError as error:
        if not (refused := _NOT_OPENED.search(str(error))):
            raise
        raise _not_read(path, OSError(int(refused[1]), os.strerror(int(refused[1]))), remedy) from None
    except SafetensorError as error:
        raise RunError(f"{path} is {_what_it_is(path) or f'damaged ({error})'}: {remedy}") from None


def _not_read(path: Path, error: OSError, remedy: str) -> RunError:
    """What the system refuses is no damage."""
    return RunError(f"{path} does not exist: {remedy}" if error.errno == errno.ENOENT else why_not_read(path, error))


def _header(path: Path, file: Any, remedy: str) -> _Header:
    entries = file.metadata() or {}
    if METADATA not in entries:
        raise RunError(f"{path} is a safetensors file that Reparam has not written, or damaged: {remedy}")
    text, digest = entries[METADATA], ""
    if match := _DIGESTED.fullmatch(text):
        digest, text = match[1], "{" + match[2]
    try:
        metadata = parse_json(text.encode())
        # Damage to the digest's own name or value may not pass for a file without one.
        if not isinstance(metadata, dict) or (not digest and ("digest" in text or SHA256 in text)):
            raise ValueError("not as it was written")
    except ValueError as error:
        raise RunError(f"{path} is damaged (its metadata: {error}): {remedy}") from None
    return _Header(metadata, text, digest)


def digest(tensors: Mapping[str, Tensor], metadata: str = "") -> str:
    """SHA-256 of names, types, shapes and bytes of tensors on the CPU, and of the metadata. 100 MB take a tenth of a
    second where the processor has instructions for it."""
    found = hashlib.sha256(metadata.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(json_text([name, str(tensor.dtype), list(tensor.shape)]).encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return SHA256 + found.hexdigest()


# How files begin that are met where weights are expected, and what they are.
BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive, as torch.save writes pickles, which may run code and are not opened"),
    *((b"\x80" + bytes([protocol]), "a pickle, which may run code and is not opened") for protocol in range(2, 6)),
    (b"\x89HDF", "an HDF5 file (Keras)"),
    (b"GGUF", "a GGUF file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself ('git lfs pull' fetches it)"),
    (b"<", "a page of HTML or XML, as a failed download leaves it"),
)


def _what_it_is(path: Path) -> str:
    """What a file is that is no safetensors file; empty where it is not known."""
    try:
        with path.open("rb") as file:
            start = file.read(32)
    except OSError:
        return ""
    # A safetensors file: eight bytes of length, the last ones 0, which may begin like another file's, and JSON.
    if b"\0" in start[:8] and start[8:9] == b"{":
        return ""
    return next((what for beginning, what in BEGINNINGS if start.startswith(beginning)), "" if start else "empty")
