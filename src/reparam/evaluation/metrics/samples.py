"""`SAMPLES`: how samples compare with test images. One function and one row add a metric.

Samples are means of p(x|z), z ~ p(z), as many as there are test images, and are compared with these in grey values: the means of
a binarised model are its grey values.
"""

import math
from functools import partial

from reparam.core.abilities import Ability
from reparam.evaluation import distances, fidelity
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.latents import entropy
from reparam.evaluation.metrics.metric import Measure, Metric, few_images, mean, no_classifier
from reparam.evaluation.metrics.reconstruction import relative_sharpness


def sharpness_samples(context: EvaluationContext) -> Measure:
    """Edges of samples over edges of test images.

    How sharp samples are beside test images: 1 is as sharp, less is blurred, more is noisy."""
    return relative_sharpness(context, fidelity.sharpness(context.samples))


def fid(context: EvaluationContext, network: str) -> Measure:
    """Fréchet distance of samples to test images, {network} features.

    Distance between samples and test images, as a network sees them (classifier: trained on this data; inception: that of
    published FIDs). Lower is better, 0 is no difference; comparable only within one data set and number of images."""
    real, generated = context.features(network)
    note = context.network(network).about
    reference = context.reference(network) if network == "classifier" else real[:0]
    if len(reference) > 1:
        note += f"; {len(reference):,} training images have {distances.frechet_distance(real, reference):.3g}"
    if len(real) <= 2 * real.shape[1]:
        note += f"; biased upwards: {len(real):,} images for {real.shape[1]:,} features"
    return Measure(distances.frechet_distance(real, generated), None, len(real), "", note)


def kid(context: EvaluationContext, network: str) -> Measure:
    """Kernel distance of samples to test images, {network} features.

    As fid_{network}, without its bias for few images: 0 is expected for equal distributions, and values may fall below it by
    chance. Lower is better."""
    real, generated = context.features(network)
    value, stderr = distances.kernel_distance(real, generated)
    return Measure(value, stderr, len(real), "", context.network(network).about)


def precision(context: EvaluationContext, network: str) -> Measure:
    """Share of samples that are among test images, {network} features.

    How many samples this network takes for one of the data; blur may escape it. 1 is best."""
    return mean(context.manifolds(network).precision, "", context.network(network).about)


def recall(context: EvaluationContext, network: str) -> Measure:
    """Share of test images that are among samples, {network} features.

    How much of the variety of real images the samples have. 1 is best."""
    return mean(context.manifolds(network).recall, "", context.network(network).about)


def density(context: EvaluationContext, network: str) -> Measure:
    """How densely test images surround samples, {network} features.

    As precision, but counting how often: about 1 for equal distributions, more if samples keep to typical images."""
    return mean(context.manifolds(network).density, "", context.network(network).about)


def coverage(context: EvaluationContext, network: str) -> Measure:
    """Share of test images with a sample close by, {network} features.

    As recall, but less sensitive to outliers. 1 is best."""
    return mean(context.manifolds(network).coverage, "", context.network(network).about)


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
    row = partial(Metric, Ability.SAMPLE, obstacle=few_images if expensive else no_classifier, expensive=expensive)
    return {
        f"fid_{network}": row(partial(fid, network=network), best="low"),
        f"kid_{network}": row(partial(kid, network=network), best="low"),
        f"precision{suffix}": row(partial(precision, network=network), best="high"),
        f"recall{suffix}": row(partial(recall, network=network), best="high"),
        f"density{suffix}": row(partial(density, network=network)),
        f"coverage{suffix}": row(partial(coverage, network=network), best="high"),
    }


SAMPLES: dict[str, Metric] = {
    "sharpness_samples": Metric(Ability.SAMPLE, sharpness_samples),
    **_by_features("classifier", ""),
    "classes_made": Metric(Ability.SAMPLE, classes_made, no_classifier, best="high"),
    **_by_features("inception", "_inception"),
}
