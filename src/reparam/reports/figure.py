"""What a figure of the report is, and how many tiles it has.

Shapes: `C H W` image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from reparam.reports.charts import Chart
from reparam.reports.pictures import Panel
from reparam.reports.run_view import RunView


@dataclass(frozen=True)
class Drawing:
    """What a figure came to: panels of tiles or a chart, and a sentence on what holds for this run only."""

    parts: tuple[Panel | Chart, ...]
    note: str = ""


class Figure(NamedTuple):
    """A row: its title, what to look for, the ability that a model needs (None: any model), where it stands, the function."""

    title: str
    caption: str
    needs: str | None
    section: str
    draw: Callable[[RunView], Drawing]


class Layout(NamedTuple):
    """How many tiles there are, by the size of the images, so that a page stays light and its pictures large enough."""

    across: int
    rows: int
    noisy_rows: int
    walk: int
    walks: int
    grid: int
    epochs: int


def layout(side: int) -> Layout:
    if side <= 32:
        return Layout(across=10, rows=8, noisy_rows=4, walk=11, walks=8, grid=21, epochs=12)
    if side <= 64:
        return Layout(across=10, rows=6, noisy_rows=3, walk=9, walks=6, grid=11, epochs=10)
    return Layout(across=6, rows=3, noisy_rows=2, walk=7, walks=3, grid=5, epochs=4)
