"""G-VAE: a VAE with a linear classifier on its latent, trained to keep the class in moves along the posterior's scales.

Shapes: `B` batch, `K` latent, `D` classes.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from reparam.conditionals import LinearClass, linear_head
from reparam.core.batch import Batch
from reparam.core.model import Model
from reparam.core.objective import Objective, Term, Terms
from reparam.core.spec import Schedule, Spec
from reparam.distributions import isda_bound
from reparam.errors import ConfigError
from reparam.models import ae, vae
from reparam.models.ae import PHOTOS_RESIDUAL, PHOTOS_RESIDUAL_DOC
from reparam.models.family import Family, Recipe
from reparam.objectives import ELBO, class_error, ramp

SQUARED_ERROR = 0.5**0.5  # scale of the Gaussian whose -log p is the summed squared error and a constant


class ClassPreserving(Objective):
    r"""total = ELBO's total + weight * isda_bound(mu(x), diag sigma(x)^2, W, b, y, lambda(step)) (the G-VAE note, eq. 2.5).

    The posterior's own scales stand in the place of ISDA's class covariance: moves along them are meant to keep the class, and
    no statistic of the data is needed. lambda rises linearly over `length` steps (0: it is constant). An image without a label (y
    = -1) has no class term.
    """

    def __init__(self, elbo: ELBO, weight: float, strength: float, length: float) -> None:
        self.elbo, self.weight, self.strength, self.length = elbo, weight, strength, length

    def __call__(
        self, player: str, model: Model, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        q_z, linear, y = model.encoder(batch.x), linear_head(model), batch.y
        terms = self.elbo.at(q_z, model, batch, step, generator)
        strength = self.strength * ramp(step, self.length)
        bound = isda_bound(q_z.mean, q_z.variance, linear.weight, linear.bias, y.clamp(min=0), strength) * (y >= 0)
        named = {"class": Term(bound, "nats/image"), "error": class_error(linear(q_z.mean), y)}
        return Terms(terms.total + self.weight * bound, terms.named | named)


@dataclass(frozen=True)
class GVAEOptions(vae.VAEOptions):
    """The VAE's options and those of the class term."""

    class_weight: Annotated[float, Field(ge=0, description="weight of the class term (0: a VAE, and an idle head)")] = (
        100.0
    )
    isda_lambda: Annotated[
        float, Field(ge=0, description="ISDA's lambda, a factor on the posterior's variance in the class term")
    ] = 20.0
    isda_schedule: Annotated[
        Literal["constant", "linear"], Field(description="lambda from the start, or rising from 0 over all training")
    ] = "constant"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k > 1:
            raise ConfigError("the G-VAE's loss is the ELBO and a class term: leave --k out")


def build(options: GVAEOptions, spec: Spec) -> Model:
    if spec.classes < 2:
        raise ConfigError("a G-VAE needs images of at least two classes: give labels (class folders, a 'labels' array)")
    model = vae.build(options, spec)
    model.head = LinearClass(options.latent, spec.classes)
    return model


def objective(options: GVAEOptions, schedule: Schedule) -> ClassPreserving:
    elbo = vae.objective(options, schedule)
    assert isinstance(elbo, ELBO)
    length = schedule.steps if options.isda_schedule == "linear" else 0
    return ClassPreserving(elbo, options.class_weight, options.isda_lambda, length)


_DOCUMENT: dict[str, Any] = {
    "likelihood": "gaussian",
    "scale": SQUARED_ERROR,
    "beta": 2.5e-3,
    "isda_lambda": 1.0,
}

GVAE = Family(
    name="gvae",
    summary="VAE with a linear classifier on its latent: augmentation whose moves flip the class less often than a VAE's",
    citation="after Wang et al. 2019, Regularizing deep networks with semantic data augmentation",
    options=GVAEOptions,
    build=build,
    objective=objective,
    callbacks=ae.callbacks,
    recipes={
        "default": Recipe(
            "two hidden layers of 800, 16 latents, Bernoulli, 10 epochs, at least 1,000 steps; KL and class weighted 1 and 100, "
            "lambda 20",
            {"hidden": (800, 800), "latent": 16, "epochs": 10, "least_steps": 1000},
        ),
        "paper": Recipe(
            "the G-VAE note's weights: KL 2.5e-3, squared error 20, class 1, lambda 1; 512 latents",
            {**_DOCUMENT, "weight": 20.0, "class_weight": 1.0, "latent": 512},
        ),
        "code": Recipe(
            "the public code's weights: KL 2.5e-3, squared error 1, class 1 (photographs: 20), lambda 1; 128 latents",
            {**_DOCUMENT, "class_weight": 1.0, "latent": 128},
        ),
        "photos": Recipe(
            f"{PHOTOS_RESIDUAL_DOC}, class weighted 1,000; stops on validation",
            # Its reconstruction counts for more: on validation faces a weight of 100 leaves the head at 76%, this one at 80.
            {**PHOTOS_RESIDUAL, "fit_prior": "auto", "class_weight": 1000.0},
        ),
    },
)
