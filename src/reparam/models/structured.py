"""Structured prediction: p(x|c), x the wanted image or label map, c what is known of it (Sohn, Lee and Yan 2015).

One builder: the deterministic baseline, the GSNN, the CVAE, their hybrid and the SFNN differ in which networks they have and
in the objective. In the paper's letters c is x, x is y, and q(z|x, c), p(z|c), p(x|z, c) are the recognition, prior and
generation networks.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from reparam.conditionals import (
    LIKELIHOODS,
    BinaryPrior,
    ConditionalNormal,
    ConditionalPrior,
    Context,
    LabelMapLikelihood,
    Likelihood,
    StandardNormal,
)
from reparam.core.model import Model
from reparam.core.spec import Schedule, Spec
from reparam.errors import ConfigError
from reparam.models.autoencoder import LikelihoodName
from reparam.models.family import Family, Recipe
from reparam.networks import CONDITIONAL_NETWORKS, ConditionalNetworkOptions, Shapes
from reparam.objectives import ELBO, MonteCarlo, Objective, StructuredPrediction

TASKS = ("quadrants", "half", "boxes", "segmentation", "labelled")


@dataclass(frozen=True)
class BaselineOptions(ConditionalNetworkOptions):
    """Networks and likelihood."""

    likelihood: Annotated[
        LikelihoodName, Field(description="p(x|z, c) of images; label maps have one of their own, a softmax a pixel")
    ] = "bernoulli"
    scale: Annotated[float, Field(gt=0, description="scale of gaussian and laplace; where gaussian-learned starts")] = (
        1.0
    )

    def __post_init__(self) -> None:
        if self.multi_scale and self.network == "mlp":
            raise ConfigError("multi-scale needs a convolutional network: add --network residual")
        if self.dropout and self.network != "mlp":
            raise ConfigError("dropout is for fully connected networks: add --network mlp, or --dropout 0")


@dataclass(frozen=True)
class LatentOptions(BaselineOptions):
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
        super().__post_init__()
        if self.guess_weight and not self.first_guess:
            raise ConfigError("guess-weight weighs the first guess: add --guess-weight 0, or keep --first-guess")
        if self.multi_scale and not (self.first_guess and self.guess_weight):
            raise ConfigError("multi-scale gives the first guess losses at several scales: set --guess-weight 1")


@dataclass(frozen=True)
class NormalPriorOptions(LatentOptions):
    """A Gaussian latent."""

    prior: Annotated[
        Literal["conditional", "standard"], Field(description="p(z|c) from a network, or N(0, I) whatever c is")
    ] = "conditional"


@dataclass(frozen=True)
class GSNNOptions(NormalPriorOptions):
    """Of a Gaussian stochastic neural network."""

    prior_draws: Annotated[
        int, Field(ge=1, description="draws of p(z|c) an image in training, averaged as likelihoods (paper: 1)")
    ] = 1


@dataclass(frozen=True)
class CVAEOptions(NormalPriorOptions):
    """Of a conditional VAE."""

    beta: Annotated[float, Field(ge=0, description="the KL has weight 1 + beta")] = 0.0
    beta_warmup: Annotated[float, Field(ge=0, description="epochs over which the KL's weight rises from 0")] = 0.0
    free_bits: Annotated[float, Field(ge=0, description="nats of KL that each latent dimension has for free")] = 0.0


@dataclass(frozen=True)
class HybridOptions(CVAEOptions, GSNNOptions):
    """Of both."""

    alpha: Annotated[float, Field(ge=0, le=1, description="weight of the CVAE's bound; 1 - alpha is the GSNN's")] = 0.5


@dataclass(frozen=True)
class SFNNOptions(LatentOptions):
    """Of a stochastic feed-forward network with binary latents."""

    prior_draws: Annotated[int, Field(ge=2, description="draws of p(z|c) an image in training (the paper's M)")] = 10


def _softmax(output: Tensor) -> Tensor:
    return output.softmax(-3)


def _assemble(
    options: Any, spec: Spec, *, latent: Literal["none", "normal", "binary"] = "normal", recognition: bool = False
) -> Model:
    """The fields that are needed, each from the network family's builders. Raises ConfigError for what does not go together."""
    condition = spec.condition
    if condition is None:
        raise ConfigError(f"a conditional model needs a task with a condition: choose --task {', '.join(TASKS)}")
    channels, height, width = spec.image_shape
    kind: type[Likelihood] = LIKELIHOODS[options.likelihood]
    if spec.map_values:
        if options.likelihood != BaselineOptions.likelihood:
            raise ConfigError("label maps have a likelihood of their own: leave --likelihood out")
        kind = LabelMapLikelihood
    seen = spec.map_values or channels
    shapes = Shapes(
        (seen, height, width),
        spec.map_values or kind.parameters_per_pixel * channels,
        getattr(options, "latent", 0),
        condition,
    )
    parts = CONDITIONAL_NETWORKS[options.network](shapes, options)
    guessed = latent == "none" or options.first_guess
    prior: nn.Module | None = None
    if latent == "binary":
        prior = BinaryPrior(*parts.prior(guessed), options.latent)
    elif latent == "normal" and options.prior == "standard":
        prior = StandardNormal(options.latent)
    elif latent == "normal":
        prior = ConditionalPrior(*parts.prior(guessed), options.latent)
    squash = _softmax if spec.map_values else torch.sigmoid
    return Model(
        context=Context(parts.context(), parts.guess() if guessed else None, condition, parts.wanted, squash),
        prior=prior,
        encoder=ConditionalNormal(*parts.recognition(guessed), options.latent, spec.map_values)
        if recognition
        else None,
        decoder=kind(None if latent == "none" else parts.generation(), options.scale),
    )


def build_baseline(options: BaselineOptions, spec: Spec) -> Model:
    return _assemble(options, spec, latent="none")


def build_gsnn(options: GSNNOptions, spec: Spec) -> Model:
    return _assemble(options, spec)


def build_cvae(options: CVAEOptions, spec: Spec) -> Model:
    return _assemble(options, spec, recognition=True)


def build_hybrid(options: HybridOptions, spec: Spec) -> Model:
    """At alpha = 0 there is nothing to train a recognition network with, and none is built."""
    return _assemble(options, spec, recognition=options.alpha > 0)


def build_sfnn(options: SFNNOptions, spec: Spec) -> Model:
    return _assemble(options, spec, latent="binary")


def _elbo(options: CVAEOptions, schedule: Schedule) -> ELBO:
    warmup = options.beta_warmup * schedule.steps_per_epoch
    return ELBO(beta=1 + options.beta, warmup=warmup, free_bits=options.free_bits)


def baseline_objective(options: BaselineOptions, schedule: Schedule) -> Objective:
    return StructuredPrediction(None, None)


def gsnn_objective(options: GSNNOptions, schedule: Schedule) -> Objective:
    return StructuredPrediction(None, MonteCarlo(options.prior_draws), 0.0, options.guess_weight)


def cvae_objective(options: CVAEOptions, schedule: Schedule) -> Objective:
    return StructuredPrediction(_elbo(options, schedule), None, 1.0, options.guess_weight)


def hybrid_objective(options: HybridOptions, schedule: Schedule) -> Objective:
    elbo = _elbo(options, schedule) if options.alpha > 0 else None
    monte_carlo = MonteCarlo(options.prior_draws) if options.alpha < 1 else None
    return StructuredPrediction(elbo, monte_carlo, options.alpha, options.guess_weight)


def sfnn_objective(options: SFNNOptions, schedule: Schedule) -> Objective:
    return StructuredPrediction(None, MonteCarlo(options.prior_draws), 0.0, options.guess_weight)


TASK_RECIPES = {"segmentation": "maps"}
_PAPER = "Sohn, Lee and Yan 2015, Learning structured output representation using deep conditional generative models"
_QUADRANTS = {"task": "quadrants", "epochs": 30, "patience": 10}
_MAPS = {
    "task": "segmentation",
    "network": "residual",
    "activation": "silu",
    "width": 16,
    "batch_size": 16,
    "epochs": 100,
    "clip": 100.0,
}


def _recipes(latent: bool = True, **quadrants: Any) -> dict[str, Recipe]:
    maps = {**_MAPS, "latent": 32, "guess_weight": 1.0} if latent else _MAPS
    return {
        "default": Recipe(
            "two hidden layers of 500 in every network; stops on validation", {**_QUADRANTS, **quadrants}
        ),
        "maps": Recipe("residual networks for label maps of images of 28 to 128 pixels", maps),
    }


BASELINE = Family(
    name="nn",
    summary="deterministic baseline of structured prediction: one answer, every pixel by itself",
    citation=_PAPER,
    options=BaselineOptions,
    build=build_baseline,
    objective=baseline_objective,
    recipes=_recipes(latent=False),
    tasks=TASKS,
    task_recipes=TASK_RECIPES,
)

GSNN = Family(
    name="gsnn",
    summary="Gaussian stochastic neural network: trained as it predicts, with latents from p(z|c)",
    citation=_PAPER,
    options=GSNNOptions,
    build=build_gsnn,
    objective=gsnn_objective,
    recipes=_recipes(),
    tasks=TASKS,
    task_recipes=TASK_RECIPES,
)

CVAE = Family(
    name="cvae",
    summary="conditional VAE: completes, segments or makes images of a class, with as many answers as there are",
    citation=_PAPER,
    options=CVAEOptions,
    build=build_cvae,
    objective=cvae_objective,
    recipes=_recipes(beta_warmup=10.0),
    tasks=TASKS,
    task_recipes=TASK_RECIPES,
)

HYBRID = Family(
    name="hybrid",
    summary="CVAE and GSNN together: alpha times the bound, 1 - alpha times the Monte Carlo likelihood",
    citation=_PAPER,
    options=HybridOptions,
    build=build_hybrid,
    objective=hybrid_objective,
    recipes=_recipes(beta_warmup=10.0),
    tasks=TASKS,
    task_recipes=TASK_RECIPES,
)

SFNN = Family(
    name="sfnn",
    summary="stochastic feed-forward network: binary latents, trained by generalised EM",
    citation="Tang and Salakhutdinov 2013, Learning stochastic feedforward neural networks",
    options=SFNNOptions,
    build=build_sfnn,
    objective=sfnn_objective,
    recipes=_recipes(epochs=20),
    tasks=TASKS,
    task_recipes=TASK_RECIPES,
)
