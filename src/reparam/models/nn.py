"""The deterministic baseline of structured prediction: the first guess alone, p(x|c), every pixel by itself."""

from reparam.core.model import Model
from reparam.core.spec import Schedule, Spec
from reparam.models import conditional
from reparam.models.conditional import ConditionalOptions
from reparam.models.family import Family
from reparam.objectives import StructuredPrediction


def build(options: ConditionalOptions, spec: Spec) -> Model:
    parts = conditional.networks(options, spec)
    return Model(context=conditional.context(spec, parts, True), decoder=conditional.decoder(options, spec, None))


def objective(options: ConditionalOptions, schedule: Schedule) -> StructuredPrediction:
    return StructuredPrediction(None, None)


BASELINE = Family(
    name="nn",
    summary="deterministic baseline of structured prediction: one prediction, pixels independent",
    citation=conditional.PAPER,
    options=ConditionalOptions,
    build=build,
    objective=objective,
    recipes=conditional.recipes(latent=False),
    tasks=conditional.TASKS,
    task_recipes=conditional.TASK_RECIPES,
)
