"""What a metric is and what it returns, and the obstacles that several subjects share.

Shapes: `N` images.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor

from reparam.core.abilities import Ability
from reparam.evaluation.context import EvaluationContext
from reparam.models import Model
from reparam.run.documents import Measure, NoValueError

FEWEST_FOR_FID = 128  # twice the features of the small network: below, the covariance is mostly noise


@dataclass(frozen=True)
class Metric:
    """A row. The function's docstring is shown to users: its first paragraph says what is computed, the rest what that means to
    someone who sees it for the first time; the keywords of a `partial` are filled in.

    needs: the ability that a model must have. obstacle: why the metric does not apply although the model has the ability, or
    None. best: the better end, where there is one. reads: options that the value depends on, beside those that choose images.
    expensive: takes minutes to hours, and is measured on request only. by_default: of which models it is measured without a
    request (None: of all).
    """

    needs: Ability
    measure: Callable[[EvaluationContext], Measure]
    obstacle: Callable[[EvaluationContext], str | None] | None = None
    best: Literal["low", "high", ""] = ""
    reads: tuple[str, ...] = ()
    expensive: bool = False
    by_default: Callable[[Model], bool] | None = None

    @property
    def doc(self) -> str:
        return self._text[0].removesuffix(".")

    @property
    def meaning(self) -> str:
        return self._text[1]

    @property
    def _text(self) -> tuple[str, str]:
        function = self.measure
        if isinstance(function, partial):
            text = (inspect.getdoc(function.func) or "").format(**function.keywords)
        else:
            text = inspect.getdoc(function) or ""
        doc, _, meaning = text.partition("\n\n")
        return " ".join(doc.split()), " ".join(meaning.split())

    def waits(self, model: Model) -> str:
        """Why it is measured on request only; empty where it is measured by default."""
        if self.expensive:
            return "they take minutes to hours on a processor"
        return "" if self.by_default is None or self.by_default(model) else "measured by default of other models"


def mean(values: Tensor, unit: str, note: str = "") -> Measure:
    """The mean over images, [N], with its standard error."""
    if not len(values):
        raise NoValueError("it is a mean over images, and none counts")
    values = values.double()
    stderr = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else None
    return Measure(float(values.mean()), stderr, len(values), unit, note)


def ratio(part: Tensor, whole: Tensor, unit: str, note: str = "", without: str = "it is relative to 0") -> Measure:
    """Ratio of the means of paired values [N], with its standard error to first order (the delta method). Raises NoValueError
    where the whole is 0, which is `without` in words."""
    part, whole = part.double(), whole.double()
    if float(whole.mean()) == 0:
        raise NoValueError(without)
    value = float(part.mean() / whole.mean())
    spread = part - value * whole
    stderr = float(spread.std() / math.sqrt(len(part)) / whole.mean()) if len(part) > 1 else None
    return Measure(value, stderr, len(part), unit, note)


def trained_without_prior(model: Model) -> bool:
    """An autoencoder, whose purpose is its latents, also where a prior has been fitted to them; models that were trained with a
    prior are for generating images."""
    return not model.has("prior") or (model.has("encoder") and model.encoder.point)


def few_images(context: EvaluationContext) -> str | None:
    n = len(context.index)
    return (
        None if n >= FEWEST_FOR_FID else f"{n} images are too few to compare distributions ({FEWEST_FOR_FID} at least)"
    )


def one_class(context: EvaluationContext) -> str | None:
    return None if len(context.dataset.classes) > 1 else "it needs images of at least two classes"


def no_classifier(context: EvaluationContext) -> str | None:
    return one_class(context) or few_images(context)


def none_labelled(context: EvaluationContext) -> str | None:
    known = context.split.labels[context.index] >= 0
    return None if bool(known.any()) else f"no {context.options.split} image has a label"
