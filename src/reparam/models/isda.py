"""ISDA: the classifier whose features are augmented within their class's covariance, in closed form.

Shapes: `B` batch, `F` features, `D` classes.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from reparam.core.batch import Batch
from reparam.core.model import Model
from reparam.core.objective import Objective, Term, Terms
from reparam.core.spec import Schedule, Spec
from reparam.distributions import isda_bound
from reparam.models import classifier
from reparam.models.classifier import ClassifierOptions, ConvolutionalClassifier
from reparam.models.family import Family, Recipe
from reparam.objectives import class_error, ramp


class ClassCovariance(nn.Module):
    r"""Mean and covariance of each class's features over all that it has seen (Wang et al. 2019, ISDA, eq. 8 and 9), as buffers.

    `update` merges a batch's m features of a class with the n before them: Sigma <- (n Sigma + m Sigma') / (n + m) + n m d d^T /
    (n + m)^2, where d is the difference of the means.
    """

    count: Tensor
    mean: Tensor
    covariance: Tensor

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(classes))
        self.register_buffer("mean", torch.zeros(classes, features))
        self.register_buffer("covariance", torch.zeros(classes, features, features))

    @torch.no_grad()
    def update(self, features: Tensor, y: Tensor) -> None:
        """features [B, K] of classes y [B], those with y < 0 left out; static shapes, no synchronisation."""
        member = (y[:, None] == torch.arange(len(self.count), device=y.device)).to(features.dtype)
        m = member.sum(0)
        some = m.clamp(min=1)
        mean = member.mT @ features / some[:, None]
        centred = (features - mean[y.clamp(min=0)]) * (y >= 0)[:, None]
        covariance = torch.einsum("bd,bi,bj->dij", member, centred, centred) / some[:, None, None]
        total = (self.count + m).clamp(min=1)
        old, new, apart = self.count / total, m / total, mean - self.mean
        between = apart[:, :, None] * apart[:, None, :]
        merged = old[:, None, None] * self.covariance + new[:, None, None] * covariance
        self.covariance.copy_(merged + (old * new)[:, None, None] * between)
        self.mean.add_(new[:, None] * apart)
        self.count.add_(m)


class ISDAClassifier(ConvolutionalClassifier):
    """The classifier, and what is known of the covariance of its features."""

    def __init__(self, channels: int, width: int, features: int, classes: int, *others: Any) -> None:
        super().__init__(channels, width, features, classes, *others)
        self.covariance = ClassCovariance(classes, features)


class ISDA(Objective):
    r"""isda_bound(f(x), Sigma_y, W, b, y, lambda(step)): cross-entropy of the features moved by N(0, lambda Sigma_y), from above.

    Sigma_y is the running covariance of the features of class y, lambda rises linearly over `length` steps (Wang et al. 2019,
    Regularizing deep networks with semantic data augmentation, algorithm 1). Unlabelled images (y = -1) count zero.
    """

    def __init__(self, strength: float, length: float) -> None:
        self.strength, self.length = strength, length

    def __call__(
        self, player: str, model: Model, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        head, y = model.head, batch.y
        assert isinstance(head, ISDAClassifier)
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
        return Terms(loss, {**named, "error": class_error(logits, y)})


@dataclass(frozen=True)
class ISDAOptions(ClassifierOptions):
    """And the strength of the augmentation."""

    isda_lambda: Annotated[
        float, Field(ge=0, description="lambda_0, a factor on the classes' covariances, reached at the end of training")
    ] = 0.5


def build(options: ISDAOptions, spec: Spec) -> Model:
    return classifier.build(options, spec, ISDAClassifier)


def objective(options: ISDAOptions, schedule: Schedule) -> ISDA:
    return ISDA(options.isda_lambda, schedule.steps)


ISDA_CLASSIFIER = Family(
    name="isda",
    summary="the same classifier, its features augmented within their class's covariance, in closed form",
    citation="Wang et al. 2019, Regularizing deep networks with semantic data augmentation",
    options=ISDAOptions,
    build=build,
    objective=objective,
    recipes={
        "default": Recipe(
            "three convolutions (32, 64, 64), 64 features, at least 600 steps",
            {"unlabelled": "drop", "epochs": 4, "least_steps": 600, "learning_rate": 2e-3},
        )
    },
)
