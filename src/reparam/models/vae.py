"""The variational autoencoder: q(z|x) = N(mu(x), diag(sigma(x)^2)), p(z) = N(0, I), p(x|z) by choice."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from reparam.conditionals import DiagonalNormal, StandardNormal
from reparam.core.model import Model
from reparam.core.options import InEpochs
from reparam.core.spec import Schedule, Spec
from reparam.errors import ConfigError
from reparam.models import ae
from reparam.models.ae import PHOTOS, PHOTOS_DOC, PHOTOS_RESIDUAL, PHOTOS_RESIDUAL_DOC, AutoencoderOptions, networks
from reparam.models.family import ENOUGH, Family, Recipe
from reparam.objectives import ELBO, ImportanceWeighted, Objective


@dataclass(frozen=True)
class VAEOptions(AutoencoderOptions):
    """The autoencoder's options and those of the bound."""

    beta: Annotated[float, Field(ge=0, description="weight of the KL term (1: the ELBO)")] = 1.0
    beta_warmup: Annotated[float, Field(ge=0, description="epochs over which beta rises from 0"), InEpochs] = 0.0
    free_bits: Annotated[float, Field(ge=0, description="nats of KL that each latent dimension has for free")] = 0.0
    samples: Annotated[int, Field(ge=1, description="posterior draws an image in training (the paper's L)")] = 1
    gradient: Annotated[
        Literal["analytic", "path"],
        Field(
            description="the encoder's: with the KL in closed form, or through the draws alone (less noise, k > 1 too)"
        ),
    ] = "analytic"
    k: Annotated[int, Field(ge=1, description="importance samples in the bound (1: the ELBO; Burda et al. 2016)")] = 1

    def __post_init__(self) -> None:
        elbo_only = {"beta": 1.0, "beta_warmup": 0.0, "free_bits": 0.0, "weight": 1.0}
        changed = [name for name, default in elbo_only.items() if getattr(self, name) != default]
        if self.k > 1 and changed:
            raise ConfigError(
                f"option '{changed[0]}' changes the ELBO and has no meaning with k = {self.k}: drop one of them"
            )

        if self.gradient == "path" and self.free_bits:
            raise ConfigError("free-bits floor the closed-form KL: use gradient 'analytic' with them")


def build(options: AutoencoderOptions, spec: Spec) -> Model:
    pair, decoder = networks(options, spec)
    return Model(
        encoder=DiagonalNormal(pair.encoder, pair.features, options.latent, ae.head(options, pair, 2 * options.latent)),
        prior=StandardNormal(options.latent),
        decoder=decoder,
    )


def objective(options: VAEOptions, schedule: Schedule, kl: str = "closed") -> Objective:
    if options.k > 1:
        return ImportanceWeighted(options.k, options.samples, path=options.gradient == "path")
    return ELBO(
        beta=options.beta,
        warmup=options.beta_warmup * schedule.steps_per_epoch,
        free_bits=options.free_bits,
        samples=options.samples,
        weight=options.weight,
        path=options.gradient == "path",
        kl=kl,
    )


def _report(doc: str, **options: Any) -> Recipe:
    return Recipe(f"the VAE report's {doc}, two latents", {"latent": 2, "epochs": 60, **options})


VAE = Family(
    name="vae",
    summary="variational autoencoder: a density over images, latents to sample from",
    citation="Kingma and Welling 2014, Auto-encoding variational Bayes",
    options=VAEOptions,
    build=build,
    objective=objective,
    callbacks=ae.callbacks,
    recipes={
        "default": Recipe(
            "two hidden layers (512, 256), 20 latents, Bernoulli, cosine schedule, best on validation", ENOUGH
        ),
        "notes": Recipe(
            "the VAE notes: 784-400-20-400-784, Bernoulli on grey values, batch 128, Adam 1e-3, all training images",
            {
                "hidden": (400,),
                "latent": 20,
                "batch_size": 128,
                "learning_rate": 1e-3,
                "adam_beta2": 0.99,
                "schedule": "constant",
                "train_on": "all",
                "gradient": "path",
                "keep": "ema",
                "epochs": 10,
            },
        ),
        # Large steps, and no longer: on validation digits 30 epochs end at 148.26, 100 at 148.24; a tenth of the rate at 149.77.
        "report-1": _report("structure (1): 784-400-z", hidden=(400,), learning_rate=1e-2, epochs=30),
        "report-2": _report("structure (2): 784-512-256-z", hidden=(512, 256)),
        "report-3": _report("structure (3): 784-512-256-128-z", hidden=(512, 256, 128)),
        "report-4": _report("structure (4): two stride-2 convolutions", network="conv"),
        "iwae": Recipe(
            "the IWAE paper's network: two layers of 200 tanh units, 50 latents, dynamic binarisation, all training images; --k "
            "for its bound",
            {
                "hidden": (200, 200),
                "activation": "tanh",
                "latent": 50,
                "binarise": "dynamic",
                "gradient": "path",
                "learning_rate": 3e-3,
                "batch_size": 100,
                "train_on": "all",
                "keep": "last",
                "epochs": 200,
            },
        ),
        "photos": Recipe(PHOTOS_DOC, PHOTOS),
        "photos-residual": Recipe(f"{PHOTOS_RESIDUAL_DOC} (photos of the first version)", PHOTOS_RESIDUAL),
    },
    photographs="photos",
)
