"""Compares the figures of the pages with the stored results that they come from.

    python docs/figures.py      # prints what is wrong; a test does the same

A comment below a paragraph, list or table names the sources of its figures, a line each, in the order of the figures:

    <!-- figures
    low-data / {MNIST,Fashion-MNIST}, 50 labels: VAE / accuracy, % − none's, paired
    moves-celeba-vae-seed0 / sharpness_moved
    benchmarks/throughput / eager.times_pythae
    -->

EXPERIMENT / ROW / COLUMN   as in the tables of docs/reproductions.md: mean, lowest and highest, or a paired difference
CELL / METRIC               docs/reproductions/cells/CELL.json: value and standard error
CELL / METRIC / WORDS       the number behind these words in the metric's note
CELL / seconds.training     any other number of that file, by its keys
benchmarks/NAME / KEYS      benchmarks/results/NAME.json: a number, or an object with median (mean, value), low, high, stderr; the
                            `stderr` beside a number is its error

{A,B} stands for two lines, as in a shell. A figure may be printed to any number of places; behind it may stand `± ERROR` and
`(LOW to HIGH)`, which are compared too. Of a figure without a sign the size is compared. `%` and `points` are hundredths of a
share, `minutes` sixtieths of seconds, `MB` and `GB` millions and billions of bytes.

Every number with a decimal point, a unit, an error or a range has such a source, or stands in `docs/figures.toml` with the reason
why it has none. Code, mathematics and tables of docs/reproductions.md, which are made from the results, are not looked at.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # where the experiments are

from experiments import EXPERIMENTS  # noqa: E402
from experiments.experiment import paired_column, paired_with, spreads  # noqa: E402

CELLS = ROOT / "docs" / "reproductions" / "cells"
BENCHMARKS = ROOT / "benchmarks" / "results"


class Source(NamedTuple):
    """What is stored."""

    value: float
    low: float | None = None
    high: float | None = None
    error: float | None = None


class Printed(NamedTuple):
    """What a page says: numbers as they are written, and the place in the text."""

    value: str
    error: str
    low: str
    high: str
    unit: str
    start: int
    end: int


NUMBER = r"[+\-−]?\d+(?:,\d{3})*(?:\.\d+)?"
UNITS = r"%|points?|nats|dB|minutes?|分钟|seconds?|hours?|ms|MB|GB|GiB|sigmas?"
PRINTED = re.compile(
    rf"(?<![\w.,/\-−^=])(?P<value>{NUMBER})(?![\w/^]|\.\d|-\w)"
    rf"(?:\**\s?±\s?(?P<error>\d[\d.]*\d|\d))?"
    rf"(?:\**\s\((?P<low>{NUMBER})\sto\s(?P<high>{NUMBER})\))?"
    rf"(?:\**\s?(?P<unit>{UNITS})(?![a-z]))?"
)
# What is no prose: code, mathematics, where links lead, comments, directives.
HIDDEN = re.compile(
    r"^```.*?^```\s*?$|^ {4}\S.*?$|^\$\$.*?\$\$$|``?[^`\n]+``?|\$[^$\n]+\$|\]\([^)]*\)|<!--.*?-->|^:[\w-]+:.*?$|<[^>\n]*>"
    r"|^#+ .*?$|(?:[Ss]ection|[Ff]igure|eq\.|Python|torch)\s\d+(?:\.\d+)+",  # places in papers, versions
    re.M | re.S,
)
MADE = re.compile(r"^\|.*$|^\d+ cells, .*$", re.M)  # of the page of reproductions: tables, and where they come from
MARKER = re.compile(r"<!-- figures\n(.*?)\n-->", re.S)


def prose(text: str) -> str:
    """The page with everything that is no prose blanked, each place where it was."""
    return HIDDEN.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


class Block(NamedTuple):
    """A paragraph, list or table of a page, and the sources of its figures."""

    start: int
    end: int
    sources: tuple[str, ...]


def blocks(text: str) -> list[Block]:
    """The blocks that have figures' sources, and those that have none."""
    found: list[Block] = []
    for match in re.finditer(r"(?:^.*\S.*$\n?)+", MARKER.sub(lambda m: "\x00" * len(m[0]), text), re.M):
        if "\x00" not in match[0]:
            found.append(Block(match.start(), match.end(), ()))
            continue
        before = match[0].index("\x00")
        if before:
            found.append(Block(match.start(), match.start() + before, ()))
        marker = MARKER.match(text, match.start() + before)
        assert marker, "a comment begins with `<!-- figures` alone on its line, and `-->` ends it alone on its own"
        assert found, "sources of figures stand below their block"
        lines = tuple(one for line in marker[1].split("\n") for one in expanded(line.strip()))
        found[-1] = found[-1]._replace(sources=found[-1].sources + lines)
    return found


def expanded(line: str) -> Iterator[str]:
    """A line with braces as several."""
    brace = re.search(r"\{([^{}]*)\}", line)
    if not brace:
        yield line
        return
    for choice in brace[1].split(","):
        yield from expanded(line[: brace.start()] + choice + line[brace.end() :])


def printed(text: str) -> list[Printed]:
    """All figures of a text: numbers with a decimal point, an error, a range or a unit."""
    parts = ("error", "low", "unit")
    return [
        Printed(*(match[name] or "" for name in ("value", "error", "low", "high", "unit")), match.start(), match.end())
        for match in PRINTED.finditer(text)
        if "." in match["value"] or any(match[name] for name in parts)
    ]


@cache
def stored(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


def source(line: str) -> Source:
    """What a line names. Raises LookupError where there is no such thing."""
    first, *rest = line.split(" / ", 2)
    if first in EXPERIMENTS:
        return _of_table(first, *rest)
    folder, _, name = first.rpartition("/")
    path = (BENCHMARKS if folder == "benchmarks" else CELLS) / f"{name}.json"
    if not path.exists():
        raise LookupError(f"'{line}': no experiment, cell or benchmark '{first}'")
    found: Any = stored(path)
    keys, words = (*rest, "", "")[:2]
    beside: Any = {}
    if keys in found.get("metrics", {}):
        found = found["metrics"][keys]
    else:
        for key in keys.split("."):
            beside = dict(zip(map(str, range(len(found))), found, strict=True)) if isinstance(found, list) else found
            if key not in beside:
                raise LookupError(f"'{line}': no '{key}' there, but {', '.join(beside)}")
            found = beside[key]
    if words:
        note = re.search(rf"{re.escape(words)}\s*(-?[\d.,]*\d)", found["note"])
        if not note:
            raise LookupError(f"'{line}': the note is '{found['note']}'")
        return Source(float(note[1].replace(",", "")))
    if not isinstance(found, dict):
        return Source(found, error=beside.get("stderr"))
    values = [found[key] for key in ("value", "median", "mean") if key in found]
    if not values:
        raise LookupError(f"'{line}': an object with {', '.join(found)}: which of them?")
    return Source(values[0], found.get("low"), found.get("high"), found.get("stderr"))


def _of_table(name: str, row_name: str = "", column: str = "") -> Source:
    experiment = EXPERIMENTS[name]
    row = next((row for row in experiment.rows if row.name == row_name), None)
    if not row:
        raise LookupError(f"'{name}' has no row '{row_name}', but {'; '.join(row.name for row in experiment.rows)}")
    bases = {paired_column(experiment, base): base for base in experiment.paired[1]}
    others = [other.cells for other in experiment.rows] if column in bases else [row.cells]
    results = {cell: stored(path) for cells in others for cell in cells if (path := CELLS / f"{cell}.json").exists()}
    if column in bases:
        difference = paired_with(experiment, row, bases[column], results)
        if not difference:
            raise LookupError(f"'{row_name}' of '{name}' is compared with nothing")
        return Source(difference.mean, error=difference.error)
    found = spreads(experiment, row, results)
    if column not in found:
        raise LookupError(f"'{row_name}' of '{name}' has no '{column}', but {', '.join(found)}")
    return Source(found[column].mean, found[column].low, found[column].high)


def agrees(said: Printed, line: str, true: Source) -> bool:
    """Whether a printed figure is the stored one, at the places that it has."""
    scale = {"GB": 1e-9, "MB": 1e-6}.get(said.unit, 1.0) if "bytes" in line else 1.0
    if said.unit in ("%", "points", "point") and "%" not in line:
        scale = 100.0
    elif said.unit[:6] in ("minute", "分钟") and "seconds" in line:
        scale = 1 / 60
    low, high = (true.low, true.high) if true.value > 0 or said.value[0] in "+-−" else (true.high, true.low)
    pairs = ((said.value, true.value), (said.error, true.error), (said.low, low), (said.high, high))
    return all(not text or (value is not None and _equal(text, scale * value)) for text, value in pairs)


def _equal(text: str, value: float) -> bool:
    number = float(text.replace(",", "").replace("−", "-"))
    places = len(text.partition(".")[2])
    if text[0] not in "+-−":
        value = abs(value)
    return abs(number - value) <= 0.5 * 10**-places * (1 + 1e-9)


def pages() -> dict[str, str]:
    """The text of all pages by name; of the page of reproductions the prose alone."""
    folders = {ROOT: "README*.md", ROOT / "benchmarks": "*.md", ROOT / "docs": "*.md", ROOT / "docs" / "models": "*.md"}
    paths = [path for folder, names in folders.items() for path in folder.glob(names)]
    found = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in sorted(paths)}
    found["docs/reproductions.md"] = MADE.sub("", found["docs/reproductions.md"])
    return found


def exemptions() -> dict[str, dict[str, str]]:
    """By page, the phrases whose numbers have no source, and why; under `pages` whole pages."""
    return tomllib.loads((ROOT / "docs" / "figures.toml").read_text("utf-8"))


def mistakes(text: str, exempt: Iterable[str] = ()) -> list[str]:
    """What is wrong on a page: sources without their figure, figures without source, exemptions that exempt nothing."""
    shown, found = prose(text), []
    free = {phrase: [match.span() for match in _pattern(phrase).finditer(text)] for phrase in exempt}
    figures = printed(shown)
    unused = set(free)
    for block in blocks(text):
        rest = [said for said in figures if block.start <= said.start < block.end]
        for line in block.sources:
            try:
                true = source(line)
            except LookupError as error:
                found.append(str(error))
                continue
            at = next((place for place, said in enumerate(rest) if agrees(said, line, true)), None)
            if at is None:
                said = ", ".join(said.value for said in rest[:5])
                found.append(f"'{line}' is {_short(true)}, which is not among the next figures there: {said or 'none'}")
                continue
            found += _without_source(text, rest[:at], free, unused)
            rest = rest[at + 1 :]
        found += _without_source(text, rest, free, unused)
    return found + [f"'{phrase}' of figures.toml exempts nothing: remove it" for phrase in sorted(unused)]


def _pattern(phrase: str) -> re.Pattern[str]:
    """A phrase wherever its lines break; ` ... ` in it is any text."""
    return re.compile(".*?".join(r"\s+".join(map(re.escape, part.split())) for part in phrase.split("...")), re.S)


def _without_source(
    text: str, figures: Iterable[Printed], free: dict[str, list[tuple[int, int]]], unused: set[str]
) -> list[str]:
    found = []
    for said in figures:
        phrase = next((p for p, spans in free.items() if any(a <= said.start < b for a, b in spans)), None)
        if phrase is None:
            around = " ".join(text[max(0, said.start - 40) : said.end + 20].split())
            found.append(f"'... {around} ...': {said.value} has no source below its block, in its order")
        unused.discard(phrase or "")
    return found


def _short(true: Source) -> str:
    parts = {"": true.value, "± ": true.error, "from ": true.low, "to ": true.high}
    return " ".join(f"{word}{value:.5g}" for word, value in parts.items() if value is not None)


if __name__ == "__main__":
    exempt = exemptions()
    wrong = [
        f"{name}: {mistake}"
        for name, text in pages().items()
        if name not in exempt["pages"]
        for mistake in mistakes(text, exempt.get(name, {}))
    ]
    print("\n".join(wrong))
    sys.exit(bool(wrong))
