"""Horses segmented from their background (after Sohn, Lee and Yan 2015, sections 4.2 and 5.2, on public data)."""

import dataclasses
from pathlib import Path
from typing import Any

from experiments.cells import Cell, ExperimentRunner, protocol
from experiments.experiment import Experiment, Row, metric_columns, write_figure
from reparam.data.selection import class_balanced_indices, task_images
from reparam.reports.figures.predictions import predictions
from reparam.reports.options import PredictionOptions
from reparam.reports.run_view import RunView

SPLITS = 5
SHOWN, DRAWS = 5, 10  # test images of a picture, and predictions of each
BOX = 0.4  # side of the hidden box, and largest side of omission noise
PLAIN = protocol(samples=100)
OCCLUDED = dataclasses.replace(PLAIN, occlusion=BOX)
HORSES = {
    "data": "weizmann-horses",
    "task": "segmentation",
    "recipe": "maps",
    "size": 64,
    "split_sizes": (200, 28, 100),
    "width": 8,
    "epochs": 30,
}
DISCS = {"data": "reparam.testing:discs", "size": 32, "split_sizes": (), "width": 8, "epochs": 0.5}

# Title, model, options.
ARMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "cnn": ("CNN", "nn", {}),
    "multi": ("CNN, multi-scale", "nn", {"multi_scale": True}),
    "gsnn": ("GSNN, multi-scale", "gsnn", {"multi_scale": True}),
    "cvae": ("CVAE, multi-scale", "cvae", {"multi_scale": True}),
    "hybrid": ("hybrid, multi-scale", "hybrid", {"multi_scale": True}),
}
BASELINE = "CNN"
LIKELIHOODS = {
    "nn": ("cnll_mc",),
    "gsnn": ("cnll_mc",),
    "cvae": ("cnll_mc", "cnll_is"),
    "hybrid": ("cnll_mc", "cnll_is"),
}


def _name(arm: str, noise: bool, split: int) -> str:
    return f"horses-{arm}{'-noise' * noise}-split{split}"


def _cell(arm: str, noise: bool, split: int) -> Cell:
    _, model, options = ARMS[arm]
    chosen = {**HORSES, **options, "split_seed": split, **({"omission_noise": BOX} if noise else {}), "seed": 0}
    metrics = ("pixel_accuracy", "iou", "ece", "mean_of_n", "best_of_n", "diversity", *LIKELIHOODS[model])
    return Cell(_name(arm, noise, split), chosen, metrics, model=model, evaluation=PLAIN, fast=DISCS)


def _occluded(arm: str, noise: bool, split: int) -> Cell:
    """The same run, measured with a box of every test image hidden."""
    run = _cell(arm, noise, split)
    metrics = ("iou", "mean_of_n", "best_of_n", "occluded_uncertainty")
    return dataclasses.replace(run, name=f"{run.name}-occluded", metrics=metrics, evaluation=OCCLUDED, of=run.name)


GRID = [(arm, noise) for noise in (False, True) for arm in ARMS]
CELLS: tuple[Cell, ...] = (
    *(_cell(arm, noise, split) for split in range(SPLITS) for arm, noise in GRID),
    *(_occluded(arm, noise, split) for split in range(SPLITS) for arm, noise in GRID),
)


def columns(result: dict[str, Any]) -> dict[str, float]:
    found = {name: measure["value"] for name, measure in result["metrics"].items()}
    return {
        "IoU": found["iou"],
        "pixel accuracy": found["pixel_accuracy"],
        "-log p(x|c)": found.get("cnll_is", found["cnll_mc"]),
        "best of 10": found["best_of_n"],
        "ECE": found["ece"],
    }


def _draw(runner: ExperimentRunner, folder: Path, name: str, box: tuple[float, float] | None) -> None:
    run, baseline = (runner.run(runner.cells[_name(arm, True, 0)]) for arm in ("hybrid", "multi"))
    test = run.dataset.test
    batch = task_images(test, run.config.task, class_balanced_indices(test.labels, SHOWN), box)
    options = PredictionOptions(samples=DRAWS, baseline=baseline)
    write_figure(folder, name, predictions(RunView(run, batch=batch), options))


def draw(runner: ExperimentRunner, folder: Path) -> None:
    _draw(runner, folder, "horses", None)


def draw_occluded(runner: ExperimentRunner, folder: Path) -> None:
    _draw(runner, folder, "horses-occluded", (BOX, BOX))


def _rows(suffix: str = "") -> tuple[Row, ...]:
    return tuple(
        Row(
            f"{ARMS[arm][0]}{', omission noise' * noise}",
            tuple(_name(arm, noise, split) + suffix for split in range(SPLITS)),
        )
        for arm, noise in GRID
    )


_PICTURE = (
    "the input, the CNN's prediction, the hybrid's at z*, ten of its predictions, their mean, the target, and where "
    "the predictions differ."
)
SEGMENTATION = Experiment(
    title="Horses from their background",
    source="Sohn, Lee and Yan 2015, table 2, on other data",
    text="328 horses of 64 x 64 pixels, 200 / 28 / 100 in five fixed shuffles, one seed each, figures on the test "
    "images; weights chosen on validation. IoU is the foreground's, pooled; of models with a latent it is that of "
    "the mean of ten predictions. -log p(x|c) is nats an image: exact for the CNN, 100 draws of the prior for the "
    "GSNN, of the recognition network for CVAE and hybrid. Two pairs of the 328 pictures are the same file twice, so "
    "a shuffle may have one in training and its twin in the test. The shuffles share pictures: errors of the paired "
    "differences, over the five, are too small by an unknown amount.",
    rows=_rows(),
    columns=columns,
    paired=("IoU", (BASELINE,)),
    draw=draw,
    pictures={"horses.png": f"Horses: {_PICTURE}"},
)
OCCLUSION = Experiment(
    title="Horses that are partly hidden",
    source="Sohn, Lee and Yan 2015, section 5.3, on other data",
    text="The runs of the table above, with a box of 0.4 of the side hidden in every test image. Mean of 10: IoU an "
    "image of the mean of ten predictions; best of 10: of the best of them; the CNN's ten predictions are drawn "
    "pixel by pixel. Uncertainty: the standard deviation between predictions inside the box over that outside.",
    rows=_rows("-occluded"),
    columns=metric_columns(
        {
            "iou": "IoU",
            "mean_of_n": "mean of 10",
            "best_of_n": "best of 10",
            "occluded_uncertainty": "uncertainty inside / outside",
        }
    ),
    paired=("best of 10", (BASELINE,)),
    draw=draw_occluded,
    pictures={"horses-occluded.png": f"Partly hidden horses: {_PICTURE}"},
)
