"""The denoising autoencoder: an autoencoder from noisy images to clean ones (the task `denoising`)."""

from reparam.models.ae import AutoencoderOptions, build, callbacks, objective
from reparam.models.family import ENOUGH, Family, Recipe

DENOISING_AUTOENCODER = Family(
    name="dae",
    summary="denoising autoencoder: noisy images in, clean ones out",
    citation="Vincent et al. 2008, Extracting and composing robust features with denoising autoencoders",
    options=AutoencoderOptions,
    build=build,
    objective=objective,
    callbacks=callbacks,
    recipes={
        "default": Recipe(
            "as the autoencoder's, with Gaussian noise of 0.3 on the input", {**ENOUGH, "task": "denoising"}
        ),
        "masking": Recipe(
            "a quarter of the pixels set to zero on the input, as in the paper",
            {**ENOUGH, "task": "denoising", "corruption": "mask", "noise": 0.25},
        ),
    },
    tasks=("denoising",),
)
