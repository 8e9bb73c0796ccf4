"""What an autoencoder is used for (document 004, chapter 2): dimension reduction, compression, denoising; and how regular its
latent space is, beside a VAE's."""

import dataclasses
from pathlib import Path
from typing import Any

from experiments.cells import Cell, ExperimentRunner
from experiments.experiment import Experiment, Row, figures
from reparam.evaluation import EvaluationOptions
from reparam.files import write_text
from reparam.reports import charts
from reparam.reports.figures.reconstructions import reconstructions
from reparam.reports.options import ReconstructionOptions
from reparam.reports.pictures import write_png
from reparam.reports.run_view import RunView
from reparam.reports.scatter import latent_scatter

SETS = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
EPOCHS = 20
BUDGETS = (8.0, 16.0, 32.0, 64.0)  # bytes an image
LATENTS = {"reduction": 16, "compression": 64}
REGULAR = ("confident_samples", "psnr", "neighbour_accuracy", "probe_accuracy")
REDUCED = ("psnr", "psnr_pca", "neighbour_accuracy", "neighbour_accuracy_pca", "probe_accuracy", "probe_accuracy_pca")
CODERS = {"rate_psnr": "autoencoder", "rate_psnr_pca": "PCA", "rate_psnr_jpeg": "JPEG"}
RATED = tuple(CODERS)
NOISES: dict[str, dict[str, Any]] = {
    "gaussian": {"corruption": "gaussian", "noise": 0.3},
    "mask": {"corruption": "mask", "noise": 0.25},
}
# Squared errors are what PSNR counts.
SQUARED = {"likelihood": "gaussian", "scale": 0.1}


def _reduction(data: str) -> Cell:
    options = {"data": data, "latent": LATENTS["reduction"], "epochs": EPOCHS, "seed": 0}
    return Cell(f"ae-{data}-reduction", options, REDUCED, model="ae")


def _compression(data: str) -> list[Cell]:
    options = {"data": data, "latent": LATENTS["compression"], **SQUARED, "epochs": EPOCHS, "seed": 0}
    options |= {"hidden": (1024, 512)}
    first = Cell(f"ae-{data}-compression-{BUDGETS[0]:g}", options, RATED, model="ae", evaluation=_at(BUDGETS[0]))
    others = (
        dataclasses.replace(first, name=f"ae-{data}-compression-{size:g}", evaluation=_at(size), of=first.name)
        for size in BUDGETS[1:]
    )
    return [first, *others]


def _at(size: float) -> EvaluationOptions:
    return EvaluationOptions(bytes=size)


def _regularity(data: str, model: str) -> Cell:
    """Two latents, as they are drawn."""
    options = {"data": data, "latent": 2, "epochs": EPOCHS, "seed": 0}
    return Cell(f"ae-{data}-regularity-{model}", options, REGULAR, model=model)


def _denoising(data: str, noise: str) -> Cell:
    options = {"data": data, "task": "denoising", **NOISES[noise], "latent": 64, "epochs": EPOCHS, "seed": 0}
    return Cell(f"ae-{data}-denoising-{noise}", options, ("psnr_gain", "psnr_gain_median"), model="dae")


CELLS: tuple[Cell, ...] = tuple(
    cell
    for data in SETS
    for cell in (
        _reduction(data),
        *_compression(data),
        *(_regularity(data, model) for model in ("ae", "vae")),
        *(_denoising(data, noise) for noise in NOISES),
    )
)


CALLED = {
    "psnr": "PSNR",
    "psnr_pca": "PCA's",
    "neighbour_accuracy": "by 5 neighbours",
    "neighbour_accuracy_pca": "PCA's, by 5 neighbours",
    "probe_accuracy": "linear classifier",
    "probe_accuracy_pca": "PCA's, linear classifier",
    "confident_samples": "random latents read with confidence",
    "rate_psnr": "PSNR at the rate",
    "rate_psnr_pca": "PCA's at the rate",
    "rate_psnr_jpeg": "JPEG's, nearest",
    "psnr_gain": "dB gained",
    "psnr_gain_median": "median filter's",
}


def columns(document: dict[str, Any]) -> dict[str, float]:
    """Each figure beside what it is compared with."""
    return figures(document, CALLED)


def draw(runner: ExperimentRunner, folder: Path) -> None:
    """Latents of an autoencoder beside a VAE's, what random ones decode to, PSNR against bytes, cleaned images."""
    for data in SETS:
        draw_set(runner, folder, data)


def draw_set(runner: ExperimentRunner, folder: Path, data: str) -> None:
    for model in ("ae", "vae"):
        run = runner.run(runner.cells[f"ae-{data}-regularity-{model}"])
        chart = latent_scatter(*RunView(run).codes, run.dataset.classes)
        write_text(folder / f"ae-{data}-latents-{model}.svg", chart.svg)
    series: dict[str, list[tuple[float, float]]] = {}
    for cell in _compression(data):
        for name, called in CODERS.items():
            if result := runner.result(cell):
                figure = result["metrics"][name]
                series.setdefault(called, []).append((float(figure["note"].split()[0]), figure["value"]))
    chart = charts.lines({name: sorted(set(points)) for name, points in series.items()}, "bytes an image", "PSNR, dB")
    write_text(folder / f"ae-{data}-rates.svg", chart.svg)
    run = runner.run(runner.cells[f"ae-{data}-denoising-gaussian"])
    shown = reconstructions(RunView(run), ReconstructionOptions(n=10))
    write_png(folder / f"ae-{data}-denoising.png", shown.picture())


AUTOENCODER = Experiment(
    "Autoencoder uses",
    "document 004, chapter 2",
    f"{EPOCHS} epochs, one seed. Dimension reduction to {LATENTS['reduction']} numbers, and what a classifier finds in them, "
    "beside as many principal components. Compression of 1,000 test images in one file, headers counted, by "
    f"{LATENTS['compression']} latents, beside principal components, as many as serve them best, with the same quantiser and "
    "coder, and JPEG without its tables at its nearest size. Denoising: decibels gained over the noisy image, beside a median "
    "filter of 3 x 3 pixels. Regularity: random latents whose image a classifier reads with 90% confidence, of an autoencoder "
    "and a VAE with two latents.",
    tuple(
        row
        for data, called in SETS.items()
        for row in (
            Row(f"{called}: dimension reduction", (_reduction(data).name,)),
            *(
                Row(f"{called}: compression to {size:g} bytes", (cell.name,))
                for size, cell in zip(BUDGETS, _compression(data), strict=True)
            ),
            Row(f"{called}: denoising, noise of 0.3", (_denoising(data, "gaussian").name,)),
            Row(f"{called}: denoising, a quarter masked", (_denoising(data, "mask").name,)),
            Row(f"{called}: two latents, autoencoder", (_regularity(data, "ae").name,)),
            Row(f"{called}: two latents, VAE", (_regularity(data, "vae").name,)),
        )
    ),
    columns,
    (),
    draw,
    {
        name: caption
        for data, called in SETS.items()
        for name, caption in {
            f"ae-{data}-latents-ae.svg": f"{called}: test images in an autoencoder's two latents (figure 2.2, left).",
            f"ae-{data}-latents-vae.svg": f"{called}: in a VAE's (figure 2.2, right).",
            f"ae-{data}-rates.svg": f"{called}: PSNR against bytes an image.",
            f"ae-{data}-denoising.png": f"{called}: test images, the same with noise, and cleaned.",
        }.items()
    },
)
