"""What `torch.distributions` lacks: a continuous Bernoulli for any logit, points, mass on integer levels, label maps, partly
known images, Gaussians with a full covariance, divergences from mixtures, and sampling with a generator."""

from reparam.distributions.bernoulli import Bernoulli
from reparam.distributions.continuous_bernoulli import ContinuousBernoulli
from reparam.distributions.default_generator import default_generators, default_generators_kept
from reparam.distributions.delta import Delta
from reparam.distributions.gaussians import Affine, full_mixture, full_normal
from reparam.distributions.isda import isda_bound
from reparam.distributions.mixtures import (
    kl_at,
    log_responsibilities,
    mixture,
    monte_carlo_kl,
    paired_kl,
    report_kl,
    responsibilities,
    tight_kl,
)
from reparam.distributions.partial import IGNORED, Completion, PixelCategorical, pick, prediction
from reparam.distributions.quantised import DiscretisedLogistic
from reparam.distributions.sampling import detached, drawn_by, keyed_generator, rsample, with_parameters

__all__ = [
    "IGNORED",
    "Affine",
    "Bernoulli",
    "Completion",
    "ContinuousBernoulli",
    "Delta",
    "DiscretisedLogistic",
    "PixelCategorical",
    "default_generators",
    "default_generators_kept",
    "detached",
    "drawn_by",
    "full_mixture",
    "full_normal",
    "isda_bound",
    "keyed_generator",
    "kl_at",
    "log_responsibilities",
    "mixture",
    "monte_carlo_kl",
    "paired_kl",
    "pick",
    "prediction",
    "report_kl",
    "responsibilities",
    "rsample",
    "tight_kl",
    "with_parameters",
]
