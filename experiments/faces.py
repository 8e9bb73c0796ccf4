"""Faces of which a half or all but a box is seen: no paper's table, but what completions of photographs look like."""

from pathlib import Path
from typing import Any

from experiments.cells import Cell, ExperimentRunner
from experiments.experiment import Experiment, Row
from reparam.evaluation import EvaluationOptions
from reparam.reports.figures.predictions import predictions
from reparam.reports.options import PredictionOptions
from reparam.reports.pictures import write_png
from reparam.reports.run_view import RunView

SHOWN = 5
TASKS: dict[str, dict[str, Any]] = {
    "half": {"task": "half", "half": "left"},
    "boxes": {"task": "boxes", "box": 0.6},
}
FACES = {
    "data": "celeba",
    "size": 32,
    "network": "residual",
    "activation": "silu",
    "width": 16,
    "latent": 64,
    "likelihood": "gaussian-learned",
    "scale": 0.1,
    "guess_weight": 1.0,
    "batch_size": 32,
    "clip": 100.0,
    "epochs": 25,
}
REHEARSAL = {"data": "reparam.testing:discs", "width": 8}


def _cell(name: str) -> Cell:
    metrics = ("cnll_is", "cnll_mc", "kl", "mean_of_n", "best_of_n", "diversity")
    chosen = {**FACES, **TASKS[name], "seed": 0}
    return Cell(
        f"faces-{name}", chosen, metrics, model="cvae", evaluation=EvaluationOptions(samples=100), fast=REHEARSAL
    )


CELLS: tuple[Cell, ...] = tuple(_cell(name) for name in TASKS)


def columns(document: dict[str, Any]) -> dict[str, float]:
    found = {name: measure["value"] for name, measure in document["metrics"].items()}
    return {
        "squared error, mean of 10": found["mean_of_n"],
        "best of 10": found["best_of_n"],
        "diversity": found["diversity"],
        "KL": found["kl"],
    }


def draw(runner: ExperimentRunner, folder: Path) -> None:
    for name in TASKS:
        run = runner.run(runner.cells[f"faces-{name}"])
        write_png(folder / f"faces-{name}.png", predictions(RunView(run), PredictionOptions(n=SHOWN)).picture())


_SHOWN = (
    "what was seen, the first guess, the answer at z*, ten answers, their average, the truth, and where they differ."
)
EXPERIMENT = Experiment(
    "Faces from a part of them",
    "the figures of Sohn, Lee and Yan 2015, on faces",
    "A subset of CelebA, 4,000 faces to train on and 500 to test, 32 x 32 pixels; a residual CVAE with a Gaussian "
    "likelihood and a first guess with a loss of its own. Squared error is a pixel and channel, from 0 to 1.",
    tuple(Row({"half": "left half seen", "boxes": "all but a box seen"}[name], (f"faces-{name}",)) for name in TASKS),
    columns,
    (),
    draw,
    {f"faces-{name}.png": f"Test faces, {name}: {_SHOWN}" for name in TASKS},
)
