"""GAN: a generator without an encoder, against a discriminator."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from reparam.conditionals import Discriminator, Generator, StandardNormal
from reparam.core.model import Model
from reparam.core.spec import Schedule, Spec
from reparam.models.family import Family, Recipe
from reparam.networks import GAN_NETWORKS, GANNetworkOptions
from reparam.objectives import Adversarial


@dataclass(frozen=True)
class GANOptions(GANNetworkOptions):
    """Latent and loss."""

    latent: Annotated[int, Field(ge=1, description="size of z")] = 64
    loss: Annotated[
        Literal["non-saturating", "minimax", "hinge"], Field(description="what the two players minimise")
    ] = "non-saturating"
    discriminator_steps: Annotated[
        int, Field(ge=1, description="the discriminator's steps for each of the generator's (the paper's k)")
    ] = 1
    r1: Annotated[float, Field(ge=0, description="weight of the discriminator's squared slope at real images")] = 0.0


def build(options: GANOptions, spec: Spec) -> Model:
    """G: z -> x, D: x -> probability."""
    pair = GAN_NETWORKS[options.network](spec.image_shape, options.latent, options)
    return Model(
        prior=StandardNormal(options.latent),
        decoder=Generator(pair.generator),
        discriminator=Discriminator(pair.discriminator),
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
            {**_PLAYED, "width": 32, "learning_rate": 1e-3, "adam_beta1": 0.5, "ema": 0.998, "epochs": 25},
        ),
        "document": Recipe(
            "document 004: fully connected, plain minimax, momentum",
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
