"""Cases of every option of every command, and of the files and folders that commands name."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import click
import mutations
from cases import Case

TRAIN = ("--data", "array:BASE/arrays/plain.npz", "--epochs", "0.1", "--pictures", "0", "--out", "OUT")
IDLE = ("epochs", "out", "data", "pictures", "help", "as_json", "dry_run")
CODE = ("patience", "checkpoint_seconds")  # nothing depends on how large they are

# command: its words, the run, and which of its options are taken for paths
COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
    "sample": (("RUN", "--out", "OUT/x.png"), "run-vae"),
    "sample by class": (("RUN", "--n", "2", "--out", "OUT/x.png"), "run-classes"),
    "sample by component": (("RUN", "--n", "2", "--out", "OUT/x.png"), "run-gmvae"),
    "reconstruct": (("RUN", "--out", "OUT/x.png"), "run-vae"),
    "interpolate": (("RUN", "--out", "OUT/x.png"), "run-vae"),
    "interpolate walks": (("RUN", "--out", "OUT/x.png"), "run-gan"),
    "traverse": (("RUN", "--out", "OUT/x.png"), "run-gvae"),
    "grid": (("RUN", "--out", "OUT/x.png"), "run-vae"),
    "encode": (("RUN", "--out", "OUT/x.npz"), "run-vae"),
    "complete": (("RUN", "--n", "1", "--samples", "1", "--out", "OUT/x.png"), "run-boxes"),
    "segment": (("RUN", "BASE/single/picture.png", "--out", "OUT"), "run-segment"),
    "augment": (("RUN", "--images", "3", "--out", "OUT/x"), "run-gvae"),
    "compress": (("RUN", "--n", "3", "--bytes", "90", "--out", "OUT/x.rpz"), "run-ae"),
    "decompress": (("RUN", "BASE/rpz/images.rpz", "--out", "OUT/x"), "run-ae"),
    "evaluate": (("RUN", "--metrics", "psnr", "--images", "3", "--samples", "2"), "run-vae"),
    "resume": (("RUN",), "run-vae"),
    "compare": (("RUN", "BASE/run-ae", "--metrics", "psnr", "--out", "OUT/x.html"), "run-vae"),
    "report": (("RUN",), "run-ae"),
    "data shard": (("BASE/folder-png", "--workers", "0", "--out", "OUT/x"), "run-ae"),
    "data get": (("digits",), "run-ae"),
}
NUMBER = (
    "text",
    "negative infinity",
    "5,000 digits",
    "NaN",
    "infinity",
    "a list",
    "a path that leaves",
    "an absolute path",
    "markup",
    "300 characters",
    "5,000 characters",
    "no Unicode",
    "a control character",
    "a line break",
    "nothing",
    "spaces",
    "beyond floats",
    "hexadecimal",
)
VALUES = {
    **mutations.STRINGS,
    "negative infinity": "-inf",
    "beyond floats": "1e999",
    "hexadecimal": "0x10",
    "2^63": str(2**63),
    "-2^63": str(-(2**63)),
    "tiny": "1e-320",
    "one": "1",
    "a billion": "1000000000",
    "beyond float32": "1e308",
}


def of_options(base: Path, random: Random) -> Iterator[Case]:
    from reparam.cli.group import cli

    for title, (words, run) in COMMANDS.items():
        path = title.split(" ")
        command: Any = cli
        while path and isinstance(command, click.Group) and path[0] in command.commands:
            command = command.commands[path.pop(0)]
        name = tuple(title.split(" ")[: len(title.split(" ")) - len(path)])
        context = click.Context(command)
        for option in command.get_params(context):
            if isinstance(option, click.Option) and option.name not in ("help", "as_json", "out"):
                yield from _of_option(name, words, run, option)
        yield Case(
            f"{title}, words", "an unknown option", (*name, *words, "--no-such-option", "1"), None, run, None, True
        )
        yield Case(f"{title}, words", "an option without its value", (*name, *words, "--out"), None, run, None, True)
        yield Case(
            f"{title}, words",
            "one word more",
            (*name, *words, "BASE/single/picture.png"),
            None,
            run,
            None,
            False,
            ("run",),
        )
        if "--out" in words:
            yield from _of_out(name, words, run)
    yield from _of_train()
    yield from _of_data()


def _of_option(name: tuple[str, ...], words: tuple[str, ...], run: str, option: click.Option) -> Iterator[Case]:
    writes = ("run",) if name[0] in ("evaluate", "compare", "resume", "report") else ()
    flag = option.opts[0]
    if option.is_flag:
        yield Case(f"{name[0]} {flag}", "a value", (*name, *words, f"{flag}=5"), None, run, None, True, writes)
        return
    number = isinstance(option.type, (click.types.IntParamType, click.types.FloatParamType))
    for what, value in VALUES.items():
        told = number and what in NUMBER
        case = (*name, *words, f"{flag}={value}")
        yield Case(f"{name[0]} {flag}", what, case, None, run, None, told, writes, large=True)


def _of_out(name: tuple[str, ...], words: tuple[str, ...], run: str) -> Iterator[Case]:
    at = words.index("--out") + 1
    suffix = Path(words[at]).suffix
    folder = not suffix
    places = {
        "below a file": ("BASE/single/picture.png/x" + suffix, True),
        "below a device": ("/dev/full/x" + suffix, True),
        "where nobody writes": ("/proc/x" + suffix, True),
        "nothing": ("", bool(suffix)),
        "a line break": ("OUT/a\nb" + suffix, False),
        "markup": ("OUT/<script>" + suffix, False),
        "no Unicode": ("OUT/caf\udce9" + suffix, False),
        "300 characters": ("OUT/" + "x" * 300 + suffix, True),
        "5,000 characters": ("OUT/" + "x" * 5000 + suffix, True),
        "a folder": ("BASE/single", True),
        "another suffix": ("OUT/x.exe", suffix in (".png", ".npz", ".html")),
        "a file": ("BASE/single/mask.png", folder or (suffix != ".png" and suffix != ".rpz")),
    }
    for what, (place, told) in places.items():
        if what == "a file" and not told:
            continue
        if name[0] in ("segment", "train") and what in ("a folder", "nothing"):
            continue  # a folder that is there already will do
        changed = (*words[:at], place, *words[at + 1 :])
        writes = ("run",) if name[0] == "compare" else ()
        yield Case(f"{name[0]} --out", what, (*name, *changed), None, run, None, told, writes)


def _of_train() -> Iterator[Case]:
    """Each option of `train`, once, with a family that has it."""
    from reparam.models import MODELS
    from reparam.run.config import fields

    seen = set(IDLE)
    for model, family in MODELS.items():
        for _, option, kind in fields(family):
            if option in seen:
                continue
            seen.add(option)
            number = (
                any(word in str(kind) for word in ("int", "float"))
                and "tuple" not in str(kind)
                and "Literal" not in str(kind)
            )
            boolean = "bool" in str(kind)
            flag = "--" + option.replace("_", "-")
            for what, value in VALUES.items():
                words = ("train", model, *TRAIN, *_needed(option), f"{flag}={value}")
                yield Case(
                    f"train {flag}", what, words, None, None, None, boolean or (number and what in NUMBER), large=True
                )
    for option in ("epochs", "pictures"):
        for what, value in VALUES.items():
            words = ("train", "vae", *TRAIN, f"--{option}={value}", "--dry-run")
            yield Case(f"train --{option}", what, words, None, None, None, what in NUMBER)
    for what, value in VALUES.items():
        yield Case("train MODEL", what, ("train", value, *TRAIN), None, None, None, True)
        yield Case("train --recipe", what, ("train", "vae", *TRAIN, f"--recipe={value}"), None, None, None, True)
        yield Case("train --model", what, ("train", f"{value}:X", *TRAIN), None, None, None, True)
    yield from _of_out(
        ("train", "vae"),
        ("--data", "array:BASE/arrays/plain.npz", "--epochs", "0.1", "--pictures", "0", "--out", "OUT/x"),
        "run-vae",
    )


def _needed(option: str) -> tuple[str, ...]:
    """Other options, without which this one would be refused for another reason."""
    if option in ("unlabelled", "label_share"):
        return ("--labels-per-class", "2")
    if option == "augment_share":
        return ("--augment", "pixels")
    return ()


def _of_data() -> Iterator[Case]:
    for what, value in VALUES.items():
        for scheme in (
            "",
            "folder:",
            "array:",
            "shards:",
            "pairs:",
            "mnist:",
            "celeba:",
            "cub:",
            "lfw-parts:",
            "cifar10:",
            "os:",
            "reparam.models:",
        ):
            yield Case(
                "--data",
                f"{scheme} {what}",
                ("train", "vae", "--data", f"{scheme}{value}", *TRAIN[2:]),
                None,
                None,
                None,
                True,
            )
    for spec in (
        "folder:/dev/zero",
        "array:/dev/zero",
        "array:/dev/zero.npy",
        "folder:/proc/self",
        "os:getcwd",
        "sys:exit",
        "reparam.models:MODELS",
        "builtins:input",
        "os:path.join",
        "this:s",
        "reparam:train",
        "digits:BASE",
        "digits:",
        ":",
        "::",
        "array",
        "folder",
        "json:dumps",
    ):
        yield Case("--data", spec, ("train", "vae", "--data", spec, *TRAIN[2:]), None, None, None, spec != "digits:")
