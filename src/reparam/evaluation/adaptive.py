r"""Likelihoods by as many draws as an error asks for, in nats per image.

With weights of mean 1 and variance v, the logarithm of their mean over S draws is on average v / 2S below 0, with variance v / S:
the estimate of -log p(x) is too high, by a bias that more draws take away. How much is left is seen in what doubling the draws
changes. With L(S) the mean over images of the estimate of log p(x) by S draws,

    D1 = L(S) - L(S/2),   D2 = L(S/2) - L(S/4),   bias = D1 r / (1 - r),   r = D1 / D2 between 1/2 and 0.9

from halves and quarters of the same draws. Where the bias goes as 1/S, r is 1/2 and the bias D1; where few draws have all the
weight it goes more slowly, and the steps to come are taken to shrink as the last one did. D1 and D2 are never negative: the
logarithm is concave. All images have as many draws. If each had its own number by its own weights, images would stop where their
weights happen to look even, and the mean would be off by more than its error.

Shapes: `N` images, `T` targets, `S` draws.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.core.blocks import BLOCK
from reparam.evaluation.likelihood import log_weights
from reparam.metrics.likelihood import SAMPLES_AT_ONCE
from reparam.models import Model
from reparam.progress import Progress

MOST_DRAWS = 102_400  # for an image: beyond, the wanted error is not reached
SMALL = 0.1  # of the standard error over images: an error by draws that adds next to nothing
SLOWEST = 0.9  # r: the steps to come are nine times the last one at most
FEWEST_IMAGES = 10
COUNTS = (1000, 500, 200, 100, 50, 20, FEWEST_IMAGES)  # images; few numbers, so that figures of several runs compare
TIMED = 0.5  # seconds of draws that say how fast they are, at least, unless that is all at once


class Sampled(NamedTuple):
    """-log p(x) [N] and effective sample sizes [N]; draws of each image; how far the mean is too high, and its standard error by
    the draws alone (NaN where they are not known)."""

    nll: Tensor
    effective: Tensor
    draws: int
    bias: float = math.nan
    error: float = math.nan

    @property
    def left(self) -> float:
        """How far the mean may be from that of more draws."""
        return self.bias + self.error


class Goal(NamedTuple):
    """When there are enough draws: the mean is within `error` nats (None: `SMALL` of the standard error over images), or the next
    doubling would end after `seconds` (None: no limit)."""

    error: float | None = None
    seconds: float | None = None


@torch.no_grad()
def draws_per_second(model: Model, x: Tensor, c: Tensor | None, posterior: bool) -> float:
    """Draws of an image a second, for ten images: the best of three times, since other work disturbs single ones."""
    n, count = min(len(x), FEWEST_IMAGES), 1
    block = log_weights(model, [x[:n]], 0, 0, None if c is None else c[:n], posterior)
    block.draw(1)  # the first one is slower
    while True:
        times = []
        for _ in range(3):
            began = time.perf_counter()
            block.draw(count)
            times.append(time.perf_counter() - began)
        if min(times) >= TIMED or count == SAMPLES_AT_ONCE:
            return n * count / max(min(times), 1e-9)
        count = min(SAMPLES_AT_ONCE, 4 * count)


def images_for(seconds: float, rate: float, available: int) -> int:
    """So many that their first draws take half of the time at most: all that are available, or of `COUNTS`."""
    fit = seconds * rate / 2 / SAMPLES_AT_ONCE
    return min(available, next((count for count in (available, *COUNTS) if count <= fit), FEWEST_IMAGES))


@torch.no_grad()
def sampled_nll(
    model: Model,
    targets: Sequence[Tensor],
    seed: int,
    goal: Goal,
    progress: Progress,
    say: Callable[[str], None],
    c: Tensor | None = None,
    posterior: bool = True,
) -> list[Sampled]:
    """-log p(x) of each target (see `log_weights`), from draws of q(z|x) or the prior: `SAMPLES_AT_ONCE` for each image, then
    twice as many until the goal is reached. They are the first draws of `importance_nll` or `monte_carlo_nll`."""
    n, name = len(targets[0]), "nll" if posterior else "monte carlo nll"
    blocks = [log_weights(model, targets, number, seed, c, posterior) for number in range(-(-n // BLOCK))]
    sums, draws, began = None, SAMPLES_AT_ONCE, time.perf_counter()
    while True:
        new = draws if sums is None else draws // 2
        work = [(block, chunk) for block in blocks for chunk in range(new // SAMPLES_AT_ONCE)]
        log_w: list[Tensor] = []  # of each chunk of a block
        by_block: list[_Sums] = []
        for block, chunk in progress.track(work, f"{name}, {draws:,} draws"):
            # In float32 the density of many pixels has no digits left for differences.
            log_w.append(block.draw().double().cpu())
            if (chunk + 1) * SAMPLES_AT_ONCE == new:
                by_block.append(_Sums.of(torch.cat(log_w, 1)))
                log_w.clear()
        added = _Sums(*(torch.cat(parts, -1) for parts in zip(*by_block, strict=True)))
        sums = added if sums is None else sums.doubled(added)
        found = sums.estimates(draws)
        worst = max(found, key=lambda one: one.left)
        wanted, seconds = goal.error or SMALL * _standard_error(worst.nll), time.perf_counter() - began
        # The next doubling ends when all has taken twice as long. What is no number does not become one.
        late = goal.seconds is not None and 2 * seconds > goal.seconds
        if not worst.left > wanted or 2 * draws > MOST_DRAWS or late:
            return found
        draws *= 2
        if goal.seconds is None:
            say(f"{name}: within {worst.left:.2g} nats, wanted {wanted:.2g}: {draws:,} draws, {seconds:.0f} s more")


def _standard_error(values: Tensor) -> float:
    return float(values.double().std() / math.sqrt(len(values))) if len(values) > 1 else 0.0


class _Sums(NamedTuple):
    """Of weights, as logarithms: of each quarter of an image's draws, [T, 4, N]; of their squares, [T, N]."""

    quarters: Tensor
    squares: Tensor

    @classmethod
    def of(cls, log_w: Tensor) -> "_Sums":
        """Of log weights [T, S, N]."""
        return cls(log_w.unflatten(1, (4, -1)).logsumexp(2), (2 * log_w).logsumexp(1))

    def doubled(self, added: "_Sums") -> "_Sums":
        """With as many draws again."""
        return _Sums(torch.cat([self.halves, added.halves], 1), torch.logaddexp(self.squares, added.squares))

    @property
    def halves(self) -> Tensor:
        return self.quarters.unflatten(1, (2, 2)).logsumexp(2)

    def estimates(self, draws: int) -> list[Sampled]:
        """Of each target."""
        total = self.quarters.logsumexp(1)
        # L(S) - L(S/2) and L(S/2) - L(S/4), [T]: half of the draws have log 2 less in the divisor.
        last = (total - self.halves.mean(1) - math.log(2)).mean(1)
        before = (self.halves.mean(1) - self.quarters.mean(1) - math.log(2)).mean(1)
        ratio = torch.where(before > 0, last / before, 0.5).clamp(0.5, SLOWEST)
        bias = (last * ratio / (1 - ratio)).clamp(min=0)
        effective = (2 * total - self.squares).exp()
        variance = (1 / effective - 1 / draws).clamp(min=0)  # of an image's estimate, v / S to first order
        error = (variance.mean(1) / variance.shape[1]).sqrt()
        parts = zip(math.log(draws) - total, effective, bias.tolist(), error.tolist(), strict=True)
        return [Sampled(nll, size, draws, shift, spread) for nll, size, shift, spread in parts]
