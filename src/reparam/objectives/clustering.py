r"""Clusters without labels: a mixture prior whose components are placed once the encoder has learnt something, and an image
that shares its component with its moved copies.

Shapes: `B` batch, `K` latent, `M` components.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from reparam.core.batch import Batch
from reparam.core.objective import Objective, Term, Terms, ramp
from reparam.data import warp
from reparam.distributions import log_responsibilities, with_parameters
from reparam.objectives.variational import ELBO

# Before the components are placed, where copies are to agree. The reconstruction keeps slant and width in the latents, across
# which classes overlap; what an image shares with its copies is what is left when it counts for little.
CONTRAST, RECONSTRUCTION = 50.0, 0.02


def sharpened(responsibilities: Tensor) -> Tensor:
    """t_im proportional to q_im^2 / sum_i q_im, rows adding up to 1, of q [B, M]: surer than q, and no component takes all (Xie,
    Girshick and Farhadi 2016, eq. 3, with the sum over a batch)."""
    target = responsibilities.square() / responsibilities.sum(0).clamp(min=1e-6)
    return target / target.sum(1, keepdim=True)


def contrast(one: Tensor, other: Tensor) -> Tensor:
    r"""-log of exp(-|a_i - b_i|^2) over its mean over j, of a [B, K] among b [B, K] and the other way round, averaged, [B].

    Minus its mean is a lower bound on the mutual information of a and b, in nats, and at most log B (van den Oord, Li and Vinyals
    2018, eq. 4 and 5, with a squared distance as the critic).
    """
    near = -torch.cdist(one, other).square()
    among = 0.5 * (near.logsumexp(0) + near.logsumexp(1)) - math.log(len(one))
    return among - near.diagonal()


class Clustering(Objective):
    r"""An ELBO under a mixture prior, from step `place_at` on with `weight` times the agreement of copies; before it that of
    N(0, I).

    agreement = -sum_m t_m(x) log q(m|x'), x' the image rotated, shifted and bent (`random_warp`), q(m|x) the responsibilities,
    t the `sharpened` ones of the batch, a target without gradient (Guo et al. 2018, Deep embedded clustering with data
    augmentation, eq. 6; there by distances, here by the mixture's own posterior). The encoder and the prior alone see copies: the
    likelihood is of the images as they are.

    Before `place_at` (the components are placed there by whoever trains) the loss is the ELBO under N(0, I), right for a prior
    that has no clusters yet; with a weight it is 0.02 times the reconstruction, that KL and 50 times the `contrast` of images and
    their copies. `weight` 0: no copies are made. Batch statistics are those of each process's part, and of each part of an
    accumulated batch. `agreement`, `contrast`: nats/image.
    """

    def __init__(self, elbo: ELBO, place_at: float, weight: float) -> None:
        self.elbo, self.place_at, self.weight = elbo, place_at, weight

    def __call__(
        self, player: str, model: Any, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        x, n = batch.x, len(batch.x)
        both: Any = model.encoder(torch.cat([x, warp.random_warp(x, generator)(1.0)]) if self.weight else x)  # one pass
        q_z = _rows(both, slice(n))
        terms = self.elbo.at(q_z, model, batch, step, generator)
        reconstruction, total = terms.named["reconstruction"].value, terms.total
        normal = q_z.base_dist
        standard = Normal(torch.zeros_like(normal.loc), torch.ones_like(normal.scale), validate_args=False)
        kl = kl_divergence(normal, standard).sum(-1)
        early = self.elbo.weight * reconstruction + self.elbo.beta * ramp(step, self.elbo.warmup) * kl
        named = {}
        if self.weight:
            q_moved, p_z = _rows(both, slice(n, None)), model.prior()
            target = sharpened(log_responsibilities(q_z, p_z).exp().detach())
            agreement = -(target * log_responsibilities(q_moved, p_z)).sum(-1)
            shared = contrast(q_z.mean, q_moved.mean)
            early = RECONSTRUCTION * reconstruction + kl + CONTRAST * shared
            total = total + self.weight * agreement
            named = {"agreement": Term(agreement, "nats/image"), "contrast": Term(shared, "nats/image")}
        placed = step >= self.place_at
        named["kl"] = Term(torch.where(placed, terms.named["kl"].value, kl), "nats/image")
        return Terms(torch.where(placed, total, early), terms.named | named)


def _rows(q_z: Independent, part: slice) -> Any:
    return with_parameters(q_z, lambda parameter: parameter[part])
