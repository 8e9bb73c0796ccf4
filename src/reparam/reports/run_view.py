"""A run as its pictures look at it: which images are shown, which latents matter.

Shapes: `N` images, `C H W` image, `K` latent.
"""

from functools import cached_property

import torch
from torch import Tensor

from reparam.core.batch import Batch
from reparam.data.selection import class_balanced_indices, random_indices, task_images
from reparam.errors import RunError
from reparam.evaluation.likelihood import kl_by_dimension
from reparam.latent.generation import encode, sample_latents
from reparam.run.loaded import LoadedRun

CODES = 2000  # at least, where there are as many, and
CODES_A_CLASS = 1000
# Floats of test images held at one time (160 MB), and of those that are encoded to place them in latent space.
LARGEST_SELECTION = 40_000_000
LARGEST_ENCODING = 10_000_000


class RunView:
    """What several figures of one run share is computed once. Properties that need the data raise DataError without it."""

    def __init__(self, run: LoadedRun) -> None:
        self.run = run
        self.shape = run.spec.image_shape
        self.side = self.shape[-1]
        self._floats = self.shape[0] * self.shape[1] * self.shape[2]

    def examples(self, n: int) -> Batch:
        """As the task gives them: the first test images that take the classes in turn: always the same, and all classes
        among them."""
        labels = self.run.dataset.test.labels[: max(n, LARGEST_SELECTION // self._floats)]
        return self._chosen(class_balanced_indices(labels, n))

    def _chosen(self, index: Tensor) -> Batch:
        return task_images(self.run.dataset.test, self.run.config.task, index)

    @cached_property
    def codes(self) -> tuple[Tensor, Tensor]:
        """Posterior means [N, K] and labels [N] of test images spread evenly over the split."""
        within = min(len(self.run.dataset.test), LARGEST_SELECTION // self._floats)
        wanted = max(CODES, CODES_A_CLASS * len(self.run.dataset.classes))
        n = min(within, wanted, max(200, LARGEST_ENCODING // self._floats))
        random_indices = self._chosen(torch.linspace(0, within - 1, n).round().long())
        return encode(self.run.model, random_indices.shown)[0], random_indices.y

    @cached_property
    def kl_by_latent(self) -> Tensor:
        """KL of each latent to the prior, nats an image, [K], over the first test images."""
        n = min(len(self.run.dataset.test), CODES, LARGEST_ENCODING // self._floats)
        batch = self._chosen(random_indices(self.run.dataset.test, n))
        found = kl_by_dimension(self.run.model, batch.x, batch.c)
        if found is None:
            raise RunError("posterior or prior does not factorise over the latents")
        return found

    @cached_property
    def latent(self) -> int:
        """K, as the model has it."""
        if "decode" in self.run.model.abilities:
            return sample_latents(self.run.model, 1, 0).shape[-1]
        return encode(self.run.model, torch.zeros(1, *self.shape))[0].shape[-1]

    def most_active(self, count: int) -> list[int]:
        """The latent dimensions whose posterior mean varies most over test images, most active first."""
        return self.codes[0].var(0, correction=0).argsort(descending=True, stable=True)[:count].tolist()

    @cached_property
    def kept_epoch(self) -> float | None:
        """The epoch that the kept weights are of; None where there are none."""
        try:
            return self.run.folder.weights()[1]["epoch"]
        except RunError:
            return None
