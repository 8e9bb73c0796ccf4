"""Networks whose features say how alike two sets of images are: a classifier trained on this data, and Inception.

Shapes: `N` images, `C H W` image, `F` features.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.core.blocks import BLOCK
from reparam.data import Dataset
from reparam.data.tasks import to_float
from reparam.errors import ReparamError, RunError
from reparam.evaluation.networks import inception
from reparam.files import cache_folder, read_tensors, write_tensors
from reparam.latent.generation import class_probabilities, classify
from reparam.models import MODELS, Model, Schedule, Spec
from reparam.models.classifier import ConvolutionalClassifier
from reparam.run.config import resolve
from reparam.run.folder import load_weights
from reparam.training import Loop, Progress, Silent

VERSION = "classifier-v2"
LEAST_STEPS = 600  # of a small data set's classifier, for which the recipe's epochs are too few
JUDGE_SEED = 1_000_003
SCALED_ON = 10_000  # training images, at most
INCEPTION_BATCH = 20  # 299 x 299 images fill a processor's caches soon


@dataclass(frozen=True)
class FeatureNetwork:
    """`network` turns images [n, C, H, W] in [0, 1] into features [n, F], `batch` at a time; `about` is stated with every
    figure. With `key`, features of test images are kept in the cache under it: they are dear."""

    about: str
    network: Callable[[Tensor], Tensor]
    device: torch.device
    batch: int = BLOCK
    key: str = ""
    head: Callable[[Tensor], Tensor] | None = None  # of a classifier: images to probabilities of classes [n, D]

    def classes(self, x: Tensor) -> Tensor:
        """The class of each image [N, C, H, W] as a classifier reads it, [N]."""
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
    dataset: Dataset,
    device: torch.device,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> FeatureNetwork:
    """The network of the standard FID, about 0.1 s an image on one processor core."""
    network = inception.load_inception(device, say)
    return FeatureNetwork(
        f"{inception.NAME}, bilinear to 299, no antialiasing",
        lambda x: network(inception.prepared(x)),
        device,
        INCEPTION_BATCH,
        f"{inception.NAME}-{dataset.fingerprint[:16]}",
    )


def classifier_network(
    dataset: Dataset,
    device: torch.device,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> FeatureNetwork:
    """A small classifier for this data set, trained at its first use (seed 0, training split only), named and versioned. Its
    accuracy on the data's test images is stated. Features are divided by one number, so that their mean square over training
    images is 1: a network's units have no scale of their own."""
    model, facts = _classifier(dataset, device, progress, say, 0)
    about = f"{VERSION}, accuracy {facts['accuracy']:.3f}"
    return FeatureNetwork(
        about, lambda x: _head(model).features(x) / facts["scale"], device, head=lambda x: class_probabilities(model, x)
    )


def judge_network(
    dataset: Dataset,
    device: torch.device,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> FeatureNetwork:
    """Another such classifier, of a seed that no model is trained with: it reads classes and is nobody's feature network."""
    model, facts = _classifier(dataset, device, progress, say, JUDGE_SEED)
    about = f"judge {VERSION}, accuracy {facts['accuracy']:.3f}"
    return FeatureNetwork(about, _head(model).features, device, head=lambda x: class_probabilities(model, x))


FEATURES: dict[str, Callable[..., FeatureNetwork]] = {
    "classifier": classifier_network,
    "judge": judge_network,
    "inception": inception_network,
}


def _head(model: Model) -> ConvolutionalClassifier:
    assert isinstance(model.head, ConvolutionalClassifier)
    return model.head


def _classifier(
    dataset: Dataset, device: torch.device, progress: Progress | None, say: Callable[[str], None], seed: int
) -> tuple[Model, dict[str, float]]:
    config = resolve("classifier", keep="last", seed=seed)
    fewest = LEAST_STEPS * config.training.batch_size / len(dataset.train)
    if config.training.epochs < fewest:
        config = resolve("classifier", keep="last", seed=seed, epochs=fewest)
    model = MODELS["classifier"].build(config.options, Spec(dataset.shape, len(dataset.classes)))
    # Everything that the weights are a function of: data, options, and the kind of device that sums.
    recipe = hashlib.sha256(json.dumps(config.to_json(), sort_keys=True).encode()).hexdigest()[:8]
    name = f"{VERSION}-{dataset.fingerprint[:16]}-{recipe}-{device.type}.safetensors"
    path = cache_folder() / "features" / name
    if path.exists():
        try:
            tensors, facts = read_tensors(path)
            load_weights(model, tensors, path)
            return model.to(device).eval(), facts
        except RunError as error:
            say(f"{error}; it is trained again")

    say(f"training the feature network {VERSION} for this data (once; kept in {path.parent})")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MODELS["classifier"].build(config.options, Spec(dataset.shape, len(dataset.classes)))
        objective = MODELS["classifier"].objective(config.options, Schedule(1, 1))
        Loop(model, objective, dataset.train, config.task, config.training, device, progress=progress).run()
    model.eval()
    test = dataset.test
    known = (test.labels >= 0).nonzero().squeeze(1)
    parts = (test.take(part) for part in known.split(SCALED_ON))
    right = (
        torch.cat([classify(model, to_float(part.pixels)) == part.labels for part in parts]) if len(known) else known
    )
    raw = FeatureNetwork("", _head(model).features, device).features(to_float(dataset.train.images[:SCALED_ON]))
    facts = {
        "accuracy": float(right.float().mean()) if len(right) else float("nan"),
        "scale": max(float(raw.double().square().mean().sqrt()), 1e-12),
    }
    try:
        write_tensors(path, model.state_dict(), facts)
    except ReparamError as error:
        say(
            f"the feature network is not kept, and will be trained again ({error}): set REPARAM_CACHE to a folder of yours"
        )
    return model, facts
