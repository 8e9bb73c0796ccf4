"""Moves in latent space that keep the class, compared at an equal change of the image (the G-VAE note, section 3)."""

import dataclasses
from pathlib import Path
from typing import Any

from experiments.cells import Cell, ExperimentRunner, protocol
from experiments.experiment import DATA_TITLES, Experiment, Row, metric_columns, write_figure
from reparam.evaluation.metrics.latent_moves import CHANGES
from reparam.reports.charts import Chart
from reparam.reports.figures import latent_moves
from reparam.reports.figures.latents import latents
from reparam.reports.options import TraversalOptions
from reparam.reports.run_view import RunView

QUALITY = ("sharpness_moved", "fid_classifier")
SEEDS = 3
SHOWN = 4  # test images of a picture
SAME = {"hidden": (800, 800), "latent": 16, "epochs": 10}  # the G-VAE's default, for both
PHOTOS = {"recipe": "photos", "fit_prior": "none"}
PHOTOS_REHEARSAL = {"recipe": "default", "size": None, "fit_prior": "none"}
SETS: dict[str, tuple[int, dict[str, Any]]] = {  # seeds, options of both models
    "mnist": (SEEDS, SAME),
    "fashion-mnist": (SEEDS, SAME),
    "cifar10": (1, {**PHOTOS, "epochs": 8}),
    "celeba": (1, {**PHOTOS, "size": 32, "epochs": 40}),
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
ALONG = {  # arms that measure another's run: which, and in which directions
    "gvae-largest": ("gvae", "largest"),
    "vae-largest": ("vae", "largest"),
    "gvae-neutral": ("gvae", "neutral"),
    "noise": ("vae", "noise"),
    "pixels": ("vae", "pixels"),
}
OTHERS: dict[str, tuple[str, str, dict[str, Any]]] = {  # other weights of the KL, one seed: name, model, options
    "MNIST, KL weight 0.1: G-VAE": ("moves-beta-0.1", "gvae", {**SAME, "beta": 0.1}),
    "MNIST, KL weight 0.0025: G-VAE": ("moves-beta-0.0025", "gvae", {**SAME, "beta": 2.5e-3}),
    "MNIST, KL weight 0.0025: VAE": ("moves-beta-0.0025-vae", "vae", {**SAME, "beta": 2.5e-3}),
    "MNIST, the note's weights, K = 512: G-VAE": ("moves-paper", "gvae", {"recipe": "paper"}),
}


def _name(data: str, arm: str, seed: int) -> str:
    return f"moves-{data}-{arm}-seed{seed}"


def _arms(data: str) -> list[str]:
    """There is no CVAE by class for photographs."""
    return [arm for arm in ARMS if arm != "cvae" or "recipe" not in SETS[data][1]]


def _cells(data: str) -> list[Cell]:
    seeds, options = SETS[data]
    found: list[Cell] = []
    for seed in range(seeds):
        chosen = {"data": data, **options, "seed": seed}
        fast = PHOTOS_REHEARSAL if "recipe" in options else {}
        plain = {**chosen, "recipe": "photos-residual"} if "recipe" in options else chosen
        trained = {
            "gvae": Cell(_name(data, "gvae", seed), chosen, (*CHANGES, *QUALITY, "accuracy"), model="gvae", fast=fast),
            "vae": Cell(_name(data, "vae", seed), plain, (*CHANGES, *QUALITY), model="vae", fast=fast),
        }
        if "cvae" in _arms(data):
            by_class = {**chosen, "task": "labelled"}
            trained["cvae"] = Cell(_name(data, "cvae", seed), by_class, tuple(CHANGES), model="cvae")
        found += trained.values()
        for arm, (source, directions) in ALONG.items():
            run, along = trained[source], protocol(directions=directions)
            name = _name(data, arm, seed)
            found.append(dataclasses.replace(run, name=name, metrics=tuple(CHANGES), evaluation=along, of=run.name))
    return found


CELLS: tuple[Cell, ...] = (
    *(cell for data in SETS for cell in _cells(data)),
    *(
        Cell(name, options, (*CHANGES, *QUALITY, *(["accuracy"] if model == "gvae" else [])), model=model)
        for name, model, options in OTHERS.values()
    ),
)


columns = metric_columns(
    {
        **{name: f"flips at {change:g}" for name, change in CHANGES.items()},
        "sharpness_moved": "sharpness at 3.5",
        "fid_classifier": "FID of samples",
        "accuracy": "head's accuracy",
    }
)


def draw(runner: ExperimentRunner, folder: Path) -> None:
    for data in SETS:
        write_figure(folder, f"moves-{data}", _flips(runner, data))
        for arm in ("vae", "gvae"):
            run = runner.run(runner.cells[_name(data, arm, 0)])
            view = RunView(run)
            largest = latent_moves.latent_moves(view, TraversalOptions(images=SHOWN, by="largest"))
            posterior = latent_moves.latent_moves(view, TraversalOptions(images=SHOWN, by="posterior"))
            write_figure(folder, f"moves-{data}-{arm}", largest, posterior)
    run = runner.run(runner.cells[_name("celeba", "gvae", 0)])
    view = RunView(run)
    classes = latent_moves.latent_moves(view, TraversalOptions(index=None, classes=True))
    write_figure(folder, "moves-celeba-classes", classes)
    write_figure(folder, "moves-celeba-latents", latents(view))


def _flips(runner: ExperimentRunner, data: str) -> Chart:
    """Flips against change, a line an arm: means over seeds."""
    series: dict[str, list[tuple[float, float]]] = {}
    for arm in _arms(data):
        cells = [runner.cells[_name(data, arm, seed)] for seed in range(SETS[data][0])]
        known = [result["metrics"] for cell in cells if (result := runner.result(cell))]
        if known:
            reached = [name for name in CHANGES if all(name in metrics for metrics in known)]
            means = {name: sum(metrics[name]["value"] for metrics in known) / len(known) for name in reached}
            if means:
                series[ARMS[arm]] = [(CHANGES[name], mean) for name, mean in means.items()]
    return latent_moves.flips_chart(series)


_WALKS = (
    "test images moved along the top tenth of their scales together, and below along a draw of their posterior, up "
    "to 3 sigma; under each the judge's class, and the change."
)
AUGMENTATION = Experiment(
    title="Moves that keep the class",
    source="the G-VAE note, figures 2 to 4",
    text="A move changes an image's latents and decodes them. Flips: share of 10,000 test images that a judge, a "
    "classifier of another seed, assigns another class after a move than before, at an equal mean L2 change (2, 3.5 "
    "and 5 on 28 x 28 pixels, the same a pixel elsewhere). G-VAE and VAE are the same network, and both move in random "
    "directions scaled by their posterior's deviations, or along the top tenth of the scales (as in the note), or, for "
    "the G-VAE, at random within the directions that change none of its head's logits, each as far as the change "
    "takes: in random directions 1.6 to 6.8 sigma on digits and clothes, 5.9 to 17.9 on photographs, far outside the "
    "posterior. The judge is right on 98.5% of digits, 88.6% of clothes, 62.7% of CIFAR-10 and 77.6% of the 500 "
    "test faces (there are no more: standard errors of 0.02). Noise in z is the same in every latent; the "
    "last row of a data set turns, shifts and bends the VAE's reconstruction; the CVAE by class keeps the class as "
    "its condition. Sharpness: edges of moved images over edges of test images.",
    rows=(
        *(
            Row(f"{DATA_TITLES[data]}: {ARMS[arm]}", tuple(_name(data, arm, seed) for seed in range(seeds)))
            for data, (seeds, _) in SETS.items()
            for arm in _arms(data)
        ),
        *(Row(title, (name,)) for title, (name, _, _) in OTHERS.items()),
    ),
    columns=columns,
    figures=(
        "moves-mnist-vae-seed2 / flips_2 / strength",
        "moves-fashion-mnist-gvae-seed0 / flips_5 / strength",
        "moves-cifar10-vae-seed0 / flips_2 / strength",
        "moves-cifar10-gvae-seed0 / flips_5 / strength",
        "moves-{mnist,fashion-mnist,cifar10,celeba}-vae-seed0 / flips_5 / judge classifier-v2, accuracy",
        "moves-celeba-gvae-seed0 / metrics.flips_3_5.stderr",
    ),
    draw=draw,
    pictures={
        **{f"moves-{data}.svg": f"{DATA_TITLES[data]}: flips against change, lower is better." for data in SETS},
        **{
            f"moves-{data}-{arm}.png": f"{DATA_TITLES[data]}, {ARMS[arm]}: {_WALKS}"
            for data in SETS
            for arm in ("vae", "gvae")
        },
        "moves-celeba-classes.png": "One face along the mean scales of each class, and towards each class's mean "
        "(figure 5 of the note), up to 3 sigma and the whole way.",
        "moves-celeba-latents.svg": "The G-VAE's latents of test faces in the plane of their first two principal "
        "components (figure 6; the report of the run shows them by each attribute, too).",
    },
)
