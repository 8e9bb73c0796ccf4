"""What keeps a model that learnt something from being good: findings against plain baselines, its own latents and its training.

Shapes: `N` images, `K` latent, `L` predictions of one image, `C H W` image, `D` values of a label map.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from reparam.core.abilities import Ability
from reparam.data.selection import random_indices, task_images
from reparam.distributions import IGNORED
from reparam.evaluation.context import EvaluationContext, finite
from reparam.evaluation.history import ENOUGH_STEPS
from reparam.evaluation.metrics.classes import CLASSES
from reparam.evaluation.metrics.clusters import CLUSTERS
from reparam.evaluation.metrics.likelihood import marginal_kl, no_normal_posterior
from reparam.evaluation.metrics.metric import ROUNDING, SURE, Metric, mean
from reparam.evaluation.metrics.plain import projection
from reparam.evaluation.metrics.samples import SAMPLES
from reparam.latent.generation import encode
from reparam.metrics import fidelity, structured
from reparam.run.documents import Baseline, Finding

TOO_FEW_STEPS = "too few steps"
HALF = 0.5  # of the pixels' variance
LARGE_MARGINAL, LEAST_APART = 0.25, 0.1  # of the KL; nats
# The aggregate posterior of few images is a poor stand-in for that of all: its KL to the prior comes out too high.
ENOUGH_FOR_MARGINAL, FAR_FROM_LIMIT = 1000, 0.7
ENCODED = 2000  # training images whose latents are compared with the prior, at most
BY_CHANCE, ACCUSED = 0.5, 3.0  # share of samples nearer to training images; standard errors beyond it
LIGHTER = 4  # times, that a KL that weighs too much is made
SMALLER = 4  # times, that steps are made that gained nothing
ALIKE_ANSWERS = 0.05  # of the squared error of their average


def shortcomings(context: EvaluationContext, explained: float | None) -> list[Finding]:
    """Of a model that makes images; `explained`: the share of the pixels' variance, of one that reconstructs."""
    behind = None if explained is None else _behind(context)
    if behind and explained is not None and explained < HALF:
        found = [_hardly_trained(context, behind, explained), _baseline_not_reached(context, None)]
    else:
        steps = None if explained is None else _too_few_steps(context)
        found = [steps, _baseline_not_reached(context, behind)]
    return [one for one in (_start_kept(context), *found, _memorised(context)) if one]


def train_longer(context: EvaluationContext) -> str:
    """What to do about too little training: the command, where the run is known."""
    return f"train longer, {context.history.longer}" if context.history else "train longer"


def _too_few_steps(context: EvaluationContext) -> Finding | None:
    history = context.history
    if history is None or not history.too_short:
        return None
    evidence = (
        f"training was {history.steps:,} steps (fewer than {ENOUGH_STEPS:,}) and the validation loss was still falling: its "
        f"second half brought {history.second_half:.0%} of all that it fell"
    )
    return Finding(TOO_FEW_STEPS, evidence, train_longer(context))


def _start_kept(context: EvaluationContext) -> Finding | None:
    """Of a training that began as principal components, and never became better than them."""
    history = context.history
    if history is None or not getattr(history.run.config.options, "pca_start", False) or history.run.kept.epoch > 0:
        return None
    rate = history.run.config.training.learning_rate
    return Finding(
        "no better than its start",
        "the kept weights are those that training began with, principal components: no validation was better",
        f"more images; else smaller steps: {history.retrain(learning_rate=rate / SMALLER)}",
    )


class _Behind(NamedTuple):
    """Principal components whose reconstructions are surely better: their name, the squared error of the model and theirs, and
    that of the mean image."""

    name: str
    model: float
    plain: float
    mean: float


def _behind(context: EvaluationContext) -> _Behind | None:
    """None where the model is not surely worse. Of grey values under dynamic binarisation, whose noise nobody is to explain."""
    plain = projection(context)
    if plain is None:
        return None
    images = context.grey if context.task.binarise == "dynamic" else context.x
    error, theirs, none = (
        fidelity.squared_error(images, other)
        for other in (context.reconstructions, plain.value, context.mean_image.expand_as(images))
    )
    ahead = mean(error - theirs, "")
    if ahead.stderr is None or ahead.value <= SURE * ahead.stderr + ROUNDING * float(error.mean()):
        return None
    return _Behind(plain.name, *(float(each.mean()) for each in (error, theirs, none)))


def _hardly_trained(context: EvaluationContext, behind: _Behind, explained: float) -> Finding:
    steps = f" after {context.history.steps:,} steps" if context.history else ""
    return Finding(
        "hardly trained",
        f"reconstructions explain {explained:.0%} of the test pixels' variance{steps}, {behind.name} explain "
        f"{1 - behind.plain / behind.mean:.0%}",
        f"{train_longer(context)}; if that changes little, a higher --learning-rate or larger networks",
    )


def _baseline_not_reached(context: EvaluationContext, behind: _Behind | None) -> Finding | None:
    """Reconstructions against as many principal components, samples against a Gaussian in them."""
    said, advice = [], ""
    if behind:
        said.append(f"reconstructions have a squared error of {_against(behind.model, behind.plain, behind.name)}")
        advice = _carry_more(context)
    name = next((one for one in ("kid_classifier", "kid_random") if SAMPLES[one].is_usual(context)), None)
    if name:
        row, measure = SAMPLES[name], SAMPLES[name].measure(context)
        if measure.baselines and row.loses(measure, measure.baselines[0]):
            plain = measure.baselines[0]
            said.append(f"samples are at a distance ({name}) of {_against(measure.value, plain.value, plain.name)}")
            if can_fit_prior(context):
                advice = "; ".join(part for part in (advice, f"fit a prior: {fit_prior(context)}") if part)
    for plain, value in _surpassed(context, "cluster_accuracy", CLUSTERS):
        said.append(
            f"clusters agree with the classes on {value:.1%} of images, those of {plain.name} on {plain.value:.1%}"
        )
        advice = advice or f"--recipe clusters, which is made for them; else {train_longer(context)}"
    if not said:
        return None
    return Finding("baseline not reached", "; ".join(said), advice or train_longer(context))


def misread(context: EvaluationContext) -> list[Finding]:
    """Of a classifier that plain ones surpass."""
    found = [
        f"{value:.1%} of test images are classified rightly, {plain.value:.1%} by the {plain.name}"
        for plain, value in _surpassed(context, "accuracy", CLASSES)
    ]
    return [Finding("baseline not reached", "; ".join(found), train_longer(context))] if found else []


def _surpassed(context: EvaluationContext, name: str, rows: Mapping[str, Metric]) -> list[tuple[Baseline, float]]:
    """The plain baselines that surely surpass the model by a metric that is measured by default, with the model's figure."""
    row = rows[name]
    if not row.is_usual(context):
        return []
    measure = row.measure(context)
    return [(plain, measure.value) for plain in measure.baselines if row.loses(measure, plain)]


def _carry_more(context: EvaluationContext) -> str:
    """What to do about reconstructions that others surpass: a quarter of the weight of the KL, where there is one; the command,
    where the run is known."""
    history = context.history
    if history is None:
        return "train longer, or lower --beta"
    beta = getattr(history.run.config.options, "beta", 0.0)
    if beta <= 0 or Ability.LIKELIHOOD not in context.model.abilities:
        return train_longer(context)
    return f"let the latents carry more: {history.retrain(beta=beta / LIGHTER)}"


def _against(model: float, plain: float, name: str) -> str:
    return f"{model:.3g}, those of the plain baseline ({name}) {plain:.3g}"


def can_fit_prior(context: EvaluationContext) -> bool:
    abilities = context.model.abilities
    return Ability.STANDARD_NORMAL in abilities and Ability.RECONSTRUCT in abilities


def fit_prior(context: EvaluationContext) -> str:
    """The command."""
    return context.history.fit_prior if context.history else "reparam fit-prior RUN"


def _memorised(context: EvaluationContext) -> Finding | None:
    row = SAMPLES["memorised"]
    if not row.is_usual(context):
        return None
    measure = row.measure(context)
    if measure.stderr is None or measure.value - BY_CHANCE < ACCUSED * measure.stderr:
        return None
    return Finding(
        "memorised",
        f"{measure.value:.0%} of samples are nearer to one of {measure.n:,} training images than to any of as many test images; "
        "50% is expected",
        f"more images; else {stop_early(context)}",
    )


def stop_early(context: EvaluationContext) -> str:
    """What to do about too much training: the command, where the run is known, does not do so already and would end earlier."""
    history, smaller = context.history, "a smaller network or latent"
    if history is None:
        return f"stop on validation (--keep best --patience 10), or {smaller}"
    training = history.run.config.training
    if not history.rose or (training.keep == "best" and training.patience):
        return smaller
    return f"stop on validation: {history.retrain(keep='best', patience=10)}; or {smaller}"


def unfilled(context: EvaluationContext) -> Finding | None:
    """Latents far from the prior: by the moments of the latents of training images, which tell on few images and many latents
    too; else by `marginal_kl`, where there are enough images to tell (see `mutual_information`)."""
    if Ability.LIKELIHOOD not in context.model.abilities or no_normal_posterior(context):
        return None
    kl, n = float(context.bound[1].mean()), len(context.x)
    far = _moments_apart(context) if Ability.STANDARD_NORMAL in context.model.abilities else 0.0
    if n >= ENOUGH_FOR_MARGINAL and kl <= FAR_FROM_LIMIT * math.log(n):
        far = max(far, marginal_kl(context).value)
    if far < max(LARGE_MARGINAL * kl, LEAST_APART):
        return None
    return Finding(
        "prior not filled",
        f"{far:.2g} of the KL's {kl:.3g} nats are distance between the prior and the latents of images: samples will look worse "
        "than reconstructions",
        (f"fit a prior to them: {fit_prior(context)}; else " if can_fit_prior(context) else "")
        + "train longer, or raise --beta a little",
    )


def _moments_apart(context: EvaluationContext) -> float:
    """KL(N(m, C) || N(0, I)), nats, m and C being mean and covariance of the aggregate posterior of training images, less what
    the estimation of its K (K + 3) / 2 numbers from n images adds, K (K + 3) / 4 n, and never below 0.

    KL(q(z) || N(0, I)) is never less than this of q's own moments: it is KL(q || N(m, C)) more.
    """
    images = context.trained_on
    batch = task_images(images, context.task, random_indices(images, ENCODED))
    mean, deviation = (finite(part, "latents").double() for part in encode(context.model, batch.input))
    n, latent = mean.shape
    if n <= latent:
        return 0.0
    covariance = torch.cov(mean.mT).reshape(latent, latent) + deviation.square().mean(0).diag()
    apart = 0.5 * float(covariance.trace() + mean.mean(0).square().sum() - latent - covariance.logdet())
    return max(0.0, apart - latent * (latent + 3) / (4 * n))


def answers_alike(context: EvaluationContext) -> Finding | None:
    """Predictions of a conditional model that differ by next to nothing beside what they do not know."""
    if Ability.PREDICT not in context.model.abilities or not context.model.has("prior"):
        return None
    predictions, mask = context.predictions, context.target_mask
    spread = structured.diversity(predictions, mask).double().square()
    error = structured.masked_squared_error(context.average_prediction, _as_planes(context), mask).double()
    whole = float(error.mean())
    if whole == 0 or float(spread.mean()) >= ALIKE_ANSWERS * whole:
        return None
    history = context.history
    return Finding(
        "answers alike",
        f"predictions of one image differ by {math.sqrt(float(spread.mean())):.2g} (standard deviation), though their average is "
        f"wrong by {math.sqrt(whole):.2g}: they show little of what is open",
        "let latents carry more"
        + (f": {history.retrain(free_bits=0.1)}" if history else " (--free-bits 0.1, or a longer --beta-warmup)"),
    )


def _as_planes(context: EvaluationContext) -> Tensor:
    """The targets as predictions are: of label maps one plane a value, [N, D, H, W]; ignored pixels are masked."""
    x = context.predicted.x
    if not context.of_maps:
        return x
    known = torch.where(x == IGNORED, 0, x).squeeze(1).long()
    return F.one_hot(known, len(context.dataset.map_values)).movedim(-1, 1).float()
