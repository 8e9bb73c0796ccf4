"""What is minimised, for whom: terms per example, never reduced, never stepped."""

from reparam.core.objective import Objective, Player, Term, Terms
from reparam.objectives.adversarial import Adversarial
from reparam.objectives.autoencoding import Reconstruction
from reparam.objectives.classification import ISDA, ClassPreserving, CrossEntropy
from reparam.objectives.clustering import Clustering
from reparam.objectives.structured import MonteCarlo, StructuredPrediction
from reparam.objectives.variational import ELBO, ImportanceWeighted

__all__ = [
    "ELBO",
    "ISDA",
    "Adversarial",
    "ClassPreserving",
    "Clustering",
    "CrossEntropy",
    "ImportanceWeighted",
    "MonteCarlo",
    "Objective",
    "Player",
    "Reconstruction",
    "StructuredPrediction",
    "Term",
    "Terms",
]
