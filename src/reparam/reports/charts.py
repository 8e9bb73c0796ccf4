"""Charts in one style, as SVG. Drawn without pyplot, so nothing is global.

Text stays text, in the reader's own fonts (class names may be in any script), and the few colours that depend on the
background can be exchanged afterwards: `for_dark` turns a chart for light pages into one for dark pages.

Shapes: `N` points, `K` latent.
"""

import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from reparam.errors import RunError
from reparam.metrics.structured import Reliability
from reparam.run.documents import MetricsLine

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

INK, FAINT, PAPER = "#24292e", "#d9dde1", "#fdfdfb"
DARK = {INK: "#d5dade", FAINT: "#3b4147", PAPER: "#15171a"}
# Petroff 2021, Accessible color sequences for data visualization: ten that differ under colour-blindness too.
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
LINE_POINTS = 300
LEARNING_RATE = "learning rate"
LINES = {"train": PALETTE[0], "validation": PALETTE[6]}
# A quantity that falls to a fifth or less is shown by its order of magnitude: on a linear axis its last part would be flat.
FALL_SHOWN_IN_LOG = 5.0

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "reparam",  # equal charts are equal files
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.minor.visible": False,
    "lines.linewidth": 1.4,
    "figure.facecolor": "none",
    "figure.dpi": 100,
}


@dataclass(frozen=True)
class Entry:
    """One line of a chart's legend, which the page writes beside it."""

    mark: str
    colour: str
    name: str


@dataclass(frozen=True)
class Chart:
    """An SVG for a light page, and its legend."""

    svg: str
    width: int
    height: int
    legend: tuple[Entry, ...] = ()


def for_dark(svg: str) -> str:
    """The same chart for a dark page."""
    for light, dark in DARK.items():
        svg = svg.replace(light, dark)
    return svg


@contextmanager
def styled_canvas(width: float, height: float) -> "Iterator[Canvas]":
    """A canvas, and the one style while it is drawn on: not that of a matplotlibrc, which may lie in the current folder and ask
    for programs (`text.usetex`)."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    plain = {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")}
    with matplotlib.rc_context({**plain, **STYLE}):
        canvas = Canvas(figsize=(width / 100, height / 100), layout="constrained")
        FigureCanvasAgg(canvas)
        yield canvas


def to_chart(canvas: "Canvas", legend: Sequence[Entry] = ()) -> Chart:
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # The reader's fonts draw the text, not matplotlib's: what those lack does not matter.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        canvas.savefig(buffer, format="svg", dpi=180, metadata={"Date": None, "Creator": None})
    width, height = canvas.get_size_inches() * 100
    return Chart(buffer.getvalue(), round(width), round(height), tuple(legend))


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]],
    across: str,
    up: str,
    levels: Mapping[str, float] | None = None,
    log_x: bool = False,
) -> Chart:
    """Named series of points (x, y) joined by lines, and dashed levels to compare with, each named in the chart."""
    with styled_canvas(920, 420) as canvas:
        axes = canvas.subplots()
        for number, (name, points) in enumerate(series.items()):
            x, y = zip(*points, strict=True)
            axes.plot(x, y, marker="o", markersize=4, color=PALETTE[number % len(PALETTE)], label=name)
        for number, (name, level) in enumerate((levels or {}).items()):
            axes.axhline(level, linestyle="--", color=PALETTE[number % len(PALETTE)], linewidth=1, label=name)
        axes.set(xlabel=across, ylabel=up, **({"xscale": "log"} if log_x else {}))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.tick_params(length=0)
        axes.legend(frameon=False)
        return to_chart(canvas)


def latent_bars(values: Tensor, unit: str) -> Chart:
    """A bar for each latent [K], in the order given."""
    from matplotlib.ticker import MaxNLocator

    with styled_canvas(920, 260) as canvas:
        axes = canvas.subplots()
        axes.bar(range(1, len(values) + 1), values.tolist(), color=PALETTE[0], width=0.8)
        axes.set(xlabel="latent, by what it carries", ylabel=unit)
        axes.tick_params(length=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(False, axis="x")
        return to_chart(canvas)


def reliability(found: Reliability) -> Chart:
    """Share that is right against confidence, by bin, on the diagonal where they agree; bars are the bins' shares of all."""
    with styled_canvas(420, 400) as canvas:
        axes = canvas.subplots()
        used = found.weight > 0
        bins = len(found.weight)
        axes.bar([(i + 0.5) / bins for i in range(bins)], found.weight.tolist(), width=0.9 / bins, color=FAINT)
        axes.plot([0, 1], [0, 1], color=PALETTE[8], linewidth=0.8, linestyle=":")
        axes.plot(
            found.confidence[used].tolist(), found.accuracy[used].tolist(), marker="o", markersize=4, color=PALETTE[0]
        )
        axes.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1.02), ylim=(0, 1.02))
        axes.tick_params(length=0)
        return to_chart(canvas)


def training_curves(lines: Sequence[MetricsLine], kept_epoch: float | None = None) -> Chart:
    """Every term of metrics.jsonl in a chart of its own, training and validation, and the learning rate; a dotted line
    where the kept weights were taken. Raises RunError where there is nothing to draw."""
    curves = _curves(lines)
    names = list(dict.fromkeys(name for _, name in curves))
    if not names:
        raise RunError("training has logged nothing yet")
    across = 2 if len(names) in (2, 4) else 3  # four stand better as a square than with one alone below three
    down = -(-len(names) // across)
    with styled_canvas(920, 30 + 230 * down) as canvas:
        for number, name in enumerate(names):
            axes = canvas.add_subplot(down, across, number + 1)
            axes.set_title(name.replace("_", " "))
            axes.tick_params(length=0)
            shown = {phase: curves[phase, name] for phase in LINES if (phase, name) in curves}
            for phase, (x, y) in shown.items():
                mark: Any = {"marker": "o", "markersize": 3.5} if len(x) <= 40 and phase == "validation" else {}
                axes.plot(x, y, color=LINES[phase] if name != LEARNING_RATE else PALETTE[8], **mark)
            if name == LEARNING_RATE:
                axes.set_ylim(0, 1.1 * max(shown["train"][1]))
            else:
                _scale(axes, [value for _, y in shown.values() for value in y])
            if kept_epoch is not None:
                axes.axvline(kept_epoch, color=INK, linewidth=0.8, linestyle=":")
            if number // across == down - 1 or number + across >= len(names):
                axes.set_xlabel("epoch")
        phases = [phase for phase in LINES if any(p == phase for p, _ in curves)]
        legend = [Entry("━", LINES[phase], {"train": "training"}.get(phase, phase)) for phase in phases]
        if kept_epoch is not None:
            legend.append(Entry("┋", "currentColor", "kept weights"))
        return to_chart(canvas, legend)


def _curves(lines: Sequence[MetricsLine]) -> dict[tuple[str, str], tuple[list[float], list[float]]]:
    """(phase, term) -> (epochs, values), non-finite ones left out, long lines averaged to `LINE_POINTS` points."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for line in lines:
        for name, value in line.terms.items():
            found.setdefault((line.phase, name), []).append((line.epoch, value))
    for line in lines:
        if line.learning_rate is not None:
            found.setdefault(("train", LEARNING_RATE), []).append((line.epoch, line.learning_rate))
    curves = {}
    for key, pairs in found.items():
        finite = [(x, y) for x, y in pairs if math.isfinite(y)]
        if finite:
            parts = torch.tensor(finite, dtype=torch.float64).split(-(-len(finite) // LINE_POINTS))
            means = torch.stack([part.mean(0) for part in parts])
            curves[key] = (means[:, 0].tolist(), means[:, 1].tolist())
    return curves


def _scale(axes: "Axes", values: Sequence[float]) -> None:
    """A logarithmic axis with plain numbers for what falls by much, else a linear one."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    if min(values) <= 0 or max(values) < FALL_SHOWN_IN_LOG * values[-1] or values[-1] > 2 * min(values):
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
