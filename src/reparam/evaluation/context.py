"""What metrics are computed from: a model, its images, and whatever several metrics share.

Shapes: `N` images, `C H W` image, `K` latent, `F` features, `L` predictions of one image, `D` classes or values of a label map.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from reparam.core.batch import Batch
from reparam.data import Dataset, Images
from reparam.data.selection import random_indices, task_images
from reparam.data.tasks import TaskOptions, to_float
from reparam.distributions import IGNORED
from reparam.errors import ReparamError, RunError
from reparam.evaluation import likelihood
from reparam.evaluation.baselines import FITTED, LARGEST_FITTED, Components, mean_map, principal_components
from reparam.evaluation.budget import Budget
from reparam.evaluation.by_draws import LikelihoodsByDraws
from reparam.evaluation.history import History
from reparam.evaluation.networks.features import NETWORKS, FeatureNetwork, seconds_to_train
from reparam.evaluation.options import QUICK_IMAGES, EvaluationOptions
from reparam.files import cache_folder
from reparam.latent.generation import (
    classify,
    device_of,
    encode,
    predict,
    predict_draws,
    reconstruct,
    responsibilities,
    sample,
    sample_latents,
)
from reparam.metrics import distances, latents, structured
from reparam.models import Model
from reparam.progress import Progress, Silent, silent
from reparam.run.documents import NoValueError
from reparam.tensor_files import read_tensors, write_tensors

T = TypeVar("T")
LARGEST_PREDICTIONS = 250_000_000  # floats of predictions that are held at one time (1 GB)
TOGETHER = 1000  # images


def finite(values: Tensor, what: str) -> Tensor:
    """`values`. Raises NoValueError where some are NaN or infinite: comparisons and cuts would make a figure of them."""
    if not values.isfinite().all():
        raise NoValueError(f"the model's {what} are not finite numbers")
    return values


class StandIn(NamedTuple):
    """What is measured in place of the model: `value` where the context has `of`; `floor`: the best that can be expected."""

    name: str
    of: Literal["samples", "reconstructions", "average_prediction", "clusters", "predicted_classes"]
    value: Tensor
    floor: bool = False


class EvaluationContext:
    """A model and the images it is measured on: those of a split of `dataset`, or `new` ones. Everything is computed at its first
    use, and once."""

    def __init__(
        self,
        model: Model,
        dataset: Dataset,
        task: TaskOptions,
        options: EvaluationOptions,
        trained_on: Images | None = None,
        progress: Progress | None = None,
        say: Callable[[str], None] = silent,
        budget: Budget | None = None,
        history: History | None = None,
        new: Images | None = None,
    ) -> None:
        if options.quick:
            options = replace(options, images=min(options.images, QUICK_IMAGES))
        self.model, self.dataset, self.task, self.options = model, dataset, task, options
        self.budget = budget or Budget.of(0, options.quick)
        self.trained_on = trained_on or dataset.train
        self.progress, self.say, self.history = progress or Silent(), say, history
        self.device = device_of(model)
        self.split = dataset.split(options.split) if new is None else new
        self.of_dataset = new is None  # features of others are not kept under its name
        self._found: dict[str, Any] = {}
        self._made: dict[str, Any] = {}
        self.stand_in: StandIn | None = None

    def beside(self, stand_in: StandIn) -> "EvaluationContext":
        """The same test images and networks, with a plain baseline in place of the model."""

        def make() -> EvaluationContext:
            _ = self.batch, self.grey  # shared from here on, like all that is found once
            other = copy.copy(self)
            other._made, other.stand_in = {}, stand_in
            other.__dict__[stand_in.of] = stand_in.value
            return other

        return self.once(f"{stand_in.name} as {stand_in.of}", make)

    def once(self, what: str, compute: Callable[[], T]) -> T:
        """What `compute` returns at the first call, stored under a name."""
        if what not in self._found:
            self._found[what] = compute()
        return self._found[what]

    # -- images ---------------------------------------------------------------------------------------------------------

    @cached_property
    def index(self) -> Tensor:
        """Places of the test images in their split, in random order, [N]."""
        return random_indices(self.split, self.options.images)

    @cached_property
    def batch(self) -> Batch:
        """The test images as the task gives them."""
        box = (self.options.occlusion, self.options.occlusion)
        return task_images(self.split, self.task, self.index, box if self.options.occlusion else None)

    @property
    def x(self) -> Tensor:
        """The targets: test images, or their label maps."""
        return self.batch.x

    @property
    def c(self) -> Tensor | None:
        return self.batch.c

    @cached_property
    def grey(self) -> Tensor:
        """The test images before binarisation: samples and means of p(x|z) are compared with these."""
        return to_float(self.split.take(self.index).pixels)

    @cached_property
    def training(self) -> Batch:
        """As many of the images it was trained on, as the task gives them."""
        return task_images(self.trained_on, self.task, random_indices(self.trained_on, len(self.index)))

    # -- plain baselines ----------------------------------------------------------------------------------------------

    @cached_property
    def fitted(self) -> Tensor:
        """Places of the training images that baselines are fitted to: all, or as many as are quick and fit into memory."""
        return random_indices(self.trained_on, min(FITTED, LARGEST_FITTED // math.prod(self.dataset.shape)))

    def fitted_images(self, grey: bool = False) -> Tensor:
        """These images as the model's targets, or in grey values before binarisation."""
        if grey:
            return to_float(self.trained_on.take(self.fitted).pixels)
        return task_images(self.trained_on, self.task, self.fitted).x

    @cached_property
    def labelled(self) -> tuple[Tensor, Tensor]:
        """Training images with labels, all or as many as of `fitted`: as the task gives them [n, C, H, W], and the labels [n]."""
        known = (self.trained_on.labels >= 0).nonzero().squeeze(1)
        most = min(FITTED, LARGEST_FITTED // math.prod(self.dataset.shape))
        batch = task_images(self.trained_on, self.task, known[random_indices(known, most)])
        return batch.x, batch.y

    def components(self, grey: bool = False) -> Components:
        """As many principal components of these images as the model has latents."""
        grey = grey and self.task.binarise != "none"
        name = f"{'grey ' if grey else ''}components"
        return self.once(name, lambda: principal_components(self.fitted_images(grey), self.latent))

    @cached_property
    def mean_image(self) -> Tensor:
        """The mean of the training images [C, H, W]; of grey values under dynamic binarisation."""
        total = torch.zeros(self.dataset.shape, dtype=torch.float64)
        for part in self.fitted.sort().values.split(TOGETHER):
            if self.task.binarise == "dynamic":
                x = to_float(self.trained_on.take(part).pixels)
            else:
                x = task_images(self.trained_on, self.task, part).x
            total += x.double().sum(0)
        return (total / len(self.fitted)).float()

    @cached_property
    def mean_map(self) -> Tensor:
        """Share of each value at each pixel of the training label maps, [D, H, W]."""
        return mean_map(self.fitted_images(), len(self.dataset.map_values))

    @cached_property
    def latent(self) -> int:
        """K."""
        if self.model.has("encoder") and not self.model.has("context"):
            return self.codes[0].shape[1]
        c = torch.zeros(1, dtype=torch.long) if self.model.has("context") else None
        return sample_latents(self.model, 1, 0, c).shape[1]

    # -- likelihoods and latents ----------------------------------------------------------------------------------------

    @cached_property
    def bound(self) -> tuple[Tensor, Tensor]:
        """The two parts of the negative ELBO, see `likelihood.bound`."""
        return likelihood.bound(self.model, self.x, self.options.seed, c=self.c)

    @property
    def grey_levels(self) -> str:
        """What the likelihood is on the levels of the images: a "mass", a "density", or "" where it is neither or there are
        none."""
        density = getattr(self.model.decoder, "density", "") if self.dataset.scale.levels else ""
        return density if self.task.binarise == "none" and density in ("mass", "density") else ""

    @cached_property
    def by_draws(self) -> LikelihoodsByDraws:
        """-log p(x) of the first test images; a density also that of their dequantised grey levels."""
        grey, levels = self.grey if self.grey_levels == "density" else None, self.dataset.scale.levels
        return LikelihoodsByDraws(
            self.model, self.x, self.c, grey, levels, self.options, self.budget, self.progress, self.say
        )

    @cached_property
    def codes(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of q(z|x) for each test image, [N, K] each. Raises NoValueError where they are not finite,
        as `reconstructions` and `samples`."""
        mean, deviation = encode(self.model, self.batch.input)
        return finite(mean, "latents"), finite(deviation, "latents")

    @cached_property
    def aggregate(self) -> latents.Aggregate:
        return latents.aggregate_posterior(*self.codes, self.options.seed)

    @cached_property
    def reconstructions(self) -> Tensor:
        """From the model's input: the noisy images of a denoising task, else the images themselves."""
        return finite(reconstruct(self.model, self.batch.input), "reconstructions")

    @cached_property
    def samples(self) -> Tensor:
        """As many as test images: means of p(x|z), z ~ p(z); of a model by class, of the test images' classes."""
        return finite(sample(self.model, len(self.grey), self.options.seed, c=self.c), "samples")

    @cached_property
    def responsibilities(self) -> Tensor:
        """q(m|x) of the components of a mixture prior, [N, M]."""
        return responsibilities(self.model, self.batch.input)

    @cached_property
    def clusters(self) -> Tensor:
        """The most probable component of each test image, [N]."""
        return self.responsibilities.argmax(1)

    @cached_property
    def predicted_classes(self) -> Tensor:
        """The class that the model names for each test image, [N]."""
        return classify(self.model, self.x)

    # -- predictions of conditional models --------------------------------------------------------------------------------

    @cached_property
    def predicted(self) -> Batch:
        """The test images that are predicted: all, or as many as their predictions fit into memory."""
        size = self.x[0].numel() * (len(self.dataset.map_values) if self.of_maps else 1)
        n = min(len(self.x), max(1, LARGEST_PREDICTIONS // (self.options.draws * size)))
        return self.batch.take(torch.arange(n))

    @property
    def _condition(self) -> Tensor:
        assert self.predicted.c is not None
        return self.predicted.c

    @cached_property
    def predictions(self) -> Tensor:
        """`draws` predictions of each image: [N, L, C, H, W], of label maps probabilities [N, L, D, H, W]."""
        return predict_draws(self.model, self._condition, self.options.draws, self.options.seed)

    @cached_property
    def average_prediction(self) -> Tensor:
        """[N, C, H, W], of label maps probabilities [N, D, H, W] (Sohn et al. 2015, section 4.1); a model without a latent has
        one prediction."""
        return predict(self.model, self._condition) if not self.model.has("prior") else self.predictions.mean(1)

    @property
    def of_maps(self) -> bool:
        """Whether the targets are label maps, not images."""
        return not self.x.is_floating_point()

    @property
    def target_mask(self) -> Tensor:
        """[N, 1, H, W] of the predicted images, 1 where a pixel counts."""
        x, c = self.predicted.x, self._condition
        return 1 - c[:, -1:] if self.model.context.masked else (x[:, :1] != IGNORED).float()

    @cached_property
    def hidden(self) -> Tensor:
        """[N, 1, H, W] of the predicted images, true in the box that `occlusion` hides: of white images, what is not white."""
        split, box = self.split, (self.options.occlusion, self.options.occlusion)
        white = Images(torch.full((1,), 255, dtype=torch.uint8).expand(split.images.shape), split.labels, split.maps)
        c = task_images(white, self.task, self.index[: len(self.predicted.x)], box).c
        assert c is not None
        return c[:, :1] == 0

    @cached_property
    def votes(self) -> structured.Votes:
        """The classes of the predictions, as the feature network's classifier reads them."""
        known = self.predicted.y >= 0
        predictions = self.predictions[known]
        read = self.network("classifier").classes(predictions.flatten(0, 1)).unflatten(0, predictions.shape[:2])
        return structured.votes(read, self.predicted.y[known], len(self.dataset.classes))

    # -- features ---------------------------------------------------------------------------------------------------------

    def network(self, name: str) -> FeatureNetwork:
        return self.once(name, lambda: NETWORKS[name](self.dataset, self.device, self.progress, self.say))

    def network_waits(self, name: str) -> str:
        """Why it is not trained without a request; empty where it is, or was before."""

        def estimate() -> float:
            return seconds_to_train(self.dataset, self.device, name, timed=not self.options.quick)

        seconds = self.once(f"{name} seconds", estimate)
        if seconds <= self.budget.network:
            return ""
        if self.options.quick:
            return "a quick look trains no feature network"
        return (
            f"their feature network trains for about {seconds:.0f} s, and {self.budget.network:.0f} s are allowed here"
        )

    def features(self, name: str) -> tuple[Tensor, Tensor]:
        """Of test images and of samples, [N, F] each."""
        network = self.network(name)
        test = self.once(
            f"{name} of test images", lambda: self._stored(network, self.split, self.grey[: network.most], "chosen")
        )

        def compute() -> Tensor:
            samples = self.samples[: network.most]
            if self.stand_in and self.stand_in.floor:
                return self._stored(network, self.dataset.train, samples, "training")
            return network.features(samples, self.progress, f"{name} features of {self._samples_named}")

        return finite(test, f"{name} features"), finite(self._of_made(name, compute), f"{name} features of samples")

    def manifolds(self, name: str) -> distances.Manifolds:
        return self._of_made(f"{name} manifolds", lambda: distances.prdc(*self.features(name)))

    @property
    def _samples_named(self) -> str:
        return self.stand_in.name if self.stand_in else "samples"

    def _of_made(self, what: str, compute: Callable[[], T]) -> T:
        """As `once`, of the model alone or of what stands in for it."""
        if what not in self._made:
            self._made[what] = compute()
        return self._made[what]

    def _stored(self, network: FeatureNetwork, split: Images, images: Tensor, which: str) -> Tensor:
        """Features of images of a split, from the cache where the network has a key there."""
        what = f"{'training' if which == 'training' else 'test'} images"

        def compute() -> Tensor:
            return network.features(images, self.progress, f"features of {what}")

        if not network.key or (which == "chosen" and not (self.of_dataset and self.options.split == "test")):
            return compute()
        path = cache_folder() / "features" / f"{network.key}-{which}-{len(images)}.safetensors"
        if path.exists():
            try:
                return read_tensors(path)[0]["features"]
            except RunError as error:
                self.say(f"{error}; it is computed again")
        found = compute()
        if split.skipped:  # other images stand in for some: they are not what the file's name says
            return found
        try:
            write_tensors(path, {"features": found}, {"network": network.about})
        except ReparamError as error:
            self.say(f"features of the {what} cannot be stored, and will be computed again: {error}")
        return found
