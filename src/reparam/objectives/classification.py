"""Plain classifiers: feature networks and judges.

Shapes: `B` batch, `D` classes.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from reparam.batch import Batch
from reparam.objectives.terms import Objective, Term, Terms


class CrossEntropy(Objective):
    """-log p(y|x) for a model with a categorical `head`; unlabelled images (y = -1) count zero."""

    def __call__(
        self, player: str, model: Any, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        logits = model.head(batch.x).logits
        loss = F.cross_entropy(logits, batch.y, reduction="none", ignore_index=-1)
        wrong = (logits.argmax(-1) != batch.y).float() * (batch.y >= 0)
        return Terms(loss, {"cross_entropy": Term(loss, "nats/image"), "error": Term(wrong, "share")})
