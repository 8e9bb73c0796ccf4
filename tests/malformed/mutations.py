"""What can be wrong with bytes, with the place of a file, with the lines of a text, with a JSON document."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

Region = tuple[int, int]  # of bytes: from, to
DIGITS = "9" * 5000


def of_bytes(data: bytes, random: Random, region: Region | None) -> Iterator[tuple[str, bytes, str]]:
    """(name, changed bytes, group). region: bytes that a checksum covers; bits that are flipped there are in the group "sum"."""
    size = len(data)
    for at in sorted({0, 1, size // 3, size // 2, size - 1, *(random.randrange(size) for _ in range(3))}):
        yield f"cut at {at}", data[:at], "cut" if at < size * 0.6 else "cut late"
    for _ in range(6):
        at, bit = random.randrange(size), random.randrange(8)
        yield f"bit {bit} of byte {at} flipped", _flipped(data, at, bit), "flip"
    for at in range(min(size, 4)):
        yield f"byte {at} inverted", _with(data, at, bytes([data[at] ^ 0xFF])), "head"
    if region:
        for _ in range(4):
            at, bit = random.randrange(*region), random.randrange(8)
            yield f"bit {bit} of byte {at} flipped, under a checksum", _flipped(data, at, bit), "sum"
    for fill in (b"\xff", b"\0"):
        for _ in range(2):
            at = random.randrange(size)
            yield f"{fill.hex() * 8} at byte {at}", _with(data, at, fill * 8)[: max(size, at + 8)], "flip"
    at = random.randrange(size)
    yield f"1,000 bytes put in at {at}", data[:at] + random.randbytes(1000) + data[at:], "shift"
    yield f"a byte left out at {at}", data[:at] + data[at + 1 :], "shift"
    yield "10 bytes appended", data + b"0123456789", "longer"
    yield "twice", data + data, "longer"
    yield "empty", b"", "foreign"
    yield "zeros", bytes(size), "zeros"
    yield "noise", random.randbytes(max(size, 100)), "foreign"
    yield "a page of an error", b"<!DOCTYPE html><html><body>404 <script>x</script></body></html>\n", "foreign"


def _with(data: bytes, at: int, part: bytes) -> bytes:
    return data[:at] + part + data[at + len(part) :]


def _flipped(data: bytes, at: int, bit: int) -> bytes:
    return _with(data, at, bytes([data[at] ^ (1 << bit)]))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link(target: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        path.symlink_to(target.replace("SELF", path.name))

    return damage


# name: what becomes of a file's place, whether it must be refused (a document of a run may be missing)
PLACES: dict[str, Callable[[Path], None]] = {
    "missing": Path.unlink,
    "a folder instead": _folder,
    "a pipe instead": _pipe,
    "a link that leads nowhere": _link("nowhere"),
    "a link to itself": _link("SELF"),
    "a link to endless zeros": _link("/dev/zero"),
    "a link to a folder": _link("/"),
}


def of_lines(text: str, random: Random) -> Iterator[tuple[str, bytes]]:
    """(name, changed text) of a text of lines of words."""
    lines = text.splitlines()

    def joined(changed: list[str]) -> bytes:
        return ("\n".join(changed) + "\n").encode("utf-8", "surrogatepass")

    for _ in range(4):
        at = random.randrange(len(lines))
        words = lines[at].split()
        word = random.randrange(max(1, len(words)))
        yield f"line {at + 1} left out", joined(lines[:at] + lines[at + 1 :])
        yield f"line {at + 1} twice", joined([*lines[: at + 1], *lines[at:]])
        yield f"a word of line {at + 1} left out", joined([*lines[:at], " ".join(words[1:]), *lines[at + 1 :]])
        for what, value in STRINGS.items():
            changed = [*words[:word], value, *words[word + 1 :]]
            yield f"line {at + 1}, word {word + 1}: {what}", joined([*lines[:at], " ".join(changed), *lines[at + 1 :]])
    yield "not UTF-8", text.encode().replace(b"1", b"\xff\xfe", 1)
    yield "UTF-16", text.encode("utf-16")
    yield "a NUL", text.encode().replace(b"1", b"\0", 1)
    yield "one line", text.replace("\n", " ").encode()
    yield "blank lines", text.replace("\n", "\n\n \n").encode()


STRINGS = {
    "nothing": "",
    "text": "abc",
    "negative": "-1",
    "zero": "0",
    "huge": "99999999999999999999",
    "5,000 digits": DIGITS,
    "NaN": "nan",
    "infinity": "inf",
    "a fraction": "0.5",
    "a list": "1,2,3",
    "a path that leaves": "../../../../etc/passwd",
    "an absolute path": "/etc/passwd",
    "markup": "<script>alert(1)</script>",
    "a line break": "a\nb",
    "300 characters": "x" * 300,
    "5,000 characters": "x" * 5000,
    "no Unicode": "caf\udce9",
    "a control character": "\x1b[31mred",
    "other digits": "٣",
    "spaces": "  ",
}

_RAW = "\0raw\0"  # in a string: what follows is written as it is


def _raw(text: str) -> str:
    return f"{_RAW}{text}{_RAW}"


VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "-1": -1,
    "0": 0,
    "0.5": 0.5,
    "10^30": 10**30,
    "1e308": 1e308,
    "1e999": _raw("1e999"),
    "5,000 digits": _raw(DIGITS),
    "NaN": _raw("NaN"),
    "-Infinity": _raw("-Infinity"),
    "an empty text": "",
    "text": "abc",
    "markup": "<script>alert(1)</script>",
    "a line break": "a\nb",
    "a path that leaves": "../../../../etc/passwd",
    "300 characters": "x" * 300,
    "half a surrogate": _raw('"\\ud800"'),
    "a NUL": "a\0b",
    "an empty list": [],
    "an empty object": {},
    "a list": [1, "a", None],
    "an object": {"a": {"b": 1}},
    "deep": _raw("[" * 500 + "]" * 500),
    "very deep": _raw("[" * 100_000 + "]" * 100_000),
}


def dumped(document: Any) -> bytes:
    """As JSON, with raw values as they are."""
    mark = re.escape(json.dumps(_RAW)[1:-1])
    text = re.sub(f'"{mark}(.*?){mark}"', lambda raw: json.loads(f'"{raw[1]}"'), json.dumps(document, indent=1))
    return text.encode()


def paths_in(document: Any, prefix: tuple = ()) -> Iterator[tuple]:
    """Every place in a JSON document but the whole."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield (*prefix, key)
        yield from paths_in(value, (*prefix, key))


def placed(document: Any, path: tuple, value: Any) -> Any:
    """A copy with another value at a path."""
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = placed(copy[path[0]], path[1:], value)
    return copy


def without(document: Any, path: tuple) -> Any:
    """A copy without what is at a path."""
    copy = dict(document) if isinstance(document, dict) else list(document)
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = without(copy[path[0]], path[1:])
    return copy


def of_json(document: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """(name, changed document): each place left out, and with each of `VALUES`."""
    for path in paths_in(document):
        where = ".".join(map(str, path))
        yield f"{where} left out", dumped(without(document, path))
        for what, value in VALUES.items():
            yield f"{where}: {what}", dumped(placed(document, path, value))


def of_json_text(text: bytes) -> Iterator[tuple[str, bytes, bool]]:
    """(name, changed text, whether it is none of JSON's objects any more)."""
    yield "empty", b"", True
    yield "cut short", text[: len(text) // 2], True
    yield "its last brace left out", text.rstrip()[:-1], True
    yield "a list", b"[]", True
    yield "null", b"null", True
    yield "a number", b"5", True
    yield "5,000 digits", DIGITS.encode(), True
    yield "deep", b"[" * 100_000, True
    yield "deep objects", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, True
    yield "an empty object", b"{}", False
    yield "twice", text + text, True
    yield "not UTF-8", text.replace(b'"', b"\xff", 1), True
    yield "UTF-16", text.decode().encode("utf-16"), True
    yield "with a mark of UTF-8", b"\xef\xbb\xbf" + text, False
    yield "NULs", bytes(len(text)), True
    yield "a comment", b"// note\n" + text, True


def write(path: Path, data: bytes) -> None:
    """In place of whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.write_bytes(data)
