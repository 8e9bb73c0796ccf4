"""What metrics are measured on, and what they return.

Shapes: `N` images, `C H W` image, `K` latent, `F` features.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from reparam.data import Dataset, Images
from reparam.data.tasks import TaskOptions, make_batch, to_float
from reparam.distributions import keyed_generator
from reparam.errors import ConfigError, ReparamError, RunError
from reparam.evaluation import distances, latents, likelihood
from reparam.evaluation.features import FEATURES, FeatureNetwork
from reparam.files import cache_folder, read_tensors, write_tensors
from reparam.generation import BLOCK, device_of, encode, full_block, reconstruct, sample
from reparam.models import Model
from reparam.training import Progress, Silent

T = TypeVar("T")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Measure:
    """A figure: its value, standard error (None where it has none), number of images, unit, what must be said with it, and
    the parts that it is the sum of, where they are of interest (`kl`: by latent dimension)."""

    value: float
    stderr: float | None
    n: int
    unit: str
    note: str = ""
    parts: tuple[float, ...] = ()


@dataclass(frozen=True)
class EvaluationOptions:
    """`samples`: importance samples S of `nll`; `nll_images`: how many test images it takes; `images`: how many the rest;
    `precision` of the networks' products in `nll`: float32, or bfloat16 where a processor is much faster at it."""

    seed: int = 0
    samples: int = 5000
    nll_images: int = 1000
    images: int = 10_000
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ConfigError(f"option 'precision' must be {' or '.join(PRECISIONS)}, got {self.precision!r}")
        for name in ("samples", "nll_images", "images"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"option '{name}' must be a whole number of at least 1, got {value!r}")


def mean(values: Tensor, unit: str, note: str = "") -> Measure:
    """The mean over images with its standard error."""
    values = values.double()
    stderr = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else None
    return Measure(float(values.mean()), stderr, len(values), unit, note)


def ratio(part: Tensor, whole: Tensor, unit: str) -> Measure:
    """Ratio of the means of paired values [N], with its standard error to first order (the delta method)."""
    part, whole = part.double(), whole.double()
    value = float(part.mean() / whole.mean())
    spread = part - value * whole
    stderr = float(spread.std() / math.sqrt(len(part)) / whole.mean()) if len(part) > 1 else None
    return Measure(value, stderr, len(part), unit)


class Context:
    """A model with the images it is measured on; what several metrics share is computed once."""

    def __init__(
        self,
        model: Model,
        dataset: Dataset,
        task: TaskOptions,
        options: EvaluationOptions,
        trained_on: Images | None = None,
        progress: Progress | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.model, self.dataset, self.task, self.options = model, dataset, task, options
        self.trained_on = trained_on or dataset.train
        self.progress, self.say = progress or Silent(), say
        self.device = device_of(model)
        self.index = chosen(dataset.test, options.images)
        self.x, self.given = task_images(dataset.test, task, self.index)
        self.labels = dataset.test.labels[self.index]
        self._found: dict[str, Any] = {}

    @cached_property
    def grey(self) -> Tensor:
        """The test images as they are, not binarised: what samples and means of p(x|z) are compared with."""
        return to_float(self.dataset.test.images[self.index])

    @cached_property
    def training(self) -> tuple[Tensor, Tensor]:
        """As many of the images it was trained on, as the task gives them: x, and what the model is given."""
        return task_images(self.trained_on, self.task, chosen(self.trained_on, len(self.index)))

    @cached_property
    def bound(self) -> tuple[Tensor, Tensor]:
        return likelihood.bound(self.model, self.x, self.options.seed)

    @cached_property
    def nll(self) -> tuple[Tensor, Tensor]:
        return self.importance_nll(self.x)

    def importance_nll(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(-log p(x), effective sample size) of the first images of x."""
        options = self.options
        with torch.autocast(self.device.type, torch.bfloat16, enabled=options.precision == "bfloat16"):
            return likelihood.importance_nll(
                self.model, x[: options.nll_images], options.samples, options.seed, self.progress
            )

    @cached_property
    def codes(self) -> tuple[Tensor, Tensor]:
        return encode(self.model, self.given)

    @cached_property
    def aggregate(self) -> latents.Aggregate:
        return latents.aggregate_posterior(*self.codes, self.options.seed)

    @cached_property
    def reconstructions(self) -> Tensor:
        """From what the model is given: the noisy images of a denoising task, else the images themselves."""
        return reconstruct(self.model, self.given)

    @cached_property
    def samples(self) -> Tensor:
        """As many as there are test images: means of p(x|z), z ~ p(z)."""
        return sample(self.model, len(self.grey), self.options.seed)

    def network(self, name: str) -> FeatureNetwork:
        return self._once(name, lambda: FEATURES[name](self.dataset, self.device, self.progress, self.say))

    def features(self, name: str) -> tuple[Tensor, Tensor]:
        """Of test images and of samples, [N, F] each."""

        def compute() -> tuple[Tensor, Tensor]:
            network = self.network(name)
            made = network.features(self.samples, self.progress, f"{name} features of samples")
            return self._real_features(network), made

        return self._once(f"{name} features", compute)

    def reference(self, name: str) -> Tensor:
        """Features of as many training images: how near to the test images something real comes."""
        train = to_float(self.dataset.train.images[chosen(self.dataset.train, len(self.grey))])
        return self._once(f"{name} reference", lambda: self.network(name).features(train, self.progress, "reference"))

    def manifolds(self, name: str) -> distances.Manifolds:
        return self._once(f"{name} manifolds", lambda: distances.manifolds(*self.features(name)))

    def _once(self, what: str, compute: Callable[[], T]) -> T:
        """What `compute` returns, under a name: computed at the first call."""
        if what not in self._found:
            self._found[what] = compute()
        return self._found[what]

    def _real_features(self, network: FeatureNetwork) -> Tensor:
        def compute() -> Tensor:
            return network.features(self.grey, self.progress, "features of test images")

        if not network.key:
            return compute()
        path = cache_folder() / "features" / f"{network.key}-chosen-{len(self.grey)}.safetensors"
        if path.exists():
            try:
                return read_tensors(path)[0]["features"]
            except RunError as error:
                self.say(f"{error}; it is computed again")
        found = compute()
        try:
            write_tensors(path, {"features": found}, {"network": network.about})
        except ReparamError as error:
            self.say(f"features of the test images are not kept, and will be computed again: {error}")
        return found


def chosen(split: Images, n: int) -> Tensor:
    """Indices of n images of a split, or of all in random order: the same every time, n of them the first of more.

    Data may lie in the order of its classes, where the first n would be no sample of it.
    """
    return torch.randperm(len(split), generator=keyed_generator("cpu", "chosen", len(split)))[:n]


def task_images(split: Images, task: TaskOptions, which: int | Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Images of a split (x), and what the model is given of them: the noisy ones of a denoising task, else x itself.

    `which`: the first so many, those of these indices, or all. Random parts are the same every time, in fixed blocks of the
    split: those of an image do not depend on which others are asked for.
    """
    index = which if isinstance(which, Tensor) else torch.arange(len(split))[:which]
    places = index.argsort()  # blocks are gone through once, in order
    rising = index[places]
    x, given = [], []
    for number in (rising // BLOCK).unique().tolist():
        own = slice(number * BLOCK, (number + 1) * BLOCK)
        rows = rising[rising // BLOCK == number] - number * BLOCK
        generator = keyed_generator("cpu", 0, "test", number)
        block = torch.arange(BLOCK) + number * BLOCK
        batch = make_batch(full_block(split.images[own]), full_block(split.labels[own]), block, task, generator)
        x.append(batch.x[rows])
        given.append((batch.x if batch.c is None else batch.c)[rows])
    back = places.argsort()
    return torch.cat(x)[back], torch.cat(given)[back]
