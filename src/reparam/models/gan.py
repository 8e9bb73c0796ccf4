"""GAN: a generator without an encoder, against a discriminator that distinguishes its images from those of the data.

Shapes: `B` batch, `C H W` image, `K` latent.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from reparam.conditionals import StandardNormal
from reparam.core.batch import Batch
from reparam.core.conditional import Decoder, Density, Discriminator
from reparam.core.model import Model
from reparam.core.objective import Objective, Player, Term, Terms
from reparam.core.options import choice, options_of, part
from reparam.core.spec import Schedule, Spec
from reparam.distributions import Bernoulli, Delta, rsample
from reparam.models.family import Family, Recipe
from reparam.networks import GAN_NETWORKS
from reparam.objectives import LOSSES


class Generator(Decoder):
    """z [..., K] -> a point, the image sigmoid(network(z)) in [0, 1]; batch shape [...], event shape [C, H, W]. It has no
    density."""

    density: ClassVar[Density] = "none"

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Tensor) -> Delta:
        return Delta(self.network(z).float().sigmoid(), event_dim=3)


class NetworkDiscriminator(Discriminator):
    """The logit of D(x) is network(2 x - 1)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Bernoulli:
        return Bernoulli(self.network(2 * x - 1).float().squeeze(-1))


class Adversarial(Objective):
    r"""min_G max_D E_x[log D(x)] + E_z[log(1 - D(G(z)))] (Goodfellow et al. 2014, eq. 1; the GAN note, eq. 1.1).

    Player `discriminator`, `steps` steps a cycle, minimises -log D(x) - log(1 - D(G(z))) + `r1` / 2 |dlogit/dx|^2, the last at
    real images (Mescheder et al. 2018, eq. 9). Player `generator` then minimises, by `loss`: log(1 - D(G(z))) (`minimax`), whose
    gradient vanishes where D is sure; -log D(G(z)) (`non-saturating`), whose does not; or -logit (`hinge`, where D minimises
    max(0, 1 - logit) at real and max(0, 1 + logit) at generated images: Lim and Ye 2017; Miyato et al. 2018). Nats an image
    but for hinge. `reads_real`, `reads_made`: D(x) and D(G(z)).
    """

    def __init__(self, loss: str, steps: int = 1, r1: float = 0.0) -> None:
        self.loss, self.r1 = LOSSES[loss], r1
        self.players = (Player("discriminator", ("discriminator",), steps), Player("generator", ("decoder",)))

    def __call__(
        self, player: str, model: Model, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        generated = model.decoder(rsample(model.prior(), (len(batch.x),), generator)).mean
        if player == "generator":
            on_generated = model.discriminator(generated).logits
            return Terms(self.loss.maker(on_generated), {"reads_made": Term(on_generated.sigmoid(), "share")})

        real = batch.x.detach().requires_grad_(self.r1 > 0)
        # Two passes: batch normalisation over both would show the discriminator what share of a batch is generated.
        on_real, on_generated = model.discriminator(real).logits, model.discriminator(generated.detach()).logits
        total = self.loss.real(on_real) + self.loss.made(on_generated)
        named = {
            "reads_real": Term(on_real.sigmoid(), "share"),
            "reads_made": Term(on_generated.sigmoid(), "share"),
        }
        if self.r1:
            slope = torch.autograd.grad(on_real.sum(), real, create_graph=torch.is_grad_enabled())[0].flatten(1)
            penalty = slope.square().sum(1)
            total, named = total + self.r1 / 2 * penalty, named | {"slope": Term(penalty, "per pixel squared")}
        return Terms(total, named)


@dataclass(frozen=True)
class GANOptions(options_of(GAN_NETWORKS)):  # type: ignore[misc]
    """Networks, latent and loss."""

    network: choice(  # type: ignore[valid-type]
        GAN_NETWORKS, "dcgan (convolutions), or mlp"
    ) = "dcgan"
    latent: Annotated[int, Field(ge=1, description="size of z")] = 64
    loss: Annotated[
        Literal["non-saturating", "minimax", "hinge"], Field(description="what the two players minimise")
    ] = "non-saturating"
    discriminator_steps: Annotated[
        int, Field(ge=1, le=100, description="the discriminator's steps for each of the generator's (the paper's k)")
    ] = 1
    r1: Annotated[float, Field(ge=0, description="weight of the discriminator's squared slope at real images")] = 0.0


def build(options: GANOptions, spec: Spec) -> Model:
    """G: z -> x, D: x -> probability."""
    pair = part(options, "network")(spec.image_shape, options.latent)
    return Model(
        prior=StandardNormal(options.latent),
        decoder=Generator(pair.generator),
        discriminator=NetworkDiscriminator(pair.discriminator),
    )


def objective(options: GANOptions, schedule: Schedule) -> Adversarial:
    return Adversarial(options.loss, options.discriminator_steps, options.r1)


# A GAN has no loss that says which weights are best: the average of the last ones is kept.
_PLAYED: dict[str, Any] = {"keep": "ema", "schedule": "constant", "batch_size": 64}

GAN = Family(
    name="gan",
    summary="generative adversarial network: sharp samples, no likelihood and no encoder",
    citation="Goodfellow et al. 2014, Generative adversarial nets",
    options=GANOptions,
    build=build,
    objective=objective,
    recipes={
        "default": Recipe(
            "DCGAN, non-saturating loss, Adam 1e-3 with beta1 0.5, averaged generator",
            # fid_classifier of validation digits, one seed: 0.38 at 1e-3 after 14 epochs, 0.59 at 5e-4.
            {
                **_PLAYED,
                "width": 32,
                "learning_rate": 1e-3,
                "adam_beta1": 0.5,
                "ema": 0.998,
                "epochs": 25,
                "least_steps": 5000,
            },
        ),
        "document": Recipe(
            "the GAN note: fully connected, plain minimax, momentum",
            {
                **_PLAYED,
                "network": "mlp",
                "loss": "minimax",
                "optimiser": "sgd",
                "learning_rate": 0.02,
                "keep": "last",
                "epochs": 200,
            },
        ),
        "hinge": Recipe(
            "DCGAN, hinge loss, spectral normalisation",
            {
                **_PLAYED,
                "loss": "hinge",
                "normalise": "spectral",
                "learning_rate": 2e-4,
                "adam_beta1": 0.5,
                "epochs": 50,
            },
        ),
    },
)
