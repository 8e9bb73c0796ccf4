"""Every model on one page: what each can do, in one table."""

import dataclasses
from pathlib import Path
from typing import Any

from experiments import gan
from experiments.cells import Cell, ExperimentRunner
from experiments.experiment import Experiment, Row, figures
from reparam.reports.figures.samples import samples
from reparam.reports.options import SampleOptions
from reparam.reports.pictures import to_picture, write_png
from reparam.reports.run_view import RunView

SETS = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
SAME: dict[str, Any] = {"hidden": (512, 256), "latent": 20, "epochs": 20}
OF_SAMPLES = ("fid_classifier", "precision", "recall")
MODELS: dict[str, tuple[str, str, dict[str, Any], tuple[str, ...]]] = {  # called, model, options, metrics
    "ae": ("AE", "ae", SAME, ("psnr",)),
    "vae": ("VAE", "vae", SAME, ("nll", "psnr", *OF_SAMPLES)),
    "gmvae": ("GMVAE, 10 components", "gmvae", SAME, ("nll", "psnr", *OF_SAMPLES)),
    "cvae": ("CVAE by class", "cvae", {**SAME, "task": "labelled"}, ("cnll_is", *OF_SAMPLES)),
    "gvae": ("G-VAE", "gvae", SAME, ("nll", "psnr", "accuracy", *OF_SAMPLES)),
    "gan": ("GAN", "gan", {}, OF_SAMPLES),
}


def _cell(data: str, name: str) -> Cell:
    _, model, options, metrics = MODELS[name]
    called = f"models-{data}-{name}"
    if model == "gan":
        run = gan.DEFAULT[data][0]
        return dataclasses.replace(run, name=called, metrics=metrics, of=run.name)
    return Cell(called, {"data": data, **options, "seed": 0}, metrics, model=model)


CELLS: tuple[Cell, ...] = tuple(_cell(data, name) for data in SETS for name in MODELS)


CALLED = {
    "nll": "NLL, nats",
    "cnll_is": "NLL given the class",
    "psnr": "PSNR of reconstructions",
    "fid_classifier": "FID of samples",
    "precision": "precision",
    "recall": "recall",
    "accuracy": "accuracy",
}


def columns(document: dict[str, Any]) -> dict[str, float]:
    minutes, millions = document["seconds"]["training"] / 60, document["parameters"] / 1e6
    return {**figures(document, CALLED), "training, minutes": minutes, "million parameters": millions}


def draw(runner: ExperimentRunner, folder: Path) -> None:
    """A band of samples of each model that makes them up."""
    for data in SETS:
        parts = []
        for name, (called, *_) in MODELS.items():
            run = runner.run(runner.cells[f"models-{data}-{name}"])
            if "sample" in run.model.abilities:
                (band,) = samples(RunView(run), SampleOptions(n=24, across=12)).panels
                parts.append(dataclasses.replace(band, rows=(called, "")))
        write_png(folder / f"models-{data}.png", to_picture(parts))


COMPARISON = Experiment(
    "Every model",
    "the five documents together",
    "One seed, 20 epochs (the GAN: its recipe), the same two hidden layers (512, 256) and 20 latents but for the GAN's "
    "convolutions; trained on one thread beside other work, so that times are rough. NLL by importance sampling with S = 5,000 "
    "of 1,000 test images on grey values (a cross-entropy); FID by the project's feature network, 10,000 samples against "
    "10,000 test images. An autoencoder makes up nothing and has no likelihood, a GAN rebuilds nothing and has none. Distances "
    "by the Inception network are in the GAN's table, the VampPrior is in that of mixtures.",
    tuple(
        Row(f"{called}: {MODELS[name][0]}", (f"models-{data}-{name}",))
        for data, called in SETS.items()
        for name in MODELS
    ),
    columns,
    (),
    draw,
    {f"models-{data}.png": f"{called}: samples of each." for data, called in SETS.items()},
)
