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
IN_CACHE = 20  # rows of pairs of 10,000 images that a processor keeps near while it goes through the latents


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
    the mean of `log_own - log_mixture` and the second term that of `log_mixture - log p(z)`. I never exceeds log N. In float64,
    from differences: expanded squares would cancel, at latents of 100 and scales of 5e-5 to an error of 0.01 nats.
    """
    n, latent = loc.shape
    mean, deviation = loc.double(), scale.double().clamp(min=1e-6)
    z = mean + deviation * keyed_noise(n, latent, seed, "aggregate").double()
    constant = -deviation.log().sum(1) - 0.5 * latent * math.log(2 * math.pi)
    own, mixture = [], []
    for start, part in row_blocks(z, IN_CACHE):
        pairs = constant.repeat(len(part), 1)
        for each, centre, width in zip(part.T, mean.T, deviation.T, strict=True):  # a latent at a time: no [N, N, K]
            apart = (each[:, None] - centre).div_(width)
            pairs.addcmul_(apart, apart, value=-0.5)
        own.append(pairs.diagonal(start))
        mixture.append(pairs.logsumexp(1) - math.log(n))
    return Aggregate(z, torch.cat(own), torch.cat(mixture))
