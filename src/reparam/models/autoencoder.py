"""Autoencoders: an encoder to a point, a decoder, no prior; and the denoising one."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from reparam.conditionals import LIKELIHOODS, Point
from reparam.core.model import Model
from reparam.core.spec import Schedule, Spec
from reparam.models.family import Family, Recipe
from reparam.networks import NETWORKS, NetworkOptions
from reparam.objectives import Reconstruction

LikelihoodName = Literal[*LIKELIHOODS]  # type: ignore[valid-type]


@dataclass(frozen=True)
class AutoencoderOptions(NetworkOptions):
    """Latent, likelihood and the weight of the reconstruction."""

    latent: Annotated[int, Field(ge=1, description="size of z")] = 20
    likelihood: Annotated[LikelihoodName, Field(description="p(x|z)")] = "bernoulli"
    scale: Annotated[float, Field(gt=0, description="scale of gaussian and laplace; where gaussian-learned starts")] = (
        1.0
    )
    weight: Annotated[float, Field(gt=0, description="the VAE report's c, a factor on the reconstruction")] = 1.0


def build(options: AutoencoderOptions, spec: Spec) -> Model:
    """f: x -> z, g: z -> p(x|z)."""
    likelihood = LIKELIHOODS[options.likelihood]
    pair = NETWORKS[options.network](spec.image_shape, options.latent, likelihood.parameters_per_pixel, options)
    return Model(
        encoder=Point(pair.encoder, pair.features, options.latent),
        decoder=likelihood(pair.decoder, options.scale),
        point_encoder=True,
    )


def objective(options: AutoencoderOptions, schedule: Schedule) -> Reconstruction:
    return Reconstruction(options.weight)


_NOTES = {"hidden": (400,), "latent": 20, "schedule": "constant", "train_on": "all", "keep": "last"}

PHOTOS = {
    "network": "residual",
    "activation": "silu",
    "width": 16,
    "latent": 64,
    "likelihood": "gaussian-learned",
    "scale": 0.1,
    "batch_size": 32,
    "clip": 100.0,
    "epochs": 150,
    "patience": 20,
}

AUTOENCODER = Family(
    name="ae",
    summary="autoencoder: images to points and back; dimension reduction and compression",
    citation="Hinton and Salakhutdinov 2006, Reducing the dimensionality of data with neural networks",
    options=AutoencoderOptions,
    build=build,
    objective=objective,
    recipes={
        "default": Recipe("two hidden layers (512, 256), 20 latents, Bernoulli, cosine schedule"),
        "notes": Recipe("the VAE notes' network 784-400-20-400-784 without its noise, on all training images", _NOTES),
        "photos": Recipe(
            "residual network for photographs of 28 to 128 pixels, Gaussian with a learned scale; stops on validation",
            PHOTOS,
        ),
    },
)

DENOISING_AUTOENCODER = Family(
    name="dae",
    summary="denoising autoencoder: noisy images in, clean ones out",
    tasks=("denoising",),
    citation="Vincent et al. 2008, Extracting and composing robust features with denoising autoencoders",
    options=AutoencoderOptions,
    build=build,
    objective=objective,
    recipes={
        "default": Recipe("as the autoencoder's, with Gaussian noise of 0.3 on the input", {"task": "denoising"}),
        "masking": Recipe(
            "a quarter of the pixels set to zero on the input, as in the paper",
            {"task": "denoising", "corruption": "mask", "noise": 0.25},
        ),
    },
)
