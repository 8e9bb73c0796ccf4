"""Networks whose features say how similar two sets of images are: a classifier trained on this data, Inception, and random
convolutions.

Shapes: `N` images, `C H W` image, `F` features, `D` classes.
"""

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reparam.core.blocks import BLOCK
from reparam.data import Dataset
from reparam.data.selection import random_indices
from reparam.data.tasks import to_float
from reparam.distributions import default_generators, default_generators_kept
from reparam.errors import ReparamError, RunError
from reparam.files import cache_folder, json_text, read_json
from reparam.importing import TYPED
from reparam.latent.generation import class_probabilities, classify
from reparam.metrics import inception, random_convolutions
from reparam.metrics.inputs import AT_ONCE
from reparam.metrics.random_convolutions import RandomConvolutions
from reparam.models import Model, Schedule, Spec
from reparam.models.classifier import ConvolutionalClassifier
from reparam.progress import Progress, Silent, silent, watching
from reparam.run.config import RunConfig, from_json
from reparam.run.weights import load_weights
from reparam.tensor_files import read_tensors, write_tensors
from reparam.terminal import ending
from reparam.training import Loop, training_alone

CLASSIFIER = "classifier-v2"  # its name and version: part of the names of files in the cache
LEAST_STEPS = 600  # of a small data set's classifier, for which the recipe's epochs are too few
JUDGE_SEED = 1_000_003
TIMED_STEPS = 4
SCALED_ON = 10_000  # training images, at most
TESTED_AT_ONCE = 10_000  # images
CENTRED_ON = RANDOM_MOST = 2000  # images


@dataclass(frozen=True)
class FeatureNetwork:
    """`network` turns images [n, C, H, W] in [0, 1] into features [n, F], `batch` at a time; `about` goes into the note of every
    metric. Features of test and training images are stored in the cache under `key`, if there is one: they are expensive. most:
    images that are enough (None: all are used)."""

    about: str
    network: Callable[[Tensor], Tensor]
    device: torch.device
    batch: int = BLOCK
    key: str = ""
    head: Callable[[Tensor], Tensor] | None = None  # of a classifier: images to probabilities of classes [n, D]
    most: int | None = None

    def classes(self, x: Tensor) -> Tensor:
        """The most probable class of each image [N, C, H, W], [N]."""
        return self.probabilities(x).argmax(1)

    def probabilities(self, x: Tensor) -> Tensor:
        """p(y|x) of each image [N, C, H, W] by a classifier, [N, D]."""
        assert self.head is not None
        return self.head(x)

    @torch.no_grad()
    def features(self, x: Tensor, progress: Progress | None = None, what: str = "features") -> Tensor:
        """[N, C, H, W] in [0, 1] -> [N, F]."""
        parts = (progress or Silent()).track(x.split(self.batch), what)
        return torch.cat([self.network(part.to(self.device)).cpu() for part in parts])


def inception_network(
    dataset: Dataset, device: torch.device, progress: Progress | None = None, say: Callable[[str], None] = silent
) -> FeatureNetwork:
    """The network of the standard FID, about 0.1 s an image on one processor core."""
    network = inception.inception_features(device, say)
    about = f"{inception.NAME}, bilinear to 299, no antialiasing"
    key = f"{inception.NAME}-{dataset.fingerprint[:16]}"
    return FeatureNetwork(about, network, device, AT_ONCE, key)


def classifier_network(
    dataset: Dataset,
    device: torch.device,
    progress: Progress | None = None,
    say: Callable[[str], None] = silent,
    seed: int = 0,
) -> FeatureNetwork:
    """A small classifier for this data set, trained at its first use on the training split."""
    model, facts = _from_cache(dataset, device, progress, say, seed)
    accuracy = facts["accuracy"]
    known = accuracy is not None and math.isfinite(accuracy)  # earlier versions stored NaN
    # A network's units have no scale of their own: the mean square of its features over training images becomes 1.
    return FeatureNetwork(
        f"{'judge ' if seed else ''}{CLASSIFIER}, accuracy {f'{accuracy:.3f}' if known else 'unknown'}",
        lambda x: _head(model).features(x) / facts["scale"],
        device,
        head=lambda x: class_probabilities(model, x),
    )


def random_network(
    dataset: Dataset, device: torch.device, progress: Progress | None = None, say: Callable[[str], None] = silent
) -> FeatureNetwork:
    """Random convolutions, which need neither labels nor training. Their features are centred, and divided by one number so that
    their mean square is 1, over training images."""
    network = RandomConvolutions(dataset.shape[0]).to(device).eval()
    plain = FeatureNetwork("", network, device)
    seen = dataset.train.take(random_indices(dataset.train, CENTRED_ON)).pixels
    features = plain.features(to_float(seen), progress, f"{random_convolutions.NAME} features of training images")
    mean = features.mean(0)
    scale = max(float((features - mean).square().mean().sqrt()), 1e-6)
    about = f"{random_convolutions.NAME}, {len(mean):,} features"
    return FeatureNetwork(about, lambda x: (network(x) - mean.to(x.device)) / scale, device, most=RANDOM_MOST)


# Another such classifier, of a seed that no model is trained with: it judges classes, and is nobody's feature network.
judge_network = partial(classifier_network, seed=JUDGE_SEED)
NETWORKS: dict[str, Callable[..., FeatureNetwork]] = {
    "classifier": classifier_network,
    "judge": judge_network,
    "inception": inception_network,
    "random": random_network,
}


def seconds_to_train(dataset: Dataset, device: torch.device, name: str, timed: bool = True) -> float:
    """How long the classifier of a row of `NETWORKS` will be trained here at its first use, from a few of its steps; 0 where it
    is kept from before. Not `timed`: without an estimate, infinite."""
    config, path = _recipe(dataset, device, JUDGE_SEED if name == "judge" else 0)
    if path.exists():
        return 0.0
    return _seconds(config, dataset, device) if timed else math.inf


def _seconds(config: RunConfig, dataset: Dataset, device: torch.device) -> float:
    with training_alone(silent), default_generators():
        loop = _loop(config, _untrained(config, dataset), dataset, device, None)
        times = []
        for _ in range(TIMED_STEPS):
            began = time.perf_counter()
            loop.cycle()
            times.append(time.perf_counter() - began)
    return min(times[1:]) * loop.steps  # the first one is slower


def _recipe(dataset: Dataset, device: torch.device, seed: int) -> tuple[RunConfig, Path]:
    """How it is trained, and where it is kept."""
    document = _document(len(dataset.train), seed)
    config = from_json(document, TYPED)
    # Everything that the weights depend on: data, options, and the kind of device that sums.
    recipe = hashlib.sha256(json_text(document, sort_keys=True).encode()).hexdigest()[:8]
    name = f"{CLASSIFIER}-{dataset.fingerprint[:16]}-{recipe}-{device.type}.safetensors"
    return config, cache_folder() / "features" / name


def _from_cache(
    dataset: Dataset, device: torch.device, progress: Progress | None, say: Callable[[str], None], seed: int
) -> tuple[Model, dict[str, Any]]:
    """A trained classifier, its accuracy on test images, and the scale of its features."""
    config, path = _recipe(dataset, device, seed)
    if path.exists():
        try:
            tensors, facts = read_tensors(path)
            with default_generators_kept():  # initial weights are drawn, and replaced
                model = _untrained(config, dataset)
            load_weights(model, tensors, path)
            return model.to(device).eval(), facts
        except RunError as error:
            say(f"{error}; it is trained again")
    about = f"about {_seconds(config, dataset, device):.0f} s, once; stored in {path.parent}"
    say(f"training the feature network {CLASSIFIER} for this data ({about})")
    model = _trained(config, dataset, device, progress, say)
    facts = {"accuracy": _accuracy(model, dataset), "scale": _scale(model, dataset, device)}
    try:
        write_tensors(path, model.state_dict(), facts)
    except ReparamError as error:
        remedy = "set REPARAM_CACHE to a folder of yours"
        say(f"the feature network cannot be stored, and will be trained again ({error}): {remedy}")
    return model, facts


def _document(images: int, seed: int) -> dict[str, Any]:
    """The configuration that `CLASSIFIER` names, for so many training images. It is kept in a file, since metrics of other
    versions are compared by this network: it changes neither with the classifier's recipe nor with options that runs get."""
    document = read_json(Path(__file__).with_name(f"{CLASSIFIER}.json"))
    training = document["training"]
    training |= {"seed": seed, "epochs": max(training["epochs"], LEAST_STEPS * training["batch_size"] / images)}
    return document


def _head(model: Model) -> ConvolutionalClassifier:
    assert isinstance(model.head, ConvolutionalClassifier)
    return model.head


def _untrained(config: RunConfig, dataset: Dataset) -> Model:
    return config.family.model(config.options, Spec(dataset.shape, len(dataset.classes)))


def _trained(
    config: RunConfig, dataset: Dataset, device: torch.device, progress: Progress | None, say: Callable[[str], None]
) -> Model:
    with training_alone(say):
        with default_generators():
            torch.manual_seed(config.training.seed)
            model = _untrained(config, dataset)
        with watching(None):  # it shows itself
            outcome = _loop(config, model, dataset, device, progress).run()
        if outcome.state == "interrupted":
            raise ending(outcome.signal)  # a network that is half trained would be kept, and judge later runs
    return model.eval()


def _loop(config: RunConfig, model: Model, dataset: Dataset, device: torch.device, progress: Progress | None) -> Loop:
    objective = config.family.objective(config.options, Schedule(1, 1))
    return Loop(model, objective, dataset.train, config.task, config.training, device, progress=progress)


def _accuracy(model: Model, dataset: Dataset) -> float | None:
    """On labelled test images; None where there are none."""
    test = dataset.test
    known = (test.labels >= 0).nonzero().squeeze(1)
    if not len(known):
        return None
    parts = (test.take(index) for index in known.split(TESTED_AT_ONCE))
    right = torch.cat([classify(model, to_float(part.pixels)) == part.labels for part in parts])
    return float(right.float().mean())


def _scale(model: Model, dataset: Dataset, device: torch.device) -> float:
    """Root mean square of the features of training images."""
    features = FeatureNetwork("", _head(model).features, device).features(to_float(dataset.train.images[:SCALED_ON]))
    return max(float(features.double().square().mean().sqrt()), 1e-12)
