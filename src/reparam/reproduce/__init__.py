"""The founding documents' experiments and those of papers, cell by cell, each run once and kept."""

from reparam.reproduce.cells import Cell, Laboratory, machine, matching, processor
from reparam.reproduce.experiment import Experiment, Row
from reparam.reproduce.experiments import CELLS, EXPERIMENTS
from reparam.reproduce.pages import draw, markdown_table, page, page_path, results, write_page

__all__ = [
    "CELLS",
    "EXPERIMENTS",
    "Cell",
    "Experiment",
    "Laboratory",
    "Row",
    "draw",
    "machine",
    "markdown_table",
    "matching",
    "page",
    "page_path",
    "processor",
    "results",
    "write_page",
]
