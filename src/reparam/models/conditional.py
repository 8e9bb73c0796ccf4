"""What the conditional families share: p(x|c), x the target image or label map, c what is known of it (Sohn, Lee and Yan 2015).

The deterministic baseline, the GSNN, the CVAE, their hybrid and the SFNN differ in which networks they have and in the objective.
In the paper's letters c is x, x is y, and q(z|x, c), p(z|c), p(x|z, c) are the recognition, prior and generation networks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor, sigmoid

from reparam.conditionals import (
    LIKELIHOODS,
    ConditionalNormal,
    ConditionalPrior,
    LabelMapLikelihood,
    Likelihood,
    StandardNormal,
)
from reparam.core.conditional import Prior
from reparam.core.context import ContextNetwork
from reparam.core.model import Model
from reparam.core.options import InEpochs, choice, options_of, part
from reparam.core.spec import Spec
from reparam.errors import ConfigError
from reparam.models.family import ENOUGH, Recipe
from reparam.networks import CONDITIONAL_NETWORKS, Parts, Shapes

TASKS = ("quadrants", "half", "boxes", "segmentation", "labelled")
PAPER = "Sohn, Lee and Yan 2015, Learning structured output representation using deep conditional generative models"


@dataclass(frozen=True)
class ConditionalOptions(options_of(CONDITIONAL_NETWORKS, LIKELIHOODS)):  # type: ignore[misc]
    """Networks and likelihood."""

    network: choice(  # type: ignore[valid-type]
        CONDITIONAL_NETWORKS,
        "mlp, or residual (a U-Net for c, residual encoders and decoder)",
    ) = "mlp"
    likelihood: choice(  # type: ignore[valid-type]
        LIKELIHOODS, "p(x|z, c) of images; label maps have one of their own, a softmax a pixel"
    ) = "bernoulli"


@dataclass(frozen=True)
class LatentOptions(ConditionalOptions):
    """And those of a latent."""

    latent: Annotated[int, Field(ge=1, description="size of z")] = 50
    first_guess: Annotated[
        bool,
        Field(
            description="a first guess from c alone, to which z adds, and which prior and recognition see without gradient"
        ),
    ] = True
    guess_weight: Annotated[float, Field(ge=0, description="weight of the first guess's own loss")] = 0.0

    def __post_init__(self) -> None:
        if self.guess_weight and not self.first_guess:
            raise ConfigError("guess-weight weighs the first guess: add --guess-weight 0, or keep --first-guess")
        if self.network == "residual" and self.multi_scale and not (self.first_guess and self.guess_weight):
            raise ConfigError("multi-scale gives the first guess losses at several scales: set --guess-weight 1")


@dataclass(frozen=True)
class NormalPriorOptions(LatentOptions):
    """A Gaussian latent."""

    prior: Annotated[
        Literal["conditional", "standard"], Field(description="p(z|c) from a network, or N(0, I) whatever c is")
    ] = "conditional"


@dataclass(frozen=True)
class BoundOptions:
    """Of the bound on log p(x|c)."""

    beta: Annotated[float, Field(ge=0, description="the KL has weight 1 + beta")] = 0.0
    beta_warmup: Annotated[
        float, Field(ge=0, description="epochs over which the KL's weight rises from 0"), InEpochs
    ] = 0.0
    free_bits: Annotated[float, Field(ge=0, description="nats of KL that each latent dimension has for free")] = 0.0
    samples: Annotated[int, Field(ge=1, description="draws of q(z|x, c) an image in training (the paper's L)")] = 1


@dataclass(frozen=True)
class PriorDrawsOptions:
    """Of the Monte Carlo objective."""

    prior_draws: Annotated[int, Field(ge=1, description="draws of p(z|c) an image in training (paper: 1)")] = 1
    average: Annotated[
        Literal["likelihood", "log-likelihood"],
        Field(
            description="of prior draws: log 1/L sum p(x|z, c), or 1/L sum log p(x|z, c), the paper's (L = 1: the same)"
        ),
    ] = "likelihood"


def networks(options: ConditionalOptions, spec: Spec, latent: int = 0) -> Parts:
    """The networks' builders. Raises ConfigError for a task without a condition, and for a likelihood that was chosen where the
    target is a label map."""
    if spec.condition is None:
        raise ConfigError(f"a conditional model needs a task with a condition: choose --task {', '.join(TASKS)}")
    channels, *field = spec.image_shape
    likelihood: type[Likelihood] = LIKELIHOODS[options.likelihood]
    if spec.map_values:
        if options.likelihood != ConditionalOptions.likelihood:
            raise ConfigError("label maps have a likelihood of their own: leave --likelihood out")
        likelihood = LabelMapLikelihood
    outputs = spec.map_values or likelihood.parameters_per_pixel * channels
    shapes = Shapes((spec.map_values or channels, field[0], field[1]), outputs, latent, spec.condition)
    return part(options, "network")(shapes)


def decoder(options: ConditionalOptions, spec: Spec, network: Any) -> Likelihood:
    return LabelMapLikelihood(network) if spec.map_values else part(options, "likelihood")(network, levels=spec.levels)


def context(spec: Spec, parts: Parts, first_guess: bool) -> ContextNetwork:
    assert spec.condition
    squash: Callable[[Tensor], Tensor] = (lambda output: output.softmax(-3)) if spec.map_values else sigmoid
    network = parts.context()
    guess = parts.guess() if first_guess else None
    return ContextNetwork(network, guess, spec.condition, parts.target, squash)


def build(options: NormalPriorOptions, spec: Spec, recognition: bool) -> Model:
    """A model with a Gaussian latent, with q(z|x, c) or without."""
    parts = networks(options, spec, options.latent)
    guessed = options.first_guess
    prior: Prior
    if options.prior == "standard":
        prior = StandardNormal(options.latent)
    else:
        prior = ConditionalPrior(*parts.prior(guessed), options.latent)
    return Model(
        context=context(spec, parts, guessed),
        prior=prior,
        encoder=ConditionalNormal(*parts.recognition(guessed), options.latent, spec.map_values)
        if recognition
        else None,
        decoder=decoder(options, spec, parts.generation()),
    )


_QUADRANTS: dict[str, Any] = {**ENOUGH, "task": "quadrants", "epochs": 30, "patience": 10}
_MAPS: dict[str, Any] = {
    "task": "segmentation",
    "network": "residual",
    "activation": "silu",
    "width": 16,
    "batch_size": 16,
    "epochs": 100,
    "clip": 100.0,
}
TASK_RECIPES = {"segmentation": "maps"}


def recipes(latent: bool = True, **quadrants: Any) -> dict[str, Recipe]:
    """`quadrants`: what the default recipe sets besides."""
    maps = {**_MAPS, "latent": 32, "guess_weight": 1.0} if latent else _MAPS
    return {
        "default": Recipe(
            "two hidden layers of 500 in every network; stops on validation", {**_QUADRANTS, **quadrants}
        ),
        "maps": Recipe("residual networks for label maps", maps),
    }
