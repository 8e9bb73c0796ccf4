"""The Gaussian stochastic neural network: trained as it predicts, with latents drawn from p(z|c)."""

from dataclasses import dataclass

from reparam.core.model import Model
from reparam.core.spec import Schedule, Spec
from reparam.models import conditional
from reparam.models.conditional import NormalPriorOptions, PriorDrawsOptions
from reparam.models.family import Family
from reparam.objectives import MonteCarlo, StructuredPrediction


@dataclass(frozen=True)
class GSNNOptions(PriorDrawsOptions, NormalPriorOptions):
    """Of a Gaussian stochastic neural network."""


def build(options: GSNNOptions, spec: Spec) -> Model:
    return conditional.build(options, spec, recognition=False)


def objective(options: GSNNOptions, schedule: Schedule) -> StructuredPrediction:
    return StructuredPrediction(None, MonteCarlo(options.prior_draws, options.average), 0.0, options.guess_weight)


GSNN = Family(
    name="gsnn",
    summary="Gaussian stochastic neural network: trained as it predicts, with latents from p(z|c)",
    citation=conditional.PAPER,
    options=GSNNOptions,
    build=build,
    objective=objective,
    recipes=conditional.recipes(),
    tasks=conditional.TASKS,
    task_recipes=conditional.TASK_RECIPES,
)
