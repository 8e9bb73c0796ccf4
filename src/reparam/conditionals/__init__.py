"""Modules whose forward returns a distribution: encoders' heads, likelihoods, priors; and the context that they are given."""

from reparam.conditionals.context import Context, Given
from reparam.conditionals.encoders import ConditionalNormal, DiagonalNormal, Point
from reparam.conditionals.likelihoods import LIKELIHOODS, LabelMapLikelihood, Likelihood
from reparam.conditionals.priors import BinaryPrior, ConditionalPrior, StandardNormal

__all__ = [
    "LIKELIHOODS",
    "BinaryPrior",
    "ConditionalNormal",
    "ConditionalPrior",
    "Context",
    "DiagonalNormal",
    "Given",
    "LabelMapLikelihood",
    "Likelihood",
    "Point",
    "StandardNormal",
]
