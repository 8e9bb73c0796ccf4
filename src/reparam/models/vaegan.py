"""VAE-GAN: a VAE whose decoder also answers to a discriminator, so that its images are sharp.

Shapes: `B` batch, `C H W` image, `K` latent, `P` patches that the discriminator judges.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Independent

from reparam.core.batch import Batch
from reparam.core.conditional import Discriminator
from reparam.core.model import Model
from reparam.core.objective import Objective, Player, Term, Terms
from reparam.core.options import InEpochs
from reparam.core.spec import Schedule, Spec
from reparam.distributions import Bernoulli, rsample
from reparam.models import ae, vae
from reparam.models.ae import PHOTOS, AutoencoderOptions
from reparam.models.family import Family, Recipe
from reparam.networks import PatchDiscriminator, last_layer, patch_size
from reparam.objectives import ELBO, LOSSES

TINY = 1e-12


class DiscriminatorOfPatches(Discriminator):
    """D(x): for each patch of x a Bernoulli, that it is of an image of the data; batch shape [B], event shape [h, w]."""

    def __init__(self, network: PatchDiscriminator) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Independent:
        return Independent(Bernoulli(self.read(x)[1]), 2, validate_args=False)

    def read(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps of each hidden layer, and the logits [B, h, w]."""
        maps, logits = self.network(2 * x - 1)
        return [each.float() for each in maps], logits.float().squeeze(1)


class Sharpened(Objective):
    r"""-ELBO + C H W (`perceptual` d(x, x') + w(step) a(x')), x' = E[x|z], z ~ q(z|x): Larsen et al. 2016, with pixels kept.

    d(x, x') is the mean absolute difference of the discriminator's hidden maps, averaged over its layers. a(x') = -l(x'), the
    mean logit of the patches. Player `discriminator` minimises the hinge loss, max(0, 1 - l(x)) + max(0, 1 + l(x')), averaged
    over patches.

    w is such that the gradient of w a at the decoder's last layer is `adversarial` times as long as that of all the rest (Esser
    et al. 2021, eq. 7), over the images at hand; 0 in the first `start` steps, while the discriminator learns already. Where
    no gradient is taken (validation), w is 0. The encoder's and the decoder's gradients come through x' alone: the discriminator
    is differentiated by its input, and its weights are left alone.

    Named terms: `reconstruction` and `kl` (nats/image), `perceptual` d, `adversarial` a, `weight` w, and of the discriminator
    `accuracy`, the share of images that it puts on the right side, half of them made.
    """

    players = (Player("autoencoder", ("encoder", "decoder")), Player("discriminator", ("discriminator",)))

    def __init__(self, elbo: ELBO, perceptual: float, adversarial: float, start: int) -> None:
        self.elbo, self.perceptual, self.adversarial, self.start = elbo, perceptual, adversarial, start

    def __call__(
        self, player: str, model: Model, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        if player == "discriminator":
            return self._judged(model, batch, generator)
        q_z = model.encoder(batch.x)
        z = rsample(q_z, generator=generator)
        p_x = model.decoder(z)
        terms = self.elbo.of(q_z, z, p_x, model.prior(), batch.x, step)
        pixels = math.prod(batch.x.shape[1:])
        difference, adversarial = _seen(model.discriminator, batch.x, p_x.mean)
        rest = terms.total + pixels * self.perceptual * difference
        weight = rest.new_zeros(())
        if torch.is_grad_enabled():
            weight = self.adversarial * _ratio(rest, pixels * adversarial, last_layer(model.decoder).weight)
            weight = weight * (step >= self.start)
        named = {
            "perceptual": Term(difference, "mean absolute difference"),
            "adversarial": Term(adversarial, "logit"),
            "weight": Term(weight.expand(len(batch.x)), "factor"),
        }
        return Terms(rest + weight * pixels * adversarial, terms.named | named)

    def _judged(self, model: Model, batch: Batch, generator: torch.Generator | None) -> Terms:
        with torch.no_grad():
            made = model.decoder(rsample(model.encoder(batch.x), generator=generator)).mean
        loss = LOSSES["hinge"]
        on_real, on_made = (model.discriminator.read(x)[1].flatten(1) for x in (batch.x, made))  # type: ignore[operator]
        total = loss.real(on_real).mean(1) + loss.made(on_made).mean(1)
        right = ((on_real.mean(1) > 0).float() + (on_made.mean(1) < 0).float()) / 2
        return Terms(total, {"accuracy": Term(right, "share")})


def _seen(discriminator: Any, x: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
    """d(x, made) and a(made), [B] each. Their gradients reach `made` and nothing else."""
    with torch.no_grad():
        known, _ = discriminator.read(x)
    shown = made.detach().requires_grad_(torch.is_grad_enabled())
    maps, logits = discriminator.read(shown)
    difference = sum((of - to).abs().flatten(1).mean(1) for of, to in zip(maps, known, strict=True)) / len(maps)
    adversarial = LOSSES["hinge"].maker(logits).flatten(1).mean(1)
    if not torch.is_grad_enabled():
        return difference, adversarial
    (by_difference,) = torch.autograd.grad(difference.sum(), shown, retain_graph=True)
    (by_adversarial,) = torch.autograd.grad(adversarial.sum(), shown)
    moved = made - made.detach()  # zero; what is linear in it has the gradient of its factor
    return (
        difference.detach() + (by_difference * moved).flatten(1).sum(1),
        adversarial.detach() + (by_adversarial * moved).flatten(1).sum(1),
    )


def _ratio(rest: Tensor, adversarial: Tensor, weight: Tensor) -> Tensor:
    """How many times longer the gradient of the first is than that of the second, at a weight."""
    norms = [torch.autograd.grad(term.mean(), weight, retain_graph=True)[0].norm() for term in (rest, adversarial)]
    return norms[0] / norms[1].clamp(min=TINY)


@dataclass(frozen=True)
class VAEGANOptions(AutoencoderOptions):
    """The autoencoder's options, and those of what makes its images sharp."""

    beta: Annotated[float, Field(ge=0, description="weight of the KL term (1: the ELBO)")] = 1.0
    perceptual: Annotated[
        float, Field(ge=0, description="weight a pixel of the difference of the discriminator's hidden maps")
    ] = 2.0
    adversarial: Annotated[
        float, Field(ge=0, description="length of the adversarial gradient, as a share of that of all the rest")
    ] = 0.8
    adversarial_from: Annotated[
        float, Field(ge=0, description="epochs before the adversarial term counts"), InEpochs
    ] = 3.0
    discriminator_widths: Annotated[
        tuple[Annotated[int, Field(ge=4, le=1024)], ...],
        Field(
            min_length=1, max_length=5, description="discriminator: channels of each layer, each at half the resolution"
        ),
    ] = (32, 64, 128)


def build(options: VAEGANOptions, spec: Spec) -> Model:
    model = vae.build(options, spec)
    patch = max(1, patch_size(*spec.image_shape[1:]) // 2)
    network = PatchDiscriminator(spec.image_shape, patch, options.discriminator_widths)
    model.discriminator = DiscriminatorOfPatches(network)
    return model


def objective(options: VAEGANOptions, schedule: Schedule) -> Sharpened:
    # A cycle takes two batches, one a player.
    start = schedule.at(options.adversarial_from) // 2
    return Sharpened(ELBO(beta=options.beta), options.perceptual, options.adversarial, start)


_PHOTOS = {name: value for name, value in PHOTOS.items() if name not in ("patience", "moves")}

VAEGAN = Family(
    name="vaegan",
    summary="variational autoencoder whose images a discriminator judges: sharp reconstructions and samples",
    citation="Larsen et al. 2016, Autoencoding beyond pixels using a learned similarity metric",
    options=VAEGANOptions,
    build=build,
    objective=objective,
    callbacks=ae.callbacks,
    recipes={
        "default": Recipe(
            "network on patches, starts as PCA, hinge loss; mirrored images; the average of the last weights",
            # Of 4,000 faces of 32 pixels, 750 steps of both players, one seed: sharpness of samples 0.53 with these rates, 0.49
            # with 5e-4 and 0.9, PSNR equal; adversarial 0.8 in place of 0.5 0.53 too, 1.5 lost the reconstruction.
            {**_PHOTOS, "keep": "ema", "learning_rate": 1e-3, "adam_beta1": 0.5},
        ),
    },
)
