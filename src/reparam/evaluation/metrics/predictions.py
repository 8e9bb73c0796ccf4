"""`PREDICTIONS`: how good the predictions of conditional models are. One function and one row add a metric.

Shapes: `N` images, `L` predictions of one image.
"""

import math
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from reparam.core.abilities import Ability
from reparam.distributions import IGNORED
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.metrics.likelihood import SAMPLING, draws_note, known, nll
from reparam.evaluation.metrics.metric import (
    Estimate,
    Measure,
    Metric,
    NoValueError,
    by_image,
    mean,
    none_labelled,
    one_class,
    ratio,
    ratio_by_image,
)
from reparam.evaluation.metrics.plain import mean_prediction
from reparam.metrics import structured

NO_PIXEL = "no pixel of the label maps counts"


def cnll_is(context: EvaluationContext) -> Measure:
    """-log p(x|c) by importance sampling.

    How surprised the model is by the target of a test image: of a completion, by the pixels that it did not see. In nats. The
    estimate may look at the target to find likely latents. Lower is better."""
    return nll(context)


def cnll_mc(context: EvaluationContext) -> Measure:
    """-log p(x|c) by draws from the prior.

    As cnll_is, but from latents drawn without knowing the target, as in use. Far above cnll_is: the draws seldom come near
    the target. Lower is better."""
    found = context.by_draws.of_prior
    if not context.model.has("prior"):
        return mean(found.nll, "nats/image", "exact: there is no latent")
    note = draws_note(found, context.options) + "; biased upwards for few draws"
    return replace(mean(found.nll, "nats/image", note), bias=known(found.bias))


def _draws(context: EvaluationContext) -> str:
    """A note on where predictions come from."""
    source = "z ~ p(z|c)" if context.model.has("prior") else "x ~ p(x|c), a pixel at a time"
    n = len(context.predicted.x)
    few = "" if n == len(context.x) else f", for the {n:,} images that memory holds"
    return f"{context.options.draws} draws of {source}{few}"


def _average(context: EvaluationContext) -> str:
    return "" if not context.model.has("prior") else f"of the average of {_draws(context)}"


def pixel_accuracy(context: EvaluationContext) -> Estimate:
    """Share of pixels of test images whose predicted label is right.

    How often the label of a pixel is right. 1 is always; where maps are mostly background, a high share is easy."""
    known = (context.predicted.x != IGNORED).flatten(1).any(1)  # an image of which no pixel counts says nothing
    if not known.any():
        raise NoValueError(NO_PIXEL)
    right = structured.pixel_accuracy(context.average_prediction[known], context.predicted.x[known])
    return by_image(right, "share", _average(context))


def iou(context: EvaluationContext) -> Estimate:
    """Intersection over union of everything but the background, pooled over test images.

    How well the shapes agree: what both maps mark over what either marks. 1 is equal, 0 has nothing in common."""
    n = len(context.predicted.x)
    found = structured.overlap(context.average_prediction, context.predicted.x)
    values = zip(found.intersection.T[1:], found.union.T[1:], strict=True)
    ratios = [ratio_by_image(both, either, "") for both, either in values if either.any()]
    if not ratios:
        raise NoValueError("no image has, or is predicted to have, anything but background")
    pooled = structured.pooled_iou(found)[1:]
    value = sum(pooled[pooled.isfinite()].tolist()) / len(ratios)
    stderr = ratios[0].measure.stderr if len(ratios) == 1 else None
    spread = torch.stack([one.spread for one in ratios if one.spread is not None]).mean(0)
    each = zip(context.dataset.map_values, structured.pooled_iou(found).tolist(), strict=True)
    by_label = tuple((name, value if math.isfinite(value) else None) for name, value in each)
    return Estimate(Measure(value, stderr, n, "", _average(context), by_label=by_label), spread)


def ece(context: EvaluationContext) -> Measure:
    """Expected calibration error of the pixels' labels.

    How far confidence and accuracy are apart: 0.05 means that labels given with 90% are right 85% or 95% of the time. Lower is
    better."""
    if not (context.predicted.x != IGNORED).any():
        raise NoValueError(NO_PIXEL)
    found = structured.calibration_error(context.average_prediction, context.predicted.x)
    return Measure(found, None, len(context.predicted.x), "", _average(context))


def mean_of_n(context: EvaluationContext) -> Estimate:
    """The average of several predictions against the truth.

    How good the model is if it must give one prediction."""
    return _best(context, context.average_prediction[:, None], _average(context))


def best_of_n(context: EvaluationContext) -> Estimate:
    """The best of several predictions against the truth.

    How near the best of its predictions comes: models whose predictions differ gain."""
    if context.model.has("prior"):
        return _best(context, context.predictions, _draws(context))
    # The draws of a model without a latent are pixel by pixel: its one prediction may count too.
    predictions = torch.cat([context.predictions, context.average_prediction[:, None]], 1)
    return _best(context, predictions, f"{_draws(context)}, and its average prediction")


def _best(context: EvaluationContext, predictions: Tensor, note: str) -> Estimate:
    """The best of the predictions [N, L, ...] of each image."""
    truth, each = context.predicted.x, predictions.unbind(1)
    if context.of_maps:
        found = [structured.foreground_iou(structured.overlap(one, truth)) for one in each]
        return by_image(torch.stack(found).amax(0), "IoU", note)
    errors = [structured.masked_squared_error(one, truth, context.target_mask) for one in each]
    return by_image(torch.stack(errors).amin(0), "squared error", note)


def diversity(context: EvaluationContext) -> Measure:
    """Standard deviation between predictions, root mean square over the predicted pixels.

    How far the predictions of one image differ, on a scale where pixels go from 0 to 1. More is not better by itself."""
    return mean(structured.diversity(context.predictions, context.target_mask), "", _draws(context))


def occluded_uncertainty(context: EvaluationContext) -> Measure:
    """Standard deviation between predictions inside a hidden box, over that outside of it.

    Whether the model knows where it cannot see: above 1, its predictions differ more there."""
    spread = structured.uncertainty(context.predictions)
    inside, outside = (structured.masked_mean(spread, mask) for mask in (context.hidden, ~context.hidden))
    return ratio(inside, outside, "times", _draws(context), "outside of the box, the predictions do not differ")


def no_occlusion(context: EvaluationContext) -> str | None:
    return None if context.options.occlusion else "nothing is hidden: set --occlusion"


def class_hit(context: EvaluationContext) -> Measure:
    """Share of test images with a completion of the true class.

    How often the true class is among the completions of an image, as a classifier reads them. 1 is always."""
    return mean((context.votes.right > 0).double(), "share", _read(context))


def class_log_loss(context: EvaluationContext) -> Measure:
    """Log-loss of the true class, by votes of the completions.

    How well the shares of the classes among the completions predict the true one. Lower is better: near 0 if all are of it."""
    return mean(context.votes.log_loss, "nats", _read(context))


def _read(context: EvaluationContext) -> str:
    return f"{_draws(context)}; {context.network('classifier').about}"


def no_completion(context: EvaluationContext) -> str | None:
    if not context.model.context.masked:
        return "it is for completions of images"
    return one_class(context) or none_labelled(context)


_row = partial(Metric, reads=("draws",))

PREDICTIONS: dict[str, Metric] = {
    "cnll_is": Metric(Ability.CONDITIONAL_LIKELIHOOD, cnll_is, best="low", reads=SAMPLING),
    "cnll_mc": Metric(Ability.PREDICT, cnll_mc, best="low", reads=SAMPLING),
    "pixel_accuracy": _row(Ability.SEGMENT, pixel_accuracy, best="high", beside=(mean_prediction,)),
    "iou": _row(Ability.SEGMENT, iou, best="high", beside=(mean_prediction,)),
    "ece": _row(Ability.SEGMENT, ece, best="low"),
    "mean_of_n": _row(Ability.PREDICT, mean_of_n, beside=(mean_prediction,)),
    "best_of_n": _row(Ability.PREDICT, best_of_n),
    "diversity": _row(Ability.PREDICT, diversity),
    "occluded_uncertainty": _row(Ability.SEGMENT, occluded_uncertainty, no_occlusion),
    "class_hit": _row(Ability.COMPLETE, class_hit, no_completion, best="high", network="classifier"),
    "class_log_loss": _row(Ability.COMPLETE, class_log_loss, no_completion, best="low", network="classifier"),
}
