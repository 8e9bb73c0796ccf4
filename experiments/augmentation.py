"""Moves that keep the class, at equal change (document 000, section 3)."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from experiments.cells import Cell, ExperimentRunner
from experiments.experiment import Experiment, Row
from reparam.evaluation import EvaluationOptions
from reparam.evaluation.metrics.latent_moves import CHANGES
from reparam.files import write_text
from reparam.reports import charts
from reparam.reports.figures import latent_moves
from reparam.reports.figures.latents import latents
from reparam.reports.options import TraversalOptions
from reparam.reports.pictures import to_picture, write_png
from reparam.reports.run_view import RunView

LOOKS = ("sharpness_moved", "fid_classifier")
SEEDS = 3
SHOWN = 4
SAME = {"hidden": (800, 800), "latent": 16, "epochs": 10}  # the G-VAE's default, for both
PHOTOS = {"recipe": "photos"}
SETS: dict[str, tuple[str, int, dict[str, Any]]] = {  # called, seeds, options of both models
    "mnist": ("MNIST", SEEDS, SAME),
    "fashion-mnist": ("Fashion-MNIST", SEEDS, SAME),
    "cifar10": ("CIFAR-10", 1, {**PHOTOS, "epochs": 8}),
    "celeba": ("CelebA subset", 1, {**PHOTOS, "size": 32, "epochs": 40}),
}
ARMS = {
    "gvae": "G-VAE",
    "vae": "VAE",
    "gvae-largest": "G-VAE, largest scales",
    "vae-largest": "VAE, largest scales",
    "gvae-neutral": "G-VAE, no logit moved",
    "cvae": "CVAE by class",
    "noise": "VAE, noise in z",
    "pixels": "turned, shifted, bent",
}
ALONG = {  # arms that measure another's run: whose, along what
    "gvae-largest": ("gvae", "largest"),
    "vae-largest": ("vae", "largest"),
    "gvae-neutral": ("gvae", "neutral"),
    "noise": ("vae", "noise"),
    "pixels": ("vae", "pixels"),
}
OTHERS: dict[str, tuple[str, str, dict[str, Any]]] = {  # other weights of the KL; one seed
    "MNIST, KL weight 0.1: G-VAE": ("moves-beta-0.1", "gvae", {**SAME, "beta": 0.1}),
    "MNIST, KL weight 0.0025: G-VAE": ("moves-beta-0.0025", "gvae", {**SAME, "beta": 2.5e-3}),
    "MNIST, KL weight 0.0025: VAE": ("moves-beta-0.0025-vae", "vae", {**SAME, "beta": 2.5e-3}),
    "MNIST, the document's weights, K = 512: G-VAE": ("moves-paper", "gvae", {"recipe": "paper"}),
}


def _name(data: str, arm: str, seed: int) -> str:
    return f"moves-{data}-{arm}-seed{seed}"


def _arms(data: str) -> list[str]:
    """By class there is no recipe for photographs."""
    return [arm for arm in ARMS if arm != "cvae" or "recipe" not in SETS[data][2]]


def _cells(data: str) -> list[Cell]:
    _, seeds, options = SETS[data]
    found: list[Cell] = []
    for seed in range(seeds):
        chosen = {"data": data, **options, "seed": seed}
        fast = {"recipe": "default", "size": None} if "recipe" in options else {}
        trained = {
            "gvae": Cell(_name(data, "gvae", seed), chosen, (*CHANGES, *LOOKS, "accuracy"), model="gvae", fast=fast),
            "vae": Cell(_name(data, "vae", seed), chosen, (*CHANGES, *LOOKS), model="vae", fast=fast),
        }
        if "cvae" in _arms(data):
            by_class = {**chosen, "task": "labelled"}
            trained["cvae"] = Cell(_name(data, "cvae", seed), by_class, tuple(CHANGES), model="cvae")
        found += trained.values()
        for arm, (whose, directions) in ALONG.items():
            run, along = trained[whose], EvaluationOptions(directions=directions)
            name = _name(data, arm, seed)
            found.append(dataclasses.replace(run, name=name, metrics=tuple(CHANGES), evaluation=along, of=run.name))
    return found


CELLS: tuple[Cell, ...] = (
    *(cell for data in SETS for cell in _cells(data)),
    *(
        Cell(name, options, (*CHANGES, *LOOKS, *(["accuracy"] if model == "gvae" else [])), model=model)
        for name, model, options in OTHERS.values()
    ),
)


def columns(document: dict[str, Any]) -> dict[str, float]:
    """A change that no strength reaches has no flips, and is left out."""
    found = {name: measure["value"] for name, measure in document["metrics"].items()}
    shown = {f"flips at {change:g}": found[name] for name, change in CHANGES.items() if math.isfinite(found[name])}
    others = {"sharpness at 3.5": "sharpness_moved", "FID of samples": "fid_classifier", "head's accuracy": "accuracy"}
    return shown | {column: found[name] for column, name in others.items() if math.isfinite(found.get(name, math.nan))}


def draw(runner: ExperimentRunner, folder: Path) -> None:
    """Flips against change, a chart a data set; walks of a VAE and a G-VAE; faces by class."""
    for data in SETS:
        _draw_curves(runner, folder, data)
        _draw_walks(runner, folder, data)
    _draw_classes(runner, folder)


def _draw_curves(runner: ExperimentRunner, folder: Path, data: str) -> None:
    series: dict[str, list[tuple[float, float]]] = {}
    for arm in _arms(data):
        cells = [runner.cells[_name(data, arm, seed)] for seed in range(SETS[data][1])]
        known = [result["metrics"] for cell in cells if (result := runner.result(cell))]
        if known:
            means = {name: sum(metrics[name]["value"] for metrics in known) / len(known) for name in CHANGES}
            if points := [(CHANGES[name], mean) for name, mean in means.items() if math.isfinite(mean)]:
                series[ARMS[arm]] = points
    write_text(folder / f"moves-{data}.svg", latent_moves.flips_chart(series).svg)


def _draw_walks(runner: ExperimentRunner, folder: Path, data: str) -> None:
    for arm in ("vae", "gvae"):
        run = runner.run(runner.cells[_name(data, arm, 0)])
        view = RunView(run)
        shown = [
            latent_moves.latent_moves(view, TraversalOptions(images=SHOWN, by="largest")),
            latent_moves.latent_moves(view, TraversalOptions(images=SHOWN, by="posterior")),
        ]
        panels = [part for drawing in shown for part in drawing.panels]
        write_png(folder / f"moves-{data}-{arm}.png", to_picture(panels))


def _draw_classes(runner: ExperimentRunner, folder: Path) -> None:
    run = runner.run(runner.cells[_name("celeba", "gvae", 0)])
    view = RunView(run)
    classes = latent_moves.latent_moves(view, TraversalOptions(index=None, classes=True))
    write_png(folder / "moves-celeba-classes.png", classes.picture())
    chart = latents(view).parts[0]
    assert isinstance(chart, charts.Chart)
    write_text(folder / "moves-celeba-latents.svg", chart.svg)


_SHOWN = (
    "test images along the top tenth of their scales together, and below along a draw of their posterior, up to 3 sigma; "
    "under each what the judge reads, and the change."
)
AUGMENTATION = Experiment(
    "Moves that keep the class",
    "document 000 (G-VAE), figures 2 to 4",
    "Share of 10,000 test images that a judge, a classifier of another seed, reads as another class after a move than "
    "before, at an equal mean L2 change (2, 3.5 and 5 on 28 x 28 pixels, the same a pixel elsewhere). G-VAE and VAE are the "
    "same network, and both move at random within their posterior, or along the top tenth of the scales (the document), or, "
    "for the G-VAE, at random within what moves none of its head's logits. Noise in z is the same in every latent; the last "
    "row turns, shifts and bends the VAE's reconstruction; the CVAE by class keeps the class as its condition. Sharpness: "
    "edges of moved images over edges of test images.",
    (
        *(
            Row(f"{called}: {ARMS[arm]}", tuple(_name(data, arm, seed) for seed in range(seeds)))
            for data, (called, seeds, _) in SETS.items()
            for arm in _arms(data)
        ),
        *(Row(called, (name,)) for called, (name, _, _) in OTHERS.items()),
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
        "moves-celeba-classes.png": "One face along the mean scales of each class, and towards each class's mean (figure 5 of "
        "the document), up to 3 sigma and the whole way.",
        "moves-celeba-latents.svg": "The G-VAE's latents of test faces in the plane of their first two principal components "
        "(figure 6; the report of the run shows them by each attribute, too).",
    },
)
