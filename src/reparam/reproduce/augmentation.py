"""Moves that keep the class, at equal change (document 000, section 3)."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from reparam.evaluation import EvaluationOptions
from reparam.evaluation.features import judge_network
from reparam.files import write_text
from reparam.reports import charts, moves
from reparam.reports.pictures import to_picture, write_png
from reparam.reproduce.cells import Cell, Laboratory
from reparam.reproduce.experiment import Experiment, Row

CHANGES = {"flips_2": 2.0, "flips_3_5": 3.5, "flips_5": 5.0}
SEEDS = 3
SHOWN = 8
PHOTOS = {"recipe": "photos", "epochs": 40}
SETS: dict[str, tuple[str, int, dict[str, Any]]] = {  # called, seeds, options of both models
    "mnist": ("MNIST", SEEDS, {"latent": 32}),
    "fashion-mnist": ("Fashion-MNIST", SEEDS, {"latent": 32}),
    "cifar10": ("CIFAR-10", 1, PHOTOS),
    "celeba": ("CelebA subset", 1, {**PHOTOS, "size": 32}),
}


def _name(data: str, arm: str, seed: int) -> str:
    return f"moves-{data}-{arm}-seed{seed}"


def _cells(data: str) -> list[Cell]:
    _, seeds, options = SETS[data]
    found = []
    for seed in range(seeds):
        chosen = {"data": data, **options, "seed": seed}
        fast = {"recipe": "default", "size": None} if "recipe" in options else {}
        vae = Cell(_name(data, "vae", seed), chosen, tuple(CHANGES), model="vae", fast=fast)
        head = Cell(_name(data, "gvae", seed), chosen, (*CHANGES, "accuracy"), model="gvae", fast=fast)
        found += [head, vae]
        for arm in ("noise", "pixels"):
            along = EvaluationOptions(directions=arm)
            found.append(dataclasses.replace(vae, name=_name(data, arm, seed), evaluation=along, of=vae.name))
        if "recipe" not in options:
            by_class = {"data": data, "task": "labelled", "latent": options["latent"], "seed": seed}
            found.append(Cell(_name(data, "cvae", seed), by_class, tuple(CHANGES), model="cvae"))
    return found


CELLS: tuple[Cell, ...] = tuple(cell for data in SETS for cell in _cells(data))
ARMS = {
    "gvae": "G-VAE",
    "vae": "VAE",
    "cvae": "CVAE by class",
    "noise": "VAE, noise in z",
    "pixels": "turned, shifted, bent",
}


def columns(document: dict[str, Any]) -> dict[str, float]:
    """A change that no strength reaches has no flips, and is left out."""
    found = {name: measure["value"] for name, measure in document["metrics"].items()}
    shown = {f"flips at {change:g}": found[name] for name, change in CHANGES.items() if math.isfinite(found[name])}
    return shown | ({"head's accuracy": found["accuracy"]} if "accuracy" in found else {})


def draw(laboratory: Laboratory, folder: Path) -> None:
    """Flips against change, a chart a data set; walks of a VAE and a G-VAE."""
    for data, (_, seeds, _) in SETS.items():
        series: dict[str, list[tuple[float, float]]] = {}
        for arm, called in ARMS.items():
            names = [_name(data, arm, seed) for seed in range(seeds)]
            results = [laboratory.result(laboratory.cells[name]) for name in names if name in laboratory.cells]
            known = [result["metrics"] for result in results if result]
            if known:
                means = {name: sum(metrics[name]["value"] for metrics in known) / len(known) for name in CHANGES}
                if points := [(CHANGES[name], mean) for name, mean in means.items() if math.isfinite(mean)]:
                    series[called] = points
        write_text(folder / f"moves-{data}.svg", charts.lines(series, "change, L2 on 28 x 28", "share of flips").svg)
        for arm in ("vae", "gvae"):
            run = laboratory.run(laboratory.cells[_name(data, arm, 0)])
            judge = judge_network(run.dataset, run.device)
            batch = run.examples(SHOWN)
            write_png(
                folder / f"moves-{data}-{arm}.png",
                to_picture([moves.together_panel(run, batch.x, batch.y, moves.SHARE, judge)]),
            )


_SHOWN = (
    "test images along the top tenth of their scales together, up to 3 sigma; under each what the judge reads, and the "
    "change."
)
AUGMENTATION = Experiment(
    "Moves that keep the class",
    "document 000 (G-VAE), figures 2 to 4",
    "Share of 10,000 test images that a judge, a classifier of another seed, reads as another class after a move than "
    "before, at an equal mean L2 change (2, 3.5 and 5 on 28 x 28 pixels, the same a pixel elsewhere). G-VAE and VAE are the "
    "same network and move at random within their posterior; noise in z is the same in every latent; the last row turns, "
    "shifts and bends the VAE's reconstruction. The CVAE by class keeps the class as its condition.",
    tuple(
        Row(f"{called}: {name}", tuple(_name(data, arm, seed) for seed in range(seeds)))
        for data, (called, seeds, options) in SETS.items()
        for arm, name in ARMS.items()
        if arm != "cvae" or "recipe" not in options
    ),
    columns,
    (),
    draw,
    {
        **{
            f"moves-{data}.svg": f"{called}: flips against change, lower is better."
            for data, (called, _, _) in SETS.items()
        },
        **{
            f"moves-{data}-{arm}.png": f"{called}, {ARMS[arm]}: {_SHOWN}"
            for data, (called, _, _) in SETS.items()
            for arm in ("vae", "gvae")
        },
    },
)
