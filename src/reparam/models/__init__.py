"""Families of models. To add one: a file here and a line in `MODELS`."""

from reparam.core.model import Model
from reparam.core.spec import Schedule, Spec
from reparam.models.ae import AUTOENCODER
from reparam.models.classifier import CLASSIFIER
from reparam.models.cvae import CVAE
from reparam.models.dae import DENOISING_AUTOENCODER
from reparam.models.family import Family, Recipe
from reparam.models.gan import GAN
from reparam.models.gmvae import GMVAE
from reparam.models.gsnn import GSNN
from reparam.models.gvae import GVAE
from reparam.models.hybrid import HYBRID
from reparam.models.isda import ISDA_CLASSIFIER
from reparam.models.nn import BASELINE
from reparam.models.sfnn import SFNN
from reparam.models.vae import VAE
from reparam.models.vaegan import VAEGAN

MODELS: dict[str, Family] = {
    "ae": AUTOENCODER,
    "dae": DENOISING_AUTOENCODER,
    "vae": VAE,
    "vaegan": VAEGAN,
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
