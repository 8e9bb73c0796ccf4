"""What an experiment is: a table whose rows are means over cells, beside published figures, and its pictures."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from experiments.cells import ExperimentRunner
from reparam.files import write_text
from reparam.reports.charts import Chart
from reparam.reports.figures import Drawing
from reparam.reports.pictures import Panel, to_picture, write_png

Results = Mapping[str, dict[str, Any]]
Columns = Callable[[dict[str, Any]], dict[str, float]]

DATA_TITLES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10", "celeba": "CelebA subset"}
GREY_DATA = ("mnist", "fashion-mnist")


@dataclass(frozen=True)
class Row:
    """A row of a table.

    cells: names of the cells that it is the mean of. published: by column. others: figures of others, as text.
    bases: by a name in the experiment's `paired`, the row that this one is compared with, where that is not the row so named.
    """

    name: str
    cells: tuple[str, ...]
    published: Mapping[str, float] = field(default_factory=dict)
    others: str = ""
    bases: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One table with its pictures.

    columns: turns a cell's result into figures by column. decisive: the columns that are compared with published figures, lower
    being better. paired: a column, and the rows that the others are compared with in it, cell by cell.
    figures: where the figures that `text` names are stored, as docs/figures.py reads it.
    draw: writes pictures into a folder. pictures: their captions by file name.
    """

    title: str
    source: str
    text: str
    rows: tuple[Row, ...]
    columns: Columns
    decisive: tuple[str, ...] = ()
    paired: tuple[str, tuple[str, ...]] = ("", ())
    figures: tuple[str, ...] = ()
    draw: Callable[[ExperimentRunner, Path], None] | None = None
    pictures: Mapping[str, str] = field(default_factory=dict)

    def cells(self, fast: bool = False) -> list[str]:
        """The cells of all rows; in a rehearsal the first of each row."""
        return list(dict.fromkeys(name for row in self.rows for name in (row.cells[:1] if fast else row.cells)))


class Spread(NamedTuple):
    """Mean, lowest and highest of a column over those cells of a row that have it, and their number."""

    mean: float
    low: float
    high: float
    n: int


class Difference(NamedTuple):
    """Mean of the differences between the cells of two rows, and its standard error: none for one pair."""

    mean: float
    error: float | None


def metric_columns(titles: Mapping[str, str]) -> Columns:
    """The metrics of a result that have a title here, in the order of the titles."""

    def columns(result: dict[str, Any]) -> dict[str, float]:
        metrics = result["metrics"]
        return {title: metrics[name]["value"] for name, title in titles.items() if name in metrics}

    return columns


def write_figure(folder: Path, name: str, *drawn: Drawing | Panel | Chart) -> None:
    """Writes panels, one under another, as NAME.png, and the first chart as NAME.svg."""
    parts = [part for one in drawn for part in (one.parts if isinstance(one, Drawing) else (one,))]
    charts = [part for part in parts if isinstance(part, Chart)]
    for chart in charts[:1]:
        write_text(folder / f"{name}.svg", chart.svg)
    if panels := [part for part in parts if isinstance(part, Panel)]:
        write_png(folder / f"{name}.png", to_picture(panels))


def table(experiment: Experiment, results: Results) -> tuple[list[str], list[list[str]]]:
    """(heading, rows): mean over a row's cells, of several with the lowest and highest; rows not run say so.

    Published figures stand beside it, but not for rehearsals (`--fast`), which cannot be compared with them.
    """
    found = [spreads(experiment, row, results) for row in experiment.rows]
    # Columns are ordered as in the result that has most of them.
    fullest_first = sorted(
        (experiment.columns(results[name]) for row in experiment.rows for name in row.cells if name in results),
        key=len,
        reverse=True,
    )
    columns = list(dict.fromkeys(name for figures in fullest_first for name in figures))
    rehearsal = any(document["fast"] for document in results.values())
    theirs = " / ".join(dict.fromkeys(name for row in experiment.rows for name in row.published))
    others = ["others"] * any(row.others for row in experiment.rows)
    published = [] if rehearsal or not theirs else [f"published {theirs}", "ours − published", *others]
    paired = [paired_column(experiment, name) for name in experiment.paired[1]]
    head = ["", "cells", *columns, *paired, *published]
    rows = []
    for row, figures in zip(experiment.rows, found, strict=True):
        cells = [name for name in row.cells if name in results]
        if not cells:
            rows.append([row.name, "not run yet", *[""] * (len(head) - 2)])
            continue
        shown = [_shown(figures[name]) if name in figures else "–" for name in columns]
        numbers = " / ".join(f"{value:.2f}" for value in row.published.values())
        compared = [name for name in experiment.decisive if name in row.published and name in figures]
        difference = " / ".join(f"{figures[name].mean - row.published[name]:+.2f}" for name in compared)
        beside = [numbers or "–", difference or "–", *([row.others or "–"] * len(others))] if published else []
        beside = [*(_paired(paired_with(experiment, row, name, results)) for name in experiment.paired[1]), *beside]
        seeds = str(len(cells)) if len(cells) == len(row.cells) else f"{len(cells)} of {len(row.cells)}"
        rows.append([row.name, seeds, *shown, *beside])
    return head, rows


def spreads(experiment: Experiment, row: Row, results: Results) -> dict[str, Spread]:
    """By column, over those of the row's cells that have a result."""
    found: dict[str, list[float]] = {}
    for name in row.cells:
        if name in results:
            for column, value in experiment.columns(results[name]).items():
                found.setdefault(column, []).append(value)
    return {
        column: Spread(sum(values) / len(values), min(values), max(values), len(values))
        for column, values in found.items()
    }


def paired_column(experiment: Experiment, name: str) -> str:
    """The heading of the differences from the row called `name`."""
    return f"{experiment.paired[0]} − {name}'s, paired"


def paired_with(experiment: Experiment, row: Row, name: str, results: Results) -> Difference | None:
    """The differences from the row called `name`, over the cells that both have; None where there are none."""
    column, rows = experiment.paired[0], {other.name: other for other in experiment.rows}
    base = rows[row.bases[name]] if name in row.bases else rows.get(name, row)
    # Rows may differ in their number of seeds.
    both = [pair for pair in zip(row.cells, base.cells, strict=False) if results.keys() >= set(pair)]
    if row is base or not both:
        return None
    ours, theirs = ([experiment.columns(results[cell])[column] for cell in cells] for cells in zip(*both, strict=True))
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean = sum(differences) / len(differences)
    if len(differences) == 1:
        return Difference(mean, None)
    variance = sum((d - mean) ** 2 for d in differences) / (len(differences) - 1)
    return Difference(mean, math.sqrt(variance / len(differences)))


def _paired(found: Difference | None) -> str:
    if found is None:
        return "–"
    return f"{found.mean:+.3f}" + ("" if found.error is None else f" ± {found.error:.3f}")


def _shown(spread: Spread) -> str:
    return _number(spread.mean) + (f" ({_number(spread.low)} to {_number(spread.high)})" if spread.n > 1 else "")


def _number(value: float) -> str:
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}" if abs(value) >= 0.01 else f"{value:.2g}"
