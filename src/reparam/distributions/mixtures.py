r"""Mixtures of Gaussians, and the divergence of a Gaussian, or of another mixture, from one: p(z) = sum_m pi_m p_m(z).

KL(q || p) has no closed form, but bounds from above that do. Of a Gaussian q, in the KL_m = KL(q || p_m) to each component:

    KL  <=  `tight` = -log sum_m pi_m exp(-KL_m)  <=  `report` = 1/M sum_m (KL_m - log(M pi_m))

Of a mixture q `paired_kl`, of which `report` is the case of M equal components.

Shapes: `B` batch, `M` components, `K` latent, `L` draws.
"""

import math

from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal, kl_divergence

from reparam.errors import ReparamError


def mixture(logits: Tensor, loc: Tensor, scale: Tensor) -> MixtureSameFamily:
    """sum_m softmax(logits)_m N(loc_m, diag(scale_m^2)); logits [..., M], loc and scale [..., M, K]."""
    return MixtureSameFamily(
        Categorical(logits=logits, validate_args=False),
        Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False),
        validate_args=False,
    )


def component_kl(q_z: Independent, p_z: MixtureSameFamily) -> Tensor:
    """KL(q || p_m) to each component in closed form, [B, M], in nats."""
    normal = q_z.base_dist
    each = Independent(Normal(normal.loc.unsqueeze(-2), normal.scale.unsqueeze(-2), validate_args=False), 1, False)
    return kl_divergence(each, p_z.component_distribution)


def _log_joint(q_z: Independent, p_z: MixtureSameFamily) -> Tensor:
    """log pi_m - KL(q || p_m), [B, M]."""
    return p_z.mixture_distribution.logits - component_kl(q_z, p_z)


def tight_kl(q_z: Independent, p_z: MixtureSameFamily) -> Tensor:
    r"""-log sum_m pi_m exp(-KL(q || p_m)), [B]: the variational bound of Hershey and Olsen 2007 (eq. 18), for one Gaussian q.

    Never below KL(q || p); equal to it iff all components that have weight coincide q-almost everywhere (so for one component).
    """
    return -_log_joint(q_z, p_z).logsumexp(-1)


def report_kl(q_z: Independent, p_z: MixtureSameFamily) -> Tensor:
    r"""1/M sum_m (KL(q || p_m) - log(M pi_m)), [B] (the VAE report, eq. 16).

    A bound too, never below `tight_kl` and equal to it iff pi_m exp(-KL_m) is the same for all m; infinite where a weight is 0.
    Every component is asked to be near every q, so components that are learned all become the same one.
    """
    log_joint = _log_joint(q_z, p_z)
    return -log_joint.mean(-1) - math.log(log_joint.shape[-1])


def paired_kl(q_z: MixtureSameFamily, p_z: MixtureSameFamily) -> Tensor:
    r"""sum_m a_m log(a_m / pi_m) + sum_m a_m KL(q_m || p_m), q = sum_m a_m q_m and p = sum_m pi_m p_m, [B], in nats.

    The VAE report's eq. 15. (One line of it has the components of q in place of those of p.) The bound is never below KL(q || p),
    by the log-sum inequality (Do 2003). It equals KL(q || p) if and only if a_m q_m(z) / (pi_m p_m(z)) is the same for all m at
    almost every z under q. This holds for one component, and where p = q component by component. Components are paired by their
    number, so that another order gives another bound. It is infinite where a component of q has weight and that of p has none.

    Weights [M] or [B, M], components of batch shape [M] or [B, M]. Raises ReparamError where q has another number of them.
    """
    counts = [one.mixture_distribution.logits.shape[-1] for one in (q_z, p_z)]
    if counts[0] != counts[1]:
        raise ReparamError(
            f"mixtures of {counts[0]} and {counts[1]} components cannot be paired: repeat components, and divide their weights"
        )
    weights, each = q_z.mixture_distribution, kl_divergence(q_z.component_distribution, p_z.component_distribution)
    return kl_divergence(weights, p_z.mixture_distribution) + (weights.probs * each).sum(-1)


def log_responsibilities(q_z: Independent, p_z: MixtureSameFamily) -> Tensor:
    """log q(m|x), [B, M]: see `responsibilities`."""
    return _log_joint(q_z, p_z).log_softmax(-1)


def responsibilities(q_z: Independent, p_z: MixtureSameFamily) -> Tensor:
    """softmax_m(log pi_m - KL(q || p_m)), [B, M]: the weights with which `tight_kl` is attained, q(m|x). Of a point (scales near
    0) the posterior p(m|z)."""
    return _log_joint(q_z, p_z).softmax(-1)


def kl_at(q_z: Distribution, p_z: Distribution, z: Tensor) -> Tensor:
    """KL(q || p), [B]: in closed form where torch knows one (of Gaussians, also to one with a full covariance), else, as to a
    mixture or a flow, the mean of log q(z) - log p(z) over draws z of q, [B, K] or [L, B, K]."""
    try:
        return kl_divergence(q_z, p_z)
    except NotImplementedError:
        return monte_carlo_kl(q_z, p_z, z)


def monte_carlo_kl(q_z: Distribution, p_z: Distribution, z: Tensor) -> Tensor:
    """The mean of log q(z) - log p(z) over draws z of q, [B, K] or [L, B, K]: [B], without bias."""
    ratio = q_z.log_prob(z) - p_z.log_prob(z)
    return ratio if z.dim() == 2 else ratio.mean(0)
