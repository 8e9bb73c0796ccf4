r"""What the latent space is used for.

Shapes: `N` images, `K` latent.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.core.blocks import keyed_noise
from reparam.data.values import not_a_tensor
from reparam.errors import DataError
from reparam.metrics.pairwise import PAIRWISE_BLOCK, row_blocks

ACTIVE_VARIANCE = 0.01
LARGEST_ROUNDING = 1e-3  # nats, of what is given with a hundredth of a nat
IN_CACHE = 20  # rows of pairs of 10,000 images that a processor keeps near while it goes through the latents


def active_units(means: Tensor) -> int:
    """How many latents have Var_x(E_q[z_k|x]) > 0.01 (Burda et al. 2016, section 4.2), from posterior means [N, K]. The
    threshold is meant for latents of a scale near 1. Raises DataError for other shapes, and for means that are not finite."""
    if not isinstance(means, Tensor):
        raise not_a_tensor(means, "means", "posterior means [N, K]")
    if means.dim() != 2 or not means.is_floating_point():
        raise DataError(f"means is {means.dtype} {list(means.shape)}: give posterior means, floats [N, K]")
    if not means.isfinite().all():
        raise DataError("means are NaN or infinite in places: leave those images out")
    return int((means.double().var(0) > ACTIVE_VARIANCE).sum()) if len(means) > 1 else 0


def entropy(shares: Tensor) -> float:
    """-sum p log p of shares that sum to 1, in nats; exp of it is the number of equal shares with the same entropy."""
    return float(-torch.special.xlogy(shares, shares).sum())


class Aggregate(NamedTuple):
    """A draw z of each image's posterior [N, K], its log density there and that of all posteriors together, nats, [N] each."""

    z: Tensor
    log_own: Tensor
    log_mixture: Tensor


def aggregate_posterior(loc: Tensor, scale: Tensor, seed: int) -> Aggregate:
    r"""q(z) = 1/N sum_j N(z; loc_j, diag(scale_j^2)), the aggregate posterior of N images, at a draw of each; loc, scale [N, K].

    Hoffman and Johnson 2016 (ELBO surgery): E_x KL(q(z|x) || p(z)) = I(x; z) + KL(q(z) || p(z)) for any prior p(z), where I is
    the mean of `log_own - log_mixture` and the second term that of `log_mixture - log p(z)`. I never exceeds log N. In float64.
    """
    n = len(loc)
    mean, deviation = loc.double(), scale.double().clamp(min=1e-6)
    z = mean + deviation * keyed_noise(n, loc.shape[1], seed, "aggregate").double()
    by_product = _rounding_of_product(z, mean, deviation) < LARGEST_ROUNDING
    own, mixture = [], []
    for start, part in row_blocks(z, PAIRWISE_BLOCK if by_product else IN_CACHE):
        pairs = (_by_product if by_product else _by_differences)(part, mean, deviation)
        own.append(pairs.diagonal(start))
        mixture.append(pairs.logsumexp(1) - math.log(n))
    return Aggregate(z, torch.cat(own), torch.cat(mixture))


def _by_product(z: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """log N(z_i; mean_j, diag(deviation_j^2)) for all pairs, [n, N], of z [n, K]: one matrix product, squares expanded."""
    weight = deviation.square().reciprocal()
    left, right = torch.cat([-0.5 * z.square(), z], 1), torch.cat([weight, mean * weight], 1)
    return torch.addmm(_constant(deviation) - 0.5 * (mean.square() * weight).sum(1), left, right.mT)


def _by_differences(z: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """The same, a latent at a time: a hundred times slower where there are a hundred, and nothing cancels."""
    pairs = _constant(deviation).repeat(len(z), 1)
    for each, centre, width in zip(z.mT, mean.mT, deviation.mT, strict=True):
        apart = (each[:, None] - centre).div_(width)
        pairs.addcmul_(apart, apart, value=-0.5)
    return pairs


def _constant(deviation: Tensor) -> Tensor:
    return -deviation.log().sum(1) - 0.5 * deviation.shape[1] * math.log(2 * math.pi)


def _rounding_of_product(z: Tensor, mean: Tensor, deviation: Tensor) -> float:
    """The largest rounding error of `_by_product`, nats: of 2 K + 2 summands, (2 K + 2) eps times the sum of their absolute
    values, which is at most 2 sum_k reach_k^2 / deviation_k^2, with reach_k the largest |z_k| or |mean_k|. It is 0.02 nats for
    two latents of 100 with deviations of 5e-5, and 1e-6 for 128 of 5 with deviations of 0.02."""
    reach = torch.maximum(z.abs().amax(0), mean.abs().amax(0))
    largest = float((reach / deviation).square().sum(1).max())
    return (2 * z.shape[1] + 2) * torch.finfo(torch.float64).eps * 2 * largest
