"""Every registered model and recipe passes the conformance suite: a row in MODELS is a row here."""

import pytest

from reparam.conditionals import LIKELIHOODS
from reparam.config import resolve
from reparam.data.tasks import with_condition
from reparam.models import MODELS, Spec
from reparam.testing import check_model

SMALL = {
    "ae": {"hidden": (32,), "latent": 4},
    "dae": {"hidden": (32,), "latent": 4},
    "vae": {"hidden": (32,), "latent": 4},
    "classifier": {"channels": 4, "features": 8},
    **{name: {"hidden": (32,), "latent": 4} for name in ("cvae", "gsnn", "hybrid", "sfnn")},
    "nn": {"hidden": (32,)},
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
    check_model(MODELS["vae"], Spec(shape), n=3, steps=4, network=network, width=8, latent=3)


@pytest.mark.parametrize(
    "options", [{"k": 5}, {"k": 3, "samples": 2}, {"free_bits": 0.1, "samples": 3}, {"beta": 4.0, "weight": 2.0}]
)
def test_vae_conforms_under_every_bound(options: dict) -> None:
    check_model(MODELS["vae"], Spec((1, 8, 8)), hidden=(32,), latent=3, **options)


@pytest.mark.parametrize(
    ("model", "recipe"), [(name, recipe) for name, family in MODELS.items() for recipe in family.recipes]
)
def test_every_recipe_resolves(model: str, recipe: str) -> None:
    config = resolve(model, recipe, data="mnist")
    assert config.family.build(config.options, with_condition(Spec((1, 28, 28), 10, 2), config.task)) is not None
