"""`CLUSTERS`: the components of a mixture prior as clusters of images. One function and one row add a metric.

Shapes: `N` images, `D` classes, `M` components.
"""

import math

from reparam.core.abilities import Ability
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.metrics.metric import Estimate, Measure, Metric, by_image, none_labelled, one_class
from reparam.evaluation.metrics.plain import k_means, mixture
from reparam.metrics import clusters
from reparam.metrics.latents import entropy


def cluster_accuracy(context: EvaluationContext) -> Estimate:
    """Share of test images whose component is that of their class.

    How well the components found the classes without labels: each class is given one component, in the best way, and images in it
    are right. 1 is best; by chance it is somewhat above one over the number of classes."""
    known = context.batch.y >= 0
    labels, chosen = context.batch.y[known], context.clusters[known]
    components, classes = context.model.prior.components, len(context.dataset.classes)
    counts = clusters.joint_counts(chosen, labels, components, classes)
    right = (clusters.best_assignment(counts)[labels] == chosen).double()
    information = f"normalised mutual information {clusters.normalised_information(counts):.3f}"
    return by_image(right, "share", f"{components} components, {classes} classes, one to one; {information}")


def components_used(context: EvaluationContext) -> Measure:
    """Number of components among test images: exp of the entropy of their mean responsibilities.

    How many components images are spread over; the others are dead. Components that are alike count each."""
    shares = context.responsibilities.double().mean(0)
    return Measure(math.exp(entropy(shares)), None, len(context.x), f"of {len(shares)}")


def no_classes(context: EvaluationContext) -> str | None:
    return one_class(context) or none_labelled(context)


CLUSTERS: dict[str, Metric] = {
    "cluster_accuracy": Metric(Ability.CLUSTER, cluster_accuracy, no_classes, best="high", beside=(k_means, mixture)),
    "components_used": Metric(Ability.CLUSTER, components_used),
}
