"""The likelihoods of test images by draws: by as many as were asked for, or as the wanted error or the time takes.

Shapes: `N` images, `C H W` image.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from reparam.core.blocks import BLOCK
from reparam.distributions import keyed_generator
from reparam.evaluation import likelihood
from reparam.evaluation.adaptive import Goal, Sampled, draws_per_second, images_for, sampled_nll
from reparam.evaluation.budget import Budget
from reparam.evaluation.options import EvaluationOptions
from reparam.latent.generation import device_of
from reparam.models import Model
from reparam.progress import Progress

IMAGES, QUICK_IMAGES = 1000, 100  # where nobody says how many


@dataclass(frozen=True)
class LikelihoodsByDraws:
    """Of the first of the images x [N, C, H, W] given c, if there is one; each is estimated at its first use, and once. grey: the
    images of a density, which have so many levels (None: of none)."""

    model: Model
    x: Tensor
    c: Tensor | None
    grey: Tensor | None
    levels: int
    options: EvaluationOptions
    budget: Budget
    progress: Progress
    say: Callable[[str], None]

    @cached_property
    def nll(self) -> Sampled:
        """-log p(x) by importance sampling; of a conditional model -log p(x|c)."""
        return self._shared[0] if self.options.samples is None else self._stated(likelihood.importance_nll, self.x)

    @cached_property
    def dequantised(self) -> Sampled:
        """The same of uniformly dequantised levels, ((L - 1) x + u) / L (Theis et al. 2016, section 3.1)."""
        if self.options.samples is None:
            return self._shared[1]
        return self._stated(likelihood.importance_nll, self._dequantised(self.options.nll_images or IMAGES))

    @cached_property
    def of_prior(self) -> Sampled:
        """-log p(x|c) from draws of the prior."""
        if self.options.samples is None and self.model.has("prior"):
            return self._needed([self.x], posterior=False)[0]
        return self._stated(likelihood.monte_carlo_nll, self.x)

    @cached_property
    def _shared(self) -> list[Sampled]:
        """Of the images and, of a density, of their dequantised levels, from the same draws."""
        return self._needed([self.x, *([] if self.grey is None else [self._dequantised(len(self.x))])])

    def _dequantised(self, count: int) -> Tensor:
        assert self.grey is not None
        levels, seed = self.grey[:count] * (self.levels - 1), self.options.seed
        generators = (keyed_generator("cpu", seed, "dequantise", number) for number in range(-(-len(levels) // BLOCK)))
        noise = torch.cat([torch.rand(BLOCK, *levels.shape[1:], generator=generator) for generator in generators])
        return (levels + noise[: len(levels)]) / self.levels

    def _autocast(self) -> torch.autocast:
        enabled = self.options.precision == "bfloat16"
        return torch.autocast(device_of(self.model).type, torch.bfloat16, enabled=enabled)

    def _stated(self, estimate: Callable[..., tuple[Tensor, Tensor]], x: Tensor) -> Sampled:
        """By as many draws and images as were asked for; a model without a latent has none."""
        n, samples = self.options.nll_images or IMAGES, self.options.samples or 1
        c = None if self.c is None else self.c[:n]
        with self._autocast():
            nll, effective = estimate(self.model, x[:n], samples, self.options.seed, self.progress, c)
        return Sampled(nll, effective, samples)

    def _needed(self, targets: Sequence[Tensor], posterior: bool = True) -> list[Sampled]:
        """By as many draws as the wanted error or the time takes, which is said before."""
        options, what = self.options, "nll" if posterior else "monte carlo nll"
        seconds = None if options.error else self.budget.sampled
        n = min(options.nll_images or (QUICK_IMAGES if options.quick else IMAGES), len(self.x))
        with self._autocast():
            if seconds and not options.nll_images:
                rate = draws_per_second(self.model, self.x, self.c, posterior)
                n = images_for(seconds, rate, n)
                self.say(f"{what}: {n:,} images at {rate:,.0f} draws a second, in {seconds:.0f} s at most")
            c, parts = None if self.c is None else self.c[:n], [x[:n] for x in targets]
            goal = Goal(options.error, seconds)
            return sampled_nll(self.model, parts, options.seed, goal, self.progress, self.say, c, posterior)
