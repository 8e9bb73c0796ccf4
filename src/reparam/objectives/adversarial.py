r"""Two players against each other: a generator, and a discriminator that tells what it makes from images of the data.

Shapes: `B` batch, `C H W` image, `K` latent.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from reparam.core.batch import Batch
from reparam.core.objective import Objective, Player, Term, Terms
from reparam.distributions import rsample


class Loss(NamedTuple):
    """What is minimised, as functions of the logit of D at real and made images."""

    real: Callable[[Tensor], Tensor]
    made: Callable[[Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def _log_loss(generator: Callable[[Tensor], Tensor]) -> Loss:
    """-log D(x) = softplus(-l), -log(1 - D(x)) = softplus(l)."""
    return Loss(lambda logit: F.softplus(-logit), F.softplus, generator)


LOSSES: dict[str, Loss] = {
    "minimax": _log_loss(lambda logit: -F.softplus(logit)),  # log(1 - D(G(z)))
    "non-saturating": _log_loss(lambda logit: F.softplus(-logit)),  # -log D(G(z))
    "hinge": Loss(lambda logit: F.relu(1 - logit), lambda logit: F.relu(1 + logit), lambda logit: -logit),
}


class Adversarial(Objective):
    r"""min_G max_D E_x[log D(x)] + E_z[log(1 - D(G(z)))] (Goodfellow et al. 2014, eq. 1; document 004, eq. 1.1).

    Player `discriminator`, `steps` steps a cycle, minimises -log D(x) - log(1 - D(G(z))) + `r1` / 2 |dlogit/dx|^2, the last at
    real images (Mescheder et al. 2018, eq. 9). Player `generator` then minimises, by `loss`: log(1 - D(G(z))) (`minimax`), whose
    gradient vanishes where D is sure; -log D(G(z)) (`non-saturating`), whose does not; or -logit (`hinge`, where D minimises
    max(0, 1 - logit) at real and max(0, 1 + logit) at made images: Lim and Ye 2017; Miyato et al. 2018). Nats an image but for
    hinge. `reads_real`, `reads_made`: D(x) and D(G(z)).
    """

    def __init__(self, loss: str, steps: int = 1, r1: float = 0.0) -> None:
        self.loss, self.r1 = LOSSES[loss], r1
        self.players = (Player("discriminator", ("discriminator",), steps), Player("generator", ("decoder",)))

    def __call__(
        self, player: str, model: Any, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        made = model.decoder(rsample(model.prior(), (len(batch.x),), generator)).mean
        if player == "generator":
            on_made = model.discriminator(made).logits
            return Terms(self.loss.generator(on_made), {"reads_made": Term(on_made.sigmoid(), "share")})

        real = batch.x.detach().requires_grad_(self.r1 > 0)
        # Read apart: batch normalisation over both would show the discriminator what share of a batch is made.
        on_real, on_made = model.discriminator(real).logits, model.discriminator(made.detach()).logits
        total = self.loss.real(on_real) + self.loss.made(on_made)
        named = {
            "reads_real": Term(on_real.sigmoid(), "share"),
            "reads_made": Term(on_made.sigmoid(), "share"),
        }
        if self.r1:
            slope = torch.autograd.grad(on_real.sum(), real, create_graph=torch.is_grad_enabled())[0].flatten(1)
            penalty = slope.square().sum(1)
            total, named = total + self.r1 / 2 * penalty, named | {"slope": Term(penalty, "per pixel squared")}
        return Terms(total, named)
