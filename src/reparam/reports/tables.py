"""What was measured, in words: for the terminal and for the page."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from reparam.evaluation import METRICS, Finding, Measure
from reparam.evaluation.options import parse_stored_name
from reparam.terminal import printable

if TYPE_CHECKING:
    from rich.table import Table

FLOAT32 = 2.0**-23  # the step from 1 to the next number
SMALL = 1e-4


def meaning(name: str) -> str:
    """One sentence or two on a metric; empty for one that this version does not know."""
    stored = parse_stored_name(name)
    if stored.metric not in METRICS:
        return ""
    return (
        METRICS[stored.metric].meaning
        + (f" A box of {stored.occlusion} of the sides is hidden in the input." if stored.occlusion else "")
        + (f" Moved along '{stored.directions}'." if stored.directions else "")
        + (f" Here: {stored.bytes} bytes." if stored.bytes else "")
        + (" Validation images." if stored.validation else "")
    )


def with_error(value: float, stderr: float | None) -> tuple[str, str]:
    """(value, standard error) as text: the error to two significant digits, the value as far as the error reaches.

    Without an error the value has four significant digits, or is whole. So it has with an error that is no more than the rounding
    of float32, in which images are computed. Numbers that are all below a ten-thousandth have an exponent.
    """
    if stderr is None or stderr <= FLOAT32 * abs(value):
        return (f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1e4 else f"{value:.4g}"), ""
    rounded = float(f"{stderr:.1e}")  # 0.0997 has its first digit where 0.10 has it
    first = math.floor(math.log10(rounded))
    if max(abs(value), rounded) < SMALL:
        digits = max(1, math.floor(math.log10(abs(value))) - first + 1) if value else 1
        return f"{value:.{digits}e}", f"{stderr:.1e}"
    decimals = max(0, 1 - first)
    return f"{value:,.{decimals}f}", f"{stderr:,.{decimals}f}"


class PlainFigure(NamedTuple):
    """A baseline's value and name, and whether it surpasses the model by more than two standard errors of the difference."""

    value: str
    name: str
    better: bool


def plain_figures(name: str, measure: Measure) -> tuple[PlainFigure, ...]:
    """The baselines of a metric as text."""
    metric = METRICS.get(parse_stored_name(name).metric)
    return tuple(
        PlainFigure(with_error(one.value, one.stderr)[0], one.name, metric is not None and metric.loses(measure, one))
        for one in measure.baselines
    )


def by_label(measure: Measure) -> tuple[tuple[str, str], ...]:
    """The name of each label and the figure of it as text, a dash where there is none."""
    return tuple((name, "–" if value is None else f"{value:.3f}") for name, value in measure.by_label)


def duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def evaluation_table(measures: Mapping[str, Measure]) -> "Table":
    """A row a metric: name, value and standard error, unit, number of images, the same of plain baselines, what it is."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, side in {"metric": "left", "value": "right", "": "left", "unit": "left", "n": "right"}.items():
        table.add_column(heading, justify=side, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("plain baseline")
    table.add_column("what it is; what goes with it", style="dim")
    for name, measure in measures.items():
        value, error = with_error(measure.value, measure.stderr)
        labels = ", ".join(map(" ".join, by_label(measure)))
        parts = (METRICS[name].doc if name in METRICS else "", measure.note, labels and f"by label: {labels}")
        doc = "; ".join(filter(None, parts))
        figures = plain_figures(name, measure)
        plain = "\n".join(f"{one.value} ({one.name}){': better' if one.better else ''}" for one in figures)
        # Text, not markup: a unit or name may hold brackets, and of one's own metrics anything.
        cells = (name, value, f"± {error}" if error else "", measure.unit, f"{measure.n:,}", plain, doc)
        table.add_row(*(Text("\n".join(map(printable, cell.split("\n")))) for cell in cells))
    return table


def diagnosis_lines(findings: Sequence[Finding]) -> list[str]:
    """`state: evidence`, and under it what helps."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.state}: {finding.evidence}")
        if finding.advice:
            lines.append(f"    what helps: {finding.advice}")
    return lines
