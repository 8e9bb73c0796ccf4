"""Families of models. To add one: a file here and a line in `MODELS`."""

from reparam.core.model import Model
from reparam.core.spec import Schedule, Spec
from reparam.models.autoencoder import AUTOENCODER, DENOISING_AUTOENCODER
from reparam.models.classifier import CLASSIFIER, ISDA_CLASSIFIER
from reparam.models.family import Family, Recipe
from reparam.models.gan import GAN
from reparam.models.gmvae import GMVAE
from reparam.models.gvae import GVAE
from reparam.models.structured import BASELINE, CVAE, GSNN, HYBRID, SFNN
from reparam.models.vae import VAE

MODELS: dict[str, Family] = {
    "ae": AUTOENCODER,
    "dae": DENOISING_AUTOENCODER,
    "vae": VAE,
    "gmvae": GMVAE,
    "cvae": CVAE,
    "gsnn": GSNN,
    "hybrid": HYBRID,
    "sfnn": SFNN,
    "nn": BASELINE,
    "gvae": GVAE,
    "gan": GAN,
    "classifier": CLASSIFIER,
    "isda": ISDA_CLASSIFIER,
}

__all__ = ["MODELS", "Family", "Model", "Recipe", "Schedule", "Spec"]
