"""Faces completed from a half, or from all but a box: no paper's table, but what completions of photographs look like."""

from pathlib import Path
from typing import Any

from experiments.cells import Cell, ExperimentRunner, protocol
from experiments.experiment import Experiment, Row, metric_columns, write_figure
from reparam.reports.figures.predictions import predictions
from reparam.reports.options import PredictionOptions
from reparam.reports.run_view import RunView

SHOWN, DRAWS = 5, 10  # test faces of a picture, and predictions of each
EVALUATION = protocol(samples=100)
TASKS: dict[str, tuple[str, dict[str, Any]]] = {  # title, options
    "half": ("left half observed", {"task": "half", "half": "left"}),
    "boxes": ("all but a box observed", {"task": "boxes", "box": 0.6}),
}
OPTIONS = {
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
    options = {**OPTIONS, **TASKS[name][1], "seed": 0}
    return Cell(f"faces-{name}", options, metrics, model="cvae", evaluation=EVALUATION, fast=REHEARSAL)


CELLS: tuple[Cell, ...] = tuple(_cell(name) for name in TASKS)


def draw(runner: ExperimentRunner, folder: Path) -> None:
    for cell in CELLS:
        run = runner.run(cell)
        write_figure(folder, cell.name, predictions(RunView(run), PredictionOptions(n=SHOWN, samples=DRAWS)))


FACES = Experiment(
    title="Faces from a part of them",
    source="the figures of Sohn, Lee and Yan 2015, on faces",
    text="A subset of CelebA, 4,000 faces to train on and 500 to test, 32 x 32 pixels; a residual CVAE with a "
    "Gaussian likelihood and a first guess with a loss of its own. Squared error is a pixel and channel, from 0 to 1.",
    rows=tuple(Row(title, (_cell(name).name,)) for name, (title, _) in TASKS.items()),
    columns=metric_columns(
        {"mean_of_n": "squared error, mean of 10", "best_of_n": "best of 10", "diversity": "diversity", "kl": "KL"}
    ),
    draw=draw,
    pictures={
        f"faces-{name}.png": f"Test faces, {title}: the input, the first guess, the prediction at z*, ten predictions, "
        "their mean, the target, and where the predictions differ."
        for name, (title, _) in TASKS.items()
    },
)
