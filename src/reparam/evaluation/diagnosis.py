"""What is wrong with a trained model, in words that say what to do about it."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.core.abilities import Ability
from reparam.evaluation import likelihood
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.metrics.metric import mean, ratio
from reparam.evaluation.shortcomings import (
    TOO_FEW_STEPS,
    answers_alike,
    misread,
    shortcomings,
    stop_early,
    train_longer,
    unfilled,
)
from reparam.metrics import fidelity
from reparam.metrics.latents import active_units
from reparam.run.documents import Finding, NoValueError

# Shares of the pixels' variance that reconstructions explain: below the first, one grey image is better.
WORSE_THAN_MEAN, NO_BETTER_THAN_MEAN = -0.1, 0.05
COLLAPSED_KL = 0.5  # nats for all latents together
# A code of R nats explains at most 1 - exp(-2 R) of a normal's variance: below this, never what would be better than the mean.
NEGLIGIBLE_KL = -0.5 * math.log1p(-NO_BETTER_THAN_MEAN)
ALIKE = 1e-10  # squared error of a pixel: rounding in float32
SURE = 1.96  # standard errors: 95% of a normal
OVERFITTED = 0.2  # of the standard deviation between test images: a small effect, whatever the scale of the likelihood
_UNSTABLE = "if the loss did not fall, lower --learning-rate or set --clip, and look at the training curves"


def diagnose(context: EvaluationContext) -> tuple[Finding, ...]:
    """Findings on a model that reconstructs, or on a conditional one with a bound; on others where a plain baseline is better.

    untrained: the mean training image is a better reconstruction. collapsed: it is as good, and the latents carry next to
    nothing; or they carry nothing at all, on however few images. overfitted: the loss (negative ELBO; -log p(x|z) of an
    autoencoder) is higher on test than on training images. too few images to tell: the evidence is within its error of two of
    these. Otherwise healthy; beside it, unused latents, and a prior that the latents of images do not fill. The thresholds above
    have no scale, so they hold for any likelihood. not finite: what the model computes is no number that could say more.
    """
    try:
        return _findings(context)
    except NoValueError as why:
        advice = "train the run again, with a lower --learning-rate or with --clip"
        return (Finding("not finite", f"nothing more can be said: {why}", advice),)


def _findings(context: EvaluationContext) -> tuple[Finding, ...]:
    abilities = context.model.abilities
    if Ability.CONDITIONAL_LIKELIHOOD in abilities:
        return _conditional(context)
    if Ability.RECONSTRUCT not in abilities:
        images = shortcomings(context, None) if Ability.SAMPLE in abilities else []
        return (*images, *(misread(context) if Ability.CLASSIFY in abilities else []))
    n, error = len(context.x), _error(context)
    if error is None:
        return (Finding("nothing to learn", "the images are all alike: nothing is left of them but their mean"),)
    kl = float(context.bound[1].mean()) if Ability.LIKELIHOOD in abilities else math.inf
    low, high = (_level(1 - error.value + sign * SURE * error.stderr) for sign in (-1, 1))
    evidence = f"reconstructions' squared error is {error.value:.2f} times that of the mean training image"
    if kl < NEGLIGIBLE_KL and high != "untrained" and low != "good":
        return (_collapsed(context, evidence, kl),)
    if low != high and SURE * error.stderr > NO_BETTER_THAN_MEAN:
        return (_too_few(context, n, f"{evidence}, ± {error.stderr:.2g}"),)
    level = _level(1 - error.value)
    if level == "untrained":
        return (
            Finding(
                "untrained",
                f"{evidence}: that image would be the better reconstruction",
                f"{train_longer(context)}; {_UNSTABLE}",
            ),
        )
    if level == "poor":
        if kl < COLLAPSED_KL:
            return (_collapsed(context, evidence, kl),)
        more = f", though the latents carry {kl:.3g} nats" if math.isfinite(kl) else ""
        return (
            Finding("learnt little", evidence + more, f"{train_longer(context)}; or use larger networks; {_UNSTABLE}"),
        )
    first = _generalisation(context, f"reconstructions explain {1 - error.value:.0%} of the test pixels' variance")
    found = [*shortcomings(context, 1 - error.value), unfilled(context), _unused(context)]
    return _together(first, [one for one in found if one])


def _together(first: Finding, others: list[Finding]) -> tuple[Finding, ...]:
    """Nothing that has something to mend is called healthy. Nor is a model overfitted whose validation loss was falling still: to
    go on is then what helps."""
    mended = first.state == "healthy" and any(one.advice for one in others)
    falling = first.state == "overfitted" and any(one.state == TOO_FEW_STEPS for one in others)
    return tuple(others) if mended or falling else (first, *others)


def _level(explained: float) -> str:
    """What a share of the pixels' variance says."""
    return "untrained" if explained < WORSE_THAN_MEAN else "poor" if explained < NO_BETTER_THAN_MEAN else "good"


def _too_few(context: EvaluationContext, n: int, evidence: str) -> Finding:
    more = n < len(context.split)
    advice = "evaluate on more images: --images" if more else "more images"
    what = "image is" if n == 1 else "images are"
    return Finding("too few images to tell", f"{evidence}: {n:,} test {what} too few to say more", advice)


def _collapsed(context: EvaluationContext, evidence: str, kl: float) -> Finding:
    longer = (
        f"{train_longer(context)}; if it stays so, "
        if context.history and context.history.too_short
        else "train longer if it was a few epochs; else "
    )
    return Finding(
        "collapsed",
        f"{evidence}, and all {context.codes[0].shape[1]} latents together carry {kl:.2g} nats: the decoder ignores them",
        f"{longer}lower --beta, let it rise with --beta-warmup, give every latent --free-bits 0.1, or choose a likelihood with "
        "less noise (--scale)",
    )


def _conditional(context: EvaluationContext) -> tuple[Finding, ...]:
    measure = mean(context.bound[1], "nats/image")
    kl, reach = measure.value, SURE * (math.inf if measure.stderr is None else measure.stderr)
    if kl >= NEGLIGIBLE_KL and abs(kl - COLLAPSED_KL) < reach and reach > COLLAPSED_KL / 2:
        return (_too_few(context, measure.n, f"all latents together carry {kl:.2g} nats"),)
    if kl < COLLAPSED_KL:
        unused = Finding(
            "latent unused",
            f"all latents together carry {kl:.2g} nats: predictions of one image are alike",
            "train longer if it was a few epochs; else a longer --beta-warmup, --free-bits 0.1 or --guess-weight 0",
        )
        return (unused,)
    first = _generalisation(context, f"the latents carry {kl:.3g} nats of what is not seen")
    found = [
        answers_alike(context),
        *(shortcomings(context, None) if Ability.SAMPLE in context.model.abilities else []),
    ]
    return _together(first, [one for one in found if one])


class _Error(NamedTuple):
    """Squared error over that of the mean training image, and its standard error (infinite for one image)."""

    value: float
    stderr: float


def _error(context: EvaluationContext) -> _Error | None:
    """Of reconstructions; of grey values under dynamic binarisation, whose noise no model explains. None where the mean image has
    no error."""
    images = context.grey if context.task.binarise == "dynamic" else context.x
    plain = fidelity.squared_error(images, context.mean_image.expand_as(images))
    reconstructions = context.reconstructions
    try:
        found = ratio(fidelity.squared_error(images, reconstructions), torch.where(plain > ALIKE, plain, 0.0), "")
    except NoValueError:
        return None
    return _Error(found.value, math.inf if found.stderr is None else found.stderr)


def _losses(context: EvaluationContext) -> tuple[Tensor, Tensor]:
    """(test, training) negative ELBO of each image; of an autoencoder -log p(x|z)."""
    model, batch, trained = context.model, context.batch, context.training
    if Ability.BOUND in model.abilities:
        test, train = context.bound, likelihood.bound(model, trained.x, context.options.seed, c=trained.c)
        return (test[0] + test[1]).double(), (train[0] + train[1]).double()
    test_loss, train_loss = (likelihood.point_reconstruction(model, part.input, part.x) for part in (batch, trained))
    return test_loss.double(), train_loss.double()


def _generalisation(context: EvaluationContext, explains: str) -> Finding:
    """overfitted, healthy or unknown: the gap between the losses against its error, and against the deviation between images."""
    test, train = _losses(context)
    n, gap = min(len(test), len(train)), float(test.mean() - train.mean())
    if n < 2:
        return _too_few(context, len(test), explains)
    stderr = math.sqrt(float(test.var() / len(test) + train.var() / len(train)))
    spread = max(float(test.std()), 1e-12)
    if gap > 3 * stderr and gap / spread >= OVERFITTED:
        return Finding(
            "overfitted",
            f"the loss is {gap:.3g} ± {stderr:.2g} nats an image higher on test than on the images it was trained on "
            f"({gap / spread:.2f} of the deviation between images)",
            f"more images; else {stop_early(context)}",
        )
    if gap > 3 * stderr:
        words = f"the loss is {gap:.3g} ± {stderr:.2g} nats higher on test than on training images, which is little"
    elif SURE * stderr > OVERFITTED * spread:  # a gap that counts could not be seen
        return _too_few(
            context,
            len(test),
            f"{explains}; the loss on them is {gap:.3g} ± {stderr:.2g} nats above that of training images",
        )
    else:
        words = "the loss on test images is not measurably higher than that on training images"
    return Finding("healthy", f"{explains}, and {words}")


def _unused(context: EvaluationContext) -> Finding | None:
    if Ability.LIKELIHOOD not in context.model.abilities:
        return None
    means, _ = context.codes
    used, latent = active_units(means), means.shape[1]
    if used == latent:
        return None
    return Finding(
        "unused latents",
        f"the posterior means of {latent - used} of {latent} latents hardly change with the image: they carry next to nothing; "
        f"{max(used, 1)} would do, or --free-bits would put more to use",
    )
