"""What a discriminator minimises, and what those minimise whose images it is to take for real ones."""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class Loss(NamedTuple):
    """What is minimised, as functions of the logit of D at real and made images."""

    real: Callable[[Tensor], Tensor]
    made: Callable[[Tensor], Tensor]
    maker: Callable[[Tensor], Tensor]


def _log_loss(maker: Callable[[Tensor], Tensor]) -> Loss:
    """-log D(x) = softplus(-l), -log(1 - D(x)) = softplus(l)."""
    return Loss(lambda logit: F.softplus(-logit), F.softplus, maker)


LOSSES: dict[str, Loss] = {
    "minimax": _log_loss(lambda logit: -F.softplus(logit)),  # log(1 - D(G(z)))
    "non-saturating": _log_loss(lambda logit: F.softplus(-logit)),  # -log D(G(z))
    "hinge": Loss(lambda logit: F.relu(1 - logit), lambda logit: F.relu(1 + logit), lambda logit: -logit),
}
