"""Classes: of plain classifiers, and of latents that are to keep theirs.

Shapes: `B` batch, `K` latent, `F` features, `D` classes.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from reparam.core.batch import Batch
from reparam.core.objective import Objective, Term, Terms, ramp
from reparam.distributions import isda_bound
from reparam.objectives.variational import ELBO


class CrossEntropy(Objective):
    """-log p(y|x) for a model with a categorical `head`; unlabelled images (y = -1) count zero."""

    def __call__(
        self, player: str, model: Any, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        logits = model.head(batch.x).logits
        loss = F.cross_entropy(logits, batch.y, reduction="none", ignore_index=-1)
        return Terms(loss, {"cross_entropy": Term(loss, "nats/image"), "error": _error(logits, batch.y)})


class ISDA(Objective):
    r"""isda_bound(f(x), Sigma_y, W, b, y, lambda(step)): cross-entropy of the features moved by N(0, lambda Sigma_y), from above.

    Sigma_y is the running covariance of the features of class y, lambda rises linearly over `length` steps (Wang et al. 2019,
    Regularizing deep networks with semantic data augmentation, algorithm 1). Unlabelled images (y = -1) count zero.
    """

    def __init__(self, strength: float, length: float) -> None:
        self.strength, self.length = strength, length

    def __call__(
        self, player: str, model: Any, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        head, y = model.head, batch.y
        features = head.features(batch.x)
        if model.training:
            head.covariance.update(features.detach(), y)
        linear, strength = head.classify, self.strength * ramp(step, self.length)
        known = y.clamp(min=0)
        bound = isda_bound(features, head.covariance.covariance[known], linear.weight, linear.bias, known, strength)
        loss = bound * (y >= 0)
        logits = linear(features)
        plain = F.cross_entropy(logits, y, reduction="none", ignore_index=-1)
        named = {"bound": Term(loss, "nats/image"), "cross_entropy": Term(plain, "nats/image")}
        return Terms(loss, {**named, "error": _error(logits, y)})


class ClassPreserving(Objective):
    r"""total = ELBO's total + weight * isda_bound(mu(x), diag sigma(x)^2, W, b, y, lambda(step)) (document 000, eq. 2.5).

    The posterior's own scales stand in the place of ISDA's class covariance, so that a move along them keeps the class, and no
    statistic of the data is needed. lambda rises linearly over `length` steps (0: it is constant). An image without a label (y
    = -1) has no class term.
    """

    def __init__(self, elbo: ELBO, weight: float, strength: float, length: float) -> None:
        self.elbo, self.weight, self.strength, self.length = elbo, weight, strength, length

    def __call__(
        self, player: str, model: Any, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        q_z, linear, y = model.encoder(batch.x), model.head.linear, batch.y
        terms = self.elbo.at(q_z, model, batch, step, generator)
        strength = self.strength * ramp(step, self.length)
        bound = isda_bound(q_z.mean, q_z.variance, linear.weight, linear.bias, y.clamp(min=0), strength) * (y >= 0)
        named = {"class": Term(bound, "nats/image"), "error": _error(linear(q_z.mean), y)}
        return Terms(terms.total + self.weight * bound, terms.named | named)


def _error(logits: Tensor, y: Tensor) -> Term:
    return Term((logits.argmax(-1) != y).float() * (y >= 0), "share")
