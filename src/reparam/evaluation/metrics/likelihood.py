"""`LIKELIHOOD`: likelihoods, bounds, and what the latents carry. One function and one row add a metric.

Shapes: `N` images, `C H W` image.
"""

import math
from dataclasses import replace

import torch
from torch.distributions import Independent, Normal

from reparam.core.abilities import Ability
from reparam.core.blocks import in_blocks
from reparam.core.spec import BYTES
from reparam.data.tasks import to_float
from reparam.evaluation.adaptive import Sampled
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.likelihood import kl_by_dimension, point_reconstruction
from reparam.evaluation.metrics.metric import Measure, Metric, NoValueError, mean
from reparam.evaluation.options import EvaluationOptions
from reparam.metrics import latents

FEW_SAMPLES = 10  # effective ones: below, few draws have all the weight
SATURATED = 0.9  # of log n: a mutual information above it says little but that it is large
SAMPLING = ("samples", "error", "precision")  # options that estimates by draws depend on


def elbo(context: EvaluationContext) -> Measure:
    """ELBO, the evidence lower bound on log p(x).

    A lower bound on the logarithm of the probability, or density, that the model gives to a test image. Higher is better."""
    reconstruction, kl = context.bound
    return mean(-(reconstruction + kl), "nats/image")


def nll(context: EvaluationContext) -> Measure:
    """-log p(x) by importance sampling.

    How surprised the model is by a test image, in nats (1.44 bits each). Lower is better."""
    found = context.by_draws.nll
    note = draws_note(found, context.options)
    if len(found.nll) < len(context.x):  # elbo is of more images: it may look the better of the two by chance
        reconstruction, kl = context.bound
        note += f"; -elbo of these images is {float((reconstruction + kl)[: len(found.nll)].mean()):.2f}"
    return replace(mean(found.nll, "nats/image", note), bias=known(found.bias))


def known(number: float) -> float | None:
    return number if math.isfinite(number) else None


def draws_note(found: Sampled, options: EvaluationOptions) -> str:
    """A note on draws and effective sample sizes, and on the error that is left where it was estimated."""
    typical, low = (float(found.effective.quantile(q)) for q in (0.5, 0.05))
    note = f"S = {found.draws:,}, effective {typical:.0f} (5% of images below {low:.1f})"
    if math.isfinite(found.left):
        note += f"; too high by about {found.bias:.2g}, ± {found.error:.2g} by the draws"
    if options.error and not found.left <= options.error:
        note += f", not within the {options.error:g} that were wanted"
    if options.precision != "float32":
        note += f"; {options.precision} products"
    few = typical < min(FEW_SAMPLES, found.draws / 2)
    return note + ("; few draws dominate: the true value may be lower" if few else "")


def bits_per_dim(context: EvaluationContext) -> Measure:
    """-log2 of the probability of grey levels, per pixel and channel.

    How many bits a lossless compressor built on the model would need for a pixel. 8 is no compression (of L levels log2 L);
    lower is better."""
    size = math.prod(context.dataset.shape) * math.log(2)
    mass = context.grey_levels == "mass"
    found = context.by_draws.nll if mass else context.by_draws.dequantised
    scaled = found._replace(bias=found.bias / size, error=found.error / size)
    note = draws_note(scaled, replace(context.options, error=None))
    if not mass:
        note += "; uniform dequantisation: an upper bound"
    levels = context.dataset.scale.levels
    if levels != BYTES:
        note += f"; {levels:,} levels: {math.log2(levels):.3g} bits is no compression"
    return replace(mean(found.nll / size + (0 if mass else math.log2(levels)), "bits", note), bias=known(scaled.bias))


def no_bits(context: EvaluationContext) -> str | None:
    if context.task.binarise != "none":
        return "images were binarised: it is for grey levels"
    if not context.dataset.scale.levels:
        return "images are floats of any value: it is for levels (--depth 8 reads them as 256)"
    known = getattr(context.model.decoder, "levels", context.dataset.scale.levels)
    if context.grey_levels == "mass" and known != context.dataset.scale.levels:
        return f"images have {context.dataset.scale.levels:,} levels, and the likelihood is a mass on {known:,}"
    if context.grey_levels:
        return None
    return "its likelihood is no mass on levels and no density (a Bernoulli on grey values is a cross-entropy)"


def reconstruction(context: EvaluationContext) -> Measure:
    """-log p(x|z) at posterior draws; of an autoencoder at its code.

    The part of the surprise that is left once the latent is known. Lower is better; where kl is measured, the two are traded."""
    if Ability.LIKELIHOOD in context.model.abilities:
        return mean(context.bound[0], "nats/image")
    return mean(point_reconstruction(context.model, context.batch.input, context.x), "nats/image")


def kl(context: EvaluationContext) -> Measure:
    """KL(q(z|x) || p(z)).

    How much the latent says about an image. At 0 the model ignores it; every nat is subtracted from the bound."""
    measure = mean(context.bound[1], "nats/image")
    parts = kl_by_dimension(context.model, context.x, context.c)
    if parts is None:
        return measure
    largest = ", ".join(f"{value:.2f}" for value in parts.sort(descending=True).values[:3].tolist())
    note = f"by latent: {largest}{', ...' if len(parts) > 3 else ''}"
    return replace(measure, note=note, parts=tuple(parts.tolist()))


def active_units(context: EvaluationContext) -> Measure:
    """Latents whose posterior mean varies over images.

    How many latents the model really uses; the others carry next to nothing."""
    means, _ = context.codes
    if len(means) < 2:
        raise NoValueError("it takes two images to see what varies over them")
    return Measure(latents.active_units(means), None, len(means), f"of {means.shape[1]}")


def mutual_information(context: EvaluationContext) -> Measure:
    """I(x; z): how far the posteriors of these images are apart.

    The part of the KL that distinguishes images. Higher is better; n images cannot show more than log n."""
    aggregate = context.aggregate
    measure = mean(aggregate.log_own - aggregate.log_mixture, "nats/image")
    limit = math.log(measure.n)
    if measure.value < SATURATED * limit:
        return measure
    return replace(measure, note=f"{measure.n:,} images cannot show more than {limit:.2f}")


def marginal_kl(context: EvaluationContext) -> Measure:
    """KL of the aggregate posterior to the model's prior.

    The part of the KL that is wasted: how far the latents of real images are from where samples are drawn. 0 is best."""
    aggregate = context.aggregate
    prior = context.model.prior()
    with torch.no_grad():
        log_p = in_blocks(lambda z, _: prior.log_prob(z.to(context.device, torch.float32)), aggregate.z)
    note = "too high: see mutual_information" if mutual_information(context).note else ""
    return mean(aggregate.log_mixture - log_p, "nats/image", note)


def no_normal_posterior(context: EvaluationContext) -> str | None:
    with torch.no_grad():
        q_z = context.model.encoder(to_float(context.dataset.test.images[:1]).to(context.device))
    normal = isinstance(q_z, Independent) and isinstance(q_z.base_dist, Normal)
    return None if normal else "its posterior is no normal distribution with a diagonal covariance"


LIKELIHOOD: dict[str, Metric] = {
    "elbo": Metric(Ability.BOUND, elbo, best="high"),
    "nll": Metric(Ability.LIKELIHOOD, nll, best="low", reads=SAMPLING),
    "bits_per_dim": Metric(Ability.LIKELIHOOD, bits_per_dim, no_bits, best="low", reads=SAMPLING),
    "reconstruction": Metric(Ability.RECONSTRUCT, reconstruction, best="low"),
    "kl": Metric(Ability.BOUND, kl),
    "active_units": Metric(Ability.ENCODE, active_units),
    "mutual_information": Metric(Ability.LIKELIHOOD, mutual_information, no_normal_posterior, best="high"),
    "marginal_kl": Metric(Ability.LIKELIHOOD, marginal_kl, no_normal_posterior, best="low"),
}
