"""Tensors to tensors: networks never sample and know no loss. `NETWORKS` names the encoder-decoder pairs,
`CONDITIONAL_NETWORKS` the sets of networks of a conditional model, `GAN_NETWORKS` generators and discriminators."""

from collections.abc import Callable

from reparam.networks.adversarial import GAN_NETWORKS, GANNetworkOptions
from reparam.networks.conditional import CONDITIONAL_NETWORKS, ConditionalNetworkOptions, Shapes
from reparam.networks.convolutional import plain_pair
from reparam.networks.mlp import MLP, mlp_pair
from reparam.networks.pair import NetworkOptions, Pair
from reparam.networks.residual import residual_pair

NETWORKS: dict[str, Callable[[tuple[int, int, int], int, int, NetworkOptions], Pair]] = {
    "mlp": mlp_pair,
    "conv": plain_pair,
    "residual": residual_pair,
}

__all__ = [
    "CONDITIONAL_NETWORKS",
    "GAN_NETWORKS",
    "MLP",
    "NETWORKS",
    "ConditionalNetworkOptions",
    "GANNetworkOptions",
    "NetworkOptions",
    "Pair",
    "Shapes",
]
