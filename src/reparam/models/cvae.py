"""The conditional VAE: q(z|x, c), p(z|c), p(x|z, c)."""

from dataclasses import dataclass

from reparam.core.model import Model
from reparam.core.spec import Schedule, Spec
from reparam.models import conditional
from reparam.models.conditional import BoundOptions, NormalPriorOptions
from reparam.models.family import Family
from reparam.objectives import ELBO, StructuredPrediction


@dataclass(frozen=True)
class CVAEOptions(BoundOptions, NormalPriorOptions):
    """Of a conditional VAE."""


def build(options: CVAEOptions, spec: Spec) -> Model:
    return conditional.build(options, spec, recognition=True)


def elbo(options: BoundOptions, schedule: Schedule) -> ELBO:
    warmup = options.beta_warmup * schedule.steps_per_epoch
    return ELBO(beta=1 + options.beta, warmup=warmup, free_bits=options.free_bits, samples=options.samples)


def objective(options: CVAEOptions, schedule: Schedule) -> StructuredPrediction:
    return StructuredPrediction(elbo(options, schedule), None, 1.0, options.guess_weight)


CVAE = Family(
    name="cvae",
    summary="conditional VAE: completes, segments or makes images of a class, with as many different predictions as you draw",
    citation=conditional.PAPER,
    options=CVAEOptions,
    build=build,
    objective=objective,
    recipes=conditional.recipes(beta_warmup=10.0),
    tasks=conditional.TASKS,
    task_recipes=conditional.TASK_RECIPES,
)
