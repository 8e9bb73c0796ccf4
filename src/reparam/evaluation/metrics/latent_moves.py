"""`MOVES`: how often augmentation changes the class, at a stated amount of change. One function and one row add a metric.

Shapes: `N` images, `C H W` image.
"""

import math
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from reparam.core.abilities import Ability
from reparam.core.blocks import BLOCK, in_blocks
from reparam.errors import ConfigError
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.metrics.metric import Estimate, Measure, Metric, NoValueError, mean, one_class
from reparam.evaluation.metrics.reconstruction import relative_sharpness
from reparam.latent.augmentation import Augmenter, BaseAugmenter, PixelAugmenter
from reparam.latent.directions import DEFAULT, PIXELS, class_latents, find_direction
from reparam.metrics import fidelity
from reparam.models import Model

# Mean L2 of an image of 28 x 28 grey pixels in [0, 1]; of others, the same root mean square a pixel and channel.
CHANGES = {"flips_2": 2.0, "flips_3_5": 3.5, "flips_5": 5.0}


def change_for(change: float, shape: tuple[int, int, int]) -> float:
    """The L2 change of images of `shape` whose root mean square is that of `change` on 28 x 28 grey pixels."""
    return change / 28 * math.sqrt(math.prod(shape))


def _augmenter(context: EvaluationContext, directions: str) -> BaseAugmenter:
    """Raises ConfigError where the model does not serve the directions."""
    model, seed = context.model, context.options.seed
    if directions == PIXELS:
        return PixelAugmenter(seed=seed, device=context.device)
    latents = None
    if find_direction(directions).needs == "latents" and not model.has("context"):
        classes = len(context.dataset.classes)
        latents = context.once("class latents", lambda: class_latents(model, context.trained_on, classes))
    return Augmenter(model, directions=directions, latents=latents, seed=seed)


def _applied(context: EvaluationContext, augmenter: BaseAugmenter, x: Tensor, still: bool) -> Tensor:
    """Images [N, C, H, W] after the augmenter, on the CPU; `still`: at strength 0."""
    function, y = augmenter.unmoved if still else augmenter, context.batch.y

    def block(part: Tensor, number: int) -> Tensor:
        return function(part.to(context.device), y[number * BLOCK :][: len(part)].to(context.device))

    return in_blocks(block, x)


@dataclass(frozen=True)
class Moved:
    """Test images after augmentation: whether the judge reads another class than before [N], their edges [N], and how they were
    changed, in words."""

    flipped: Tensor
    edges: Tensor
    how: str


def moved(context: EvaluationContext, change: float) -> Moved:
    """The test images at a mean L2 of `change`. Raises NoValueError where no strength changes them so much."""
    return context.once(f"moved by {change:g}", lambda: _move(context, change))


def _move(context: EvaluationContext, change: float) -> Moved:
    directions, x, y, device = context.options.directions, context.x, context.batch.y, context.device
    augmenter, judge = _augmenter(context, directions), context.network("judge")
    # Pixels are moved in the model's own reconstruction, so that all directions begin with the same images.
    unmoved = context.once("unmoved", lambda: _applied(context, _augmenter(context, DEFAULT), x, still=True))
    start = unmoved if directions == PIXELS else x
    target = change_for(change, context.dataset.shape)
    try:
        strength = augmenter.calibrate(start.to(device), y.to(device), target)
    except ConfigError:
        raise NoValueError(f"no strength changes these images by {target:.2f}") from None
    images = _applied(context, augmenter, start, still=False)
    before = context.once("unmoved classes", lambda: judge.classes(unmoved))
    reached = float((images - unmoved).flatten(1).norm(dim=1).mean())
    how = f"{directions}, strength {strength:.2f}, change {reached:.2f}; {judge.about}"
    return Moved(judge.classes(images) != before, fidelity.sharpness(images), how)


def flips(context: EvaluationContext, change: float) -> Measure:
    """Share of augmented images that a judge classifier reads as another class, at a change of {change:g}.

    How often augmentation changes the class. Lower is better; compare only values at the same amount of change ({change:g}: mean
    L2 of 28 x 28 pixels, the same per pixel for others)."""
    found = moved(context, change)
    return mean(found.flipped.float(), "share", found.how)


def sharpness_moved(context: EvaluationContext, change: float) -> Estimate:
    """Edges of augmented images over edges of test images, at a change of {change:g}.

    How sharp augmented images are: 1 is as sharp as images of the data, less is blurred, more is noisy."""
    found = moved(context, change)
    return relative_sharpness(context, found.edges, found.how)


def has_head(model: Model) -> bool:
    return model.has("head")


_row = partial(Metric, Ability.AUGMENT, obstacle=one_class, reads=("directions",), by_default=has_head, network="judge")

MOVES: dict[str, Metric] = {
    **{name: _row(partial(flips, change=change), best="low") for name, change in CHANGES.items()},
    "sharpness_moved": _row(partial(sharpness_moved, change=CHANGES["flips_3_5"])),
}
