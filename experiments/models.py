"""Every model in one table."""

import dataclasses
from pathlib import Path
from typing import Any

from experiments import gan
from experiments.cells import Cell, ExperimentRunner
from experiments.experiment import DATA_TITLES, GREY_DATA, Experiment, Row, metric_columns, write_figure
from reparam.core.abilities import Ability
from reparam.reports.figures.samples import samples
from reparam.reports.options import SampleOptions
from reparam.reports.run_view import RunView

SAME: dict[str, Any] = {"hidden": (512, 256), "latent": 20, "epochs": 20}
OF_SAMPLES = ("fid_classifier", "precision", "recall")
SHOWN, ACROSS = 24, 12  # samples of each model in the picture
ARMS: dict[str, tuple[str, str, dict[str, Any], tuple[str, ...]]] = {  # title, model, options, metrics
    "ae": ("AE", "ae", SAME, ("psnr",)),
    "vae": ("VAE", "vae", SAME, ("nll", "psnr", *OF_SAMPLES)),
    "gmvae": ("GMVAE, 10 components", "gmvae", SAME, ("nll", "psnr", *OF_SAMPLES)),
    "cvae": ("CVAE by class", "cvae", {**SAME, "task": "labelled"}, ("cnll_is", *OF_SAMPLES)),
    "gvae": ("G-VAE", "gvae", SAME, ("nll", "psnr", "accuracy", *OF_SAMPLES)),
    "gan": ("GAN", "gan", {}, OF_SAMPLES),
}


def _cell(data: str, arm: str) -> Cell:
    _, model, options, metrics = ARMS[arm]
    name = f"models-{data}-{arm}"
    if model == "gan":
        run = gan.DEFAULT[data][0]
        return dataclasses.replace(run, name=name, metrics=metrics, of=run.name)
    return Cell(name, {"data": data, **options, "seed": 0}, metrics, model=model)


CELLS: tuple[Cell, ...] = tuple(_cell(data, arm) for data in GREY_DATA for arm in ARMS)
_measured = metric_columns(
    {
        "nll": "NLL, nats",
        "cnll_is": "NLL given the class",
        "psnr": "PSNR of reconstructions",
        "fid_classifier": "FID of samples",
        "precision": "precision",
        "recall": "recall",
        "accuracy": "accuracy",
    }
)


def columns(result: dict[str, Any]) -> dict[str, float]:
    minutes, millions = result["seconds"]["training"] / 60, result["parameters"] / 1e6
    return {**_measured(result), "training, minutes": minutes, "million parameters": millions}


def draw(runner: ExperimentRunner, folder: Path) -> None:
    """Samples of each model that generates them."""
    for data in GREY_DATA:
        parts = []
        for arm, (title, *_) in ARMS.items():
            run = runner.run(_cell(data, arm))
            if Ability.SAMPLE in run.model.abilities:
                (band,) = samples(RunView(run), SampleOptions(n=SHOWN, across=ACROSS)).panels
                parts.append(dataclasses.replace(band, rows=(title, "")))
        write_figure(folder, f"models-{data}", *parts)


COMPARISON = Experiment(
    title="Every model",
    source="all the founding notes",
    text="One seed, 20 epochs (the GAN: its recipe), the same two hidden layers (512, 256) and 20 latents but for "
    "the GAN's convolutions; trained on one thread beside other work, so that times are rough. NLL by importance "
    "sampling with S = 5,000 of 1,000 test images on grey values (a cross-entropy); FID by the project's feature "
    "network, 10,000 samples against 10,000 test images. An autoencoder has no samples and no likelihood, a GAN no "
    "reconstructions and no likelihood. Distances by the Inception network are in the GAN's table, the VampPrior is "
    "in that of mixtures.",
    rows=tuple(
        Row(f"{DATA_TITLES[data]}: {title}", (_cell(data, arm).name,))
        for data in GREY_DATA
        for arm, (title, *_) in ARMS.items()
    ),
    columns=columns,
    draw=draw,
    pictures={f"models-{data}.png": f"{DATA_TITLES[data]}: samples of each." for data in GREY_DATA},
)
