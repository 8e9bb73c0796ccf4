"""The founding documents' experiments and those of papers, cell by cell, each run once and kept."""

from experiments.cells import Cell, ExperimentRunner, machine, matching, processor
from experiments.experiment import Experiment, Row
from experiments.experiments import CELLS, EXPERIMENTS
from experiments.pages import draw, markdown_table, page, page_path, results, write_page

__all__ = [
    "CELLS",
    "EXPERIMENTS",
    "Cell",
    "Experiment",
    "ExperimentRunner",
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
