"""Tensors to tensors: networks never sample and know no loss.

`NETWORKS`: encoder-decoder pairs, (image shape, K, P) -> Pair; `CONDITIONAL_NETWORKS`: the networks of a conditional model,
Shapes -> Parts; `GAN_NETWORKS`: generators and discriminators, (image shape, K) -> GANPair. Parameters that are annotated with a
`Field` are options of the models that offer the choice.

Shapes: `K` latent, `P` parameters of the likelihood a pixel.
"""

from collections.abc import Callable

from reparam.networks.adversarial import GAN_NETWORKS, PatchDiscriminator
from reparam.networks.conditional import CONDITIONAL_NETWORKS, Parts, Shapes
from reparam.networks.convolutional import plain_pair
from reparam.networks.mlp import MLP, mlp_pair
from reparam.networks.pair import Pair, last_layer
from reparam.networks.patches import patch_pair, patch_size
from reparam.networks.residual import residual_pair

NETWORKS: dict[str, Callable[..., Pair]] = {
    "mlp": mlp_pair,
    "conv": plain_pair,
    "residual": residual_pair,
    "patches": patch_pair,
}

__all__ = [
    "CONDITIONAL_NETWORKS",
    "GAN_NETWORKS",
    "MLP",
    "NETWORKS",
    "Pair",
    "Parts",
    "PatchDiscriminator",
    "Shapes",
    "last_layer",
    "patch_size",
]
