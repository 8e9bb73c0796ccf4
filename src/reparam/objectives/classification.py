"""Classes: the cross-entropy of a classifier.

Shapes: `B` batch, `D` classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from reparam.core.batch import Batch
from reparam.core.model import Model
from reparam.core.objective import Objective, Term, Terms


class CrossEntropy(Objective):
    """-log p(y|x) for a model with a categorical `head`; unlabelled images (y = -1) count zero."""

    def __call__(
        self, player: str, model: Model, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        logits = model.head(batch.x).logits
        loss = F.cross_entropy(logits, batch.y, reduction="none", ignore_index=-1)
        return Terms(loss, {"cross_entropy": Term(loss, "nats/image"), "error": class_error(logits, batch.y)})


def class_error(logits: Tensor, y: Tensor) -> Term:
    """Whether the most probable class is another than y [B]; 0 for unlabelled images."""
    return Term((logits.argmax(-1) != y).float() * (y >= 0), "share")
