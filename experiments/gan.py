"""GANs: figures 1.2 and 1.3 of the GAN and autoencoder note, and digits, clothes and photographs."""

import dataclasses
from pathlib import Path

import torch

from experiments import toys
from experiments.cells import Cell, ExperimentRunner
from experiments.charts import beside
from experiments.experiment import DATA_TITLES, GREY_DATA, Experiment, Row, metric_columns, write_figure
from reparam.reports.figures import training
from reparam.reports.figures.samples import samples
from reparam.reports.options import SampleOptions
from reparam.reports.run_view import RunView

SEEDS = 5
SHOWN_POINTS = 1000
SHOWN_SAMPLES, ACROSS = 60, 15
REHEARSAL = {"width": 4}
OF_SAMPLES = ("fid_classifier", "precision", "recall", "coverage", "classes_made")


def _cell(data: str, recipe: str, seed: int) -> Cell:
    """The first seed draws pictures during training: figure 1.3."""
    options = {"data": data, "recipe": recipe, "seed": seed} | ({} if seed else {"pictures": 8})
    return Cell(
        f"gan-{data}-{recipe}-seed{seed}",
        options,
        OF_SAMPLES,
        model="gan",
        fast=REHEARSAL if recipe == "default" else {},
    )


def _inception(cell: Cell) -> Cell:
    """The same run, by the network of published distances, which takes the better part of an hour on a processor."""
    return dataclasses.replace(cell, name=f"{cell.name}-inception", metrics=("fid_inception",), of=cell.name)


DEFAULT = {data: [_cell(data, "default", seed) for seed in range(SEEDS)] for data in GREY_DATA}
_BY_INCEPTION = {data: _inception(cells[0]) for data, cells in DEFAULT.items()}
_NOTE = {data: _cell(data, "document", 0) for data in GREY_DATA}  # the recipe of the note
_PENALISED = Cell(  # the same loss and network, with a penalty on the discriminator's slope
    "gan-mnist-document-r1-seed0",
    {"data": "mnist", "recipe": "document", "r1": 5.0, "epochs": 10, "seed": 0},
    OF_SAMPLES,
    model="gan",
)
_PHOTOS = _cell("cifar10", "default", 0)
_DRAWN = (*(cells[0] for cells in DEFAULT.values()), *_NOTE.values(), _PHOTOS)

CELLS: tuple[Cell, ...] = (
    *(cell for cells in DEFAULT.values() for cell in cells),
    *_NOTE.values(),
    _PENALISED,
    _PHOTOS,
    *_BY_INCEPTION.values(),
)


def draw(runner: ExperimentRunner, folder: Path) -> None:
    draw_densities(folder, runner.fast)
    for cell in _DRAWN:
        draw_run(runner, folder, cell)


def draw_densities(folder: Path, fast: bool) -> None:
    """Figure 1.2, and the densities in two dimensions. A rehearsal stops after one step."""
    played = {name: toy._replace(steps=(1,)) if fast else toy for name, toy in toys.TOYS.items()}
    stages = {}
    for step, model in toys.play(played["density"]):
        found = toys.densities(played["density"], model)
        lines = {"p": found.real, "p_G": found.generated, "D": found.output, "p / (p + p_G)": found.best}
        series = {name: torch.stack([found.x, values], 1) for name, values in lines.items()}
        stages[f"after {step:,} steps; D off by {found.error:.2f}"] = series
    write_figure(folder, "gan-density", beside(stages, "lines", "x"))
    for name in ("ring", "grid"):
        toy, stages = played[name], {}
        for step, model in toys.play(toy):
            points = toys.generated(model)
            modes, near = toys.modes_found(toy.target, points)
            stages[f"after {step:,} steps: {modes} modes, {near:.0%} near one"] = {"generated": points[:SHOWN_POINTS]}
        write_figure(folder, f"gan-{name}", beside(stages, "points"))


def draw_run(runner: ExperimentRunner, folder: Path, cell: Cell) -> None:
    """Samples, the same latents during training (figure 1.3), and what the discriminator returned."""
    run = runner.run(cell)
    view = RunView(run)
    write_figure(folder, cell.name, samples(view, SampleOptions(n=SHOWN_SAMPLES, across=ACROSS)))
    write_figure(folder, f"{cell.name}-epochs", training.samples_by_epoch(view))
    write_figure(folder, f"{cell.name}-readings", training.curves(view))


GAN = Experiment(
    title="Generative adversarial networks",
    source="the GAN and autoencoder note, chapter 1, and Goodfellow et al. 2014",
    text="10,000 samples against 10,000 test images. The recipe `default` is the DCGAN with the non-saturating loss; "
    "`document` is the note's: the fully connected network with plain minimax and momentum, 200 epochs. An epoch is "
    "a pass over the training images by both players together. Distances by the Inception network are of one seed. "
    "Under `document` the discriminator is certain within an epoch, where the minimax loss has no gradient, and the "
    "generator does not learn (one seed). With a penalty on the discriminator's slope, `--r1 5`, the same loss and "
    "network learn, far from the default recipe's quality.",
    rows=(
        *(Row(f"{DATA_TITLES[data]}, default", tuple(cell.name for cell in cells)) for data, cells in DEFAULT.items()),
        *(Row(f"{DATA_TITLES[data]}, default, by Inception", (cell.name,)) for data, cell in _BY_INCEPTION.items()),
        *(Row(f"{DATA_TITLES[data]}, document", (cell.name,)) for data, cell in _NOTE.items()),
        Row("MNIST, document, --r1 5, 10 epochs", (_PENALISED.name,)),
        Row("CIFAR-10, default", (_PHOTOS.name,)),
    ),
    columns=metric_columns(
        {
            "fid_inception": "fid_inception",
            "fid_classifier": "fid_classifier",
            "precision": "precision",
            "recall": "recall",
            "coverage": "coverage",
            "classes_made": "classes generated",
        }
    ),
    draw=draw,
    pictures={
        "gan-density.svg": "Figure 1.2: a density p, that of the generator p_G, the discriminator's D(x), and the best D(x).",
        "gan-ring.svg": "A ring of eight normals: points of the generator.",
        "gan-grid.svg": "A grid of 25 normals: points of the generator.",
        **{
            f"{cell.name}{part}": f"{caption} {cell.name}."
            for cell in _DRAWN
            for part, caption in (
                (".png", "Samples:"),
                ("-epochs.png", "Figure 1.3, the same latents during training:"),
                ("-readings.svg", "The discriminator's outputs for images and samples, and both losses:"),
            )
        },
    },
)
