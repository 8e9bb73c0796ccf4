"""GANs: figures 1.2 and 1.3 of document 004, and digits, clothes and photographs."""

import dataclasses
from pathlib import Path
from typing import Any

import torch

from experiments import toys
from experiments.cells import Cell, ExperimentRunner
from experiments.charts import beside
from experiments.experiment import Experiment, Row, figures
from reparam.files import write_text
from reparam.reports import charts
from reparam.reports.figures import training
from reparam.reports.figures.samples import samples
from reparam.reports.options import SampleOptions
from reparam.reports.pictures import to_picture, write_png
from reparam.reports.run_view import RunView

SEEDS = 5
SHOWN = 1000  # points of a picture
OF_SAMPLES = ("fid_classifier", "precision", "recall", "coverage", "classes_made")
SETS = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}


def _cell(data: str, recipe: str, seed: int) -> Cell:
    """The first seed draws pictures as it goes: figure 1.3."""
    chosen = {"data": data, "recipe": recipe, "seed": seed} | ({} if seed else {"pictures": 8})
    return Cell(f"gan-{data}-{recipe}-seed{seed}", chosen, OF_SAMPLES, model="gan", fast={"width": 4})


def _inception(cell: Cell) -> Cell:
    """The same run by the network of published distances, which takes the better part of an hour on a processor."""
    return dataclasses.replace(cell, name=f"{cell.name}-inception", metrics=("fid_inception",), of=cell.name)


DEFAULT = {data: [_cell(data, "default", seed) for seed in range(SEEDS)] for data in SETS}
_DOCUMENT = {data: [_cell(data, "document", 0)] for data in SETS}
_PHOTOS = _cell("cifar10", "default", 0)
_DEAR = {data: _inception(cells[0]) for data, cells in DEFAULT.items()}

_SHOWN = (*(cells[0] for cells in (*DEFAULT.values(), *_DOCUMENT.values())), _PHOTOS)

CELLS: tuple[Cell, ...] = (
    *(cell for cells in (*DEFAULT.values(), *_DOCUMENT.values()) for cell in cells),
    _PHOTOS,
    *_DEAR.values(),
)


CALLED = {
    "fid_inception": "fid_inception",
    "fid_classifier": "fid_classifier",
    "precision": "precision",
    "recall": "recall",
    "coverage": "coverage",
    "classes_made": "classes made",
}


def columns(document: dict[str, Any]) -> dict[str, float]:
    return figures(document, CALLED)


def draw(runner: ExperimentRunner, folder: Path) -> None:
    """Figure 1.2, densities in two dimensions; samples, at the end and as training went on."""
    draw_densities(folder, runner.fast)
    for cell in _SHOWN:
        draw_run(runner, folder, cell)


def draw_densities(folder: Path, fast: bool) -> None:
    played = {name: toy._replace(steps=toy.steps[:1]) if fast else toy for name, toy in toys.TOYS.items()}
    stages = {}
    for step, model in toys.play(played["density"]):
        found = toys.densities(played["density"], model)
        lines = {"p": found.real, "p_G": found.made, "D": found.reading, "p / (p + p_G)": found.best}
        series = {name: torch.stack([found.x, values], 1) for name, values in lines.items()}
        stages[f"after {step:,} steps; D off by {found.apart:.2f}"] = series
    write_text(folder / "gan-density.svg", beside(stages, "lines", "x").svg)
    for name in ("ring", "grid"):
        toy, stages = played[name], {}
        for step, model in toys.play(toy):
            points = toys.made(model)
            modes, near = toys.modes_found(toy.target, points)
            stages[f"after {step:,} steps: {modes} modes, {near:.0%} near one"] = {"made": points[:SHOWN]}
        write_text(folder / f"gan-{name}.svg", beside(stages, "points").svg)


def draw_run(runner: ExperimentRunner, folder: Path, cell: Cell) -> None:
    run = runner.run(cell)
    view = RunView(run)
    write_png(folder / f"{cell.name}.png", samples(view, SampleOptions(n=60, across=15)).picture())
    for name, figure in (("epochs", training.samples_by_epoch), ("readings", training.curves)):
        part = figure(view).parts[0]
        if isinstance(part, charts.Chart):
            write_text(folder / f"{cell.name}-{name}.svg", part.svg)
        else:
            write_png(folder / f"{cell.name}-{name}.png", to_picture([part]))


GAN = Experiment(
    "Generative adversarial networks",
    "document 004, chapter 1, and Goodfellow et al. 2014",
    "10,000 samples against 10,000 test images. `default` is the DCGAN with the non-saturating loss; `document` the fully "
    "connected network with plain minimax and momentum, 200 epochs. An epoch is a pass over the training images by both players "
    "together. Distances by the Inception network are of one seed. Under `document` the discriminator is sure within an epoch, "
    "where the minimax loss has no gradient, and the generator never learns (also at a tenth of the learning rate, six "
    "epochs); the non-saturating loss is there for that.",
    (
        *(Row(f"{called}, default", tuple(cell.name for cell in DEFAULT[data])) for data, called in SETS.items()),
        *(Row(f"{called}, default, by Inception", (_DEAR[data].name,)) for data, called in SETS.items()),
        *(Row(f"{called}, document", (_DOCUMENT[data][0].name,)) for data, called in SETS.items()),
        Row("CIFAR-10, default", (_PHOTOS.name,)),
    ),
    columns,
    (),
    draw,
    {
        "gan-density.svg": "Figure 1.2: a density p, that of the generator p_G, what the discriminator reads D(x), and what the "
        "best one would read.",
        "gan-ring.svg": "A ring of eight normals: what the generator makes.",
        "gan-grid.svg": "A grid of 25 normals: what the generator makes.",
        **{
            f"{cell.name}{part}": f"{said} {cell.name}."
            for cell in _SHOWN
            for part, said in (
                (".png", "Samples:"),
                ("-epochs.png", "Figure 1.3, the same latents as training went on:"),
                ("-readings.svg", "What the discriminator reads in images and in samples, and the losses of both:"),
            )
        },
    },
)
