"""What is wrong with a trained model, in words that say what to do about it.

Shapes: `N` images, `C H W` image, `K` latent.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from reparam.data.selection import random_indices
from reparam.data.tasks import to_float
from reparam.evaluation import fidelity, likelihood
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.latents import active_units
from reparam.evaluation.metrics.table import marginal_kl, no_normal_posterior

WORSE_THAN_MEAN = (
    -0.1
)  # share of the pixels' variance that reconstructions explain: below, they are worse than one grey image
NO_BETTER_THAN_MEAN = 0.05
COLLAPSED_KL = 0.5  # nats for all latents together
OVERFITTED = 0.2  # of the standard deviation between test images: a small effect, whatever the scale of the likelihood
LARGE_MARGINAL = 0.25  # of the KL
# The aggregate posterior of few images is a poor stand-in for that of all: its KL to the prior comes out too high.
ENOUGH_FOR_MARGINAL, FAR_FROM_LIMIT = 1000, 0.7


@dataclass(frozen=True)
class Finding:
    """A state with a name, the figures that speak for it, and what helps ("" where nothing is amiss)."""

    state: str
    evidence: str
    advice: str = ""


def diagnose(context: EvaluationContext) -> tuple[Finding, ...]:
    """What holds of a model that reconstructs, or of a conditional one with a bound; nothing for others.

    untrained: reconstructions explain less of the pixels' variance than the mean training image (explained = 1 - mse / mse of
    that image). collapsed: they explain no more than it, and the latents carry less than 0.5 nats together. overfitted: the loss
    (negative ELBO; -log p(x|z) of an autoencoder) is higher on test than on training images by more than 3 standard errors and
    more than a fifth of the standard deviation between test images. Otherwise healthy; unused latents and a prior that the
    latents of images do not fill are told beside it. Thresholds are on scale-free figures, so that they hold for any likelihood.
    """
    if "conditional likelihood" in context.model.abilities:
        return (_conditional(context),)
    if "reconstruct" not in context.model.abilities:
        return ()
    explained = _explained(context)
    shown = f"reconstructions' squared error is {1 - explained:.2f} times that of the mean training image"
    has_kl = "likelihood" in context.model.abilities
    kl = float(context.bound[1].mean()) if has_kl else math.inf
    if explained < WORSE_THAN_MEAN:
        return (
            Finding(
                "untrained",
                f"{shown}: it would be better to show that image each time",
                "train longer; if the loss did not fall, lower --learning-rate or set --clip, and look at the training curves",
            ),
        )
    if explained < NO_BETTER_THAN_MEAN:
        if kl < COLLAPSED_KL:
            return (
                Finding(
                    "collapsed",
                    f"{shown}, and all {context.codes[0].shape[1]} latents together carry {kl:.2g} nats: the decoder "
                    "ignores them",
                    "train longer if it was a few epochs; else lower --beta, let it rise with --beta-warmup, give every "
                    "latent --free-bits 0.1, or choose a likelihood with less noise (--scale)",
                ),
            )
        return (
            Finding(
                "learnt little",
                shown + (", though the latents carry something" if has_kl else ""),
                "train longer, or give the networks more room",
            ),
        )
    first = _generalisation(context, f"reconstructions explain {explained:.0%} of the test pixels' variance")
    return tuple(finding for finding in (first, _unfilled(context), _unused(context)) if finding)


def _conditional(context: EvaluationContext) -> Finding:
    """Of a conditional model: whether z says anything, and whether it holds for images that it was not trained on."""
    kl = float(context.bound[1].mean())
    if kl < COLLAPSED_KL:
        return Finding(
            "latent unused",
            f"all latents together carry {kl:.2g} nats: answers for one image are alike",
            "train longer if it was a few epochs; else a longer --beta-warmup, --free-bits 0.1, or a --guess-weight of 0",
        )
    return _generalisation(context, f"the latents carry {kl:.3g} nats of what is not seen")


def _explained(context: EvaluationContext) -> float:
    """1 - mse / mse of the mean training image; of grey values under dynamic binarisation, whose noise no model explains."""
    images, train = context.x, context.training.x
    if context.task.binarise == "dynamic":
        images, train = (
            context.grey,
            to_float(context.trained_on.take(random_indices(context.trained_on, len(train))).pixels),
        )
    plain = fidelity.squared_error(images, train.mean(0).expand_as(images)).mean()
    return 1 - float(fidelity.squared_error(images, context.reconstructions).mean() / plain.clamp(min=1e-12))


def _losses(context: EvaluationContext) -> tuple[Tensor, Tensor]:
    """(test, training) negative ELBO of each image; of an autoencoder -log p(x|z)."""
    trained = context.training
    if "bound" in context.model.abilities:
        test, train = context.bound, likelihood.bound(context.model, trained.x, context.options.seed, c=trained.c)
        return (test[0] + test[1]).double(), (train[0] + train[1]).double()
    test_loss = likelihood.point_reconstruction(context.model, context.batch.shown, context.x)
    return test_loss.double(), likelihood.point_reconstruction(context.model, trained.shown, trained.x).double()


def _generalisation(context: EvaluationContext, explains: str) -> Finding:
    """overfitted or healthy, by the loss on test images minus that on training images."""
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
        words = "the loss on test images is no higher than that on training images, as far as they can tell"
    else:
        words = f"the loss is {gap:.3g} ± {stderr:.2g} nats higher on test than on training images, which is little"
    return Finding("healthy", f"{explains}, and {words}")


def _unused(context: EvaluationContext) -> Finding | None:
    if "likelihood" not in context.model.abilities:
        return None
    means, _ = context.codes
    used, latent = active_units(means), means.shape[1]
    if used == latent:
        return None
    return Finding(
        "unused latents",
        f"{latent - used} of {latent} latents hardly change with the image: they stay at the prior, which costs nothing; "
        f"{max(used, 1)} would do, or --free-bits would put more to use",
    )


def _unfilled(context: EvaluationContext) -> Finding | None:
    """Only where the images are enough to tell: see `mutual_information`."""
    subject = (context.model, context.dataset, context.task, context.options)
    if "likelihood" not in context.model.abilities or no_normal_posterior(*subject):
        return None
    kl, n = float(context.bound[1].mean()), len(context.x)
    if n < ENOUGH_FOR_MARGINAL or kl > FAR_FROM_LIMIT * math.log(n):
        return None
    marginal = marginal_kl(context)
    if marginal.value < LARGE_MARGINAL * kl:
        return None
    return Finding(
        "prior not filled",
        f"{marginal.value:.2g} of the KL's {kl:.3g} nats are distance between the prior and where images' latents lie: "
        "samples will look worse than reconstructions",
        "train longer, or raise --beta a little",
    )
