"""Uses of an autoencoder (the GAN and autoencoder note, chapter 2): dimension reduction, compression, denoising; and how regular
its latent space is, beside a VAE's."""

import dataclasses
from pathlib import Path
from typing import Any

from experiments.cells import Cell, ExperimentRunner, protocol
from experiments.experiment import DATA_TITLES, GREY_DATA, Experiment, Row, metric_columns, write_figure
from reparam.reports import charts
from reparam.reports.figures.reconstructions import reconstructions
from reparam.reports.options import ReconstructionOptions
from reparam.reports.run_view import RunView
from reparam.reports.scatter import latent_scatter

EPOCHS = 20
BUDGETS = (8.0, 16.0, 32.0, 64.0)  # bytes an image
LATENTS = {"reduction": 16, "compression": 64, "denoising": 64, "regularity": 2}
SHOWN = 10  # denoised images
REGULAR = ("confident_samples", "psnr", "neighbour_accuracy", "probe_accuracy")
REDUCED = ("psnr", "psnr_pca", "neighbour_accuracy", "neighbour_accuracy_pca", "probe_accuracy", "probe_accuracy_pca")
CODERS = {"rate_psnr": "autoencoder", "rate_psnr_pca": "PCA", "rate_psnr_jpeg": "JPEG"}
RATED = tuple(CODERS)
NOISES: dict[str, dict[str, Any]] = {
    "gaussian": {"corruption": "gaussian", "noise": 0.3},
    "mask": {"corruption": "mask", "noise": 0.25},
}
SQUARED = {"likelihood": "gaussian", "scale": 0.1}  # the errors that PSNR counts
WIDE = {"hidden": (1024, 512)}


def _cell(data: str, name: str, model: str, metrics: tuple[str, ...], options: dict[str, Any]) -> Cell:
    return Cell(f"ae-{data}-{name}", {"data": data, **options}, metrics, model=model)


def _trained(use: str, **options: Any) -> dict[str, Any]:
    return {"latent": LATENTS[use], **options, "epochs": EPOCHS, "seed": 0}


def _reduction(data: str) -> Cell:
    return _cell(data, "reduction", "ae", REDUCED, _trained("reduction"))


def _compression(data: str) -> list[Cell]:
    """One run, measured at every budget."""
    options = {**_trained("compression", **SQUARED), **WIDE}
    run = _cell(data, f"compression-{BUDGETS[0]:g}", "ae", RATED, options)
    return [
        dataclasses.replace(
            run,
            name=f"ae-{data}-compression-{budget:g}",
            evaluation=protocol(bytes=budget),
            of="" if budget == BUDGETS[0] else run.name,
        )
        for budget in BUDGETS
    ]


def _regularity(data: str, model: str) -> Cell:
    return _cell(data, f"regularity-{model}", model, REGULAR, _trained("regularity"))


def _denoising(data: str, noise: str) -> Cell:
    options = {"task": "denoising", **NOISES[noise], **_trained("denoising")}
    return _cell(data, f"denoising-{noise}", "dae", ("psnr_gain", "psnr_gain_median"), options)


CELLS: tuple[Cell, ...] = tuple(
    cell
    for data in GREY_DATA
    for cell in (
        _reduction(data),
        *_compression(data),
        *(_regularity(data, model) for model in ("ae", "vae")),
        *(_denoising(data, noise) for noise in NOISES),
    )
)


def draw(runner: ExperimentRunner, folder: Path) -> None:
    """Latents of an autoencoder and of a VAE, PSNR against bytes, denoised images."""
    for data in GREY_DATA:
        for model in ("ae", "vae"):
            run = runner.run(_regularity(data, model))
            chart = latent_scatter(*RunView(run).codes, run.dataset.classes)
            write_figure(folder, f"ae-{data}-latents-{model}", chart)
        write_figure(folder, f"ae-{data}-rates", _rates(runner, data))
        run = runner.run(_denoising(data, "gaussian"))
        write_figure(folder, f"ae-{data}-denoising", reconstructions(RunView(run), ReconstructionOptions(n=SHOWN)))


def _rates(runner: ExperimentRunner, data: str) -> charts.Chart:
    """PSNR against bytes an image. The note of a measure begins with its bytes."""
    results = [result for cell in _compression(data) if (result := runner.result(cell))]
    series = {}
    for name, title in CODERS.items():
        measures = [result["metrics"][name] for result in results]
        series[title] = sorted({(float(measure["note"].split()[0]), measure["value"]) for measure in measures})
    return charts.lines(series, "bytes an image", "PSNR, dB")


_TITLES = {data: DATA_TITLES[data] for data in GREY_DATA}
AUTOENCODER = Experiment(
    title="Autoencoder uses",
    source="the GAN and autoencoder note, chapter 2",
    text=f"{EPOCHS} epochs, one seed. Dimension reduction to {LATENTS['reduction']} numbers, and what a classifier "
    "finds in them, beside as many principal components. Compression of 1,000 test images in one file, headers "
    f"counted, by {LATENTS['compression']} latents, beside principal components, as many as serve them best, with the "
    "same quantiser and coder, and JPEG without its tables at its nearest size. Denoising: decibels gained over the "
    "noisy image, beside a median filter of 3 x 3 pixels. Regularity: random latents whose image a classifier "
    "assigns a class with 90% confidence, of an autoencoder and a VAE with two latents.",
    rows=tuple(
        row
        for data, title in _TITLES.items()
        for row in (
            Row(f"{title}: dimension reduction", (_reduction(data).name,)),
            *(
                Row(f"{title}: compression to {size:g} bytes", (cell.name,))
                for size, cell in zip(BUDGETS, _compression(data), strict=True)
            ),
            Row(f"{title}: denoising, noise of 0.3", (_denoising(data, "gaussian").name,)),
            Row(f"{title}: denoising, a quarter masked", (_denoising(data, "mask").name,)),
            Row(f"{title}: two latents, autoencoder", (_regularity(data, "ae").name,)),
            Row(f"{title}: two latents, VAE", (_regularity(data, "vae").name,)),
        )
    ),
    columns=metric_columns(
        {
            "psnr": "PSNR",
            "psnr_pca": "PCA's",
            "neighbour_accuracy": "by 5 neighbours",
            "neighbour_accuracy_pca": "PCA's, by 5 neighbours",
            "probe_accuracy": "linear classifier",
            "probe_accuracy_pca": "PCA's, linear classifier",
            "confident_samples": "confident random latents",
            "rate_psnr": "PSNR at the rate",
            "rate_psnr_pca": "PCA's at the rate",
            "rate_psnr_jpeg": "JPEG's, nearest",
            "psnr_gain": "dB gained",
            "psnr_gain_median": "median filter's",
        }
    ),
    draw=draw,
    pictures={
        name: caption
        for data, title in _TITLES.items()
        for name, caption in {
            f"ae-{data}-latents-ae.svg": f"{title}: test images in an autoencoder's two latents (figure 2.2, left).",
            f"ae-{data}-latents-vae.svg": f"{title}: in a VAE's (figure 2.2, right).",
            f"ae-{data}-rates.svg": f"{title}: PSNR against bytes an image.",
            f"ae-{data}-denoising.png": f"{title}: test images, the same with noise, and denoised.",
        }.items()
    },
)
