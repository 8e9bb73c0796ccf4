"""Importance-weighted autoencoders: the likelihoods of Burda et al. 2016, table 1, against training time."""

from pathlib import Path
from typing import Any

from experiments.cells import Cell, ExperimentRunner, protocol
from experiments.experiment import Experiment, Row, write_figure
from reparam.reports import charts

EPOCHS = {1: (10, 40, 160), 50: (3, 12, 48)}  # by k
PUBLISHED = {1: 86.76, 50: 84.78}
SEVERAL = {
    "batch_size": 20,
    "learning_rate": 2e-3,
}  # a step with k > 1 costs as much as k images: smaller batches, more steps
ALL_IMAGES = protocol(nll_images=10_000)  # of the longest runs


def _cell(k: int, epochs: int) -> Cell:
    return Cell(
        f"iwae-k{k}-epochs{epochs}",
        {"recipe": "iwae", "k": k, "epochs": epochs, **(SEVERAL if k > 1 else {})},
        ("nll", "elbo", "kl", "active_units"),
        evaluation=ALL_IMAGES if epochs == max(EPOCHS[k]) else protocol(),
    )


BY_K = {k: [_cell(k, count) for count in epochs] for k, epochs in EPOCHS.items()}
CELLS: tuple[Cell, ...] = tuple(cell for cells in BY_K.values() for cell in cells)


def columns(result: dict[str, Any]) -> dict[str, float]:
    nll = result["metrics"]["nll"]
    return {
        "test NLL, nats": nll["value"],
        "standard error": nll["stderr"],
        "test images": nll["n"],
        "active latents": result["metrics"]["active_units"]["value"],
        "training, minutes": result["seconds"]["training"] / 60,
    }


def draw(runner: ExperimentRunner, folder: Path) -> None:
    series: dict[str, list[tuple[float, float]]] = {}
    for k, cells in BY_K.items():
        found = [columns(result) for cell in cells if (result := runner.result(cell))]
        if found:
            series[f"k = {k}"] = [(figures["training, minutes"], figures["test NLL, nats"]) for figures in found]
    levels = {f"IWAE paper, k = {k}": nll for k, nll in PUBLISHED.items()}
    write_figure(folder, "iwae", charts.lines(series, "training, minutes", "test NLL, nats", levels, log_x=True))


IWAE = Experiment(
    title="Importance-weighted autoencoders",
    source="Burda et al. 2016, table 1",
    text="MNIST binarised afresh at every use, all 60,000 training images as in the paper, 50 latents, two layers of "
    "200 tanh units; negative log-likelihood by importance sampling with S = 5,000. The paper trained 3,280 epochs "
    "with batches of 20; ours are as many as a machine without a GPU affords, with path gradients (doubly "
    "reparameterised for k = 50).",
    rows=tuple(
        Row(f"k = {k}, {epochs} epochs", (cell.name,), {"test NLL, nats": PUBLISHED[k]})
        for k, cells in BY_K.items()
        for epochs, cell in zip(EPOCHS[k], cells, strict=True)
    ),
    columns=columns,
    decisive=("test NLL, nats",),
    draw=draw,
    pictures={
        "iwae.svg": "Test NLL against training time, lower is better. Every point is a run of its own with its own "
        "schedule; dashed: the paper's, after 3,280 epochs."
    },
)
