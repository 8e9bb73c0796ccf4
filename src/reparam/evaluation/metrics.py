"""`METRICS`: what can be measured, and what a model must be able to do for it. One function and one line add a metric.

Shapes: `N` images, `C H W` image, `K` latent.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.data import Dataset, Images
from reparam.data.tasks import TaskOptions, make_batch, to_float
from reparam.distributions import keyed_generator
from reparam.errors import ConfigError, suggest
from reparam.evaluation import fidelity, likelihood
from reparam.evaluation.features import feature_network
from reparam.evaluation.latents import active_units
from reparam.generation import BLOCK, classify, device_of, encode, full_block, in_blocks, reconstruct, sample
from reparam.models import Model
from reparam.training import Progress

FEWEST_FOR_FID = 128  # twice the features of the network: below, the covariance is mostly noise


@dataclass(frozen=True)
class Measure:
    """A figure: its value, standard error (None where it has none), number of images, unit."""

    value: float
    stderr: float | None
    n: int
    unit: str


@dataclass(frozen=True)
class EvaluationOptions:
    """`samples`: importance samples S of `nll`; `nll_images`: how many test images it takes; `images`: how many the rest."""

    seed: int = 0
    samples: int = 500
    nll_images: int = 1000
    images: int = 10_000

    def __post_init__(self) -> None:
        for name in ("samples", "nll_images", "images"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"option '{name}' must be a whole number of at least 1, got {value!r}")


class Context:
    """A model with the images it is measured on; what several metrics share is computed once."""

    def __init__(
        self,
        model: Model,
        dataset: Dataset,
        task: TaskOptions,
        options: EvaluationOptions,
        progress: Progress | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.model, self.dataset, self.options = model, dataset, options
        self.progress, self.say = progress, say
        self.x, self.given = task_images(dataset.test, task, options.images)

    @cached_property
    def bound(self) -> tuple[Tensor, Tensor]:
        return likelihood.bound(self.model, self.x, self.options.seed)

    @cached_property
    def reconstructions(self) -> Tensor:
        """From what the model is given: the noisy images of a denoising task, else the images themselves."""
        return reconstruct(self.model, self.given)

    def mean(self, values: Tensor, unit: str) -> Measure:
        """The mean over images with its standard error."""
        values = values.double()
        stderr = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else None
        return Measure(float(values.mean()), stderr, len(values), unit)


def task_images(split: Images, task: TaskOptions, n: int | None = None) -> tuple[Tensor, Tensor]:
    """The first n images of a split (x), and what the model is given of them: the noisy ones of a denoising task, else x itself.

    Random parts are the same every time, in fixed blocks.
    """
    x, given = [], []
    images, labels = split.images[:n], split.labels[:n]
    for number, (part, classes) in enumerate(zip(images.split(BLOCK), labels.split(BLOCK), strict=True)):
        index = torch.arange(BLOCK) + number * BLOCK
        generator = keyed_generator("cpu", 0, "test", number)
        batch = make_batch(full_block(part), full_block(classes), index, task, generator)
        x.append(batch.x[: len(part)])
        given.append((batch.x if batch.c is None else batch.c)[: len(part)])
    return torch.cat(x), torch.cat(given)


def elbo(context: Context) -> Measure:
    reconstruction, kl = context.bound
    return context.mean(-(reconstruction + kl), "nats/image")


def nll(context: Context) -> Measure:
    options = context.options
    x = context.x[: options.nll_images]
    values, _ = likelihood.importance_nll(context.model, x, options.samples, options.seed)
    return context.mean(values, "nats/image")


def reconstruction(context: Context) -> Measure:
    if "likelihood" in context.model.abilities:
        return context.mean(context.bound[0], "nats/image")
    return context.mean(likelihood.point_reconstruction(context.model, context.given, context.x), "nats/image")


def kl(context: Context) -> Measure:
    return context.mean(context.bound[1], "nats/image")


def count_active_units(context: Context) -> Measure:
    means, _ = encode(context.model, context.given)
    return Measure(active_units(means), None, len(means), f"of {means.shape[1]}")


def mse(context: Context) -> Measure:
    return context.mean(fidelity.squared_error(context.x, context.reconstructions), "per pixel")


def psnr(context: Context) -> Measure:
    return context.mean(fidelity.psnr(context.x, context.reconstructions), "dB")


def ssim(context: Context) -> Measure:
    rebuilt = context.reconstructions.split(BLOCK)
    return context.mean(in_blocks(lambda part, number: fidelity.ssim(part, rebuilt[number]), context.x), "")


def fid_classifier(context: Context) -> Measure:
    """Means of p(x|z) against as many test images, always in grey values: a binarised model's means are its grey values."""
    device = device_of(context.model)
    network = feature_network(context.dataset, device, context.progress, context.say)
    real = to_float(context.dataset.test.images[: context.options.images])
    made = sample(context.model, len(real), context.options.seed)
    distance = fidelity.frechet_distance(network.features(real), network.features(made))
    return Measure(distance, None, len(real), f"{network.name}, accuracy {network.accuracy:.3f}")


def accuracy(context: Context) -> Measure:
    labels = context.dataset.test.labels[: len(context.x)]
    known = labels >= 0
    read = classify(context.model, context.x[known])
    return context.mean((read == labels[known]).double(), "share")


class Metric(NamedTuple):
    """A row: the ability a model needs, the function, what the figure is, and what it means to who has never met it."""

    needs: str
    measure: Callable[[Context], Measure]
    doc: str
    meaning: str


METRICS: dict[str, Metric] = {
    "elbo": Metric(
        "likelihood",
        elbo,
        "evidence lower bound on log p(x)",
        "A floor under the log-probability that the model gives to a test image. Higher is better.",
    ),
    "nll": Metric(
        "likelihood",
        nll,
        "-log p(x) by importance sampling",
        "How surprised the model is by a test image, in nats (1.44 bits each). Lower is better.",
    ),
    "reconstruction": Metric(
        "reconstruct",
        reconstruction,
        "-log p(x|z) at posterior draws (an autoencoder's point)",
        "The part of the surprise that is left once the latent is known. Lower is better, at the price of KL.",
    ),
    "kl": Metric(
        "likelihood",
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
    "mse": Metric(
        "reconstruct",
        mse,
        "squared error of reconstructions",
        "Squared difference between a test image and its reconstruction, pixel values from 0 to 1. Lower is better.",
    ),
    "psnr": Metric(
        "reconstruct",
        psnr,
        "peak signal-to-noise ratio of reconstructions",
        "The same difference on the decibel scale of image compression. Higher is better.",
    ),
    "ssim": Metric(
        "reconstruct",
        ssim,
        "structural similarity of reconstructions",
        "Likeness of local structure between image and reconstruction. 1 is equal; higher is better.",
    ),
    "fid_classifier": Metric(
        "sample",
        fid_classifier,
        "Fréchet distance of samples to test images, classifier features",
        "Distance between samples and test images, as a classifier trained on this data sees them. Lower is better, 0 is no "
        "difference; comparable only within one data set.",
    ),
    "accuracy": Metric(
        "classify",
        accuracy,
        "labelled test images whose class is read rightly",
        "How often the classifier names the right class of a test image. 1 is always.",
    ),
}


def choose(model: Model, dataset: Dataset, names: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """(metrics to run, why others are left out). Raises ConfigError for an unknown or impossible one asked for by name."""
    for name in names:
        if name not in METRICS:
            raise ConfigError(f"unknown metric '{name}'{suggest(name, METRICS)} (known: {', '.join(METRICS)})")
    left_out = {}
    for name, metric in METRICS.items():
        if metric.needs not in model.abilities:
            left_out[name] = (
                f"the model cannot {metric.needs}" if metric.needs != "likelihood" else "it has no likelihood"
            )
        elif name == "fid_classifier" and len(dataset.classes) < 2:
            left_out[name] = "the data has no labels to train its feature network on"
        elif name == "fid_classifier" and len(dataset.test) < FEWEST_FOR_FID:
            left_out[name] = f"{len(dataset.test)} test images are too few for a covariance: it takes {FEWEST_FOR_FID}"
        elif name == "ssim" and dataset.shape[1] < 11:
            left_out[name] = "its window needs images of at least 11 pixels"
    for name in names:
        if name in left_out:
            raise ConfigError(f"metric '{name}' does not apply here: {left_out[name]}")
    return [name for name in METRICS if name not in left_out and (not names or name in names)], left_out


def evaluate(context: Context, names: Sequence[str]) -> dict[str, Measure]:
    """The named metrics, in the table's order."""
    measures = {}
    for name in names:
        context.say(f"measuring {name}")
        measures[name] = METRICS[name].measure(context)
    return measures
