"""The stochastic feed-forward network: binary latents, trained by generalised EM.

Shapes: `B` batch, `F` features, `K` latent.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import nn
from torch.distributions import Independent

from reparam.core.conditional import Prior
from reparam.core.context import ContextOutput
from reparam.core.model import Model
from reparam.core.spec import Schedule, Spec
from reparam.distributions import Bernoulli
from reparam.models import conditional
from reparam.models.conditional import LatentOptions
from reparam.models.family import Family
from reparam.objectives import MonteCarlo, StructuredPrediction


class BinaryPrior(Prior):
    """p(z|c) over z in {0, 1}^K, independent, batch shape [B], event shape [K] (Tang and Salakhutdinov 2013)."""

    def __init__(self, network: nn.Module, features: int, latent: int) -> None:
        super().__init__()
        self.network = network
        self.head = nn.Linear(features, latent)

    def forward(self, context: ContextOutput) -> Independent:
        logits = self.head(self.network(context.features, context.hint)).float()
        return Independent(Bernoulli(logits), 1, validate_args=False)


@dataclass(frozen=True)
class SFNNOptions(LatentOptions):
    """Of a stochastic feed-forward network with binary latents."""

    prior_draws: Annotated[int, Field(ge=2, description="draws of p(z|c) an image in training (the paper's M)")] = 10


def build(options: SFNNOptions, spec: Spec) -> Model:
    parts = conditional.networks(options, spec, options.latent)
    prior = BinaryPrior(*parts.prior(options.first_guess), options.latent)
    return Model(
        context=conditional.context(spec, parts, options.first_guess),
        prior=prior,
        decoder=conditional.decoder(options, spec, parts.generation()),
    )


def objective(options: SFNNOptions, schedule: Schedule) -> StructuredPrediction:
    return StructuredPrediction(None, MonteCarlo(options.prior_draws), 0.0, options.guess_weight)


SFNN = Family(
    name="sfnn",
    summary="stochastic feed-forward network: binary latents, trained by generalised EM",
    citation="Tang and Salakhutdinov 2013, Learning stochastic feedforward neural networks",
    options=SFNNOptions,
    build=build,
    objective=objective,
    recipes=conditional.recipes(epochs=20),
    tasks=conditional.TASKS,
    task_recipes=conditional.TASK_RECIPES,
)
