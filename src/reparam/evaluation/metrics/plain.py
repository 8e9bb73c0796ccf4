"""Plain baselines of metrics: what each row of a table of metrics may name as standing in for the model.

Shapes: `N` images, `D` values of a label map.
"""

from functools import partial

from reparam.data.selection import random_indices
from reparam.data.tasks import to_float
from reparam.evaluation import baselines
from reparam.evaluation.context import EvaluationContext, StandIn


def projection(context: EvaluationContext) -> StandIn | None:
    """Reconstructions by as many principal components of the training images as there are latents."""
    if len(context.fitted) < 2:
        return None

    def make() -> StandIn:
        found = context.components()
        return StandIn(_components(len(found.vectors)), "reconstructions", found.project(context.batch.input))

    return context.once("projection", make)


def gaussian(context: EvaluationContext) -> StandIn | None:
    """Samples of a Gaussian in as many principal components of the training images, in grey values, as there are latents."""
    if len(context.fitted) < 2:
        return None

    def make() -> StandIn:
        found = context.components(grey=True)
        name = f"Gaussian in {_components(len(found.vectors))}"
        return StandIn(name, "samples", found.sample(len(context.grey), context.options.seed))

    return context.once("gaussian", make)


def _components(count: int) -> str:
    return f"{count:,} principal component{'s' if count > 1 else ''}"


def mean_image(context: EvaluationContext) -> StandIn:
    """The mean training image in place of every reconstruction."""
    return StandIn("mean image", "reconstructions", context.mean_image.expand_as(context.x))


def mean_samples(context: EvaluationContext) -> StandIn:
    """The mean training image in place of every sample."""
    return StandIn(
        "mean image", "samples", context.components(grey=True).mean.view_as(context.grey[0]).expand_as(context.grey)
    )


def training_images(context: EvaluationContext) -> StandIn | None:
    """As many training images in place of samples: no model is expected to be nearer to the test images."""
    train = context.dataset.train

    def make() -> StandIn:
        images = to_float(train.take(random_indices(train, len(context.grey))).pixels)
        return StandIn("training images", "samples", images, floor=True)

    return context.once("training images", make) if len(train) > 1 else None


def mean_prediction(context: EvaluationContext) -> StandIn:
    """The mean of the training images, of label maps the share of each value at each pixel, in place of every prediction."""
    mean, n = context.mean_map if context.of_maps else context.mean_image, len(context.predicted.x)
    return StandIn(f"mean {'mask' if context.of_maps else 'image'}", "average_prediction", mean.expand(n, *mean.shape))


def usual_class(context: EvaluationContext) -> StandIn | None:
    """The class that most labelled training images have."""
    _, labels = context.labelled
    if not len(labels):
        return None
    usual = labels.mode().values
    return StandIn("most frequent class", "predicted_classes", usual.expand(len(context.x)))


def nearest_images(context: EvaluationContext) -> StandIn | None:
    """The class of the labelled training image whose pixels are nearest."""
    images, labels = context.labelled
    if not len(labels):
        return None

    def make() -> StandIn:
        return StandIn("nearest image", "predicted_classes", labels[baselines.nearest(context.x, images)])

    return context.once("nearest image", make)


def _clusters(context: EvaluationContext, kind: str) -> StandIn | None:
    """As many clusters of the training images as the prior has components, in as many principal components as latents."""
    count = context.model.prior.components
    if len(context.fitted) < max(2, count):
        return None

    def make() -> StandIn:
        found = context.components()
        train = found.encode(context.fitted_images())
        assigned = baselines.clusters(kind, train, found.encode(context.batch.input), count)
        return StandIn(f"{kind} in {_components(len(found.vectors))}", "clusters", assigned)

    return context.once(kind, make)


k_means, mixture = (partial(_clusters, kind=kind) for kind in ("k-means", "Gaussian mixture"))
