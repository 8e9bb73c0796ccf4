"""Modules whose forward returns a distribution: encoders' heads, likelihoods, priors."""

from reparam.conditionals.encoders import DiagonalNormal, Point
from reparam.conditionals.likelihoods import LIKELIHOODS, Likelihood
from reparam.conditionals.priors import StandardNormal

__all__ = ["LIKELIHOODS", "DiagonalNormal", "Likelihood", "Point", "StandardNormal"]
