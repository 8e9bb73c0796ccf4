"""Families of models. To add one: a file here and a line in `MODELS`."""

from reparam.models.autoencoder import AUTOENCODER, DENOISING_AUTOENCODER
from reparam.models.classifier import CLASSIFIER
from reparam.models.family import Family, Recipe, Schedule, Spec
from reparam.models.model import Model
from reparam.models.vae import VAE

MODELS: dict[str, Family] = {
    "ae": AUTOENCODER,
    "dae": DENOISING_AUTOENCODER,
    "vae": VAE,
    "classifier": CLASSIFIER,
}

__all__ = ["MODELS", "Family", "Model", "Recipe", "Schedule", "Spec"]
