"""A training that starts as (probabilistic) PCA of its images."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

import reparam
from reparam.data import load
from reparam.data.tasks import to_float
from reparam.distributions import keyed_generator
from reparam.evaluation import likelihood
from reparam.latent.generation import encode, reconstruct
from reparam.models import MODELS, Model, Schedule, Spec
from reparam.models.ae import StartAtComponents
from reparam.networks.components import Components
from reparam.run.config import resolve

SHAPE, LATENT = (3, 8, 9), 5


def images(n: int = 300) -> Tensor:
    """Of rank 12, from 0.2 to 0.8: no pixel is near 0 or 1, so that no value is cut off."""
    generator = keyed_generator("cpu", "images")
    factors = torch.randn(n, 12, generator=generator) * torch.logspace(0, -1, 12)
    x = factors @ torch.randn(12, math.prod(SHAPE), generator=generator)
    return (0.5 + 0.3 * x / x.abs().max()).unflatten(1, SHAPE)


def started(family: str, x: Tensor, **options: Any) -> Model:
    torch.manual_seed(0)
    config = resolve(family, pca_start=True, latent=LATENT, likelihood="gaussian-learned", **options)
    model = config.build_model(Spec(tuple(x.shape[1:]))).eval()  # type: ignore[arg-type]
    (callback,) = MODELS[family].callbacks(config.options, Schedule(1, 1))
    assert callback == StartAtComponents()
    callback.act(model, x)
    return model


@pytest.mark.parametrize("network", [{"hidden": (16,)}, {"network": "patches", "levels": (8, 16)}])
def test_the_bound_of_the_start_is_the_likelihood_of_probabilistic_pca(network: dict[str, Any]) -> None:
    """Its posterior is exact, so that the bound is tight in expectation: log p(x) by scikit-learn, whose covariance has the same
    components and the same noise. 400 draws of the reconstruction term bound its error."""
    x = images()
    model = started("vae", x, **network)
    exact = PCA(LATENT).fit(x.flatten(1).double().numpy())
    reconstruction, kl = likelihood.bound(model, x[:50], 0, samples=400)
    elbo = -(reconstruction + kl).double()
    expected = torch.tensor(exact.score_samples(x[:50].flatten(1).double().numpy()))
    assert float(model.decoder.log_scale.detach().exp()) == pytest.approx(math.sqrt(exact.noise_variance_), rel=1e-3)  # type: ignore[arg-type]
    # A draw's term has deviation sqrt(K / 2) or so; the decomposition is randomised, and numbers are of float32.
    assert (elbo - expected).mean().abs() < 5 * math.sqrt(LATENT / 2 / 400 / 50) + 1e-4 * expected.abs().mean()
    assert (elbo - expected).abs().max() < 5 * math.sqrt(LATENT / 400) + 1e-3 * expected.abs().mean()


def test_an_autoencoder_starts_as_pca() -> None:
    x = images()
    exact = PCA(LATENT).fit(x.flatten(1).double().numpy())
    projected = exact.inverse_transform(exact.transform(x.flatten(1).double().numpy()))
    model = started("ae", x, hidden=(16,))
    torch.testing.assert_close(
        reconstruct(model, x).flatten(1), torch.tensor(projected).float(), atol=1e-4, rtol=0
    )  # a ten-thousandth of the range: the randomised decomposition's error
    means, _ = encode(model, x)
    torch.testing.assert_close(means.T.cov(), torch.eye(LATENT), atol=1e-3, rtol=0)


def test_the_noise_of_few_images_is_that_of_images_that_were_left_out() -> None:
    """As many latents as images explain these exactly, and new ones of many directions hardly: a scale of what is left of the
    former would give the latter absurd likelihoods."""
    generator = keyed_generator("cpu", "few")
    directions = torch.randn(150, math.prod(SHAPE), generator=generator) / 150**0.5
    many = 0.5 + 0.1 * torch.randn(1040, 150, generator=generator) @ directions
    few, new = (part.unflatten(1, SHAPE) for part in many.split([40, 1000]))
    found = Components(SHAPE, 64)
    found.fit(few)
    left = (found.image(found.project(new)) - new).square().mean()
    # Of three quarters of the images a little more is left than of all: 40 directions of 150 explain a quarter, 30 a fifth.
    assert 1.0 < float(found.noise / left) < 1.25
    assert float(few.flatten(1).var(0).mean()) > float(found.noise)


def test_of_many_images_the_noise_is_what_is_left_of_them() -> None:
    found = Components(SHAPE, LATENT)
    found.fit(images())
    exact = PCA(LATENT).fit(images().flatten(1).double().numpy())
    assert float(found.noise) == pytest.approx(exact.noise_variance_, rel=1e-3)


def test_components_beyond_the_rank_carry_nothing() -> None:
    model = started("vae", images(4), hidden=(16,))
    means, deviations = encode(model, images(4))
    assert (means[:, 3:].abs() < 1e-5).all()
    assert (deviations[:, 3:] > 0.99).all()


@pytest.mark.parametrize("recipe", [{"hidden": (16,)}, {"network": "patches", "levels": (8, 16)}])
def test_the_kept_weights_are_never_worse_than_the_start(recipe: dict[str, Any], tmp_path: Path) -> None:
    """A learning rate that destroys the model: what is kept is its start, which was validated."""
    run = reparam.train(
        "vae", data="digits", **recipe, pca_start=True, latent=8, likelihood="gaussian-learned", learning_rate=10.0, epochs=2,
        clip=1.0, pictures=0, device="cpu", out=tmp_path / "run",
    )  # fmt: skip
    assert run.kept.step == 0
    data = load("digits")
    pca = PCA(8).fit(to_float(data.train.images).flatten(1).numpy())
    x = to_float(data.test.images)
    projected = torch.tensor(pca.inverse_transform(pca.transform(x.flatten(1).numpy()))).float().clamp(0, 1).view_as(x)
    error, expected = (float((one - x).square().mean()) for one in (run.reconstruct(x), projected))
    # Means of q(z|x) shrink coefficients by s^2 / l, which costs at most their share of the noise.
    assert error == pytest.approx(expected, rel=0.05)


def test_weights_of_another_run_are_not_started_anew(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "data": "digits",
        "hidden": (16,),
        "latent": 3,
        "pca_start": True,
        "pictures": 0,
        "device": "cpu",
    }
    first = reparam.train("vae", **options, epochs=2, keep="last", out=tmp_path / "first")
    again = reparam.train(
        "vae", **options, epochs=0.1, learning_rate=1e-9, init_from=str(first.path), keep="last", out=tmp_path / "again"
    )
    for name, value in first.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], value, atol=1e-6, rtol=1e-5)
