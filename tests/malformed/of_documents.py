"""Cases of a run's documents and tensor files, and of the index of shards."""

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import mutations
from cases import Case

AWAY = ("missing", "a link that leads nowhere", "a link to itself")  # places where there is no file
FROM = ("run-vae", "run-vae-again", "run-ae", "shards")  # whose files are damaged
SAMPLE = ("sample", "RUN", "--n", "2", "--out", "OUT/x.png")
ENCODE = ("encode", "RUN", "--out", "OUT/x.npz")
EVALUATE = ("evaluate", "RUN", "--metrics", "psnr", "--images", "3")
RESUME = ("resume", "RUN")
REPORT = ("report", "RUN")
COMPARE = ("compare", "RUN", "BASE/run-ae", "--metrics", "psnr", "--out", "OUT/x.html")
LOAD = ("use", "RUN")

# document: the commands that read it (a slow one among quick ones), whether it may be missing
DOCUMENTS: dict[str, tuple[tuple[tuple[str, ...], ...], bool]] = {
    "run.json": ((SAMPLE, ENCODE, EVALUATE, RESUME, LOAD, LOAD), False),
    "status.json": ((RESUME, RESUME, REPORT), True),
    "metrics.jsonl": ((REPORT, RESUME), True),
    "evaluation.json": ((EVALUATE, REPORT, COMPARE), True),
}
TENSORS = {
    "weights.safetensors": ((SAMPLE, ENCODE, EVALUATE), SAMPLE),
    "checkpoint.safetensors": ((RESUME,), RESUME),
}


def of_documents(base: Path, random: Random) -> Iterator[Case]:
    for name, (commands, optional) in DOCUMENTS.items():
        text = (base / "run-vae" / name).read_bytes()
        lines = text.splitlines()
        document = json.loads(lines[1] if name.endswith("l") else text)
        for what, changed in mutations.of_json(document):
            if name.endswith("l"):
                changed = b"\n".join([lines[0], json_line(changed), *lines[2:]]) + b"\n"
            yield _case(name, what, random.choice(commands), _written(name, changed), False)
        for what, changed, none in mutations.of_json_text(lines[0] if name.endswith("l") else text):
            for command in dict.fromkeys(commands):
                told = none and must_hold(name, command)
                yield _case(f"{name}, text", f"{what} ({command[0]})", command, _written(name, changed), told)
        for what, change in mutations.PLACES.items():
            for command in dict.fromkeys(commands):
                away = what in AWAY
                told = must_hold(name, command) and not (optional and away)
                yield _case(f"{name}, place", f"{what} ({command[0]})", command, _placed(name, change), told)
    for name, (commands, _) in TENSORS.items():
        yield from _tensors(base, name, commands, random)
    yield from _index(base, random)
    yield from _folders()


def must_hold(name: str, command: tuple[str, ...]) -> bool:
    """Whether a command cannot do without a document, or would lose what is in it."""
    return name == "run.json" or (name == "evaluation.json" and command in (EVALUATE, COMPARE))


def json_line(document: bytes) -> bytes:
    return b" ".join(document.split(b"\n"))


def _written(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda place: mutations.write(place / "run" / name, data)


def _placed(name: str, change: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda place: change(place / "run" / name)


def _case(kind: str, name: str, command: tuple[str, ...], damage: Callable[[Path], None], told: bool) -> Case:
    writes = ("run",) if command[0] in ("evaluate", "resume", "report", "compare") else ()
    return Case(kind, name, command, None, "run-vae", damage, told, writes, large=True)


def _tensors(base: Path, name: str, commands: tuple[tuple[str, ...], ...], random: Random) -> Iterator[Case]:
    data = (base / "run-vae" / name).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    for what, changed, group in mutations.of_bytes(data, random, (8 + length, len(data))):
        told = changed != data and group != "flip"
        yield _case(f"{name}, bytes", what, random.choice(commands), _written(name, changed), told)
    for what, change in mutations.PLACES.items():
        told = name.startswith("weights") or what not in AWAY
        yield _case(f"{name}, place", what, commands[0], _placed(name, change), told)

    def rebuilt(text: bytes) -> bytes:
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + data[8 + length :]

    for what, changed in mutations.of_json({key: header[key] for key in list(header)[:4]}):
        rest = {key: header[key] for key in list(header)[4:]}
        body = changed.rstrip()[:-1] + b"," + json.dumps(rest).encode()[1:]
        yield _case(f"{name}, header", what, random.choice(commands), _written(name, rebuilt(body)), False)
    facts = json.loads(header["__metadata__"]["reparam"])

    def with_metadata(changed: bytes) -> bytes:
        metadata = {**header, "__metadata__": {"reparam": changed.decode("utf-8", "replace")}}
        return rebuilt(json.dumps(metadata).encode())

    for what, changed in mutations.of_json(facts):
        written = _written(name, with_metadata(changed))
        yield _case(f"{name}, metadata", what, random.choice(commands), written, False)
    for what, changed, none in mutations.of_json_text(json.dumps(facts).encode()):
        written = _written(name, with_metadata(changed))
        yield _case(f"{name}, metadata, text", what, random.choice(commands), written, none)
    tensors = [key for key in header if key != "__metadata__"]
    for key in tensors[:6]:
        less = {other: value for other, value in header.items() if other != key}
        yield _case(
            f"{name}, header",
            f"{key} left out",
            random.choice(commands),
            _written(name, rebuilt(json.dumps(less).encode())),
            True,
        )
        renamed = {f"{other}x" if other == key else other: value for other, value in header.items()}
        told = not key.startswith(("random", "optimiser"))
        yield _case(
            f"{name}, header",
            f"{key} renamed",
            random.choice(commands),
            _written(name, rebuilt(json.dumps(renamed).encode())),
            told,
        )
    for what, run in (("model", "run-ae"), ("run of the same model", "run-vae-again")):
        other = (base / run / name).read_bytes()
        yield _case(f"{name}, place", f"of another {what}", commands[0], _written(name, other), True)
    nan = data[: 8 + length] + b"\0\0\xc0\x7f" * ((len(data) - 8 - length) // 4)
    yield _case(f"{name}, bytes", "NaN everywhere", commands[0], _written(name, nan), False)


def _index(base: Path, random: Random) -> Iterator[Case]:
    """index.json of shards, read with the data and with a run on them."""
    text = (base / "shards" / "index.json").read_bytes()

    def case(kind: str, what: str, data: bytes, told: bool) -> Case:
        return Case(
            kind,
            what,
            ("open", "shards:IN"),
            "shards",
            None,
            lambda place: mutations.write(place / "in" / "index.json", data),
            told,
        )

    for what, changed in mutations.of_json(json.loads(text)):
        yield case("shards, index.json", what, changed, False)
    for what, changed, none in mutations.of_json_text(text):
        yield case("shards, index.json, text", what, changed, none)


def _folders() -> Iterator[Case]:
    """A run's folder that is none."""
    commands = (SAMPLE, ENCODE, EVALUATE, RESUME, REPORT, LOAD, ("use", "IN"))
    places = {
        "nothing there": "nowhere",
        "a file": "IN/picture.png",
        "no run": "IN",
        "300 characters": "x" * 300,
        "5,000 characters": "x" * 5000,
        "many parts": "x/" * 3000,
        "a line break": "a\nb",
        "markup": "<script>",
        "no Unicode": "caf\udce9",
        "endless zeros": "/dev/zero",
        "the root": "/",
        "nothing": "",
        "a file's part": "IN/picture.png/run",
        "control characters": "\x1b[31m",
    }
    for what, place in places.items():
        for command in commands[:-1]:
            words = tuple(place if word == "RUN" else word for word in command)
            yield Case("RUN", f"{what} ({command[0]})", words, "single", None, None, True)
