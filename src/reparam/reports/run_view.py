"""A run as its pictures look at it: which images are shown, which latents matter.

Shapes: `N` images, `C H W` image, `K` latent.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.core.abilities import Ability
from reparam.core.batch import Batch
from reparam.data import Images
from reparam.data.selection import class_balanced_indices, random_indices, task_images
from reparam.errors import ConfigError, DataError, RunError
from reparam.evaluation.likelihood import kl_by_dimension
from reparam.evaluation.networks.features import FeatureNetwork, judge_network
from reparam.latent.generation import encode, reach, sample_latents
from reparam.progress import Progress, silent
from reparam.run.loaded import LoadedRun

CODES = 2000  # at least, where there are as many, and
CODES_A_CLASS = 1000
# Floats of test images held at one time (160 MB), and of those that are encoded to place them in latent space.
LARGEST_SELECTION = 40_000_000
LARGEST_ENCODING = 10_000_000
BEYOND = 0.02  # share of codes that are many


class Unit(NamedTuple):
    """Mean and standard deviation of each latent, [K] each, and of what they are, in words."""

    middle: Tensor
    scale: Tensor
    of: str


class PageSize(NamedTuple):
    """How many tiles a page shows, by the size of the images, so that it stays light and its pictures large enough."""

    across: int
    rows: int
    noisy_rows: int
    draws: int
    predictions: int
    walk: int
    walks: int
    grid: int
    epochs: int


def page_size(side: int) -> PageSize:
    """For images of this longer side, in pixels."""
    if side <= 32:
        return PageSize(10, 8, 4, draws=10, predictions=10, walk=11, walks=8, grid=21, epochs=12)
    if side <= 64:
        return PageSize(10, 6, 3, draws=10, predictions=10, walk=9, walks=6, grid=11, epochs=10)
    return PageSize(6, 3, 2, draws=5, predictions=4, walk=7, walks=3, grid=5, epochs=4)


class RunView:
    """A run, and what several of its figures share, computed once. Properties that need the data raise DataError without it.

    `images`: those that examples are taken from (None: the run's test images); `batch`: the examples themselves; `progress`
    and `say`: receives lines about the training of a judge.
    """

    def __init__(
        self,
        run: LoadedRun,
        images: Images | None = None,
        batch: Batch | None = None,
        progress: Progress | None = None,
        say: Callable[[str], None] = silent,
    ) -> None:
        self.run = run
        self.shape = run.spec.image_shape
        self.page = page_size(max(self.shape[1:]))
        self._images, self._batch, self._progress, self._say = images, batch, progress, say
        self._floats = self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def images(self) -> Images:
        return self.run.dataset.test if self._images is None else self._images

    def examples(self, n: int, index: Sequence[int] = ()) -> Batch:
        """Images as the task gives them: those of the numbers `index`, else n, always the same: of the run's the first that take
        the classes in turn, of others the first. Raises ConfigError for a number that is none."""
        if self._batch is not None:
            return self._batch
        count = len(self.images)
        for number in index:
            if not 0 <= number < count:
                raise ConfigError(f"index {number} is outside the {count} images: choose 0 to {count - 1}")
        if index:
            chosen = torch.tensor(index)
        else:
            chosen = class_balanced_indices(self.images.labels, n) if self._images is None else torch.arange(count)[:n]
        batch = task_images(self.images, self.run.config.task, chosen)
        return batch if self._images is None else replace(batch, source=None)  # no noise is added to what is given

    def number(self, n: int) -> int:
        """How many images are shown where nobody says: n of the run's; of others all."""
        return n if self._images is None else len(self._images)

    @cached_property
    def codes(self) -> tuple[Tensor, Tensor]:
        """Posterior means [N, K] and labels [N] of test images spread evenly over the split."""
        test = self.run.dataset.test
        within = min(len(test), LARGEST_SELECTION // self._floats)
        target = max(CODES, CODES_A_CLASS * len(self.run.dataset.classes))
        n = min(within, target, max(200, LARGEST_ENCODING // self._floats))
        batch = task_images(test, self.run.config.task, torch.linspace(0, within - 1, n).round().long())
        return encode(self.run.model, batch.input)[0], batch.y

    @cached_property
    def kl_by_latent(self) -> Tensor:
        """KL of each latent to the prior, nats an image, [K], over random test images."""
        test = self.run.dataset.test
        n = min(len(test), CODES, LARGEST_ENCODING // self._floats)
        batch = task_images(test, self.run.config.task, random_indices(test, n))
        found = kl_by_dimension(self.run.model, batch.x, batch.c)
        if found is None:
            raise RunError("posterior or prior does not factorise over the latents")
        return found

    @cached_property
    def latent(self) -> int:
        """K, as the model has it."""
        if Ability.DECODE in self.run.model.abilities:
            return sample_latents(self.run.model, 1, 0).shape[-1]
        return encode(self.run.model, torch.zeros(1, *self.shape))[0].shape[-1]

    def unit(self, dimensions: Sequence[int], enough: float) -> Unit | None:
        """What latents are walked in, where that is not their own unit around 0: standard deviations of a fitted prior, or of
        test images' codes where there is no prior, or where many of them lie beyond `enough` in one of the dimensions."""
        if self.run.kept.prior:
            return Unit(*reach(self.run.model), "of the fitted prior")
        if Ability.ENCODE not in self.run.model.abilities:
            return None
        try:
            codes, _ = self.codes
        except DataError:
            if Ability.DECODE in self.run.model.abilities:
                return None  # the prior is there without the images
            raise
        beyond = (codes[:, list(dimensions)].abs() > enough).float().mean(0) > BEYOND
        if Ability.DECODE in self.run.model.abilities and not beyond.any():
            return None
        return Unit(codes.mean(0), codes.std(0, correction=0), "of test images' latents")

    def most_active(self, count: int) -> list[int]:
        """The latent dimensions whose posterior mean varies most over test images, most active first."""
        return self.codes[0].var(0, correction=0).argsort(descending=True, stable=True)[:count].tolist()

    @cached_property
    def judge(self) -> FeatureNetwork | None:
        """A classifier that reads classes; None where there are none to distinguish."""
        if len(self.run.dataset.classes) < 2:
            return None
        return judge_network(self.run.dataset, self.run.device, self._progress, self._say)
