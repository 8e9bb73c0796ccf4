"""`CLASSES`: how well a model predicts classes. One function and one row add a metric."""

from reparam.core.abilities import Ability
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.metrics.metric import Estimate, Metric, by_image, none_labelled
from reparam.evaluation.metrics.plain import nearest_images, usual_class


def accuracy(context: EvaluationContext) -> Estimate:
    """Share of labelled test images whose predicted class is right.

    How often the model names the right class of a test image. 1 is always."""
    labels = context.batch.y
    known = labels >= 0
    return by_image((context.predicted_classes[known] == labels[known]).double(), "share")


CLASSES: dict[str, Metric] = {
    "accuracy": Metric(Ability.CLASSIFY, accuracy, none_labelled, best="high", beside=(usual_class, nearest_images))
}
