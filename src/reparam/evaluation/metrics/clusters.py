"""`CLUSTERS`: what can be measured of a mixture prior's components. One function and one line add a metric.

Shapes: `N` images, `D` classes, `M` components.
"""

import math

import torch
from torch import Tensor

from reparam.data import Dataset
from reparam.data.tasks import TaskOptions
from reparam.evaluation.context import EvaluationContext, EvaluationOptions, Measure, mean
from reparam.evaluation.latents import entropy
from reparam.evaluation.metrics.metric import Metric, none_labelled
from reparam.latent.generation import responsibilities
from reparam.models import Model


def best_assignment(counts: Tensor) -> Tensor:
    """The component that stands for each class, [D], -1 where there are too few: of counts [M, D] of images by component and
    class, the one-to-one assignment under which most images are where they belong (Hungarian method)."""
    from scipy.optimize import linear_sum_assignment

    components, classes = linear_sum_assignment(counts.numpy(), maximize=True)
    found = torch.full((counts.shape[1],), -1)
    found[torch.as_tensor(classes)] = torch.as_tensor(components)
    return found


def normalised_information(counts: Tensor) -> float:
    """Mutual information of component and class over the mean of their entropies, of counts [M, D]: 0 for independent ones, 1 for
    the same partition."""
    joint = counts.double() / counts.sum()
    rows, columns = joint.sum(1), joint.sum(0)
    both = entropy(rows) + entropy(columns)
    return 2 * (both - entropy(joint)) / both if both > 0 else 1.0


def cluster_accuracy(context: EvaluationContext) -> Measure:
    known = context.batch.y >= 0
    labels, chosen = context.batch.y[known], _responsibilities(context)[known].argmax(1)
    components, classes = context.model.prior.components, len(context.dataset.classes)
    counts = torch.zeros(components, classes, dtype=torch.long)
    counts.index_put_((chosen, labels), torch.ones_like(chosen), accumulate=True)
    right = (best_assignment(counts)[labels] == chosen).double()
    return mean(
        right,
        "share",
        f"{components} components, {classes} classes, one to one; normalised mutual information "
        f"{normalised_information(counts):.3f}",
    )


def components_used(context: EvaluationContext) -> Measure:
    """exp of the entropy of the mean responsibilities."""
    shares = _responsibilities(context).double().mean(0)
    return Measure(math.exp(entropy(shares)), None, len(context.x), f"of {len(shares)}")


def _responsibilities(context: EvaluationContext) -> Tensor:
    return context.once("responsibilities", lambda: responsibilities(context.model, context.batch.shown))


def no_classes(model: Model, dataset: Dataset, task: TaskOptions, options: EvaluationOptions) -> str | None:
    if len(dataset.classes) < 2:
        return "the data has no two classes to compare clusters with"
    return none_labelled(dataset, options)


CLUSTERS: dict[str, Metric] = {
    "cluster_accuracy": Metric(
        "cluster",
        cluster_accuracy,
        "test images whose component stands for their class",
        "How well the components found the classes, which they were never told: each class is given one component, the best "
        "way round, and images in it are right. 1 is best; by chance it is somewhat above one over the number of classes.",
        no_classes,
        best="high",
    ),
    "components_used": Metric(
        "cluster",
        components_used,
        "components that images are spread over, as a number of equal ones",
        "How many components the prior really uses; the others are dead.",
    ),
}
