"""Every registered model and recipe passes the conformance suite: a row in MODELS is a row here."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from reparam.conditionals import LIKELIHOODS
from reparam.core.conditional import Decoder, Encoder
from reparam.data.tasks import with_condition
from reparam.errors import ConfigError
from reparam.models import MODELS, Model, Spec
from reparam.run.config import resolve
from reparam.testing import check_model

SMALL = {
    "ae": {"hidden": (32,), "latent": 4},
    "dae": {"hidden": (32,), "latent": 4},
    "vae": {"hidden": (32,), "latent": 4},
    "gmvae": {"hidden": (32,), "latent": 4, "components": 3},
    "gvae": {"hidden": (32,), "latent": 4},
    "classifier": {"channels": 4, "features": 8, "dropout": 0.0},  # of so few, half would be too much
    "isda": {"channels": 4, "features": 8},
    **{name: {"hidden": (32,), "latent": 4} for name in ("cvae", "gsnn", "hybrid", "sfnn")},
    "nn": {"hidden": (32,)},
    "gan": {"network": "mlp", "hidden": (32,), "latent": 4},
    "vaegan": {"network": "mlp", "hidden": (32,), "latent": 4, "discriminator_widths": (8, 8)},
}


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 12)])
@pytest.mark.parametrize("name", MODELS)
def test_conforms_at_two_resolutions(name: str, shape: tuple[int, int, int]) -> None:
    check_model(MODELS[name], Spec(shape, 3), **SMALL.get(name, {}))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_vae_conforms_under_every_likelihood(likelihood: str) -> None:
    check_model(MODELS["vae"], Spec((1, 8, 8)), hidden=(32,), latent=3, likelihood=likelihood)


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        ("conv", (1, 28, 28)),
        ("residual", (1, 28, 28)),
        ("residual", (3, 31, 31)),
        ("residual", (3, 64, 64)),
        ("residual", (1, 128, 128)),
    ],
)
def test_vae_conforms_under_every_network(network: str, shape: tuple[int, int, int]) -> None:
    width = {"width": 8} if network == "residual" else {}
    check_model(MODELS["vae"], Spec(shape), n=3, steps=4, network=network, latent=3, **width)


CONDITIONAL = ("nn", "gsnn", "cvae", "hybrid", "sfnn")


@pytest.mark.parametrize("task", ["quadrants", "half", "boxes", "labelled", "segmentation"])
@pytest.mark.parametrize("network", ["mlp", "residual"])
@pytest.mark.parametrize("name", CONDITIONAL)
def test_conditional_models_conform_under_every_task_and_network(name: str, network: str, task: str) -> None:
    options = {"hidden": (16,)} if network == "mlp" else {"width": 8, "multi_scale": True}
    if name != "nn":
        options |= {"latent": 3, "guess_weight": 0.5 if name != "cvae" or network == "residual" else 0.0}
    side = 28 if network == "residual" else 9
    check_model(MODELS[name], Spec((3, side, side), 4, 3), n=4, steps=6, network=network, task=task, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cvae", {"prior": "standard"}),
        ("cvae", {"first_guess": False}),
        ("cvae", {"observed": 0}),
        ("cvae", {"likelihood": "gaussian-pixel", "dropout": 0.2}),
        ("cvae", {"free_bits": 0.1, "beta": 0.5}),
        ("cvae", {"samples": 3, "free_bits": 0.1}),
        ("gsnn", {"prior_draws": 4, "prior": "standard"}),
        ("gsnn", {"prior_draws": 4, "average": "log-likelihood"}),
        ("hybrid", {"samples": 2, "prior_draws": 3, "average": "log-likelihood"}),
        ("hybrid", {"alpha": 0.0}),
        ("hybrid", {"alpha": 1.0}),
    ],
)
def test_conditional_models_conform_under_every_option(name: str, options: dict) -> None:
    check_model(MODELS[name], Spec((1, 8, 8), 3), hidden=(16, 8), latent=3, **options)


@pytest.mark.parametrize(
    "options", [{"k": 5}, {"k": 3, "samples": 2}, {"free_bits": 0.1, "samples": 3}, {"beta": 4.0, "weight": 2.0}]
)
def test_vae_conforms_under_every_bound(options: dict) -> None:
    check_model(MODELS["vae"], Spec((1, 8, 8)), hidden=(32,), latent=3, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"kl": "report"},
        {"kl": "monte-carlo"},
        {"kl": "monte-carlo", "gradient": "path", "samples": 2},
        {"components": 1},
        {"prior": "vamp"},
        {"prior": "vamp", "kl": "monte-carlo", "gradient": "path"},
        {"k": 4},
        {"prior": "vamp", "k": 4, "gradient": "path"},
    ],
)
def test_gmvae_conforms_under_every_prior_and_bound(options: dict) -> None:
    check_model(MODELS["gmvae"], Spec((1, 8, 8)), **{"hidden": (32,), "latent": 3, "components": 4, **options})


@pytest.mark.parametrize("side", [8, 28, 32, 64])
@pytest.mark.parametrize(
    "options",
    [{}, {"loss": "hinge", "normalise": "spectral"}, {"loss": "minimax", "r1": 1.0, "discriminator_steps": 2}],
)
def test_gan_conforms_at_every_size(side: int, options: dict) -> None:
    check_model(MODELS["gan"], Spec((3, side, side)), n=4, width=4, latent=5, **options)


@pytest.mark.parametrize("side", [27, 31, 36, 44])
def test_a_dcgan_pads_sides_that_do_not_halve_to_its_grid(side: int) -> None:
    check_model(MODELS["gan"], Spec((1, side, side)), n=4, width=4, latent=5)


def test_spectral_normalisation_bounds_the_slope_of_every_layer() -> None:
    torch.manual_seed(0)
    options = MODELS["gan"].options(width=4, normalise="spectral")
    model = MODELS["gan"].build(options, Spec((1, 28, 28)))
    with torch.no_grad():
        for _ in range(50):
            model.discriminator(torch.rand(2, 1, 28, 28))  # a power iteration each
        norms = [
            torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
            for layer in model.discriminator.modules()
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
        ]
    torch.testing.assert_close(torch.stack(norms), torch.ones(4), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("model", "recipe"), [(name, recipe) for name, family in MODELS.items() for recipe in family.recipes]
)
def test_every_recipe_resolves(model: str, recipe: str) -> None:
    config = resolve(model, recipe, data="mnist")
    assert config.family.build(config.options, with_condition(Spec((1, 28, 28), 10, 2), config.task)) is not None


class _OneAxis(Decoder):
    """Takes z [n, K] alone."""

    density = "density"

    def __init__(self, view: bool) -> None:
        super().__init__()
        self.layer, self.view = nn.Linear(3, 64), view

    def forward(self, z: torch.Tensor) -> Independent:
        shape = (-1, 1, 8, 8) if self.view else (len(z), 1, 8, 8)
        return Independent(Normal(self.layer(z).sigmoid().view(shape), 0.3, validate_args=False), 3)


@pytest.mark.parametrize(("view", "says"), [(True, r"makes \[24, 1, 8, 8\] of z \[2, 12, 3\]"), (False, "fails on z")])
def test_a_decoder_that_takes_one_axis_of_latents_does_not_conform(view: bool, says: str) -> None:
    """Importance sampling decodes [S, n, K]."""

    def build(options: Any, spec: Spec) -> Model:
        model = MODELS["vae"].build(options, spec)
        model.decoder = _OneAxis(view)
        return model

    with pytest.raises(AssertionError, match=f"{says}.*let its forward take z"):
        check_model(dataclasses.replace(MODELS["vae"], build=build), Spec((1, 8, 8)), hidden=(8,), latent=3)


def test_a_models_fields_are_of_their_kind_when_they_are_set_too() -> None:
    model = MODELS["vae"].model(resolve("vae", hidden=(8,)).options, Spec((1, 8, 8)))
    with pytest.raises(ConfigError, match="the prior of a model is a Prior, not a Linear: derive its class from"):
        model.prior = nn.Linear(2, 2)
    model.prior = None
    assert not model.has("prior")
    with pytest.raises(ConfigError, match="has no prior"):
        model.prior()


def test_what_build_returns_is_checked() -> None:
    def lazy(options: Any, spec: Spec) -> Model:
        model = MODELS["vae"].build(options, spec)
        model.encoder.extra = nn.LazyLinear(3)
        return model

    options = resolve("vae", hidden=(8,)).options
    for build, says in (
        (lambda options, spec: None, "returns a NoneType"),
        (lazy, "weight 'encoder.extra.weight'.*no size yet"),
    ):
        with pytest.raises(ConfigError, match=says):
            dataclasses.replace(MODELS["vae"], build=build).model(options, Spec((1, 8, 8)))


def test_a_part_that_returns_no_distribution_is_named() -> None:
    class Plain(Encoder):
        def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return x.flatten(1)

    with pytest.raises(ConfigError, match="Plain returns a Tensor, not a torch Distribution"):
        Plain()(torch.zeros(2, 1, 8, 8))


def test_a_weight_that_is_not_trained_needs_no_gradient() -> None:
    def frozen(options: Any, spec: Spec) -> Model:
        model = MODELS["vae"].build(options, spec)
        model.prior.fixed = nn.Parameter(torch.ones(2), requires_grad=False)
        return model

    check_model(dataclasses.replace(MODELS["vae"], build=frozen), Spec((1, 8, 8)), hidden=(16,), latent=2)
