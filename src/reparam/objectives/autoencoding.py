"""Reconstruction alone: autoencoders, and denoising ones.

Shapes: `B` batch, `C H W` image.
"""

from typing import Any

import torch
from torch import Tensor

from reparam.core.batch import Batch
from reparam.core.objective import Objective, Term, Terms
from reparam.distributions import rsample


class Reconstruction(Objective):
    """total = c * (-log p(x | f(x'))), x' = x, or the noisy image that the task `denoising` shows in its place.

    The denoising autoencoder is Vincent et al. 2008: the target is the clean image.
    """

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    def __call__(
        self, player: str, model: Any, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        q_z = model.encoder(batch.input)
        p_x = model.decoder(rsample(q_z, generator=generator))
        reconstruction = -p_x.log_prob(batch.x)
        return Terms(self.weight * reconstruction, {"reconstruction": Term(reconstruction, "nats/image")})
