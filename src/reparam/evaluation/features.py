"""The feature network of `fid_classifier`: a small classifier trained once per data set, named, versioned, cached.

Shapes: `N` images, `C H W` image, `F` features.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.config import resolve
from reparam.data import Dataset
from reparam.data.tasks import to_float
from reparam.errors import DataError, ReparamError, RunError
from reparam.files import cache_folder, read_tensors, write_tensors
from reparam.generation import classify, device_of, in_blocks
from reparam.models import MODELS, Model, Schedule, Spec
from reparam.runs import load_weights
from reparam.training import Loop, Progress

VERSION = "classifier-v1"


@dataclass(frozen=True)
class FeatureNetwork:
    """A classifier whose last hidden layer gives features [N, F]; `accuracy` on the data's test images is stated."""

    name: str
    model: Model
    accuracy: float

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """[N, C, H, W] in [0, 1] -> [N, F]."""
        device = device_of(self.model)
        return in_blocks(lambda part, _: self.model.head.features(part.to(device)), x)


def feature_network(
    dataset: Dataset,
    device: torch.device,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> FeatureNetwork:
    """The network for this data set, trained at its first use (seed 0, training split only). Raises DataError without labels."""
    if len(dataset.classes) < 2:
        raise DataError(
            "fid_classifier needs images of at least two classes, and this data has none: give labels, or leave it out"
        )
    config = resolve("classifier", keep="last")
    model = MODELS["classifier"].build(config.options, Spec(dataset.shape, len(dataset.classes)))
    # Everything that the weights are a function of: data, options, and the kind of device that sums.
    recipe = hashlib.sha256(json.dumps(config.to_json(), sort_keys=True).encode()).hexdigest()[:8]
    name = f"{VERSION}-{dataset.fingerprint[:16]}-{recipe}-{device.type}.safetensors"
    path = cache_folder() / "features" / name
    if path.exists():
        try:
            tensors, facts = read_tensors(path)
            load_weights(model, tensors, path)
            return FeatureNetwork(VERSION, model.to(device).eval(), facts["accuracy"])
        except RunError as error:
            say(f"{error}; it is trained again")

    say(f"training the feature network {VERSION} for this data (once; kept in {path.parent})")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MODELS["classifier"].build(config.options, Spec(dataset.shape, len(dataset.classes)))
        objective = MODELS["classifier"].objective(config.options, Schedule(1, 1))
        Loop(model, objective, dataset.train, config.task, config.training, device, progress=progress).run()
    model.eval()
    test = dataset.test
    known = test.labels >= 0
    right = classify(model, to_float(test.images[known])) == test.labels[known]
    accuracy = float(right.float().mean()) if len(right) else float("nan")
    try:
        write_tensors(path, model.state_dict(), {"accuracy": accuracy, "version": VERSION})
    except ReparamError as error:
        say(
            f"the feature network is not kept, and will be trained again ({error}): set REPARAM_CACHE to a folder of yours"
        )
    return FeatureNetwork(VERSION, model, accuracy)
