"""What an experiment is: a table of rows of cells, beside what is published."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.cells import ExperimentRunner

Results = Mapping[str, dict[str, Any]]


@dataclass(frozen=True)
class Row:
    """A row of a table: its name, the cells that it is the mean of, what is published for it by column, what others have, and
    by the experiment's names of pairs the row that it is compared with, where that is not the row of the same name."""

    name: str
    cells: tuple[str, ...]
    published: Mapping[str, float] = field(default_factory=dict)
    others: str = ""
    bases: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """One table with its pictures. `columns` turns a cell's document into figures by name; `decisive` are the columns that
    are compared with what is published, lower being better. `draw` writes the pictures, whose captions stand under their
    names. `paired`: a column, and names of pairs: the rows that the others are compared with in it, cell by cell."""

    title: str
    source: str
    text: str
    rows: tuple[Row, ...]
    columns: Callable[[dict[str, Any]], dict[str, float]]
    decisive: tuple[str, ...]
    draw: Callable[[ExperimentRunner, Path], None] | None = None
    pictures: Mapping[str, str] = field(default_factory=dict)
    paired: tuple[str, tuple[str, ...]] = ("", ())

    def cells(self, fast: bool = False) -> list[str]:
        """The cells of all rows; in a rehearsal the first of each row."""
        return list(dict.fromkeys(name for row in self.rows for name in (row.cells[:1] if fast else row.cells)))


def figures(document: dict[str, Any], called: Mapping[str, str]) -> dict[str, float]:
    """Those of a cell's figures that have a name here, in the order of the names."""
    metrics = document["metrics"]
    return {title: metrics[name]["value"] for name, title in called.items() if name in metrics}


def table(experiment: Experiment, results: Results) -> tuple[list[str], list[list[str]]]:
    """(heading, rows): mean over a row's cells, lowest and highest in brackets for several; rows not run say so.

    What is published stands beside it, but for rehearsals (`--fast`), which have nothing to do with it.
    """
    found = [[experiment.columns(results[name]) for name in row.cells if name in results] for row in experiment.rows]
    fullest_first = sorted(
        (figures for cells in found for figures in cells), key=len, reverse=True
    )  # its order is kept
    columns = list(dict.fromkeys(name for figures in fullest_first for name in figures))
    rehearsal = any(document["fast"] for document in results.values())
    theirs = " / ".join(dict.fromkeys(name for row in experiment.rows for name in row.published))
    others = ["others"] * any(row.others for row in experiment.rows)
    published = [] if rehearsal or not theirs else [f"published {theirs}", "ours − published", *others]
    paired = [f"{experiment.paired[0]} − {name}'s, paired" for name in experiment.paired[1]]
    head = ["", "cells", *columns, *paired, *published]
    rows = []
    for row, cells in zip(experiment.rows, found, strict=True):
        if not cells:
            rows.append([row.name, "not run yet", *[""] * (len(head) - 2)])
            continue
        means = {}
        shown = []
        for name in columns:
            values = [figures[name] for figures in cells if name in figures]
            if not values:
                shown.append("–")
                continue
            means[name] = sum(values) / len(values)
            spread = f" ({_number(min(values))} to {_number(max(values))})" if len(values) > 1 else ""
            shown.append(_number(means[name]) + spread)
        numbers = " / ".join(f"{value:.2f}" for value in row.published.values())
        compared = [name for name in experiment.decisive if name in row.published and name in means]
        difference = " / ".join(f"{means[name] - row.published[name]:+.2f}" for name in compared)
        beside = [numbers or "–", difference or "–", *([row.others or "–"] * len(others))] if published else []
        beside = [*(_paired(experiment, row, name, results) for name in experiment.paired[1]), *beside]
        seeds = str(len(cells)) if len(cells) == len(row.cells) else f"{len(cells)} of {len(row.cells)}"
        rows.append([row.name, seeds, *shown, *beside])
    return head, rows


def _paired(experiment: Experiment, row: Row, name: str, results: Results) -> str:
    """Mean and standard error of the differences to the row that is compared with, over cells that both have."""
    column, rows = experiment.paired[0], {other.name: other for other in experiment.rows}
    base = rows[row.bases[name]] if name in row.bases else rows.get(name, row)
    # Seeds that both have: rows may differ in how many.
    both = [pair for pair in zip(row.cells, base.cells, strict=False) if results.keys() >= set(pair)]
    if row is base or not both:
        return "–"
    ours, theirs = ([experiment.columns(results[cell])[column] for cell in cells] for cells in zip(*both, strict=True))
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean = sum(differences) / len(differences)
    if len(differences) == 1:
        return f"{mean:+.3f}"
    variance = sum((d - mean) ** 2 for d in differences) / (len(differences) - 1)
    return f"{mean:+.3f} ± {math.sqrt(variance / len(differences)):.3f}"


def _number(value: float) -> str:
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}" if abs(value) >= 0.01 else f"{value:.2g}"
