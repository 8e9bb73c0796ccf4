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

from reparam.core.batch import Batch
from reparam.data import Dataset, Images
from reparam.data.selection import random_indices, task_images
from reparam.data.tasks import TaskOptions, to_float
from reparam.distributions import IGNORED
from reparam.errors import ConfigError, ReparamError, RunError
from reparam.evaluation import distances, latents, likelihood, structured
from reparam.evaluation.networks.features import FEATURES, FeatureNetwork
from reparam.files import cache_folder, read_tensors, write_tensors
from reparam.latent.directions import DEFAULT, PIXELS, find_direction
from reparam.latent.generation import device_of, encode, predict, predict_draws, reconstruct, sample
from reparam.models import Model
from reparam.training import Progress, Silent

T = TypeVar("T")
ANSWERS = 250_000_000  # floats of answers that are held at one time (1 GB)
PRECISIONS = ("float32", "bfloat16")


VALIDATED = " on validation"  # behind the name of a figure of validation images


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
    """`samples`: draws S of `nll`, `cnll_is` and `cnll_mc`; `nll_images`: how many test images they take; `images`: how many the
    rest; `precision` of the networks' products in them: float32, or bfloat16 where a processor is much faster at it; `draws`:
    answers for each image where answers are judged; `occlusion`: side of a box, a share of the image's, that is hidden in what is
    observed; `directions`: in which images are moved where moves are judged, a row of `reparam.latent.directions.DIRECTIONS`, or
    pixels; `bytes`: an image's, where compression is judged; `split`: test, or validation, to choose by. Where the text of a
    metric says test images, those are meant."""

    seed: int = 0
    samples: int = 5000
    nll_images: int = 1000
    images: int = 10_000
    precision: str = "float32"
    draws: int = 10
    occlusion: float = 0.0
    directions: str = DEFAULT
    split: str = "test"
    bytes: float = 32.0

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ConfigError(f"option 'precision' must be {' or '.join(PRECISIONS)}, got {self.precision!r}")
        if not isinstance(self.occlusion, int | float) or not 0 <= self.occlusion < 1:
            raise ConfigError(f"option 'occlusion' is a share of the side, from 0 to below 1, got {self.occlusion!r}")
        if not isinstance(self.bytes, int | float) or not 0 < self.bytes < math.inf:
            raise ConfigError(f"option 'bytes' is a number above 0, got {self.bytes!r}")
        if self.split not in ("test", "validation"):
            raise ConfigError(f"option 'split' is test or validation, not {self.split!r}")
        if self.directions != PIXELS:
            find_direction(self.directions)
        for name in ("samples", "nll_images", "images", "draws"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"option '{name}' must be a whole number of at least 1, got {value!r}")

    def kept_as(self, name: str) -> str:
        """The name under which a figure is kept: one that was measured in another way does not replace the plain one."""
        moves = name.startswith(("flips", "sharpness_moved")) and self.directions != DEFAULT
        moved = f" along {self.directions}" if moves else ""
        rated = f" at {self.bytes:g} bytes" if name.startswith("rate_") and self.bytes != 32.0 else ""
        aside = VALIDATED if self.split == "validation" else ""
        return name + (f" occluded {self.occlusion:g}" if self.occlusion else moved + rated) + aside


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


class EvaluationContext:
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
        self.split = dataset.split(options.split)
        self.index = random_indices(self.split, options.images)
        occluded = (options.occlusion, options.occlusion) if options.occlusion else None
        self.batch = task_images(self.split, task, self.index, occluded)
        self._found: dict[str, Any] = {}

    @property
    def x(self) -> Tensor:
        """What is wanted: the test images, or their label maps."""
        return self.batch.x

    @property
    def c(self) -> Tensor | None:
        return self.batch.c

    @cached_property
    def hidden(self) -> Tensor:
        """[N, 1, H, W] of the images asked, true in the box that `occlusion` hides: of white images, what is not white."""
        split, box = self.split, (self.options.occlusion, self.options.occlusion)
        white = Images(torch.full((1,), 255, dtype=torch.uint8).expand(split.images.shape), split.labels, split.maps)
        c = task_images(white, self.task, self.index[: len(self.asked.x)], box).c
        assert c is not None
        return c[:, :1] == 0

    @cached_property
    def grey(self) -> Tensor:
        """The test images as they are, not binarised: what samples and means of p(x|z) are compared with."""
        return to_float(self.split.take(self.index).pixels)

    @cached_property
    def training(self) -> Batch:
        """As many of the images it was trained on, as the task gives them."""
        return task_images(self.trained_on, self.task, random_indices(self.trained_on, len(self.index)))

    @cached_property
    def bound(self) -> tuple[Tensor, Tensor]:
        return likelihood.bound(self.model, self.x, self.options.seed, c=self.c)

    @cached_property
    def nll(self) -> tuple[Tensor, Tensor]:
        return self.importance_nll(self.x)

    def importance_nll(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(-log p(x), effective sample size) of the first images of x; of a conditional model -log p(x|c)."""
        return self._estimated(likelihood.importance_nll, x)

    @cached_property
    def monte_carlo_nll(self) -> tuple[Tensor, Tensor]:
        return self.monte_carlo(self.x)

    def monte_carlo(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(-log p(x|c), effective sample size) of the first images of x, from draws of the prior."""
        return self._estimated(likelihood.monte_carlo_nll, x)

    def _estimated(self, estimate: Callable[..., tuple[Tensor, Tensor]], x: Tensor) -> tuple[Tensor, Tensor]:
        options = self.options
        n, c = options.nll_images, self.c
        with torch.autocast(self.device.type, torch.bfloat16, enabled=options.precision == "bfloat16"):
            return estimate(
                self.model, x[:n], options.samples, options.seed, self.progress, None if c is None else c[:n]
            )

    @cached_property
    def codes(self) -> tuple[Tensor, Tensor]:
        return encode(self.model, self.batch.shown)

    @cached_property
    def aggregate(self) -> latents.Aggregate:
        return latents.aggregate_posterior(*self.codes, self.options.seed)

    @cached_property
    def reconstructions(self) -> Tensor:
        """From what the model is given: the noisy images of a denoising task, else the images themselves."""
        return reconstruct(self.model, self.batch.shown)

    @cached_property
    def samples(self) -> Tensor:
        """As many as there are test images: means of p(x|z), z ~ p(z); by class, of the test images' classes."""
        return sample(self.model, len(self.grey), self.options.seed, c=self.c)

    @cached_property
    def predictions(self) -> Tensor:
        """`draws` answers for each test image: [N, L, C, H, W], of label maps probabilities [N, L, D, H, W]."""
        assert self.asked.c is not None
        return predict_draws(self.model, self.asked.c, self.options.draws, self.options.seed)

    @cached_property
    def asked(self) -> Batch:
        """The test images that answers are made for: all, or as many as their answers fit into memory."""
        size = self.x[0].numel() * (len(self.dataset.map_values) if self.of_maps else 1)
        return self.batch.take(torch.arange(min(len(self.x), max(1, ANSWERS // (self.options.draws * size)))))

    @cached_property
    def averaged(self) -> Tensor:
        """The one answer, an average where a model has several (Sohn et al. 2015, section 4.1): [N, C, H, W], of label maps
        probabilities [N, D, H, W]."""
        assert self.asked.c is not None
        return predict(self.model, self.asked.c) if not self.model.has("prior") else self.predictions.mean(1)

    @property
    def of_maps(self) -> bool:
        """Whether label maps are wanted, not images."""
        return not self.x.is_floating_point()

    @property
    def wanted(self) -> Tensor:
        """[N, 1, H, W] of the images asked, 1 where a pixel is wanted."""
        x, c = self.asked.x, self.asked.c
        assert c is not None
        return 1 - c[:, -1:] if self.model.context.masked else (x[:, :1] != IGNORED).float()

    @cached_property
    def votes(self) -> structured.Votes:
        """The classes of answers, as the feature network's classifier reads them."""
        labels = self.asked.y
        known = labels >= 0
        answers = self.predictions[known]
        read = self.network("classifier").classes(answers.flatten(0, 1)).unflatten(0, answers.shape[:2])
        return structured.votes(read, labels[known], len(self.dataset.classes))

    def network(self, name: str) -> FeatureNetwork:
        return self.once(name, lambda: FEATURES[name](self.dataset, self.device, self.progress, self.say))

    def features(self, name: str) -> tuple[Tensor, Tensor]:
        """Of test images and of samples, [N, F] each."""

        def compute() -> tuple[Tensor, Tensor]:
            network = self.network(name)
            made = network.features(self.samples, self.progress, f"{name} features of samples")
            return self._real_features(network), made

        return self.once(f"{name} features", compute)

    def reference(self, name: str) -> Tensor:
        """Features of as many training images: how near to the test images something real comes."""
        train = to_float(self.dataset.train.take(random_indices(self.dataset.train, len(self.grey))).pixels)
        return self.once(f"{name} reference", lambda: self.network(name).features(train, self.progress, "reference"))

    def manifolds(self, name: str) -> distances.Manifolds:
        return self.once(f"{name} manifolds", lambda: distances.manifolds(*self.features(name)))

    def once(self, what: str, compute: Callable[[], T]) -> T:
        """What `compute` returns, under a name: computed at the first call."""
        if what not in self._found:
            self._found[what] = compute()
        return self._found[what]

    def _real_features(self, network: FeatureNetwork) -> Tensor:
        def compute() -> Tensor:
            return network.features(self.grey, self.progress, "features of test images")

        if not network.key or self.options.split != "test":
            return compute()
        path = cache_folder() / "features" / f"{network.key}-chosen-{len(self.grey)}.safetensors"
        if path.exists():
            try:
                return read_tensors(path)[0]["features"]
            except RunError as error:
                self.say(f"{error}; it is computed again")
        found = compute()
        if self.split.skipped:  # others stand in for some: they are not what the name says
            return found
        try:
            write_tensors(path, {"features": found}, {"network": network.about})
        except ReparamError as error:
            self.say(f"features of the test images are not kept, and will be computed again: {error}")
        return found
