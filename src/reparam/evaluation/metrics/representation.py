"""`REPRESENTATION`: what can be measured of latents as a representation, beside principal components of as many dimensions; and
of denoising. One function and one line add a metric.

Shapes: `N` images, `C H W` image, `D` classes, `K` latent.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from reparam.core.batch import Batch
from reparam.core.blocks import keyed_noise
from reparam.data import Dataset
from reparam.data.selection import random_indices
from reparam.data.tasks import TaskOptions
from reparam.errors import ConfigError
from reparam.evaluation import fidelity
from reparam.evaluation.context import EvaluationContext, EvaluationOptions, Measure, mean
from reparam.evaluation.metrics.metric import Metric, no_classifier, none_labelled
from reparam.latent.generation import decode, encode, sample_latents
from reparam.models import Model

NEIGHBOURS = 5
CONFIDENT = 0.9
WINDOW = 3  # pixels, of the median filter

Codes = tuple[Tensor, Tensor]  # of training images and of test images, [N, K] each


def _latents(context: EvaluationContext) -> Codes:
    """Posterior means."""
    train = context.once("training codes", lambda: encode(context.model, context.training.shown)[0])
    return train, context.codes[0]


def _components(context: EvaluationContext) -> Codes:
    """As many principal components of the training images as there are latents."""
    pca = principal_components(context)
    return tuple(torch.from_numpy(pca.transform(_flat(batch.shown))) for batch in (context.training, context.batch))  # type: ignore[return-value]


def principal_components(context: EvaluationContext) -> Any:
    """Fitted to training images: as many as there are latents."""
    return context.once("pca", lambda: components_of(context.training.shown, context.codes[0].shape[1]))


def components_of(x: Tensor, count: int) -> Any:
    """The first `count` principal components of images [N, C, H, W], or as many as there are."""
    from sklearn.decomposition import PCA

    flat = _flat(x)
    return PCA(min(count, *flat.shape), random_state=0).fit(flat)


def _flat(x: Tensor) -> Any:
    return x.flatten(1).numpy()


def _read(context: EvaluationContext, codes: Callable[[EvaluationContext], Codes], reader: Any) -> Measure:
    """The share of labelled test images of which `reader`, fitted to training images' codes and labels, finds the class."""
    train, test = codes(context)
    known, asked = _labelled(context.training), _labelled(context.batch)
    if len(context.training.y[known].unique()) < 2:
        raise ConfigError(
            f"a reader of classes needs two among the {len(known):,} training images that are looked at: label more, take more "
            "--images, or leave neighbour_accuracy and probe_accuracy out"
        )
    reader.fit(train[known].numpy(), context.training.y[known].numpy())
    right = torch.from_numpy(reader.predict(test[asked].numpy())) == context.batch.y[asked]
    return mean(
        right.double(), "share", f"{train.shape[1]} numbers an image; fitted to {int(known.sum()):,} training images"
    )


def _labelled(batch: Batch) -> Tensor:
    return batch.y >= 0


def neighbour_accuracy(context: EvaluationContext, codes: Callable[[EvaluationContext], Codes]) -> Measure:
    from sklearn.neighbors import KNeighborsClassifier

    known = int(_labelled(context.training).sum())
    return _read(context, codes, KNeighborsClassifier(max(1, min(NEIGHBOURS, known))))


def probe_accuracy(context: EvaluationContext, codes: Callable[[EvaluationContext], Codes]) -> Measure:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return _read(context, codes, make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)))


def psnr_pca(context: EvaluationContext) -> Measure:
    pca, x = principal_components(context), context.batch.shown
    rebuilt = torch.from_numpy(pca.inverse_transform(pca.transform(_flat(x)))).view_as(x).clamp(0, 1)
    return mean(fidelity.psnr(context.x, rebuilt), "dB", f"{pca.n_components_} components")


def confident_samples(context: EvaluationContext) -> Measure:
    """max_y p(y|x) >= 0.9 by the feature network's classifier, x decoded from z of the prior, or of an autoencoder, which has
    none, from a normal with the mean and deviation of each latent over training images."""
    network, n = context.network("classifier"), len(context.x)
    found = network.probabilities(decode(context.model, _random_latents(context, n))).amax(1) >= CONFIDENT
    of_tests = float((network.probabilities(context.grey).amax(1) >= CONFIDENT).float().mean())
    return mean(found.double(), "share", f"of test images {of_tests:.3f}; {network.about}")


def _random_latents(context: EvaluationContext, n: int) -> Tensor:
    if "decode" in context.model.abilities:
        return sample_latents(context.model, n, context.options.seed)
    codes = _latents(context)[0]
    return codes.mean(0) + codes.std(0) * keyed_noise(n, codes.shape[1], context.options.seed, "random latents")


def psnr_gain(context: EvaluationContext) -> Measure:
    return _gain(context, context.reconstructions)


def psnr_gain_median(context: EvaluationContext) -> Measure:
    from scipy.ndimage import median_filter

    filtered = median_filter(context.batch.shown.numpy(), (1, 1, WINDOW, WINDOW), mode="nearest")
    return _gain(context, torch.from_numpy(filtered).clamp(0, 1))


def _gain(context: EvaluationContext, cleaned: Tensor) -> Measure:
    noisy = fidelity.psnr(context.x, context.batch.shown.clamp(0, 1))
    return mean(fidelity.psnr(context.x, cleaned) - noisy, "dB", f"over noisy images of {float(noisy.mean()):.2f} dB")


def no_labels(model: Model, dataset: Dataset, task: TaskOptions, options: EvaluationOptions) -> str | None:
    train = dataset.train.labels[random_indices(dataset.train, options.images)]
    if len(train[train >= 0].unique()) < 2:
        return "it reads classes, and there are no two among the labels"
    return none_labelled(dataset, options)


def no_noise(model: Model, dataset: Dataset, task: TaskOptions, options: EvaluationOptions) -> str | None:
    return None if task.task == "denoising" else "its images are not noisy"


def generative(model: Model) -> bool:
    """A model with a prior is for making images up: what its latents are good for besides waits to be asked for."""
    return model.has("prior")


def _beside(name: str, measure: Callable[..., Measure], doc: str, meaning: str) -> dict[str, Metric]:
    """A figure of latents, and the same of as many principal components."""
    of_pca = f"The same of as many principal components: what a linear map of the pixels gives. {meaning}"
    return {
        name: Metric("encode", partial(measure, codes=_latents), doc, meaning, no_labels, dear=generative, best="high"),
        f"{name}_pca": Metric(
            "encode",
            partial(measure, codes=_components),
            f"{doc}, principal components",
            of_pca,
            no_labels,
            dear=generative,
            best="high",
        ),
    }


REPRESENTATION: dict[str, Metric] = {
    **_beside(
        "neighbour_accuracy",
        neighbour_accuracy,
        f"test images whose class {NEIGHBOURS} nearest training images in the latent space name",
        "Whether images that lie near each other in the latent space are of one kind. 1 is always.",
    ),
    **_beside(
        "probe_accuracy",
        probe_accuracy,
        "test images whose class a linear classifier reads from the latent",
        "How much of the class lies open in the latent. 1 is all of it.",
    ),
    "psnr_pca": Metric(
        "reconstruct",
        psnr_pca,
        "peak signal-to-noise ratio of as many principal components",
        "What psnr is for the best linear model of as many numbers: a model should be above it.",
        dear=generative,
        best="high",
    ),
    "confident_samples": Metric(
        "reconstruct",
        confident_samples,
        f"random latents whose image a classifier reads with {CONFIDENT:.0%} confidence or more",
        "How regular the latent space is: whether a random place in it stands for an image of some kind. Higher is better, up to "
        "the share of test images.",
        no_classifier,
        dear=generative,
        best="high",
    ),
    "psnr_gain": Metric(
        "reconstruct",
        psnr_gain,
        "peak signal-to-noise ratio gained over the noisy image",
        "How much nearer the cleaned image is to the clean one than the noisy image was. Higher is better.",
        no_noise,
        best="high",
    ),
    "psnr_gain_median": Metric(
        "reconstruct",
        psnr_gain_median,
        f"the same of a median filter of {WINDOW} x {WINDOW} pixels",
        "What can be had without learning anything.",
        no_noise,
        best="high",
    ),
}
