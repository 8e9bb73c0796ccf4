"""What a metric is and what it returns, and the obstacles that several subjects share.

Shapes: `N` images.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

from torch import Tensor

from reparam.core.abilities import Ability
from reparam.evaluation.context import EvaluationContext, StandIn
from reparam.models import Model
from reparam.run.documents import Baseline, Measure, NoValueError

FEWEST_FOR_FID = 128  # twice the features of the small network: below, the covariance is mostly noise
NOUNS = ("bound", "likelihood", "conditional likelihood")  # abilities that a model has; others are what it can do
SURE = 2.0  # standard errors of a difference
ROUNDING = 1e-5  # of a value computed in float32


class Estimate(NamedTuple):
    """A measure, and `spread` [N], an image each: numbers whose standard error is that of the measure, so that the error of a
    difference on the same images is that of the differences of these. None: errors are independent."""

    measure: Measure
    spread: Tensor | None

    def apart(self, other: "Estimate") -> float | None:
        """Standard error of the difference of the two; None where it is not known."""
        if self.spread is not None and other.spread is not None and len(self.spread) == len(other.spread):
            return _stderr(self.spread - other.spread)
        errors = self.measure.stderr, other.measure.stderr
        return None if None in errors else math.hypot(*(error or 0.0 for error in errors))


@dataclass(frozen=True)
class Metric:
    """A row. The function's docstring is shown to users: its first paragraph says what is computed, the rest what that means to
    someone who sees it for the first time; the keywords of a `partial` are filled in.

    needs: the ability that a model must have. obstacle: why the metric does not apply although the model has the ability, or
    None. best: the better end, where there is one. reads: options that the value depends on, beside those that choose images.
    expensive: takes minutes to hours, and is measured on request only. by_default: of which models it is measured without a
    request (None: of all). network: the feature network that it takes; measured without a request where its training is short.
    beside: the plain baselines of which the same is computed; each is None where there is no such.
    """

    needs: Ability
    compute: Callable[[EvaluationContext], Measure | Estimate]
    obstacle: Callable[[EvaluationContext], str | None] | None = None
    best: Literal["low", "high", ""] = ""
    reads: tuple[str, ...] = ()
    expensive: bool = False
    by_default: Callable[[Model], bool] | None = None
    network: str = ""
    beside: tuple[Callable[[EvaluationContext], StandIn | None], ...] = ()

    def refuses(self, context: EvaluationContext) -> str:
        """Why it does not apply to this model and these images, else ""."""
        if self.needs not in context.model.abilities:
            return f"{'it has no' if self.needs in NOUNS else 'the model cannot'} {self.needs}"
        return (self.obstacle and self.obstacle(context)) or ""

    def is_usual(self, context: EvaluationContext) -> bool:
        """Whether it applies, and is measured without a request."""
        return not (self.refuses(context) or self.waits(context))

    def measure(self, context: EvaluationContext) -> Measure:
        """The figure, with its plain baselines. Raises NoValueError where it has no value."""
        found = _estimate(self.compute(context))
        stand_ins = [stand_in for make in self.beside if (stand_in := make(context))]
        baselines = [self._baseline(context.beside(stand_in), stand_in, found) for stand_in in stand_ins]
        return replace(found.measure, baselines=tuple(one for one in baselines if one))

    def _baseline(self, context: EvaluationContext, stand_in: StandIn, model: Estimate) -> Baseline | None:
        try:
            plain = _estimate(self.compute(context))
        except NoValueError:
            return None
        value, stderr = plain.measure.value, plain.measure.stderr
        return Baseline(stand_in.name, value, stderr, model.apart(plain), stand_in.floor)

    def loses(self, measure: Measure, baseline: Baseline) -> bool:
        """Whether the model is worse than its baseline by more than `SURE` standard errors of the difference."""
        if not self.best or baseline.floor or baseline.apart is None:
            return False
        ahead = (baseline.value - measure.value) * (1 if self.best == "high" else -1)
        return ahead > SURE * baseline.apart + ROUNDING * abs(measure.value)

    @property
    def doc(self) -> str:
        return self._text[0].removesuffix(".")

    @property
    def meaning(self) -> str:
        return self._text[1]

    @property
    def _text(self) -> tuple[str, str]:
        function = self.compute
        if isinstance(function, partial):
            text = (inspect.getdoc(function.func) or "").format(**function.keywords)
        else:
            text = inspect.getdoc(function) or ""
        doc, _, meaning = text.partition("\n\n")
        return " ".join(doc.split()), " ".join(meaning.split())

    def waits(self, context: EvaluationContext) -> str:
        """Why it is measured on request only; empty where it is measured by default."""
        if self.expensive:
            return "they take minutes to hours on a processor"
        if self.by_default and not self.by_default(context.model):
            return "measured by default of other models"
        return context.network_waits(self.network) if self.network else ""


def mean(values: Tensor, unit: str, note: str = "") -> Measure:
    """The mean over images, [N], with its standard error."""
    if not len(values):
        raise NoValueError("it is a mean over images, and none counts")
    values = values.double()
    return Measure(float(values.mean()), _stderr(values), len(values), unit, note)


def by_image(values: Tensor, unit: str, note: str = "") -> Estimate:
    """`mean`, whose errors are compared image by image."""
    return Estimate(mean(values, unit, note), values.double())


def ratio(part: Tensor, whole: Tensor, unit: str, note: str = "", without: str = "it is relative to 0") -> Measure:
    """Ratio of the means of paired values [N], with its standard error to first order (the delta method). Raises NoValueError
    where the whole is 0, which is `without` in words."""
    return ratio_by_image(part, whole, unit, note, without).measure


def ratio_by_image(
    part: Tensor, whole: Tensor, unit: str, note: str = "", without: str = "it is relative to 0"
) -> Estimate:
    """`ratio`, whose errors are compared image by image."""
    part, whole = part.double(), whole.double()
    if float(whole.mean()) == 0:
        raise NoValueError(without)
    value = float(part.mean() / whole.mean())
    spread = (part - value * whole) / whole.mean()
    return Estimate(Measure(value, _stderr(spread), len(part), unit, note), spread)


def _stderr(values: Tensor) -> float | None:
    return float(values.std() / math.sqrt(len(values))) if len(values) > 1 else None


def _estimate(found: Measure | Estimate) -> Estimate:
    return found if isinstance(found, Estimate) else Estimate(found, None)


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


def not_for_inception(context: EvaluationContext) -> str | None:
    return not_in_colour(context, "the Inception network is") or few_images(context)


def not_in_colour(context: EvaluationContext, what: str) -> str | None:
    channels = context.dataset.shape[0]
    return None if channels in (1, 3) else f"{what} for grey and RGB, and these images have {channels} channels"


def no_classifier(context: EvaluationContext) -> str | None:
    return one_class(context) or few_images(context)


def none_labelled(context: EvaluationContext) -> str | None:
    known = context.split.labels[context.index] >= 0
    return None if bool(known.any()) else f"no {context.options.split} image has a label"
