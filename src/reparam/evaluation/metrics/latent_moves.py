"""Moves that are to keep the class: how often they do not, at a stated amount of change.

Shapes: `N` images, `C H W` image.
"""

import math
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.core.blocks import BLOCK, in_blocks
from reparam.data import Dataset
from reparam.data.tasks import TaskOptions
from reparam.errors import ConfigError
from reparam.evaluation import fidelity
from reparam.evaluation.context import EvaluationContext, EvaluationOptions, Measure, mean, ratio
from reparam.evaluation.metrics.metric import Metric
from reparam.latent.augmentation import Augmenter, BaseAugmenter, PixelAugmenter
from reparam.latent.directions import DEFAULT, PIXELS, class_latents, find_direction
from reparam.models import Model

# Mean L2 of an image of 28 x 28 grey pixels in [0, 1]; of others, the same root mean square a pixel and channel.
CHANGES = {"flips_2": 2.0, "flips_3_5": 3.5, "flips_5": 5.0}


def change_for(change: float, shape: tuple[int, int, int]) -> float:
    """The L2 change of images of `shape` whose root mean square is that of `change` on 28 x 28 grey pixels."""
    return change / 28 * math.sqrt(math.prod(shape))


def move_of(context: EvaluationContext, directions: str) -> BaseAugmenter:
    """Raises ConfigError where the model does not serve the directions."""
    model, seed = context.model, context.options.seed
    if directions == PIXELS:
        return PixelAugmenter(seed=seed, device=context.device)
    if find_direction(directions).needs == "latents" and not model.has("context"):
        classes = len(context.dataset.classes)
        latents = context.once("class latents", lambda: class_latents(model, context.trained_on, classes))
        return Augmenter(model, directions=directions, latents=latents, seed=seed)
    return Augmenter(model, directions=directions, seed=seed)


def _moved(move: BaseAugmenter, x: Tensor, y: Tensor, device: torch.device, still: bool) -> Tensor:
    """[N, C, H, W] on the CPU, block by block."""
    function = move.unmoved if still else move

    def block(part: Tensor, number: int) -> Tensor:
        return function(part.to(device), y[number * BLOCK :][: len(part)].to(device))

    return in_blocks(block, x)


class Moved(NamedTuple):
    """Of images moved by a stated change: whether the judge reads another class than before [N], their edges [N], and how they
    were moved, in words."""

    flipped: Tensor
    edges: Tensor
    how: str


def moved(context: EvaluationContext, change: float) -> Moved | None:
    """Of the test images at a mean L2 of `change`; None where no strength moves them so far."""
    return context.once(f"moved by {change:g}", lambda: _compare(context, change))


def _compare(context: EvaluationContext, change: float) -> Moved | None:
    directions, x, y, device = context.options.directions, context.x, context.batch.y, context.device
    move, judge = move_of(context, directions), context.network("judge")
    # Pixels are moved in the model's own reconstruction too, so that all arms begin with the same images.
    unmoved = context.once("unmoved", lambda: _moved(move_of(context, DEFAULT), x, y, device, still=True))
    start = unmoved if directions == PIXELS else x
    try:
        strength = move.calibrate(start.to(device), y.to(device), change_for(change, context.dataset.shape))
    except ConfigError:
        return None
    images = _moved(move, start, y, device, still=False)
    before = context.once("unmoved classes", lambda: judge.classes(unmoved))
    reached = float((images - unmoved).flatten(1).norm(dim=1).mean())
    how = f"{directions}, strength {strength:.2f}, change {reached:.2f}; {judge.about}"
    return Moved(judge.classes(images) != before, fidelity.sharpness(images), how)


def _out_of_reach(context: EvaluationContext, change: float, unit: str) -> Measure:
    wanted = change_for(change, context.dataset.shape)
    return Measure(math.nan, None, len(context.x), unit, f"no strength changes these images by {wanted:.2f}")


def flips(context: EvaluationContext, change: float) -> Measure:
    """Share of images whose class changes for the judge between unmoved and moved, the mean L2 change being `change`."""
    found = moved(context, change)
    return mean(found.flipped.float(), "share", found.how) if found else _out_of_reach(context, change, "share")


def sharpness_moved(context: EvaluationContext, change: float) -> Measure:
    """Mean edge energy of the moved images over that of the images."""
    found, unit = moved(context, change), "of test images'"
    if found is None:
        return _out_of_reach(context, change, unit)
    return replace(ratio(found.edges, fidelity.sharpness(context.grey), unit), note=found.how)


def one_class(model: Model, dataset: Dataset, task: TaskOptions, options: EvaluationOptions) -> str | None:
    if len(dataset.classes) < 2:
        return "its judge needs images of at least two classes"
    return None


def has_no_head(model: Model) -> bool:
    return not model.has("head")


MOVES: dict[str, Metric] = {
    name: Metric(
        "augment",
        partial(flips, change=change),
        f"moved images that another classifier reads as another class, at a change of {change:g}",
        "How often augmentation breaks the class. Lower is better; only figures of the same amount of change compare "
        f"({change:g}: mean L2 of 28 x 28 pixels, the same a pixel for others).",
        obstacle=one_class,
        dear=has_no_head,
        best="low",
    )
    for name, change in CHANGES.items()
} | {
    "sharpness_moved": Metric(
        "augment",
        partial(sharpness_moved, change=3.5),
        "edges of images moved by 3.5 over edges of test images",
        "How sharp moved images are: 1 is as sharp as images of the data, less is blurred, more is noisy.",
        obstacle=one_class,
        dear=has_no_head,
    )
}
