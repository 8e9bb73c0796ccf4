"""Draws until an error is reached: estimates and what they say of their own error, where the truth is known.

Shapes: `N` images, `K` latent, `S` draws.
"""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal

from reparam.conditionals.priors import StandardNormal
from reparam.core.conditional import Decoder, Encoder
from reparam.distributions import keyed_generator
from reparam.evaluation.adaptive import COUNTS, Goal, _Sums, images_for, sampled_nll
from reparam.evaluation.likelihood import importance_nll
from reparam.models import Model
from reparam.progress import Silent, silent

NOISE, SLOPES = 0.5, torch.tensor([1.2, 0.7], dtype=torch.float64)
SHIFT, WIDEN = 0.3, 1.2  # of the proposal: off by so much, and wider by this factor
IMAGES = 150


class _Linear(Decoder):
    """p(x|z) = N(W z, NOISE^2) of 2 x 2 pixels, W diagonal over the first two."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 2, dtype=torch.float64))
        with torch.no_grad():
            self.weight[:2] = SLOPES.diag()

    def forward(self, z: Tensor) -> Independent:
        return Independent(Normal((z @ self.weight.T).unflatten(-1, (1, 2, 2)), NOISE), 3)


class _Proposal(Encoder):
    """The posterior N(W^T x P / NOISE^2, P), P = 1 / (1 + SLOPES^2 / NOISE^2), moved and widened."""

    def forward(self, x: Tensor) -> Independent:
        mean = x.flatten(1)[:, :2] * SLOPES * SCALE**2 / NOISE**2
        return Independent(Normal(mean + SHIFT, (WIDEN * SCALE).expand_as(mean)), 1)


SCALE = (1 + SLOPES.square() / NOISE**2).rsqrt()  # of the posterior
# Variance of a weight whose mean is 1: the integral of p^2 / q, for normals of scales 1 and k that are d apart, minus 1.
_SPREAD = 2 * WIDEN**2 - 1
VARIANCE = float((WIDEN**2 / math.sqrt(_SPREAD) * ((SHIFT / SCALE) ** 2 / _SPREAD).exp()).prod()) - 1


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(encoder=_Proposal(), prior=StandardNormal(2).double(), decoder=_Linear())


@pytest.fixture(scope="module")
def x(model: Model) -> Tensor:
    z = torch.randn(IMAGES, 2, generator=keyed_generator("cpu", "z"), dtype=torch.float64)
    noise = torch.randn(IMAGES, 1, 2, 2, generator=keyed_generator("cpu", "noise"), dtype=torch.float64)
    return model.decoder(z).mean.detach() + NOISE * noise


@pytest.fixture(scope="module")
def truth(model: Model, x: Tensor) -> Tensor:
    W = model.decoder.weight.detach()
    covariance = W @ W.T + NOISE**2 * torch.eye(4, dtype=W.dtype)
    return -MultivariateNormal(torch.zeros(4, dtype=W.dtype), covariance).log_prob(x.flatten(1))


def estimates(model: Model, x: Tensor, goal: Goal, seeds: int) -> list:  # type: ignore[type-arg]
    return [sampled_nll(model, [x], seed, goal, Silent(), silent)[0] for seed in range(seeds)]


@pytest.mark.parametrize("wanted", [0.02, 0.006])
def test_the_true_error_is_as_stated(model: Model, x: Tensor, truth: Tensor, wanted: float) -> None:
    """Over seeds, (estimate - truth - bias) / error is standard normal, and the estimate stops within what is wanted."""
    seeds = 20
    found = estimates(model, x, Goal(wanted), seeds)
    assert all(one.left <= wanted for one in found)
    scores = torch.tensor([(float((one.nll - truth).mean()) - one.bias) / one.error for one in found])
    assert abs(float(scores.mean())) < 4 / math.sqrt(seeds)
    # The sample variance of 20 normals is below 0.4 or above 2.3 times theirs with a probability of 0.001.
    assert 0.4 < float(scores.var()) < 2.3
    assert sum(abs(float((one.nll - truth).mean())) <= 2 * one.left for one in found) >= seeds - 2


def test_the_bias_is_that_of_the_closed_form(model: Model, x: Tensor) -> None:
    """v / 2S to first order. What the halves say of an image is about a chi square of one degree: its mean over 150 images and
    20 seeds has a relative error of sqrt(2 / 3,000), 0.026; r is at least 1/2 and adds to one side; the next order is v / S of
    it."""
    found = estimates(model, x, Goal(1e-9, seconds=0.0), 20)
    draws = found[0].draws
    assert all(one.draws == draws for one in found)
    bias = sum(one.bias for one in found) / len(found)
    assert 0.85 < bias / (VARIANCE / 2 / draws) < 1.6
    error = sum(one.error for one in found) / len(found)
    assert error == pytest.approx(math.sqrt(VARIANCE / draws / IMAGES), rel=0.1)


def test_the_draws_are_the_first_of_those_that_are_asked_for(model: Model, x: Tensor) -> None:
    found = sampled_nll(model, [x], 3, Goal(0.006), Silent(), silent)[0]
    assert found.draws > 100
    nll, effective = importance_nll(model, x, found.draws, 3)
    torch.testing.assert_close(found.nll, nll)
    torch.testing.assert_close(found.effective, effective)


def test_targets_share_their_draws(model: Model, x: Tensor) -> None:
    both = sampled_nll(model, [x, x + 0.1], 0, Goal(0.1, seconds=0.0), Silent(), silent)
    alone = sampled_nll(model, [x], 0, Goal(0.1, seconds=0.0), Silent(), silent)[0]
    torch.testing.assert_close(both[0].nll, alone.nll)
    assert not torch.equal(both[1].nll, alone.nll)


def test_few_draws_that_have_all_the_weight_are_not_taken_for_exact() -> None:
    """Weights exp(4 e - 8), e normal, of mean 1: 400 draws are far from enough, and both estimates are too high by about a nat.
    1 / 2 ESS, at most a half, says 0.16; what doubling changed says most of it."""
    log_w = 4 * torch.randn(1, 400, 500, generator=keyed_generator("cpu", "heavy"), dtype=torch.float64) - 8
    found = _Sums.of(log_w).estimates(400)[0]
    true = float(found.nll.mean())
    assert true > 0.8
    assert 0.5 * true < found.bias < 2.5 * true


def test_fewer_images_where_draws_are_slow() -> None:
    assert images_for(5, 1e6, 1000) == 1000
    assert images_for(5, 4_000, 1000) == 100
    assert images_for(5, 800, 15) == 15
    assert images_for(5, 1, 1000) == COUNTS[-1]
    assert images_for(5, 1e6, 15) == 15
