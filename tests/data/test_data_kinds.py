"""The table in docs/data.md of which data is read how: every row is true, and every kind has a row."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from reparam.data import DataOptions, Dataset, load
from reparam.data.sources.in_python import as_dataset
from reparam.errors import DataError

sys.path.insert(0, str(Path(__file__).parent))
from kinds import KINDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data.md"


def rows() -> dict[str, str]:
    """The command of each row, by its first cell."""
    section = PAGE.read_text("utf-8").partition("## What to type for which data")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| ")]
    return {row[0]: row[1].strip("`") for row in cells[1:]}


def test_every_row_has_an_input_and_every_kind_a_row() -> None:
    assert rows().keys() == KINDS.keys()


def spec_and_options(command: str) -> tuple[str, DataOptions]:
    """What `--data SPEC --option value --flag` asks for."""
    words = shlex.split(command)
    found = dict(re.findall(r"--([a-z-]+)(?: ((?!--)\S+))?", " ".join(words)))
    spec = found.pop("data")
    values: dict[str, object] = {name: value or True for name, value in found.items()}
    for name in values.keys() & {"range", "mask-levels", "remap"}:
        values[name] = tuple(float(one) if name == "range" else one for one in found[name].split(","))
    return spec, DataOptions(**{name.replace("-", "_"): value for name, value in values.items()})


def read(command: str, names: object) -> Dataset:
    """The data set that a row's command reads; of one in Python, what it gives as `data`."""
    if in_python := re.fullmatch(r"reparam\.train\(\"vae\", data=(.*)\)", command):
        return as_dataset(eval(in_python[1], {}, names), DataOptions())  # our own words
    return load(*spec_and_options(command))


@pytest.mark.parametrize("name", KINDS)
def test_a_row_is_true(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = KINDS[name]
    names = kind.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "mine", None)
    del sys.modules["mine"]  # that of another row
    if kind.refused:
        with pytest.raises(DataError) as caught:
            read(rows()[name], names)
        assert kind.refused in str(caught.value)
        assert "\n" not in str(caught.value)
        return
    data = read(rows()[name], names)
    assert tuple(len(data.split(split)) for split in ("train", "validation", "test")) == kind.counts
    assert data.shape == kind.shape
    assert data.classes == kind.classes
    for words in kind.notes:
        assert any(words in note for note in data.notes), data.notes
