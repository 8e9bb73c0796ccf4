r"""Bounds on log p(x).

Shapes: `B` batch, `K` latent, `L` posterior samples, `S` importance samples.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, kl_divergence

from reparam.core.batch import Batch
from reparam.core.objective import Objective, Term, Terms
from reparam.distributions import detached, kl_at, monte_carlo_kl, report_kl, rsample, tight_kl
from reparam.objectives.ramp import ramp


def kl_per_dimension(q_z: Distribution, p_z: Distribution) -> Tensor:
    """KL(q_k || p_k) for each latent dimension [B, K] of two factorised distributions (`Independent` over K)."""
    assert isinstance(q_z, Independent)
    assert isinstance(p_z, Independent)
    return kl_divergence(q_z.base_dist, p_z.base_dist)


Divergence = Callable[[Any, Any, Tensor], Tensor]
KLS: dict[str, Divergence] = {  # q(z|x), p(z), draws of q -> [B]
    "closed": lambda q_z, p_z, z: kl_divergence(q_z, p_z),
    "tight": lambda q_z, p_z, z: tight_kl(q_z, p_z),
    "monte-carlo": monte_carlo_kl,
    "report": lambda q_z, p_z, z: report_kl(q_z, p_z),
}


def _through_z(q_z: Distribution, p_z: Distribution, z: Tensor) -> Tensor:
    """`monte_carlo_kl` whose gradient reaches q through the draws alone."""
    return monte_carlo_kl(detached(q_z), p_z, z)


class ELBO(Objective):
    r"""total = c * E_q[-log p(x|z)] + beta(step) * KL(q(z|x) || p(z)), c and beta 1 for the evidence lower bound.

    Kingma and Welling 2014, eq. 10: the KL in closed form, the expectation by `samples` draws z = mu + sigma * eps.
    `beta` (Higgins et al. 2017) rises linearly from 0 over the first `warmup` steps. `weight` is the VAE report's c (eq. 13).
    `free_bits` (Kingma et al. 2016, eq. 15, in nats): a latent dimension whose mean KL over the images at hand lies below it
    has the constant `free_bits` in the total instead, so that it is not pushed to zero; with accumulation or several processes
    the images at hand are each one's part of the batch. The logged `kl` is always the plain KL.
    `path`: the KL's gradient is that of log q(z|x) - log p(z) through z alone (Roeder et al. 2017, sticking the landing): the
    same in expectation, and without noise where q is the true posterior. Values are the same; free bits do not go with it.
    `kl`: one of `KLS`. A mixture has no closed form: its KL is bounded from above (the total stays a bound on log p(x)) or
    estimated by the draws that the reconstruction has; free bits and `path` are for the closed form, `path` for the estimate too.
    """

    def __init__(
        self,
        beta: float = 1.0,
        warmup: float = 0.0,
        free_bits: float = 0.0,
        samples: int = 1,
        weight: float = 1.0,
        path: bool = False,
        kl: str = "closed",
    ) -> None:
        self.kl = KLS[kl]
        if path and kl == "monte-carlo":  # one estimate serves as value and as gradient
            self.kl, path = _through_z, False
        self.beta, self.warmup, self.free_bits = beta, warmup, free_bits
        self.samples, self.weight, self.path = samples, weight, path

    def __call__(
        self, player: str, model: Any, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        return self.at(model.encoder(batch.x), model, batch, step, generator)

    def at(
        self, q_z: Distribution, model: Any, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        """The same where q(z|x) is known already."""
        z = rsample(q_z, () if self.samples == 1 else (self.samples,), generator)
        return self.of(q_z, z, model.decoder(z), model.prior(), batch.x, step)

    def of(self, q_z: Distribution, z: Tensor, p_x: Distribution, p_z: Distribution, x: Tensor, step: Tensor) -> Terms:
        """The same where z is drawn and p(x|z) known already."""
        log_likelihood = p_x.log_prob(x)
        reconstruction = -log_likelihood if self.samples == 1 else -log_likelihood.mean(0)
        kl = kl_penalty = self.kl(q_z, p_z, z)
        if self.path:
            through_z = _through_z(q_z, p_z, z)
            kl_penalty = kl.detach() + through_z - through_z.detach()
        elif self.free_bits:
            each = kl_per_dimension(q_z, p_z)
            kl_penalty = torch.where(each.mean(0) > self.free_bits, each, self.free_bits).sum(-1)

        total = self.weight * reconstruction + self.beta * ramp(step, self.warmup) * kl_penalty
        return Terms(total, {"reconstruction": Term(reconstruction, "nats/image"), "kl": Term(kl, "nats/image")})


class ImportanceWeighted(Objective):
    r"""total = -log 1/k sum_s w_s, w_s = p(x|z_s) p(z_s) / q(z_s|x), z_s ~ q(z|x); averaged over `samples` such draws of k.

    Burda et al. 2016, eq. 8. k = 1 is the ELBO with its KL estimated by the same draw.
    `path`: the encoder's gradient is doubly reparameterised (Tucker et al. 2019, eq. 8): sum_s v_s^2 dlog w_s/dz_s dz_s/dphi with
    v = w / sum w; the same in expectation, and its noise does not drown it as k grows. Values are the same.
    """

    def __init__(self, k: int, samples: int = 1, path: bool = False) -> None:
        self.k, self.samples, self.path = k, samples, path

    def __call__(
        self, player: str, model: Any, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        q_z, p_z = model.encoder(batch.x), model.prior()
        z = rsample(q_z, (self.k, self.samples), generator)
        log_likelihood = model.decoder(z).log_prob(batch.x)
        log_w = log_likelihood + p_z.log_prob(z) - (detached(q_z) if self.path else q_z).log_prob(z)
        if self.path and z.requires_grad:
            share = log_w.detach().softmax(0)[..., None]
            z.register_hook(lambda gradient: gradient * share)  # the second v: the bound's own gradient has the first

        total = (math.log(self.k) - log_w.logsumexp(0)).mean(0)
        named = {
            "bound": Term(total, "nats/image"),
            "reconstruction": Term(-log_likelihood.mean((0, 1)), "nats/image"),
            "kl": Term(kl_at(q_z, p_z, z.flatten(0, 1)), "nats/image"),
        }
        return Terms(total, named)
