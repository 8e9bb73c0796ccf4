"""The founding documents' experiments and those of papers, cell by cell, each run once and kept."""

from reparam.reproduce.cells import Cell, Laboratory, chosen, machine, processor
from reparam.reproduce.experiments import CELLS, EXPERIMENTS, Experiment, Row
from reparam.reproduce.pages import draw, markdown_table, page, results, write_page

__all__ = [
    "CELLS",
    "EXPERIMENTS",
    "Cell",
    "Experiment",
    "Laboratory",
    "Row",
    "chosen",
    "draw",
    "machine",
    "markdown_table",
    "page",
    "processor",
    "results",
    "write_page",
]
