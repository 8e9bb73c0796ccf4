"""`METRICS`: what can be measured, and what a model must be able to do for it. One function and one line add a metric.

Shapes: `N` images, `C H W` image, `K` latent.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from reparam.core.blocks import BLOCK, in_blocks
from reparam.data import Dataset
from reparam.data.tasks import TaskOptions, to_float
from reparam.distributions import keyed_generator
from reparam.errors import ConfigError, suggest
from reparam.evaluation import distances, fidelity, likelihood
from reparam.evaluation.context import EvaluationContext, EvaluationOptions, Measure, mean, ratio
from reparam.evaluation.latents import active_units, entropy
from reparam.evaluation.metrics.clusters import CLUSTERS
from reparam.evaluation.metrics.latent_moves import MOVES
from reparam.evaluation.metrics.metric import Metric, effective, few_images, nll, no_classifier
from reparam.evaluation.metrics.predictions import PREDICTIONS
from reparam.evaluation.metrics.rates import RATES
from reparam.evaluation.metrics.representation import REPRESENTATION
from reparam.latent.generation import classify
from reparam.models import Model

SATURATED = 0.9  # of log n: a mutual information above it says little but that it is large


def elbo(context: EvaluationContext) -> Measure:
    reconstruction, kl = context.bound
    return mean(-(reconstruction + kl), "nats/image")


def bits_per_dim(context: EvaluationContext) -> Measure:
    """nats / (C H W ln 2) for mass on 256 levels; for a density, of uniformly dequantised images plus 8: an upper bound on the
    bits of the mass that it puts on levels (Theis et al. 2016, section 3.1)."""
    size = math.prod(context.dataset.shape)
    if context.model.decoder.density == "mass":
        values, sizes = context.nll
        return mean(values / (size * math.log(2)), "bits", effective(sizes, context.options))
    levels = context.grey[: context.options.nll_images] * 255
    noise = [
        torch.rand(
            BLOCK, *levels.shape[1:], generator=keyed_generator("cpu", context.options.seed, "dequantise", number)
        )
        for number in range(-(-len(levels) // BLOCK))
    ]
    values, sizes = context.importance_nll((levels + torch.cat(noise)[: len(levels)]) / 256)
    return mean(
        values / (size * math.log(2)) + 8,
        "bits",
        f"{effective(sizes, context.options)}; uniform dequantisation: an upper bound",
    )


def reconstruction(context: EvaluationContext) -> Measure:
    if "likelihood" in context.model.abilities:
        return mean(context.bound[0], "nats/image")
    return mean(likelihood.point_reconstruction(context.model, context.batch.shown, context.x), "nats/image")


def kl(context: EvaluationContext) -> Measure:
    parts = likelihood.kl_by_dimension(context.model, context.x, context.c)
    if parts is None:
        return mean(context.bound[1], "nats/image")
    largest = ", ".join(f"{value:.2f}" for value in parts.sort(descending=True).values[:3].tolist())
    note = f"by latent: {largest}{', ...' if len(parts) > 3 else ''}"
    return dataclasses.replace(mean(context.bound[1], "nats/image", note), parts=tuple(parts.tolist()))


def count_active_units(context: EvaluationContext) -> Measure:
    means, _ = context.codes
    return Measure(active_units(means) if len(means) > 1 else 0, None, len(means), f"of {means.shape[1]}")


def mutual_information(context: EvaluationContext) -> Measure:
    aggregate = context.aggregate
    measure = mean(aggregate.log_own - aggregate.log_mixture, "nats/image")
    limit = math.log(measure.n)
    if measure.value < SATURATED * limit:
        return measure
    return dataclasses.replace(measure, note=f"{measure.n:,} images cannot show more than {limit:.2f}")


def marginal_kl(context: EvaluationContext) -> Measure:
    aggregate = context.aggregate
    prior = context.model.prior()
    with torch.no_grad():
        log_p = in_blocks(lambda z, _: prior.log_prob(z.to(context.device, torch.float32)), aggregate.z)
    note = "too high: see mutual_information" if mutual_information(context).note else ""
    return mean(aggregate.log_mixture - log_p, "nats/image", note)


def mse(context: EvaluationContext) -> Measure:
    return mean(fidelity.squared_error(context.x, context.reconstructions), "per pixel")


def psnr(context: EvaluationContext) -> Measure:
    return mean(fidelity.psnr(context.x, context.reconstructions), "dB")


def ssim(context: EvaluationContext) -> Measure:
    rebuilt = context.reconstructions.split(BLOCK)
    return mean(in_blocks(lambda part, number: fidelity.ssim(part, rebuilt[number]), context.x), "")


def sharpness(context: EvaluationContext) -> Measure:
    return _sharpness(context, context.reconstructions)


def sharpness_samples(context: EvaluationContext) -> Measure:
    return _sharpness(context, context.samples)


def _sharpness(context: EvaluationContext, images: Tensor) -> Measure:
    return ratio(fidelity.sharpness(images), fidelity.sharpness(context.grey), "of test images'")


def fid(context: EvaluationContext, network: str) -> Measure:
    """Means of p(x|z) against as many test images, always in grey values: a binarised model's means are its grey values."""
    real, made = context.features(network)
    note = context.network(network).about
    reference = context.reference(network) if network == "classifier" else real[:0]
    if len(reference) > 1:
        note += f"; {len(reference):,} training images have {distances.frechet_distance(real, reference):.3g}"
    if len(real) <= 2 * real.shape[1]:
        note += f"; biased upwards: {len(real):,} images for {real.shape[1]:,} features"
    return Measure(distances.frechet_distance(real, made), None, len(real), "", note)


def classes_made(context: EvaluationContext) -> Measure:
    """exp of the entropy of the classes that the feature network's classifier reads in samples."""
    names, network = context.dataset.classes, context.network("classifier")
    counts = network.classes(context.samples).bincount(minlength=len(names))
    shares = counts.double() / counts.sum()
    rarest = int(shares.argmin())
    note = f"rarest: {names[rarest]}, {float(shares[rarest]):.1%}"
    return Measure(math.exp(entropy(shares)), None, int(counts.sum()), f"of {len(names)}", note)


def kid(context: EvaluationContext, network: str) -> Measure:
    real, made = context.features(network)
    value, stderr = distances.kernel_distance(real, made)
    return Measure(value, stderr, len(real), "", context.network(network).about)


def manifold(context: EvaluationContext, network: str, which: str) -> Measure:
    return mean(getattr(context.manifolds(network), which), "", context.network(network).about)


def accuracy(context: EvaluationContext) -> Measure:
    labels = context.batch.y
    known = labels >= 0
    read = classify(context.model, context.x[known])
    return mean((read == labels[known]).double(), "share")


def no_bits(model: Model, dataset: Dataset, task: TaskOptions, options: EvaluationOptions) -> str | None:
    density = getattr(model.decoder, "density", "not stated")
    if density == "density" and task.binarise == "none":
        return None
    if density == "mass":
        return None if task.binarise == "none" else "images were binarised: it is for 256 levels"
    if task.binarise != "none":
        return "images were binarised: it is for 256 levels"
    return "its likelihood is no mass on 256 levels and no density (a Bernoulli on grey values is a cross-entropy)"


def no_normal_posterior(model: Model, dataset: Dataset, task: TaskOptions, options: EvaluationOptions) -> str | None:
    with torch.no_grad():
        q_z = model.encoder(to_float(dataset.test.images[:1]).to(next(model.parameters()).device))
    normal = isinstance(q_z, Independent) and isinstance(q_z.base_dist, Normal)
    return None if normal else "its posterior is no normal distribution with a diagonal covariance"


def small(model: Model, dataset: Dataset, task: TaskOptions, options: EvaluationOptions) -> str | None:
    return "its window needs images of at least 11 pixels" if dataset.shape[1] < 11 else None


_BEST: dict[str, Literal["low", "high", ""]] = {
    "fid": "low",
    "kid": "low",
    "precision": "high",
    "recall": "high",
    "density": "",
    "coverage": "high",
}


def _of_samples(network: str) -> dict[str, Metric]:
    """How samples compare with test images, by one feature network."""
    seen = {"classifier": "a classifier trained on this data", "inception": "the Inception network of published FIDs"}[
        network
    ]
    bare = "" if network == "classifier" else f"_{network}"
    rows: dict[str, tuple[Any, str, str]] = {
        f"fid_{network}": (
            partial(fid, network=network),
            f"Fréchet distance of samples to test images, {network} features",
            f"Distance between samples and test images, as {seen} sees them. Lower is better, 0 is no difference; comparable "
            "only within one data set and number of images.",
        ),
        f"kid_{network}": (
            partial(kid, network=network),
            f"kernel distance of samples to test images, {network} features",
            "The same comparison without its bias for few images: 0 is expected for equal distributions, and values may fall "
            "below it by chance. Lower is better.",
        ),
    }
    for which, doc, meaning in (
        ("precision", "samples that lie among test images", "How many samples could pass for real. 1 is best."),
        ("recall", "test images that lie among samples", "How much of what is real the samples reach. 1 is best."),
        (
            "density",
            "how densely samples lie among test images",
            "As precision, but counting how often: about 1 for equal distributions, more if samples keep to typical images.",
        ),
        ("coverage", "test images with a sample close by", "As recall, and less open to outliers. 1 is best."),
    ):
        rows[f"{which}{bare}"] = (
            partial(manifold, network=network, which=which),
            f"{doc}, {network} features",
            meaning,
        )
    dear = network == "inception"
    obstacle = few_images if dear else no_classifier
    return {
        name: Metric("sample", *row, obstacle=obstacle, dear=dear, best=_BEST[name.partition("_")[0]])
        for name, row in rows.items()
    }


METRICS: dict[str, Metric] = {
    "elbo": Metric(
        "bound",
        elbo,
        "evidence lower bound on log p(x)",
        "A floor under the log-probability that the model gives to a test image. Higher is better.",
        best="high",
    ),
    "nll": Metric(
        "likelihood",
        nll,
        "-log p(x) by importance sampling",
        "How surprised the model is by a test image, in nats (1.44 bits each). Lower is better.",
        best="low",
    ),
    "bits_per_dim": Metric(
        "likelihood",
        bits_per_dim,
        "-log2 of the mass on grey levels, per pixel and channel",
        "How many bits a lossless compressor built on the model would need for a pixel. 8 is no model at all; lower is better.",
        no_bits,
        best="low",
    ),
    "reconstruction": Metric(
        "reconstruct",
        reconstruction,
        "-log p(x|z) at posterior draws (an autoencoder's point)",
        "The part of the surprise that is left once the latent is known. Lower is better, at the price of KL.",
        best="low",
    ),
    "kl": Metric(
        "bound",
        kl,
        "KL(q(z|x) || p(z))",
        "How much the latent says about an image. 0 would mean that it is ignored; more is paid for in the bound.",
    ),
    "active_units": Metric(
        "encode",
        count_active_units,
        "latents whose posterior mean varies over images",
        "How many numbers of the latent the model really uses; the others carry next to nothing.",
    ),
    "mutual_information": Metric(
        "likelihood",
        mutual_information,
        "I(x; z): how far the posteriors of these images are apart",
        "The part of the KL that tells images from each other. Higher is better; n images cannot show more than log n.",
        no_normal_posterior,
        best="high",
    ),
    "marginal_kl": Metric(
        "likelihood",
        marginal_kl,
        "KL of the aggregate posterior to the prior",
        "The part of the KL that is wasted: how far the latents of real images lie from where samples are drawn. 0 is best.",
        no_normal_posterior,
        best="low",
    ),
    "mse": Metric(
        "reconstruct",
        mse,
        "squared error of reconstructions",
        "Squared difference between a test image and its reconstruction, pixel values from 0 to 1. Lower is better.",
        best="low",
    ),
    "psnr": Metric(
        "reconstruct",
        psnr,
        "peak signal-to-noise ratio of reconstructions",
        "The same difference on the decibel scale of image compression. Higher is better.",
        best="high",
    ),
    "ssim": Metric(
        "reconstruct",
        ssim,
        "structural similarity of reconstructions",
        "Likeness of local structure between image and reconstruction. 1 is equal; higher is better.",
        small,
        best="high",
    ),
    "sharpness": Metric(
        "reconstruct",
        sharpness,
        "edges of reconstructions over edges of test images",
        "How sharp reconstructions are beside their originals: 1 is as sharp, less is blurred, more is noisy.",
    ),
    "sharpness_samples": Metric(
        "sample",
        sharpness_samples,
        "edges of samples over edges of test images",
        "The same for samples.",
    ),
    **_of_samples("classifier"),
    "classes_made": Metric(
        "sample",
        classes_made,
        "classes that samples are spread over, as a number of equal ones",
        "Whether samples are of all classes: as many as the data has is best, 1 is a model that makes one thing only.",
        no_classifier,
        best="high",
    ),
    **_of_samples("inception"),
    **PREDICTIONS,
    **MOVES,
    **CLUSTERS,
    **REPRESENTATION,
    **RATES,
    "accuracy": Metric(
        "classify",
        accuracy,
        "labelled test images whose class is read rightly",
        "How often the classifier names the right class of a test image. 1 is always.",
        best="high",
    ),
}

NOUNS = ("bound", "likelihood", "conditional likelihood")  # abilities that one has
ALL = "all"  # in place of names: the dear ones too


def check_known(names: Sequence[str]) -> None:
    """Raises ConfigError for a name that is no metric's, nor `all`."""
    for name in names:
        if name not in METRICS and name != ALL:
            raise ConfigError(
                f"unknown metric '{name}'{suggest(name, METRICS)} (known: {', '.join(METRICS)}, or {ALL})"
            )


def choose(
    model: Model, dataset: Dataset, task: TaskOptions, options: EvaluationOptions, names: Sequence[str] = ()
) -> tuple[list[str], dict[str, str]]:
    """(metrics to run, why others are left out). Raises ConfigError for an unknown or impossible one asked for by name."""
    check_known(names)
    left_out = {}
    for name, metric in METRICS.items():
        if metric.needs not in model.abilities:
            left_out[name] = (
                f"it has no {metric.needs}" if metric.needs in NOUNS else f"the model cannot {metric.needs}"
            )
        elif metric.obstacle and (reason := metric.obstacle(model, dataset, task, options)):
            left_out[name] = reason
        elif metric.waits(model) and name not in names and ALL not in names:
            why = (
                "they take minutes to hours on a processor"
                if metric.dear is True
                else "measured by default of other models"
            )
            left_out[name] = f"{why}: ask by name, or with --metrics all"
    for name in names:
        if name in left_out:
            raise ConfigError(f"metric '{name}' does not apply here: {left_out[name]}")
    wanted = names if names and ALL not in names else METRICS
    return [name for name in METRICS if name not in left_out and name in wanted], left_out


def evaluate(context: EvaluationContext, names: Sequence[str]) -> Iterator[tuple[str, Measure]]:
    """The named metrics one by one, in the table's order."""
    for number, name in enumerate(names, 1):
        context.say(f"[{number}/{len(names)}] {name}: {METRICS[name].doc}")
        yield name, METRICS[name].measure(context)
