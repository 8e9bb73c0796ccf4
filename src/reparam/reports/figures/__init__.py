"""Figures of a run: `FIGURES`, and a function of a `RunView` and options for each.

samples(RunView(run), SampleOptions(n=9)).picture().save("samples.png")
"""

from reparam.reports.figures.figure import Drawing, Figure
from reparam.reports.figures.table import FIGURES

__all__ = ["FIGURES", "Drawing", "Figure"]
