"""`REPRESENTATION`: latents beside as many principal components, and denoising. One function and one row add a metric.

Shapes: `N` images, `C H W` image, `K` latent.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from reparam.core.abilities import Ability
from reparam.core.blocks import keyed_noise
from reparam.data.selection import random_indices
from reparam.errors import ConfigError
from reparam.evaluation.context import EvaluationContext, finite
from reparam.evaluation.metrics.metric import Measure, Metric, mean, no_classifier, none_labelled, trained_without_prior
from reparam.latent.generation import decode, encode, sample_latents
from reparam.metrics import fidelity

NEIGHBOURS = 5
CONFIDENT = 0.9
WINDOW = 3  # pixels, of the median filter

Codes = tuple[Tensor, Tensor]  # of training images and of test images, [N, K] each


def _latents(context: EvaluationContext) -> Codes:
    """Posterior means."""
    train = context.once("training codes", lambda: encode(context.model, context.training.input)[0])
    return finite(train, "latents of training images"), context.codes[0]


def _components(context: EvaluationContext) -> Codes:
    """As many principal components of the training images as there are latents."""
    components = context.components()
    return components.encode(context.training.input), components.encode(context.batch.input)


CODES: dict[str, Callable[[EvaluationContext], Codes]] = {"latents": _latents, "principal components": _components}


def neighbour_accuracy(context: EvaluationContext, codes: str) -> Measure:
    """Share of test images whose class most of the 5 nearest training images have, by distance in {codes}.

    Whether images that are near each other are of one class. 1 is always. Principal components, as many as there are latents, are
    what a linear map of the pixels achieves."""
    from sklearn.neighbors import KNeighborsClassifier

    labelled = int((context.training.y >= 0).sum())
    return _classified(context, codes, KNeighborsClassifier(max(1, min(NEIGHBOURS, labelled))))


def probe_accuracy(context: EvaluationContext, codes: str) -> Measure:
    """Share of test images whose class a linear classifier predicts from {codes}.

    How much of the class can be read by a linear classifier. 1 is all of it. Principal components, as many as there are latents,
    are what a linear map of the pixels achieves."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return _classified(context, codes, make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)))


def _classified(context: EvaluationContext, codes: str, classifier: Any) -> Measure:
    """The share of labelled test images that `classifier` gets right, fitted to training images' codes and labels."""
    train, test = CODES[codes](context)
    fitted, tested = (batch.y >= 0 for batch in (context.training, context.batch))
    if len(context.training.y[fitted].unique()) < 2:
        raise ConfigError(
            f"a classifier needs two classes among the {len(fitted):,} training images that are used: label more, take more "
            "--images, or leave neighbour_accuracy and probe_accuracy out"
        )
    classifier.fit(train[fitted].numpy(), context.training.y[fitted].numpy())
    right = torch.from_numpy(classifier.predict(test[tested].numpy())) == context.batch.y[tested]
    note = f"{train.shape[1]} numbers an image; fitted to {int(fitted.sum()):,} training images"
    return mean(right.double(), "share", note)


def no_labels(context: EvaluationContext) -> str | None:
    train = context.dataset.train
    labels = train.labels[random_indices(train, context.options.images)]
    if len(labels[labels >= 0].unique()) < 2:
        return "it predicts classes, and the labels of the training images do not have two"
    return none_labelled(context)


def psnr_pca(context: EvaluationContext) -> Measure:
    """Peak signal-to-noise ratio of as many principal components.

    What psnr is for the best linear model with as many numbers: a model should be above it."""
    rebuilt = context.components().project(context.batch.input)
    return mean(fidelity.psnr(context.x, rebuilt), "dB", f"{len(context.components().vectors)} components")


def confident_samples(context: EvaluationContext) -> Measure:
    """Share of random latents whose image a classifier reads with 90% confidence or more.

    Whether a random latent decodes to something that a classifier is sure of, right or wrong. The note has the share of test
    images."""
    network = context.network("classifier")
    images = decode(context.model, _random_latents(context, len(context.x)))
    generated, real = (network.probabilities(x).amax(1) >= CONFIDENT for x in (images, context.grey))
    return mean(generated.double(), "share", f"of test images {float(real.float().mean()):.3f}; {network.about}")


def _random_latents(context: EvaluationContext, n: int) -> Tensor:
    """Of the prior; of an autoencoder from a normal with the mean and deviation of each latent over training images."""
    if Ability.DECODE in context.model.abilities:
        return sample_latents(context.model, n, context.options.seed)
    codes = _latents(context)[0]
    return codes.mean(0) + codes.std(0) * keyed_noise(n, codes.shape[1], context.options.seed, "random latents")


def psnr_gain(context: EvaluationContext) -> Measure:
    """Peak signal-to-noise ratio gained over the noisy image.

    How much nearer the cleaned image is to the clean one than the noisy image was. Higher is better."""
    return _gain(context, context.reconstructions)


def psnr_gain_median(context: EvaluationContext) -> Measure:
    """Peak signal-to-noise ratio that a median filter of 3 x 3 pixels gains over the noisy image.

    What can be gained without learning anything."""
    from scipy.ndimage import median_filter

    filtered = median_filter(context.batch.input.numpy(), (1, 1, WINDOW, WINDOW), mode="nearest")
    return _gain(context, torch.from_numpy(filtered).clamp(0, 1))


def _gain(context: EvaluationContext, cleaned: Tensor) -> Measure:
    noisy = fidelity.psnr(context.x, context.batch.input.clamp(0, 1))
    return mean(fidelity.psnr(context.x, cleaned) - noisy, "dB", f"over noisy images of {float(noisy.mean()):.2f} dB")


def no_noise(context: EvaluationContext) -> str | None:
    return None if context.task.task == "denoising" else "its images are not noisy"


_row = partial(Metric, best="high", by_default=trained_without_prior)


def _beside_pca(name: str, measure: Callable[..., Measure]) -> dict[str, Metric]:
    names = zip((name, f"{name}_pca"), CODES, strict=True)
    return {key: _row(Ability.ENCODE, partial(measure, codes=codes), no_labels) for key, codes in names}


REPRESENTATION: dict[str, Metric] = {
    **_beside_pca("neighbour_accuracy", neighbour_accuracy),
    **_beside_pca("probe_accuracy", probe_accuracy),
    "psnr_pca": _row(Ability.RECONSTRUCT, psnr_pca),
    "confident_samples": _row(Ability.RECONSTRUCT, confident_samples, no_classifier, network="classifier"),
    "psnr_gain": Metric(Ability.RECONSTRUCT, psnr_gain, no_noise, best="high"),
    "psnr_gain_median": Metric(Ability.RECONSTRUCT, psnr_gain_median, no_noise, best="high"),
}
