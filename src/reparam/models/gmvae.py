"""A VAE whose prior is a mixture: p(z) = sum_m pi_m N(mu_m, diag(sigma_m^2)), or the VampPrior."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from reparam.conditionals import MixturePrior, VampPrior
from reparam.errors import ConfigError
from reparam.models import vae
from reparam.models.family import Family, Recipe, Schedule, Spec
from reparam.models.model import Model
from reparam.objectives import Objective


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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.free_bits:
            raise ConfigError("free-bits floor each latent's KL, and a mixture has one for all: leave them out")
        if self.gradient == "path" and self.kl != "monte-carlo" and self.k == 1:
            raise ConfigError(
                "gradient 'path' goes through the draws, which a bound on the KL has not: take --kl monte-carlo"
            )


def build(options: GMVAEOptions, spec: Spec) -> Model:
    model = vae.build(options, spec)
    if options.prior == "vamp":
        model.prior = VampPrior(model.encoder, spec.image_shape, options.components)
    else:
        model.prior = MixturePrior(options.latent, options.components, options.spread)
    return model


def objective(options: GMVAEOptions, schedule: Schedule) -> Objective:
    return vae.objective(options, schedule, options.kl)


GMVAE = Family(
    name="gmvae",
    summary="VAE with a mixture as its prior, or the VampPrior: better likelihood, and clusters without labels",
    citation="Dilokthanakul et al. 2016, Deep unsupervised clustering with Gaussian mixture variational autoencoders; Tomczak "
    "and Welling 2018, VAE with a VampPrior",
    options=GMVAEOptions,
    build=build,
    objective=objective,
    recipes={
        "default": Recipe("two hidden layers (512, 256), 20 latents, Bernoulli, 10 components, the tight bound"),
        "vamp": Recipe(
            "the VampPrior: 500 learned images, the KL estimated from the draws",
            {"prior": "vamp", "components": 500, "kl": "monte-carlo", "gradient": "path"},
        ),
    },
)
