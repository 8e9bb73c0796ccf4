"""`EXPERIMENTS`: the founding documents' tables and figures, and those of papers. One cell and one line add a row.

Report energies (document 002): plain sums an image of binary cross-entropy, absolute or squared error, plus the KL, without
normalising constants. A Laplace of scale 1 is |x - f| + log 2 a pixel, a normal of variance 1/2 is (x - f)^2 + 1/2 log pi: what
stands behind the plus is taken off.
"""

import math
from pathlib import Path
from typing import Any

import torch

from experiments import augmentation, autoencoder, faces, gan, low_data, mixture, models
from experiments.cells import Cell, ExperimentRunner
from experiments.experiment import Experiment, Row
from experiments.quadrants import CELLS as QUADRANT_CELLS
from experiments.quadrants import GAP, QUADRANTS
from experiments.segmentation import CELLS as SEGMENTATION_CELLS
from experiments.segmentation import OCCLUSION, SEGMENTATION
from reparam.evaluation import EvaluationOptions
from reparam.files import write_text
from reparam.reports import charts
from reparam.reports.figures.reconstructions import grid
from reparam.reports.options import GridOptions
from reparam.reports.pictures import Panel, to_picture, write_png
from reparam.reports.run_view import RunView

SHOWN = 10  # test images in a picture
GRID = 11  # images along a side of figure 4
WIDE = EvaluationOptions(nll_images=10_000)


ENERGIES = ("elbo", "reconstruction", "kl", "active_units", "psnr", "sharpness")


def _report(name: str, seed: int, start: str = "", **options: Any) -> Cell:
    return Cell(f"{name}-seed{seed}", {**options, "seed": seed}, ENERGIES, start=start)


def _structure(number: int, seed: int, **options: Any) -> Cell:
    return _report(f"structure-{number}", seed, recipe=f"report-{number}", **options)


# A sigmoid under absolute or squared error learns slowly from scratch (one run of 60 epochs with absolute errors ended at 68.4 on
# test images): both go on from the weights that the cross-entropy found.
_AFTER = {"recipe": "report-2", "epochs": 40}


def _iwae(k: int, epochs: int, last: bool) -> Cell:
    options: dict[str, Any] = {"recipe": "iwae", "k": k, "epochs": epochs}
    if k > 1:  # a step costs as much as k images': smaller batches make more of them
        options |= {"batch_size": 20, "learning_rate": 2e-3}
    return Cell(
        f"iwae-k{k}-epochs{epochs}",
        options,
        ("nll", "elbo", "kl", "active_units"),
        evaluation=WIDE if last else EvaluationOptions(),
    )


IWAE_EPOCHS = {1: (10, 40, 160), 50: (3, 12, 48)}

CELLS: dict[str, Cell] = {
    cell.name: cell
    for cell in (
        *(_structure(2, seed) for seed in range(3)),
        _structure(1, 0, train_on="all"),
        *(_structure(number, 0) for number in (3, 4)),
        _report("loss-l1", 0, "structure-2-seed0", likelihood="laplace", scale=1.0, **_AFTER),
        _report("loss-l2", 0, "structure-2-seed0", likelihood="gaussian", scale=math.sqrt(0.5), **_AFTER),
        _report("latent-1", 0, recipe="report-2", latent=1),
        *(_iwae(k, epochs, epochs == max(IWAE_EPOCHS[k])) for k in IWAE_EPOCHS for epochs in IWAE_EPOCHS[k]),
        *QUADRANT_CELLS,
        *SEGMENTATION_CELLS,
        *faces.CELLS,
        *augmentation.CELLS,
        *low_data.CELLS,
        *mixture.CELLS,
        *gan.CELLS,
        *autoencoder.CELLS,
        *models.CELLS,
    )
}
_SECOND = tuple(f"structure-2-seed{seed}" for seed in range(3))


def energies(document: dict[str, Any]) -> dict[str, float]:
    """Reconstruction, KL and their sum as document 002 has them; sharpness beside them."""
    options, pixels = document["config"]["options"], math.prod(document["shape"])
    constant = {"bernoulli": 0.0, "laplace": math.log(2), "gaussian": 0.5 * math.log(math.pi)}[options["likelihood"]]
    measured = {name: measure["value"] for name, measure in document["metrics"].items()}
    reconstruction = measured["reconstruction"] - constant * pixels
    return {
        "reconstruction": reconstruction,
        "KL": measured["kl"],
        "total": reconstruction + measured["kl"],
        "sharpness": measured["sharpness"],
    }


def likelihoods(document: dict[str, Any]) -> dict[str, float]:
    metrics, seconds = document["metrics"], document["seconds"]["training"]
    return {
        "test NLL, nats": metrics["nll"]["value"],
        "standard error": metrics["nll"]["stderr"],
        "test images": metrics["nll"]["n"],
        "active latents": metrics["active_units"]["value"],
        "training, minutes": seconds / 60,
    }


def _published(reconstruction: float, kl: float, total: float) -> dict[str, float]:
    return {"reconstruction": reconstruction, "KL": kl, "total": total}


BCE = _published(131.17, 7.26, 138.43)


def draw_losses(runner: ExperimentRunner, folder: Path) -> None:
    """Figure 3: test images above what each loss makes of them."""
    names = {"BCE": "structure-2-seed0", "L2": "loss-l2-seed0", "L1": "loss-l1-seed0"}
    runs = {name: runner.run(CELLS[cell]) for name, cell in names.items()}
    x = next(iter(runs.values())).examples(SHOWN).x
    rows = {"original": x, **{name: run.reconstruct(x) for name, run in runs.items()}}
    write_png(folder / "losses.png", to_picture([Panel(torch.cat(list(rows.values())), SHOWN, list(rows))]))


def draw_latents(runner: ExperimentRunner, folder: Path) -> None:
    """Figure 4: decodings over [-5, 5]."""
    for number, cell in ((1, "latent-1-seed0"), (2, "structure-2-seed0")):
        shown = grid(RunView(runner.run(CELLS[cell])), GridOptions(steps=GRID))
        write_png(folder / f"latent-{number}.png", shown.picture())


def draw_iwae(runner: ExperimentRunner, folder: Path) -> None:
    """NLL against the time that training took; every point is a run of its own."""
    series: dict[str, list[tuple[float, float]]] = {}
    for k, epochs in IWAE_EPOCHS.items():
        results = [runner.result(CELLS[f"iwae-k{k}-epochs{n}"]) for n in epochs]
        points = [(r["seconds"]["training"] / 60, r["metrics"]["nll"]["value"]) for r in results if r]
        if points:
            series[f"k = {k}"] = points
    levels = {"IWAE paper, k = 1": 86.76, "IWAE paper, k = 50": 84.78}
    chart = charts.lines(series, "training, minutes", "test NLL, nats", levels, log_x=True)
    write_text(folder / "iwae.svg", chart.svg)


EXPERIMENTS: dict[str, Experiment] = {
    "structures": Experiment(
        "Structures of the network",
        "document 002 (the VAE report), table 1",
        "MNIST, two latents, binary cross-entropy on grey values; mean loss of the 10,000 test images. The report's figure "
        "with the widths is lost: ours are (1) 784-400-z, (2) 784-512-256-z, (3) 784-512-256-128-z, mirrored, (4) two "
        "stride-2 convolutions of 32 and 64 channels and their transposes. 60 epochs on 50,000 images with one cosine "
        "schedule (settings that differ are in the recipe), weights chosen on the 10,000 validation images.",
        (
            Row("(1) two-layer MLP, all 60,000 images", ("structure-1-seed0",), _published(142.78, 6.21, 148.99)),
            Row("(2) three-layer MLP", _SECOND, BCE),
            Row("(3) four-layer MLP", ("structure-3-seed0",), _published(131.31, 7.29, 138.60)),
            Row("(4) CNN", ("structure-4-seed0",), _published(140.09, 6.53, 146.62)),
        ),
        energies,
        ("total",),
    ),
    "losses": Experiment(
        "Reconstruction losses",
        "document 002, table 2 and figure 3",
        "Structure (2) under three losses. Absolute and squared errors go on from the weights of the cross-entropy for 40 "
        "epochs, since from scratch they end higher. The report says that L1 gives sharper pictures: sharpness is that of "
        "reconstructions over that of the test images, by the root mean square of their Laplacians.",
        (
            Row("L1", ("loss-l1-seed0",), _published(58.58, 6.20, 64.78)),
            Row("L2", ("loss-l2-seed0",), _published(27.87, 5.71, 33.58)),
            Row("BCE", _SECOND, BCE),
        ),
        energies,
        ("total",),
        draw_losses,
        {"losses.png": "Figure 3: test digits, and their reconstructions by structure (2) under each loss."},
    ),
    "latent-dims": Experiment(
        "One latent or two",
        "document 002, table 3 and figure 4",
        "Structure (2), binary cross-entropy.",
        (
            Row("z = 1", ("latent-1-seed0",), _published(153.90, 5.03, 158.93)),
            Row("z = 2", _SECOND, BCE),
        ),
        energies,
        ("total",),
        draw_latents,
        {
            "latent-1.png": "Figure 4(a): one latent from -5 to 5.",
            "latent-2.png": "Figure 4(b): two latents, each from -5 to 5.",
        },
    ),
    "iwae": Experiment(
        "Importance-weighted autoencoders",
        "Burda et al. 2016, table 1",
        "MNIST binarised afresh at every use, all 60,000 training images as in the paper, 50 latents, two layers of 200 tanh "
        "units; negative log-likelihood by importance sampling with S = 5,000. The paper trained 3,280 epochs with batches of "
        "20; ours are as many as a machine without a GPU affords, with path gradients (doubly reparameterised for k = 50).",
        tuple(
            Row(
                f"k = {k}, {epochs} epochs",
                (f"iwae-k{k}-epochs{epochs}",),
                {"test NLL, nats": {1: 86.76, 50: 84.78}[k]},
            )
            for k in IWAE_EPOCHS
            for epochs in IWAE_EPOCHS[k]
        ),
        likelihoods,
        ("test NLL, nats",),
        draw_iwae,
        {
            "iwae.svg": "Test NLL against training time, lower is better. Every point is a run of its own with its own "
            "schedule; dashed: the paper's, after 3,280 epochs."
        },
    ),
    "quadrants": QUADRANTS,
    "gap": GAP,
    "faces": faces.EXPERIMENT,
    "segmentation": SEGMENTATION,
    "occlusion": OCCLUSION,
    "augmentation": augmentation.AUGMENTATION,
    "low-data": low_data.LOW_DATA,
    "mixture": mixture.MIXTURE,
    "gan": gan.GAN,
    "autoencoder": autoencoder.AUTOENCODER,
    "models": models.COMPARISON,
}
