"""What is wrong with a trained model, in words that say what to do about it."""

import math

from torch import Tensor

from reparam.core.abilities import Ability
from reparam.data.selection import random_indices
from reparam.data.tasks import to_float
from reparam.evaluation import fidelity, likelihood
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.latents import active_units
from reparam.evaluation.metrics.likelihood import marginal_kl, no_normal_posterior
from reparam.run.documents import Finding

# Shares of the pixels' variance that reconstructions explain: below the first, one grey image is better.
WORSE_THAN_MEAN, NO_BETTER_THAN_MEAN = -0.1, 0.05
COLLAPSED_KL = 0.5  # nats for all latents together
OVERFITTED = 0.2  # of the standard deviation between test images: a small effect, whatever the scale of the likelihood
LARGE_MARGINAL = 0.25  # of the KL
# The aggregate posterior of few images is a poor stand-in for that of all: its KL to the prior comes out too high.
ENOUGH_FOR_MARGINAL, FAR_FROM_LIMIT = 1000, 0.7


def diagnose(context: EvaluationContext) -> tuple[Finding, ...]:
    """Findings on a model that reconstructs, or on a conditional one with a bound; none on others.

    untrained: the mean training image is a better reconstruction. collapsed: it is as good, and the latents carry next to
    nothing. overfitted: the loss (negative ELBO; -log p(x|z) of an autoencoder) is higher on test than on training images.
    Otherwise healthy; beside it, unused latents, and a prior that the latents of images do not fill. The thresholds above have no
    scale, so they hold for any likelihood.
    """
    if Ability.CONDITIONAL_LIKELIHOOD in context.model.abilities:
        return (_conditional(context),)
    if Ability.RECONSTRUCT not in context.model.abilities:
        return ()
    explained = _explained(context)
    if explained < NO_BETTER_THAN_MEAN:
        return (_poor(context, explained),)
    first = _generalisation(context, f"reconstructions explain {explained:.0%} of the test pixels' variance")
    return tuple(finding for finding in (first, _unfilled(context), _unused(context)) if finding)


def _poor(context: EvaluationContext, explained: float) -> Finding:
    evidence = f"reconstructions' squared error is {1 - explained:.2f} times that of the mean training image"
    if explained < WORSE_THAN_MEAN:
        return Finding(
            "untrained",
            f"{evidence}: that image would be the better reconstruction",
            "train longer; if the loss did not fall, lower --learning-rate or set --clip, and look at the training curves",
        )
    has_kl = Ability.LIKELIHOOD in context.model.abilities
    if has_kl and (kl := float(context.bound[1].mean())) < COLLAPSED_KL:
        return Finding(
            "collapsed",
            f"{evidence}, and all {context.codes[0].shape[1]} latents together carry {kl:.2g} nats: the decoder ignores them",
            "train longer if it was a few epochs; else lower --beta, let it rise with --beta-warmup, give every latent "
            "--free-bits 0.1, or choose a likelihood with less noise (--scale)",
        )
    return Finding(
        "learnt little",
        evidence + (", though the latents carry something" if has_kl else ""),
        "train longer, or use larger networks",
    )


def _conditional(context: EvaluationContext) -> Finding:
    kl = float(context.bound[1].mean())
    if kl < COLLAPSED_KL:
        return Finding(
            "latent unused",
            f"all latents together carry {kl:.2g} nats: predictions of one image are alike",
            "train longer if it was a few epochs; else a longer --beta-warmup or --free-bits 0.1; leave --guess-weight at 0",
        )
    return _generalisation(context, f"the latents carry {kl:.3g} nats of what is not seen")


def _explained(context: EvaluationContext) -> float:
    """1 - mse / mse of the mean training image; of grey values under dynamic binarisation, whose noise no model explains."""
    images, train = context.x, context.training.x
    if context.task.binarise == "dynamic":
        index = random_indices(context.trained_on, len(train))
        images, train = context.grey, to_float(context.trained_on.take(index).pixels)
    plain = fidelity.squared_error(images, train.mean(0).expand_as(images)).mean()
    return 1 - float(fidelity.squared_error(images, context.reconstructions).mean() / plain.clamp(min=1e-12))


def _losses(context: EvaluationContext) -> tuple[Tensor, Tensor]:
    """(test, training) negative ELBO of each image; of an autoencoder -log p(x|z)."""
    model, batch, trained = context.model, context.batch, context.training
    if Ability.BOUND in model.abilities:
        test, train = context.bound, likelihood.bound(model, trained.x, context.options.seed, c=trained.c)
        return (test[0] + test[1]).double(), (train[0] + train[1]).double()
    test_loss, train_loss = (likelihood.point_reconstruction(model, part.input, part.x) for part in (batch, trained))
    return test_loss.double(), train_loss.double()


def _generalisation(context: EvaluationContext, explains: str) -> Finding:
    """overfitted or healthy: the gap between the losses against its error, and against the deviation between images."""
    test, train = _losses(context)
    gap, stderr, effect = float(test.mean() - train.mean()), math.inf, 0.0
    if min(len(test), len(train)) > 1:
        stderr = math.sqrt(float(test.var() / len(test) + train.var() / len(train)))
        effect = gap / max(float(test.std()), 1e-12)
    if gap > 3 * stderr and effect >= OVERFITTED:
        return Finding(
            "overfitted",
            f"the loss is {gap:.3g} ± {stderr:.2g} nats an image higher on test than on the images it was trained on "
            f"({effect:.2f} of the deviation between images)",
            "more images; else stop on validation (--keep best --patience 10), or a smaller network or latent",
        )
    if gap < 3 * stderr:
        words = "the loss on test images is not measurably higher than that on training images"
    else:
        words = f"the loss is {gap:.3g} ± {stderr:.2g} nats higher on test than on training images, which is little"
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


def _unfilled(context: EvaluationContext) -> Finding | None:
    """Only where there are enough images to tell: see `mutual_information`."""
    if Ability.LIKELIHOOD not in context.model.abilities or no_normal_posterior(context):
        return None
    kl, n = float(context.bound[1].mean()), len(context.x)
    if n < ENOUGH_FOR_MARGINAL or kl > FAR_FROM_LIMIT * math.log(n):
        return None
    marginal = marginal_kl(context)
    if marginal.value < LARGE_MARGINAL * kl:
        return None
    return Finding(
        "prior not filled",
        f"{marginal.value:.2g} of the KL's {kl:.3g} nats are distance between the prior and the latents of images: samples will "
        "look worse than reconstructions",
        "train longer, or raise --beta a little",
    )
