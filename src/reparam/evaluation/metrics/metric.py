"""What a row of `METRICS` is, and what several of its files share.

Shapes: `N` images.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from torch import Tensor

from reparam.data import Dataset
from reparam.data.selection import random_indices
from reparam.data.tasks import TaskOptions
from reparam.evaluation.context import EvaluationContext, EvaluationOptions, Measure, mean
from reparam.models import Model

FEWEST_FOR_FID = 128  # twice the features of the small network: below, the covariance is mostly noise
FEW_SAMPLES = 10  # effective ones: below, few draws have all the weight

Obstacle = Callable[[Model, Dataset, TaskOptions, EvaluationOptions], str | None]


class Metric(NamedTuple):
    """A row: the ability a model needs, the function, what the figure is, what it means to who has never met it; why it may
    not apply to a model and its data all the same; whether it takes so long, for a model, that it waits to be asked for; and
    which end of it is the better one, where there is one."""

    needs: str
    measure: Callable[[EvaluationContext], Measure]
    doc: str
    meaning: str
    obstacle: Obstacle | None = None
    dear: bool | Callable[[Model], bool] = False
    best: Literal["low", "high", ""] = ""

    def waits(self, model: Model) -> bool:
        """Whether it is measured only when asked for."""
        return self.dear if isinstance(self.dear, bool) else self.dear(model)


def nll(context: EvaluationContext) -> Measure:
    values, sizes = context.nll
    note = effective(sizes, context.options)
    if len(values) < len(context.x):  # the two figures stand beside each other, and this one must not look the larger
        reconstruction, kl = context.bound
        note += f"; -elbo of these images is {float((reconstruction + kl)[: len(values)].mean()):.2f}"
    return mean(values, "nats/image", note)


def effective(sizes: Tensor, options: EvaluationOptions) -> str:
    typical, low = (float(sizes.quantile(q)) for q in (0.5, 0.05))
    note = f"S = {options.samples:,}, effective {typical:.0f} (5% of images below {low:.1f})"
    if options.precision != "float32":
        note += f"; {options.precision} products"
    return note + (
        "; few draws dominate: the true value may be lower" if typical < min(FEW_SAMPLES, options.samples / 2) else ""
    )


def few_images(model: Model, dataset: Dataset, task: TaskOptions, options: EvaluationOptions) -> str | None:
    n = min(len(dataset.split(options.split)), options.images)
    return (
        None if n >= FEWEST_FOR_FID else f"{n} images are too few to compare distributions: it takes {FEWEST_FOR_FID}"
    )


def none_labelled(dataset: Dataset, options: EvaluationOptions) -> str | None:
    split = dataset.split(options.split)
    known = split.labels[random_indices(split, options.images)] >= 0
    return None if bool(known.any()) else "none of the images that are asked has a label"


def no_classifier(model: Model, dataset: Dataset, task: TaskOptions, options: EvaluationOptions) -> str | None:
    if len(dataset.classes) < 2:
        return "its feature network needs images of at least two classes"
    return few_images(model, dataset, task, options)
