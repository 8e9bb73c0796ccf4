"""Charts and tables that only experiments draw.

Shapes: `N` points.
"""

from collections.abc import Mapping
from typing import Literal

from rich.table import Table
from rich.text import Text
from torch import Tensor

from reparam.reports.charts import PALETTE, Chart, Entry, styled_canvas, to_chart
from reparam.reports.tables import duration


def beside(
    parts: Mapping[str, Mapping[str, Tensor]], draw: Literal["lines", "points"], across: str = "", up: str = ""
) -> Chart:
    """Charts of the same axes next to each other, by title: named series [N, 2], joined to lines or as points."""
    with styled_canvas(920, 320) as canvas:
        names = list(dict.fromkeys(name for series in parts.values() for name in series))
        colours = dict(zip(names, PALETTE, strict=False))
        every = canvas.subplots(1, len(parts), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (title, series) in zip(every, parts.items(), strict=True):
            for name, points in series.items():
                x, y = points.numpy().T
                if draw == "lines":
                    axes.plot(x, y, color=colours[name])
                else:
                    axes.scatter(x, y, s=3, c=colours[name], alpha=0.5, linewidths=0, rasterized=True)
            axes.set_title(title)
            axes.tick_params(length=0)
            axes.set_xlabel(across)
            if draw == "points":
                axes.set_aspect("equal")
        every[0].set_ylabel(up)
        mark = "━" if draw == "lines" else "●"
        for name in names:  # in the picture too, which may stand without a page's legend
            every[-1].plot([], [], color=colours[name], marker="" if draw == "lines" else "o", label=name)
        every[-1].legend(frameon=False, fontsize=8)
        return to_chart(canvas, [Entry(mark, colours[name], name) for name in names])


def cells_table(cells: Mapping[str, tuple[str, float | None]]) -> Table:
    """A row a cell of an experiment: its name, how long it will still take (None: it is done), its command; and the sum."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True)
    table.add_column("cell", "all", no_wrap=True)
    table.add_column(
        "still takes", duration(sum(seconds or 0.0 for _, seconds in cells.values())), justify="right", no_wrap=True
    )
    table.add_column("command", style="dim")
    for name, (command, seconds) in cells.items():
        table.add_row(
            Text(name), "done" if seconds is None else duration(seconds) if seconds else "moments", Text(command)
        )
    return table
