r"""What the latent space is used for.

Shapes: `N` images, `K` latent.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.core.blocks import keyed_noise
from reparam.evaluation.pairwise import row_blocks

ACTIVE_VARIANCE = 0.01


def active_units(means: Tensor) -> int:
    """How many latents have Var_x(E_q[z_k|x]) > 0.01 (Burda et al. 2016, section 4.2), from posterior means [N, K]. The
    threshold is meant for latents of a scale near 1."""
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
    the mean of `log_own - log_mixture` and the second term that of `log_mixture - log p(z)`. I never exceeds log N. In float64:
    scales of 0.01 and less are common, and terms divided by their squares cancel.
    """
    n, latent = loc.shape
    mean, deviation = loc.double(), scale.double().clamp(min=1e-6)
    z = mean + deviation * keyed_noise(n, latent, seed, "aggregate").double()
    # log N(z; m, s) = -1/2 (z^2 / s^2 - 2 z m / s^2 + m^2 / s^2) - log s - K/2 log 2 pi: two products for all pairs.
    precision = deviation.pow(-2)
    constant = -0.5 * (mean.square() * precision).sum(1) - deviation.log().sum(1) - 0.5 * latent * math.log(2 * math.pi)
    own, mixture = [], []
    for start, part in row_blocks(z):
        pairs = part @ (mean * precision).T - 0.5 * part.square() @ precision.T + constant
        own.append(pairs.diagonal(start))
        mixture.append(pairs.logsumexp(1) - math.log(n))
    return Aggregate(z, torch.cat(own), torch.cat(mixture))
