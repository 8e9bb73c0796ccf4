"""A VAE whose prior is a mixture: p(z) = sum_m pi_m N(mu_m, diag(sigma_m^2)), or the VampPrior."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Independent, Normal

from reparam.conditionals import MixturePrior, VampPrior
from reparam.core.callback import Callback
from reparam.core.model import Model
from reparam.core.spec import Schedule, Spec
from reparam.errors import ConfigError
from reparam.models import vae
from reparam.models.family import Family, Recipe
from reparam.objectives import ELBO, Clustering, Objective

PART = 500  # images that are encoded at one time


@dataclass(frozen=True)
class GMVAEOptions(vae.VAEOptions):
    """The VAE's options and those of its prior."""

    prior: Annotated[
        Literal["mixture", "vamp"],
        Field(description="Gaussians, or the encoder's posteriors of learned images (VampPrior)"),
    ] = "mixture"
    components: Annotated[int, Field(ge=1, description="of the mixture; learned images of the VampPrior")] = 10
    kl: Annotated[
        Literal["tight", "monte-carlo", "report"],
        Field(
            description="the KL to the mixture: its tight bound, estimated from the draws, or the VAE report's bound, which "
            "makes all components one"
        ),
    ] = "tight"
    spread: Annotated[float, Field(gt=0, description="standard deviation of the components' first means")] = 1.0
    place_after: Annotated[
        float,
        Field(
            ge=0,
            description="epochs under N(0, I), after which the components are placed where latents have clusters (0: they begin "
            "at random)",
        ),
    ] = 0.0
    agreement: Annotated[
        float,
        Field(
            ge=0, description="weight of the agreement of an image's component with that of its turned and bent copy"
        ),
    ] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.free_bits:
            raise ConfigError("free-bits floor each latent's KL, and a mixture has one for all: leave them out")
        if self.gradient == "path" and self.kl != "monte-carlo" and self.k == 1:
            raise ConfigError(
                "gradient 'path' goes through the draws, which a bound on the KL has not: take --kl monte-carlo"
            )
        if self.kl == "report" and self.k > 1:
            raise ConfigError("kl 'report' changes the ELBO and has no meaning with k > 1: drop one of them")
        if self.place_after and self.prior == "vamp":
            raise ConfigError("place-after places Gaussians, and the VampPrior's components are images: leave it out")
        if (self.agreement or self.place_after) and self.k > 1:
            raise ConfigError("agreement and place-after belong to the ELBO: leave --k out")


def build(options: GMVAEOptions, spec: Spec) -> Model:
    model = vae.build(options, spec)
    if options.prior == "vamp":
        model.prior = VampPrior(model.encoder, spec.image_shape, options.components)
    else:
        model.prior = MixturePrior(options.latent, options.components, options.spread)
    return model


def objective(options: GMVAEOptions, schedule: Schedule) -> Objective:
    bound = vae.objective(options, schedule, options.kl)
    if not (options.agreement or options.place_after):
        return bound
    assert isinstance(bound, ELBO)
    return Clustering(bound, schedule.at(options.place_after), options.agreement)


@dataclass(frozen=True)
class PlaceComponents(Callback):
    """Puts the mixture's components where the encoder's latents have clusters, after `epochs` epochs."""

    epochs: float
    components: int

    @property
    def best_from(self) -> int:
        """Validation measures the loss with the mixture, which is not minimised before."""
        return self.step + 1

    def check(self, steps: int, epochs: float, images: int) -> None:
        if self.step >= steps:
            raise ConfigError(
                f"place-after is {self.epochs:g} epochs, and training ends after {epochs:g}: train longer, or take less"
            )
        if self.components > images:
            raise ConfigError(
                f"place-after takes at least {self.components:,} training images, one a component, and has {images:,}: take "
                "fewer --components"
            )

    def act(self, model: Model, x: Tensor) -> None:
        found = [model.encoder(part) for part in x.split(PART)]
        loc, scale = (torch.cat([getattr(q_z.base_dist, name) for q_z in found]) for name in ("loc", "scale"))
        model.prior.place(Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False))


def callbacks(options: GMVAEOptions, schedule: Schedule) -> tuple[Callback, ...]:
    if not options.place_after:
        return ()
    return (PlaceComponents(schedule.at(options.place_after), options.place_after, options.components),)


GMVAE = Family(
    name="gmvae",
    summary="VAE with a mixture as its prior, or the VampPrior: better likelihood, and clusters without labels",
    citation="Dilokthanakul et al. 2016, Deep unsupervised clustering with Gaussian mixture variational autoencoders; Tomczak "
    "and Welling 2018, VAE with a VampPrior",
    options=GMVAEOptions,
    build=build,
    objective=objective,
    callbacks=callbacks,
    recipes={
        "default": Recipe("two hidden layers (512, 256), 20 latents, Bernoulli, 10 components, the tight bound"),
        "vamp": Recipe(
            "the VampPrior: 500 learned images, the KL estimated from the draws",
            {"prior": "vamp", "components": 500, "kl": "monte-carlo", "gradient": "path"},
        ),
        "clusters": Recipe(
            "10 latents, 10 components placed after 4 epochs of telling images by their turned, shifted and bent copies; "
            "from then on an image and its copy are to agree on a component",
            {
                "latent": 10,
                "place_after": 4.0,
                "agreement": 200.0,
                "batch_size": 256,
                "learning_rate": 2e-3,
                "keep": "last",
                "epochs": 16,
            },
        ),
    },
)
