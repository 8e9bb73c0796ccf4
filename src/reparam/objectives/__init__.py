"""Bounds and losses that several families share: what is minimised, for whom; terms per example, never reduced, never stepped."""

from reparam.core.objective import Objective, Player, Term, Terms
from reparam.objectives.adversarial import LOSSES
from reparam.objectives.autoencoding import Reconstruction
from reparam.objectives.classification import CrossEntropy, class_error
from reparam.objectives.ramp import ramp
from reparam.objectives.structured import MonteCarlo, StructuredPrediction
from reparam.objectives.variational import ELBO, ImportanceWeighted

__all__ = [
    "ELBO",
    "LOSSES",
    "CrossEntropy",
    "ImportanceWeighted",
    "MonteCarlo",
    "Objective",
    "Player",
    "Reconstruction",
    "StructuredPrediction",
    "Term",
    "Terms",
    "class_error",
    "ramp",
]
