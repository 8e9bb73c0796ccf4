"""CVAE and GSNN together: alpha times the bound, 1 - alpha times the Monte Carlo likelihood."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from reparam.core.model import Model
from reparam.core.spec import Schedule, Spec
from reparam.errors import ConfigError
from reparam.models import conditional
from reparam.models.conditional import PriorDrawsOptions
from reparam.models.cvae import CVAEOptions, elbo
from reparam.models.family import Family
from reparam.objectives import MonteCarlo, StructuredPrediction


@dataclass(frozen=True)
class HybridOptions(PriorDrawsOptions, CVAEOptions):
    """Of both."""

    alpha: Annotated[float, Field(ge=0, le=1, description="weight of the CVAE's bound; 1 - alpha is the GSNN's")] = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha == 0 and self.samples > 1:
            raise ConfigError(
                "samples are draws for the CVAE's bound, whose weight alpha is 0: leave --samples out, or raise --alpha"
            )
        if self.alpha == 1 and self.average != "likelihood":
            raise ConfigError(
                "average is of the GSNN's draws, whose weight 1 - alpha is 0: leave --average out, or lower --alpha"
            )


def build(options: HybridOptions, spec: Spec) -> Model:
    """At alpha = 0 nothing would train a recognition network, and there is none."""
    return conditional.build(options, spec, recognition=options.alpha > 0)


def objective(options: HybridOptions, schedule: Schedule) -> StructuredPrediction:
    bound = elbo(options, schedule) if options.alpha > 0 else None
    monte_carlo = MonteCarlo(options.prior_draws, options.average) if options.alpha < 1 else None
    return StructuredPrediction(bound, monte_carlo, options.alpha, options.guess_weight)


HYBRID = Family(
    name="hybrid",
    summary="CVAE and GSNN together: alpha times the bound, 1 - alpha times the Monte Carlo likelihood",
    citation=conditional.PAPER,
    options=HybridOptions,
    build=build,
    objective=objective,
    recipes=conditional.recipes(beta_warmup=10.0),
    tasks=conditional.TASKS,
    task_recipes=conditional.TASK_RECIPES,
)
