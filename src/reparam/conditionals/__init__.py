"""Parts that several families share: encoders, priors, likelihoods, and the linear classifier of a latent."""

from reparam.conditionals.classes import LinearClass, linear_head
from reparam.conditionals.encoders import ConditionalNormal, DiagonalNormal, Point
from reparam.conditionals.fitted import (
    FLOW,
    FittedFlow,
    FittedGaussian,
    FittedKind,
    FittedMixture,
    require_zuko,
    unfitted,
)
from reparam.conditionals.likelihoods import LIKELIHOODS, LabelMapLikelihood, Likelihood
from reparam.conditionals.priors import ConditionalPrior, StandardNormal

__all__ = [
    "FLOW",
    "LIKELIHOODS",
    "ConditionalNormal",
    "ConditionalPrior",
    "DiagonalNormal",
    "FittedFlow",
    "FittedGaussian",
    "FittedKind",
    "FittedMixture",
    "LabelMapLikelihood",
    "Likelihood",
    "LinearClass",
    "Point",
    "StandardNormal",
    "linear_head",
    "require_zuko",
    "unfitted",
]
