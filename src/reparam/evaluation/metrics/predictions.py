"""`PREDICTIONS`: what can be measured of a conditional model's answers. One function and one line add a metric.

Shapes: `N` images, `L` answers for one image.
"""

import dataclasses

import torch
from torch import Tensor

from reparam.data import Dataset
from reparam.data.tasks import TaskOptions
from reparam.distributions import IGNORED
from reparam.evaluation import structured
from reparam.evaluation.context import EvaluationContext, EvaluationOptions, Measure, mean, ratio
from reparam.evaluation.metrics.metric import Metric, effective, nll
from reparam.models import Model


def cnll_mc(context: EvaluationContext) -> Measure:
    values, sizes = context.monte_carlo_nll
    if not context.model.has("prior"):
        return mean(values, "nats/image", "exact: there is no latent")
    return mean(values, "nats/image", effective(sizes, context.options) + "; biased upwards for few draws")


def mean_of_n(context: EvaluationContext) -> Measure:
    """One answer against the truth: the average of the draws, of a model without a latent p(x|c) itself."""
    return _judged(context, context.averaged[:, None], _averaged(context))


def best_of_n(context: EvaluationContext) -> Measure:
    """The draw that is nearest to the truth; a model without a latent may count its own answer among its draws of pixels."""
    if context.model.has("prior"):
        return _judged(context, context.predictions, _draws(context))
    answers = torch.cat([context.predictions, context.averaged[:, None]], 1)
    return _judged(context, answers, f"{_draws(context)}, and its own answer")


def _judged(context: EvaluationContext, answers: Tensor, note: str) -> Measure:
    """The best of the answers [N, L, ...] for each image."""
    truth = context.asked.x
    if context.of_maps:
        found = [structured.foreground_iou(structured.overlap(one, truth)) for one in answers.unbind(1)]
        return mean(torch.stack(found).max(0).values, "IoU", note)
    errors = [structured.squared_error(one, truth, context.wanted) for one in answers.unbind(1)]
    return mean(torch.stack(errors).min(0).values, "squared error", note)


def diversity(context: EvaluationContext) -> Measure:
    return mean(structured.diversity(context.predictions, context.wanted), "", _draws(context))


def _draws(context: EvaluationContext) -> str:
    source = "z ~ p(z|c)" if context.model.has("prior") else "x ~ p(x|c), a pixel at a time"
    few = (
        "" if len(context.asked.x) == len(context.x) else f", for the {len(context.asked.x):,} images that memory holds"
    )
    return f"{context.options.draws} draws of {source}{few}"


def iou(context: EvaluationContext) -> Measure:
    """Pooled over images: the mean over values but 0 of all pixels in both maps over all in either."""
    found = structured.overlap(context.averaged, context.asked.x)
    ratios = [
        ratio(both, either, "")
        for both, either in zip(found.intersection.T[1:], found.union.T[1:], strict=True)
        if either.any()
    ]
    if not ratios:
        return Measure(1.0, None, len(context.asked.x), "", "no image has or is said to have anything but background")
    value = sum(one.value for one in ratios) / len(ratios)
    stderr = ratios[0].stderr if len(ratios) == 1 else None
    return Measure(value, stderr, len(context.asked.x), "", _averaged(context))


def pixel_accuracy(context: EvaluationContext) -> Measure:
    known = (context.asked.x != IGNORED).flatten(1).any(1)  # an image of which no pixel counts says nothing
    if not known.any():
        return Measure(1.0, None, 0, "share", "no pixel counts")
    return mean(structured.pixel_accuracy(context.averaged[known], context.asked.x[known]), "share", _averaged(context))


def ece(context: EvaluationContext) -> Measure:
    found = structured.reliability(context.averaged, context.asked.x)
    return Measure(structured.calibration_error(found), None, len(context.asked.x), "", _averaged(context))


def _averaged(context: EvaluationContext) -> str:
    return "" if not context.model.has("prior") else f"of the average of {_draws(context)}"


def class_hit(context: EvaluationContext) -> Measure:
    """How many images have an answer that a classifier reads as the true class."""
    return mean(
        (context.votes.right > 0).double(), "share", f"{_draws(context)}; {context.network('classifier').about}"
    )


def class_log_loss(context: EvaluationContext) -> Measure:
    """-log of the true class's share of the votes, one vote more spread over all classes."""
    return mean(context.votes.log_loss, "nats", f"{_draws(context)}; {context.network('classifier').about}")


def no_completion(model: Model, dataset: Dataset, task: TaskOptions, options: EvaluationOptions) -> str | None:
    if not model.context.masked:
        return "it is for completions of images"
    return None if len(dataset.classes) > 1 else "its classifier needs images of at least two classes"


def occluded_uncertainty(context: EvaluationContext) -> Measure:
    """How far answers differ inside the hidden box, over outside of it: of the mean standard deviations a pixel."""
    hidden = context.hidden
    spread = structured.uncertainty(context.predictions)
    inside, outside = (
        (spread * part).flatten(1).sum(1) / part.flatten(1).sum(1).clamp(min=1) for part in (hidden, ~hidden)
    )
    return dataclasses.replace(ratio(inside, outside, "times"), note=_draws(context))


def no_occlusion(model: Model, dataset: Dataset, task: TaskOptions, options: EvaluationOptions) -> str | None:
    return None if options.occlusion else "nothing is hidden: set --occlusion"


PREDICTIONS: dict[str, Metric] = {
    "cnll_is": Metric(
        "conditional likelihood",
        nll,
        "-log p(x|c) by importance sampling",
        "How surprised the model is by what it did not see of a test image, in nats, if it may look where the answer lies. Lower "
        "is better.",
        best="low",
    ),
    "cnll_mc": Metric(
        "predict",
        cnll_mc,
        "-log p(x|c) by draws from the prior",
        "The same as a user meets it: from draws made without knowing the answer. Far above cnll_is, the draws seldom come near. "
        "Lower is better.",
        best="low",
    ),
    "pixel_accuracy": Metric(
        "segment",
        pixel_accuracy,
        "pixels of test images whose value is read rightly",
        "How often the label of a pixel is right. 1 is always; a map that is mostly background has a high share for free.",
        best="high",
    ),
    "iou": Metric(
        "segment",
        iou,
        "intersection over union of everything but the background, pooled over test images",
        "How well the shapes agree: what both maps mark over what either marks. 1 is equal, 0 has nothing in common.",
        best="high",
    ),
    "ece": Metric(
        "segment",
        ece,
        "expected calibration error of the pixels' labels",
        "How far confidence and accuracy are apart: 0.05 means that answers given with 90% are right 85% or 95% of the time. "
        "Lower is better.",
        best="low",
    ),
    "mean_of_n": Metric(
        "predict",
        mean_of_n,
        "the average of several answers against the truth",
        "How good the model is if it has to settle on one answer.",
    ),
    "best_of_n": Metric(
        "predict",
        best_of_n,
        "the best of several answers against the truth",
        "How near the best of its answers comes: a model that offers different ones gains.",
    ),
    "diversity": Metric(
        "predict",
        diversity,
        "standard deviation between answers, root mean square over what is wanted",
        "How far the answers for one image differ, on a scale where pixels go from 0 to 1. More is not better by itself.",
    ),
    "occluded_uncertainty": Metric(
        "segment",
        occluded_uncertainty,
        "how far answers differ inside a hidden box, over outside of it",
        "Whether the model knows where it cannot see: above 1, its answers differ more there.",
        no_occlusion,
    ),
    "class_hit": Metric(
        "complete",
        class_hit,
        "test images of which an answer is read as the true class",
        "How often the true class is among what the completions show, as a classifier reads them. 1 is always.",
        no_completion,
        best="high",
    ),
    "class_log_loss": Metric(
        "complete",
        class_log_loss,
        "log-loss of the answers' classes, as votes",
        "How well the shares of the classes among the completions foretell the true one. Lower is better: near 0 if all of them "
        "show it.",
        no_completion,
        best="low",
    ),
}
