"""p(z) that is fitted to the latents of images after training (`reparam.latent.prior_fitting` fits them).

Their numbers are buffers and frozen parameters, in float32: nothing trains them further.

Shapes: `K` latent, `M` components.
"""

import importlib.util
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MixtureSameFamily, MultivariateNormal

from reparam.core.conditional import Prior
from reparam.distributions import Affine, full_mixture, full_normal
from reparam.errors import ConfigError

FittedKind = Literal["gaussian", "mixture", "flow"]
FLOW = (4, 128)  # transforms, and the width of their two hidden layers


class FittedGaussian(Prior):
    """p(z) = N(loc, root root^T), batch shape [], event shape [K]."""

    factorises = False

    loc: Tensor
    root: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(latent))
        self.register_buffer("root", torch.eye(latent))

    def forward(self) -> MultivariateNormal:
        return full_normal(self.loc, self.root)


class FittedMixture(Prior):
    """p(z) = sum_m pi_m N(loc_m, root_m root_m^T), batch shape [], event shape [K].

    `components` stays 0: they divide the latents where that helps the density, and are no clusters that a model was trained to
    find.
    """

    factorises = False

    logits: Tensor
    loc: Tensor
    root: Tensor

    def __init__(self, latent: int, components: int) -> None:
        super().__init__()
        self.register_buffer("logits", torch.zeros(components))
        self.register_buffer("loc", torch.zeros(components, latent))
        self.register_buffer("root", torch.eye(latent).repeat(components, 1, 1))

    def forward(self) -> MixtureSameFamily:
        return full_mixture(self.logits, self.loc, self.root)


class FittedFlow(Prior):
    """p(z) by a masked autoregressive flow (Papamakarios et al. 2017; zuko's) around a full Gaussian: z = loc + root u, u ~ flow;
    batch shape [], event shape [K]. Raises ConfigError without zuko."""

    factorises = False

    loc: Tensor
    root: Tensor

    def __init__(self, latent: int, transforms: int, hidden: int) -> None:
        super().__init__()
        require_zuko()
        from zuko.flows import MAF

        self.register_buffer("loc", torch.zeros(latent))
        self.register_buffer("root", torch.eye(latent))
        self.flow: nn.Module = MAF(latent, transforms=transforms, hidden_features=(hidden, hidden))

    def forward(self) -> Distribution:
        return Affine(self.flow(), self.loc, self.root)


def require_zuko() -> None:
    """Raises ConfigError where it is not installed."""
    if importlib.util.find_spec("zuko") is None:
        raise ConfigError(
            "a normalising flow takes the package zuko, which is not installed: 'pip install zuko' (Reparam's extra 'flow'), or "
            "take another --kind"
        )


def unfitted(kind: FittedKind, latent: int, components: int, flow: tuple[int, int]) -> Prior:
    """A prior of the kind, whose numbers are still to be filled in. Raises ConfigError for a flow without zuko."""
    if kind == "gaussian":
        return FittedGaussian(latent)
    if kind == "mixture":
        return FittedMixture(latent, components)
    return FittedFlow(latent, *flow)
