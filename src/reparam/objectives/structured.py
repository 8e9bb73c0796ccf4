r"""Structured prediction: p(x|c) with a latent, after Sohn, Lee and Yan 2015, whose x is our c and whose y is our x.

Shapes: `B` batch, `L` prior draws, `K` latent.
"""

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from reparam.core.batch import Batch
from reparam.core.objective import Objective, Term, Terms
from reparam.distributions import rsample
from reparam.errors import ConfigError
from reparam.objectives.variational import ELBO


class MonteCarlo(Objective):
    r"""By L = `samples` draws z_l ~ p(z|c) an image, in nats; what of them is averaged, `average` says:

        likelihood       total = -log 1/L sum_l p(x|z_l, c)     what a prediction is measured by, as an objective
        log-likelihood   total = -1/L sum_l log p(x|z_l, c)     the GSNN's (Sohn et al. 2015, eq. 6)

    Both are upper bounds of -log p(x|c) in expectation, and the same for L = 1. On the same draws the first is never above the
    second (Jensen). The first falls to -log p(x|c) as L grows; the second has the same expectation for every L.

    A latent that can be reparameterised passes the gradient on; for one that cannot (binary units), p(z_l|c) / stopgrad p(z_l|c)
    = 1 stands beside each p(x|z_l, c): the value is the same, and the gradient that of a generalised EM step, in which each draw
    counts by its share of the likelihood (Tang and Salakhutdinov 2013, eq. 6 to 8). The step belongs to the first average: the
    second raises a ConfigError.
    """

    def __init__(self, samples: int = 1, average: Literal["likelihood", "log-likelihood"] = "likelihood") -> None:
        self.samples, self.average = samples, average

    def __call__(
        self, player: str, model: Any, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        model = model.given(batch.c)
        p_z = model.prior()
        z = rsample(p_z, (self.samples,), generator)
        log_p = model.decoder(z).log_prob(batch.x)
        if not p_z.has_rsample:
            if self.average != "likelihood":
                raise ConfigError(
                    "average 'log-likelihood' needs a latent that can be reparameterised: take average 'likelihood'"
                )
            log_prior = p_z.log_prob(z)
            log_p = log_p + log_prior - log_prior.detach()
        logs = self.average == "log-likelihood"
        total = -log_p.mean(0) if logs else math.log(self.samples) - log_p.logsumexp(0)
        return Terms(total, {"monte_carlo": Term(total, "nats/image")})


class StructuredPrediction(Objective):
    r"""total = alpha * (E_q[-log p(x|z, c)] + (1 + beta) KL(q(z|x, c) || p(z|c))) + (1 - alpha) * Monte Carlo + guess.

    alpha = 1 is the conditional VAE, alpha = 0 the GSNN, between them the hybrid (Sohn et al. 2015, eq. 5 to 7), which
    closes the gap between training, where z comes from q(z|x, c), and prediction, where it comes from p(z|c). `elbo` and
    `monte_carlo` are left out (None) where their weight is 0; without both it is the deterministic baseline.

    guess: `guess_weight` times -log p(x|c) of the first guess, and the mean of the same at the coarser scales that a network
    predicts, per pixel of the full one: auxiliary, never part of a likelihood.
    """

    def __init__(
        self, elbo: ELBO | None, monte_carlo: MonteCarlo | None, alpha: float = 1.0, guess_weight: float = 1.0
    ) -> None:
        self.elbo, self.monte_carlo, self.alpha, self.guess_weight = elbo, monte_carlo, alpha, guess_weight

    def __call__(
        self, player: str, model: Any, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        model = model.given(batch.c)
        total: Tensor | float = 0.0
        named: dict[str, Term] = {}
        for part, weight in ((self.elbo, self.alpha), (self.monte_carlo, 1 - self.alpha)):
            if part is not None:
                terms = part(player, model, batch, step, generator)
                total, named = total + weight * terms.total, named | terms.named
        if self.guess_weight:
            guess = -model.first_guess().log_prob(batch.x)
            total, named = total + self.guess_weight * guess, named | {"guess": Term(guess, "nats/image")}
            if scales := model.coarser_guesses():
                coarser = [-p_x.log_prob(_reduced(batch.x, sides)) for sides, p_x in scales]
                full = math.prod(batch.x.shape[-2:])
                each = (loss * full / math.prod(sides) for loss, (sides, _) in zip(coarser, scales, strict=True))
                mean = sum(each) / len(scales)
                total, named = total + self.guess_weight * mean, named | {"coarser": Term(mean, "nats/image")}
        assert isinstance(total, Tensor)
        return Terms(total, named)


def _reduced(x: Tensor, sides: tuple[int, int]) -> Tensor:
    """Images [B, C, H, W] by area, label maps by nearest neighbour, to (height, width)."""
    if x.is_floating_point():
        return F.adaptive_avg_pool2d(x, sides)
    return F.interpolate(x.float(), size=sides, mode="nearest").to(x.dtype)
