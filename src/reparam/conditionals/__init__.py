"""Modules whose forward returns a distribution: encoders' heads, likelihoods, priors; and the context that they are given."""

from reparam.conditionals.adversarial import Discriminator, Generator
from reparam.conditionals.classes import ClassCovariance, LinearClass
from reparam.conditionals.context import Context, ContextOutput
from reparam.conditionals.encoders import ConditionalNormal, DiagonalNormal, Point
from reparam.conditionals.likelihoods import LIKELIHOODS, LabelMapLikelihood, Likelihood
from reparam.conditionals.priors import BinaryPrior, ConditionalPrior, MixturePrior, StandardNormal, VampPrior

__all__ = [
    "LIKELIHOODS",
    "BinaryPrior",
    "ClassCovariance",
    "ConditionalNormal",
    "ConditionalPrior",
    "Context",
    "ContextOutput",
    "DiagonalNormal",
    "Discriminator",
    "Generator",
    "LabelMapLikelihood",
    "Likelihood",
    "LinearClass",
    "MixturePrior",
    "Point",
    "StandardNormal",
    "VampPrior",
]
