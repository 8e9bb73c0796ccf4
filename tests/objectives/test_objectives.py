"""Bounds on a linear-Gaussian model, whose log p(x) is known exactly.

z ~ N(0, I_K), x|z ~ N(W z + b, s^2 I): log p(x) = log N(x; b, W W^T + s^2 I), and the posterior is Gaussian too.
"""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal

from reparam.conditionals import StandardNormal
from reparam.core.batch import Batch
from reparam.core.conditional import Decoder, Encoder
from reparam.distributions import keyed_generator, tight_kl
from reparam.evaluation.likelihood import bound, importance_nll
from reparam.models import Model
from reparam.models.gmvae import MixturePrior
from reparam.objectives import ELBO, ImportanceWeighted, Objective, Reconstruction, Terms, ramp

K, SIDE = 2, 3
NOISE = 0.6
STEP = torch.tensor(10)


class _Decoder(Decoder):
    def __init__(self) -> None:
        super().__init__()
        g = keyed_generator("cpu", "decoder")
        self.weight = nn.Parameter(torch.randn(SIDE * SIDE, K, generator=g, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn(SIDE * SIDE, generator=g, dtype=torch.float64))

    def forward(self, z: Tensor) -> Independent:
        loc = (z @ self.weight.T + self.bias).unflatten(-1, (1, SIDE, SIDE))
        return Independent(Normal(loc, NOISE), 3)


class _Posterior(Encoder):
    """The exact posterior N(S W^T (x - b) / s^2, S), S = (I + W^T W / s^2)^-1, diagonal by choice of W; or shifted, wider."""

    def __init__(self, decoder: _Decoder, shift: float = 0.0, widen: float = 1.0) -> None:
        super().__init__()
        self.decoder, self.shift, self.widen = decoder, shift, widen

    def forward(self, x: Tensor) -> Independent:
        W = self.decoder.weight
        precision = torch.eye(K, dtype=W.dtype) + W.T @ W / NOISE**2
        mean = (x.flatten(1) - self.decoder.bias) @ W @ torch.linalg.inv(precision) / NOISE**2
        scale = precision.diagonal().rsqrt().expand_as(mean)
        return Independent(Normal(mean + self.shift, scale * self.widen), 1)


def linear_gaussian(shift: float = 0.0, widen: float = 1.0) -> Model:
    decoder = _Decoder()
    with torch.no_grad():  # orthogonal columns make the exact posterior factorise
        decoder.weight.copy_(torch.linalg.qr(decoder.weight)[0] * torch.tensor([1.5, 0.8], dtype=torch.float64))
    return Model(encoder=_Posterior(decoder, shift, widen), prior=StandardNormal(K).double(), decoder=decoder)


def exact_log_prob(model: Model, x: Tensor) -> Tensor:
    W, b = model.decoder.weight, model.decoder.bias
    covariance = W @ W.T + NOISE**2 * torch.eye(SIDE * SIDE, dtype=W.dtype)
    return MultivariateNormal(b, covariance).log_prob(x.flatten(1))


def batch_of(x: Tensor) -> Batch:
    return Batch(x=x, c=None, y=torch.full((len(x),), -1), index=torch.arange(len(x)))


@pytest.fixture
def x() -> Tensor:
    return torch.randn(5, 1, SIDE, SIDE, generator=keyed_generator("cpu", "x"), dtype=torch.float64)


@pytest.mark.parametrize("k", [1, 5, 50])
def test_at_the_true_posterior_every_sample_of_the_bound_is_log_p(x: Tensor, k: int) -> None:
    model = linear_gaussian()
    for seed in range(3):
        total = ImportanceWeighted(k)("model", model, batch_of(x), STEP, keyed_generator("cpu", seed)).total
        torch.testing.assert_close(total, -exact_log_prob(model, x))


def elbo_closed_form(model: Model, x: Tensor) -> Tensor:
    """E_q[log p(x|z)] in closed form for Gaussian q, minus the closed-form KL."""
    q = model.encoder(x).base_dist
    W = model.decoder.weight
    residual = x.flatten(1) - model.decoder.bias - q.loc @ W.T
    spread = ((q.scale**2)[:, None, :] * W**2).sum(-1)
    n = SIDE * SIDE
    expected = -0.5 * (residual**2 + spread).sum(1) / NOISE**2 - n * (math.log(NOISE) + 0.5 * math.log(2 * math.pi))
    kl = 0.5 * (q.scale**2 + q.loc**2 - 1 - 2 * q.scale.log()).sum(1)
    return expected - kl


@pytest.mark.parametrize(("shift", "widen"), [(0.0, 1.0), (0.4, 1.0), (-0.2, 1.7)])
def test_the_elbo_is_its_closed_form_and_below_log_p(x: Tensor, shift: float, widen: float) -> None:
    model = linear_gaussian(shift, widen)
    draws = 4000
    repeated = x.repeat_interleave(draws, 0)
    totals = (
        -ELBO()("model", model, batch_of(repeated), STEP, keyed_generator("cpu", 0)).total.detach().view(len(x), draws)
    )
    expected = elbo_closed_form(model, x)
    stderr = totals.std(1) / math.sqrt(draws)
    assert ((totals.mean(1) - expected).abs() <= 4 * stderr + 1e-9).all()
    assert (expected <= exact_log_prob(model, x) + 1e-9).all()


@pytest.mark.parametrize("k", [1, 5, 50])
def test_the_mean_of_importance_weights_is_p(x: Tensor, k: int) -> None:
    model = linear_gaussian(shift=0.3, widen=1.4)
    draws = 2000
    repeated = x.repeat_interleave(draws, 0)
    totals = ImportanceWeighted(k)("model", model, batch_of(repeated), STEP, keyed_generator("cpu", k)).total.detach()
    # Each total is -log of an unbiased estimate of p(x): relative to p(x), its mean is 1.
    ratios = (-totals.view(len(x), draws) - exact_log_prob(model, x)[:, None]).exp()
    stderr = ratios.std(1) / math.sqrt(draws)
    assert ((ratios.mean(1) - 1).abs() <= 3 * stderr).all()


def test_bounds_are_ordered_in_k(x: Tensor) -> None:
    model = linear_gaussian(shift=0.5, widen=1.5)
    repeated = x.repeat_interleave(1000, 0)
    bounds = [
        -float(
            ImportanceWeighted(k)("model", model, batch_of(repeated), STEP, keyed_generator("cpu", 7))
            .total.detach()
            .mean()
        )
        for k in (1, 5, 50)
    ]
    exact = float(exact_log_prob(model, x).detach().mean())
    # The gaps here are tenths of a nat; the standard error of each mean over 5,000 draws is below 0.02.
    assert bounds[0] < bounds[1] - 0.05
    assert bounds[1] < bounds[2] - 0.01
    assert bounds[2] < exact + 0.02


def test_importance_nll_converges_to_the_truth(x: Tensor) -> None:
    model = linear_gaussian(shift=0.3, widen=1.4)
    values, ess = importance_nll(model, x, samples=20_000, seed=0)
    # Relative variance of a weight is (S / ess - 1); the standard error of log mean w follows by the delta method.
    stderr = ((20_000 / ess - 1) / 20_000).sqrt()
    assert ((values + exact_log_prob(model, x)).abs() <= 4 * stderr).all()
    assert (ess > 2_000).all()
    exact_values, exact_ess = importance_nll(linear_gaussian(), x, samples=10, seed=0)
    torch.testing.assert_close(exact_values, -exact_log_prob(model, x).detach())
    torch.testing.assert_close(exact_ess, torch.full((5,), 10.0, dtype=torch.float64))


def test_gradient_of_the_elbo_is_the_closed_forms(x: Tensor) -> None:
    model = linear_gaussian(shift=0.4, widen=1.3)
    repeated = x.repeat_interleave(20_000, 0)
    ELBO()("model", model, batch_of(repeated), STEP, keyed_generator("cpu", 3)).total.mean().backward()
    found = model.decoder.bias.grad.clone()
    model.zero_grad()
    (-elbo_closed_form(model, x)).mean().backward()
    # Bias gradients are means of (residual / s^2) over 100,000 draws, each with a spread below 3: 5 standard errors.
    assert (found - model.decoder.bias.grad).abs().max() < 5 * 3 / math.sqrt(100_000)


@pytest.mark.parametrize("kl", ["tight", "report", "monte-carlo"])
@pytest.mark.parametrize("k", [1, 5])
def test_a_standard_component_is_the_standard_vae(x: Tensor, kl: str, k: int) -> None:
    plain, mixed = linear_gaussian(0.2), linear_gaussian(0.2)
    mixed.prior = MixturePrior(K, 1, spread=1.0).double()

    def terms(model: Model, objective: Objective) -> Terms:
        return objective("model", model, batch_of(x), STEP, keyed_generator("cpu", 0))

    def gradient(model: Model, total: Tensor) -> Tensor:
        return torch.autograd.grad(total.sum(), model.decoder.weight)[0]

    if k > 1:
        expected, found = (terms(model, ImportanceWeighted(k)).total for model in (plain, mixed))
        torch.testing.assert_close(found, expected)
    elif kl == "monte-carlo":  # the plain KL at the same draw
        expected = terms(plain, ImportanceWeighted(1)).total
        found = terms(mixed, ELBO(kl=kl)).total
        torch.testing.assert_close(found, expected)
    else:
        expected, found = terms(plain, ELBO()).total, terms(mixed, ELBO(kl=kl)).total
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(gradient(mixed, found), gradient(plain, expected))


def test_bounds_and_likelihoods_of_a_mixture_prior_are_ordered(x: Tensor) -> None:
    """-log p(x) <= -ELBO with the estimated KL <= with the tight bound, on a linear-Gaussian model with two components."""
    model = linear_gaussian(0.2)
    model.prior = MixturePrior(K, 2, spread=1.0).double()
    with torch.no_grad():
        model.prior.loc.copy_(torch.tensor([[1.0, -0.5], [-0.8, 0.7]]))
    nll, ess = importance_nll(model, x, samples=20_000, seed=0)
    # Given a component, x is Gaussian: the truth is a mixture of two.
    W, b = model.decoder.weight, model.decoder.bias
    covariance = W @ W.T + NOISE**2 * torch.eye(SIDE * SIDE, dtype=W.dtype)
    parts = [MultivariateNormal(b + W @ loc, covariance).log_prob(x.flatten(1)) for loc in model.prior.loc]
    exact = -torch.stack(parts).logsumexp(0) + math.log(2)
    stderr = ((20_000 / ess - 1) / 20_000).sqrt()
    assert ((nll - exact).abs() <= 4 * stderr).all()
    # One draw of either has a spread below 2 nats here: over 4,000 draws, four standard errors are 0.13.
    reconstruction, kl = bound(model, x, seed=0, samples=4000)
    assert ((reconstruction + kl) > exact - 0.13).all()
    assert (kl <= tight_kl(model.encoder(x), model.prior()) + 0.13).all()
    assert ((reconstruction + kl) > exact + 0.13).any()


def test_beta_zero_is_reconstruction_and_the_warm_up_is_linear(x: Tensor) -> None:
    model = linear_gaussian(0.2)

    def total(objective: ELBO | Reconstruction, step: int) -> Tensor:
        return objective("model", model, batch_of(x), torch.tensor(step), keyed_generator("cpu", 0)).total

    assert torch.equal(total(ELBO(beta=0.0), 0), total(Reconstruction(), 0))
    full, half = total(ELBO(beta=2.0), 0), total(ELBO(beta=2.0, warmup=20), 10)
    none = total(ELBO(beta=2.0, warmup=20), 0)
    torch.testing.assert_close(half, (full + none) / 2)
    torch.testing.assert_close(total(ELBO(beta=2.0, warmup=20), 500), full)
    assert torch.equal(none, total(ELBO(beta=0.0), 0))
    assert ramp(STEP, 0) == 1


def test_weight_multiplies_the_reconstruction_alone(x: Tensor) -> None:
    model = linear_gaussian(0.2)
    terms = ELBO(weight=3.0)("model", model, batch_of(x), STEP, keyed_generator("cpu", 0))
    torch.testing.assert_close(terms.total, 3 * terms.named["reconstruction"].value + terms.named["kl"].value)


def test_free_bits_floor_each_dimensions_mean_kl(x: Tensor) -> None:
    model = linear_gaussian(0.2)
    q = model.encoder(x).base_dist
    each = (0.5 * (q.scale**2 + q.loc**2 - 1) - q.scale.log()).mean(0)
    floor = float(each.detach().mean())  # between the two dimensions, so that one is floored and one is not
    assert each.min() < floor < each.max()
    terms = ELBO(free_bits=floor)("model", model, batch_of(x), STEP, keyed_generator("cpu", 0))
    penalty = (terms.total - terms.named["reconstruction"].value).mean()
    torch.testing.assert_close(penalty, each.clamp(min=floor).sum())
    torch.testing.assert_close(terms.named["kl"].value.mean(), each.sum())


def test_samples_average_the_reconstruction(x: Tensor) -> None:
    model = linear_gaussian(0.2)
    many = ELBO(samples=4000)("model", model, batch_of(x), STEP, keyed_generator("cpu", 0)).total
    # One draw's spread is about sqrt(SIDE^2 / 2) nats; over 4,000 draws the mean is off by less than 5 standard errors.
    assert (many + elbo_closed_form(model, x)).abs().max() < 5 * 3 / math.sqrt(4000)


@pytest.mark.parametrize("objective", [ELBO, partial(ImportanceWeighted, 5)])
def test_path_gradients_have_the_analytic_ones_values_and_mean(x: Tensor, objective: Callable[..., Objective]) -> None:
    model = linear_gaussian(shift=0.4, widen=1.3)
    model.encoder.free = nn.Parameter(torch.zeros(K, dtype=torch.float64))
    found = {}
    for path in (False, True):
        draws = 20_000
        repeated = batch_of(x.repeat_interleave(draws, 0))
        model.encoder.shift = 0.4 + model.encoder.free
        terms = objective(path=path)("model", model, repeated, STEP, keyed_generator("cpu", 3))
        gradient = torch.autograd.grad(terms.total.mean(), model.encoder.free)[0]
        found[path] = (terms.total.detach(), gradient)
    torch.testing.assert_close(found[True][0], found[False][0])
    # Both are means over 100,000 draws of terms with a spread of a few units: 5 standard errors of their difference.
    assert (found[True][1] - found[False][1]).abs().max() < 5 * 5 / math.sqrt(100_000)


@pytest.mark.parametrize("objective", [ELBO, partial(ImportanceWeighted, 5)])
def test_path_gradients_have_no_noise_at_the_true_posterior(x: Tensor, objective: Callable[..., Objective]) -> None:
    model = linear_gaussian()
    model.encoder.free = nn.Parameter(torch.zeros(K, dtype=torch.float64))
    gradients = {}
    for path in (False, True):
        model.encoder.shift = model.encoder.free
        total = objective(path=path)("model", model, batch_of(x), STEP, keyed_generator("cpu", 1)).total.mean()
        gradients[path] = float(torch.autograd.grad(total, model.encoder.free)[0].abs().max())
    assert gradients[True] < 1e-12
    assert gradients[False] > 1e-3


def test_evaluations_bound_is_the_closed_form_term_by_term(x: Tensor) -> None:
    model = linear_gaussian(shift=-0.2, widen=1.7)
    draws = 20_000
    reconstruction, kl = bound(model, x, seed=0, samples=draws)
    q = model.encoder(x).base_dist
    expected_kl = (0.5 * (q.scale**2 + q.loc**2 - 1) - q.scale.log()).sum(1)
    torch.testing.assert_close(kl, expected_kl.detach())
    # One draw's reconstruction has a spread below 5 nats here: 5 standard errors of the mean over the draws.
    expected = -elbo_closed_form(model, x).detach() - kl
    assert (reconstruction - expected).abs().max() < 5 * 5 / math.sqrt(draws)


def test_an_images_figures_do_not_depend_on_how_many_are_measured(x: Tensor) -> None:
    model = linear_gaussian(shift=0.3, widen=1.4)
    many = torch.cat([x, x.flip(0), x + 0.1]).repeat(9, 1, 1, 1)
    for few, all_ in (
        (bound(model, x, 0), bound(model, many, 0)),
        (importance_nll(model, x, 7, 0), importance_nll(model, many, 7, 0)),
    ):
        for a, b in zip(few, all_, strict=True):
            torch.testing.assert_close(a, b[: len(x)])
