"""`SAMPLES`: how samples compare with test images. One function and one row add a metric.

Samples are means of p(x|z), z ~ p(z), as many as there are test images, and are compared with these in grey values: the means of
a binarised model are its grey values.
"""

import math
from functools import partial

from reparam.core.abilities import Ability
from reparam.data.selection import random_indices
from reparam.data.tasks import to_float
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.metrics.metric import Estimate, Measure, Metric, by_image, no_classifier, not_for_inception
from reparam.evaluation.metrics.plain import gaussian, mean_samples, training_images
from reparam.evaluation.metrics.reconstruction import relative_sharpness
from reparam.metrics import distances, fidelity
from reparam.metrics.latents import entropy

COMPARED = 5000  # images of each kind, at most


def sharpness_samples(context: EvaluationContext) -> Estimate:
    """Edges of samples over edges of test images.

    How sharp samples are beside test images: 1 is as sharp, less is blurred, more is noisy."""
    return relative_sharpness(context, fidelity.sharpness(context.samples))


def fid(context: EvaluationContext, network: str) -> Estimate:
    """Fréchet distance of samples to test images, {network} features.

    Distance between samples and test images, as a network sees them (classifier: trained on this data; inception: that of
    published FIDs). Lower is better, 0 is no difference; comparable only within one data set and number of images."""
    real, generated = context.features(network)
    note = context.network(network).about
    if len(real) <= 2 * real.shape[1]:
        note += f"; biased upwards: {len(real):,} images for {real.shape[1]:,} features"
    return _distance(distances.frechet_distance(real, generated), note)


def kid(context: EvaluationContext, network: str) -> Estimate:
    """Kernel distance of samples to test images, {network} features.

    As fid_{network}, without its bias for few images: 0 is expected for equal distributions, and values may fall below it by
    chance. Lower is better."""
    return _distance(distances.kernel_distance(*context.features(network)), context.network(network).about)


def kid_random(context: EvaluationContext) -> Estimate:
    """Kernel distance of samples to test images, features of random convolutions.

    Distance between samples and test images as edges, textures and colours tell it, without labels and from few images on: 0 is
    expected for equal distributions, values may fall below it by chance, and 1 is as far as one image of the data is from
    another. Lower is better."""
    return _distance(distances.energy_distance(*context.features("random")), context.network("random").about)


def _distance(found: distances.Distance, note: str) -> Estimate:
    """With the error that comes of the draw of test images and of samples."""
    n = len(found.real)
    spread = found.real + found.generated if len(found.generated) == n else None
    return Estimate(Measure(found.value, found.stderr, n, "", note), spread)


def memorised(context: EvaluationContext) -> Measure:
    """Share of samples that are nearer to a training image than to any test image, of as many of each.

    Whether the model repeats images that it was trained on: 0.5 is expected of one that does not, and nearly 1 of one that
    repeats those that it is compared with. By squared distance of pixels."""
    n = min(len(context.grey), len(context.trained_on), COMPARED)
    samples, test = (x[:n].flatten(1) for x in (context.samples, context.grey))
    train = to_float(context.trained_on.take(random_indices(context.trained_on, n)).pixels).flatten(1)
    found, stderr = distances.nearer_to_first(samples, train, test)
    note = f"{n:,} of {len(context.trained_on):,} training images"
    return Measure(float(found.mean()), stderr, n, "share", note)


def precision(context: EvaluationContext, network: str) -> Estimate:
    """Share of samples that are among test images, {network} features.

    How many samples this network takes for one of the data; blur may escape it. 1 is best."""
    return by_image(context.manifolds(network).precision, "", context.network(network).about)


def recall(context: EvaluationContext, network: str) -> Estimate:
    """Share of test images that are among samples, {network} features.

    How much of the variety of real images the samples have. 1 is best."""
    return by_image(context.manifolds(network).recall, "", context.network(network).about)


def density(context: EvaluationContext, network: str) -> Estimate:
    """How densely test images surround samples, {network} features.

    As precision, but counting how often: about 1 for equal distributions, more if samples keep to typical images."""
    return by_image(context.manifolds(network).density, "", context.network(network).about)


def coverage(context: EvaluationContext, network: str) -> Estimate:
    """Share of test images with a sample close by, {network} features.

    As recall, but less sensitive to outliers. 1 is best."""
    return by_image(context.manifolds(network).coverage, "", context.network(network).about)


def two_images(context: EvaluationContext) -> str | None:
    enough = min(len(context.index), len(context.trained_on), len(context.dataset.train)) > 1
    return None if enough else "it takes two test and two training images"


def classes_made(context: EvaluationContext) -> Measure:
    """Number of classes among samples: exp of the entropy of the classes that a classifier reads.

    Whether samples are of all classes: best is as many as the data has; at 1 all samples are of one class."""
    names, network = context.dataset.classes, context.network("classifier")
    counts = network.classes(context.samples).bincount(minlength=len(names))
    shares = counts.double() / counts.sum()
    rarest = int(shares.argmin())
    note = f"rarest: {names[rarest]}, {float(shares[rarest]):.1%}"
    return Measure(math.exp(entropy(shares)), None, int(counts.sum()), f"of {len(names)}", note)


def _by_features(network: str, suffix: str) -> dict[str, Metric]:
    expensive = network == "inception"
    row = partial(
        Metric,
        Ability.SAMPLE,
        obstacle=not_for_inception if expensive else no_classifier,
        expensive=expensive,
        network="" if expensive else network,
        beside=(gaussian,),
    )
    distance = partial(row, best="low", beside=(gaussian, training_images))
    return {
        f"fid_{network}": distance(partial(fid, network=network)),
        f"kid_{network}": distance(partial(kid, network=network)),
        f"precision{suffix}": row(partial(precision, network=network), best="high"),
        f"recall{suffix}": row(partial(recall, network=network), best="high"),
        f"density{suffix}": row(partial(density, network=network)),
        f"coverage{suffix}": row(partial(coverage, network=network), best="high"),
    }


SAMPLES: dict[str, Metric] = {
    "sharpness_samples": Metric(Ability.SAMPLE, sharpness_samples, beside=(gaussian,)),
    "kid_random": Metric(
        Ability.SAMPLE,
        kid_random,
        two_images,
        best="low",
        beside=(gaussian, mean_samples, training_images),
    ),
    "memorised": Metric(Ability.SAMPLE, memorised, two_images, beside=(gaussian,)),
    **_by_features("classifier", ""),
    "classes_made": Metric(Ability.SAMPLE, classes_made, no_classifier, best="high", network="classifier"),
    **_by_features("inception", "_inception"),
}
