r"""Gaussians with a full covariance, N(mu, R R^T) with R lower triangular, as torch's MultivariateNormal.

Shapes: `B` batch, `K` latent, `M` components.
"""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    constraints,
)
from torch.distributions.kl import register_kl

from reparam.distributions.sampling import with_parameters


def full_normal(loc: Tensor, root: Tensor) -> MultivariateNormal:
    """N(loc, root root^T); loc [..., K], root [..., K, K] lower triangular."""
    return MultivariateNormal(loc, scale_tril=root, validate_args=False)


def full_mixture(logits: Tensor, loc: Tensor, root: Tensor) -> MixtureSameFamily:
    """sum_m softmax(logits)_m N(loc_m, root_m root_m^T); logits [M], loc [M, K], root [M, K, K]."""
    weights = Categorical(logits=logits, validate_args=False)
    return MixtureSameFamily(weights, full_normal(loc, root), validate_args=False)


@with_parameters.register
def _(distribution: MultivariateNormal, change: Any) -> Distribution:
    """By the root alone: torch's class takes one of three ways to say the covariance, and has computed others since."""
    return full_normal(change(distribution.loc), change(distribution.scale_tril))


@register_kl(Independent, MultivariateNormal)
def diagonal_to_full_kl(q: Independent, p: MultivariateNormal) -> Tensor:
    r"""KL(N(mu, diag s^2) || N(m, R R^T)), [B], in closed form: with P = (R R^T)^-1

        1/2 (sum_k s_k^2 P_kk + |R^-1 (mu - m)|^2 - K) + sum_k log R_kk - sum_k log s_k

    Raises NotImplementedError, as torch does for what has no closed form, where q is no normal over one dimension.
    """
    if not isinstance(q.base_dist, Normal) or q.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    loc, scale, root = q.base_dist.loc, q.base_dist.scale, p.scale_tril
    identity = torch.eye(root.shape[-1], dtype=root.dtype, device=root.device)
    inverse = torch.linalg.solve_triangular(root, identity, upper=False)
    spread = (scale.square() * inverse.square().sum(-2)).sum(-1)
    apart = torch.linalg.solve_triangular(root.mT, (loc - p.loc)[..., None, :], upper=True, left=False)
    distance = apart.square().sum((-2, -1))
    logs = root.diagonal(dim1=-2, dim2=-1).log().sum(-1) - scale.log().sum(-1)
    return 0.5 * (spread + distance - loc.shape[-1]) + logs


class Affine(Distribution):
    """z = loc + root u of u ~ base, batch shape [], event shape [K]; root [K, K] lower triangular, its diagonal positive.

    log p(z) = log p_u(root^-1 (z - loc)) - sum_k log root_kk, in the parameters' own precision also under autocast.
    """

    arg_constraints = {"loc": constraints.real, "root": constraints.lower_triangular}  # noqa: RUF012  (torch's protocol)
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, base: Distribution, loc: Tensor, root: Tensor) -> None:
        self.base, self.loc, self.root = base, loc, root
        super().__init__(torch.Size(), loc.shape, validate_args=False)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.loc + self.base.rsample(sample_shape) @ self.root.mT

    def whitened(self, z: Tensor) -> Tensor:
        """u of z [..., K]."""
        flat = (z - self.loc).reshape(-1, self.loc.shape[-1])
        return torch.linalg.solve_triangular(self.root.mT, flat, upper=True, left=False).view(z.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        with torch.autocast(value.device.type, enabled=False):
            return self.base.log_prob(self.whitened(value.to(self.loc.dtype))) - self.root.diagonal().log().sum()
