"""Conditional objectives and estimators on models whose log p(x|c) is known exactly.

Gaussian: z|c ~ N(A c, I), x|z, c ~ N(W z + B c, s^2 I), so that log p(x|c) = log N(x; W A c + B c, W W^T + s^2 I). Binary:
few enough units to sum over all tuples of them.
"""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal

from reparam.core.batch import Batch, Condition
from reparam.core.conditional import Decoder, Encoder, Prior
from reparam.core.context import ContextNetwork, ContextOutput
from reparam.distributions import Bernoulli, keyed_generator
from reparam.errors import ConfigError
from reparam.evaluation.likelihood import bound, importance_nll, monte_carlo_nll
from reparam.models import MODELS, Model, Schedule, Spec
from reparam.objectives import ELBO, MonteCarlo, StructuredPrediction

K, SIDE = 2, 3
NOISE = 0.7
STEP = torch.tensor(10)


def matrix(name: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=keyed_generator("cpu", name), dtype=torch.float64)


class _Conditionals(nn.Module):
    """Weights that prior, decoder and the exact posterior share; W has orthogonal columns, so that the posterior factorises."""

    def __init__(self) -> None:
        super().__init__()
        self.A = nn.Parameter(0.3 * matrix("A", K, SIDE * SIDE))
        self.B = nn.Parameter(0.2 * matrix("B", SIDE * SIDE, SIDE * SIDE))
        columns = torch.linalg.qr(matrix("W", SIDE * SIDE, K))[0]
        self.W = nn.Parameter(columns * torch.tensor([1.2, 0.7], dtype=torch.float64))


class _Prior(Prior):
    def __init__(self, shared: _Conditionals) -> None:
        super().__init__()
        self.shared = shared

    def forward(self, context: ContextOutput) -> Independent:
        loc = context.features.flatten(1) @ self.shared.A.T
        return Independent(Normal(loc, torch.ones_like(loc)), 1)


class _Decoder(Decoder):
    def __init__(self, shared: _Conditionals) -> None:
        super().__init__()
        self.shared = shared

    def forward(self, z: Tensor, context: ContextOutput) -> Independent:
        loc = z @ self.shared.W.T + context.features.flatten(1) @ self.shared.B.T
        return Independent(Normal(loc.unflatten(-1, (1, SIDE, SIDE)), NOISE), 3)


class _Posterior(Encoder):
    """The exact posterior, or one that is shifted and wider."""

    def __init__(self, shared: _Conditionals, shift: float, widen: float) -> None:
        super().__init__()
        self.shared, self.shift, self.widen = shared, shift, widen

    def forward(self, x: Tensor, context: ContextOutput) -> Independent:
        W, c = self.shared.W, context.features.flatten(1)
        precision = torch.eye(K, dtype=W.dtype) + W.T @ W / NOISE**2
        residual = x.flatten(1) - c @ self.shared.B.T
        mean = (residual @ W / NOISE**2 + c @ self.shared.A.T) @ torch.linalg.inv(precision)
        scale = precision.diagonal().rsqrt().expand_as(mean)
        return Independent(Normal(mean + self.shift, scale * self.widen), 1)


def linear_gaussian(shift: float = 0.0, widen: float = 1.0) -> Model:
    shared = _Conditionals()
    return Model(
        context=ContextNetwork(nn.Identity(), None, Condition(channels=1)),
        encoder=_Posterior(shared, shift, widen),
        prior=_Prior(shared),
        decoder=_Decoder(shared),
    )


def exact_log_prob(model: Model, x: Tensor, c: Tensor) -> Tensor:
    shared = model.prior.shared
    mean = c.flatten(1) @ (shared.W @ shared.A + shared.B).T
    covariance = shared.W @ shared.W.T + NOISE**2 * torch.eye(SIDE * SIDE, dtype=mean.dtype)
    return MultivariateNormal(mean, covariance).log_prob(x.flatten(1)).detach()


def batch_of(x: Tensor, c: Tensor) -> Batch:
    return Batch(x=x, c=c, y=torch.full((len(x),), -1), index=torch.arange(len(x)))


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    return matrix("x", 5, 1, SIDE, SIDE), matrix("c", 5, 1, SIDE, SIDE)


def test_at_the_true_posterior_bound_and_importance_weights_are_exact(pair: tuple[Tensor, Tensor]) -> None:
    x, c = pair
    model = linear_gaussian()
    exact = exact_log_prob(model, x, c)
    values, sizes = importance_nll(model, x, 20, seed=0, c=c)
    torch.testing.assert_close(values, -exact)
    torch.testing.assert_close(sizes, torch.full((5,), 20.0, dtype=torch.float64))
    objective = StructuredPrediction(ELBO(), None, guess_weight=0.0)
    draws = 4000
    many = batch_of(x.repeat_interleave(draws, 0), c.repeat_interleave(draws, 0))
    totals = objective("model", model, many, STEP, keyed_generator("cpu", 0)).total.detach().view(5, draws)
    assert ((totals.mean(1) + exact).abs() <= 4 * totals.std(1) / math.sqrt(draws)).all()


def test_both_estimators_converge_to_log_p(pair: tuple[Tensor, Tensor]) -> None:
    x, c = pair
    model = linear_gaussian(shift=0.3, widen=1.3)
    samples = 20_000
    for estimate in (importance_nll, monte_carlo_nll):
        values, sizes = estimate(model, x, samples, seed=1, c=c)
        stderr = ((samples / sizes - 1) / samples).sqrt()  # of log mean w, by the delta method
        assert ((values + exact_log_prob(model, x, c)).abs() <= 4 * stderr).all()
        assert (sizes < samples - 1).all()
    # The reason for importance sampling: its weights vary less.
    assert (importance_nll(model, x, samples, 1, c=c)[1] > monte_carlo_nll(model, x, samples, 1, c=c)[1]).all()


def test_mean_of_the_monte_carlo_weights_is_p_and_few_draws_are_biased_upwards(pair: tuple[Tensor, Tensor]) -> None:
    x, c = (part.repeat_interleave(4000, 0) for part in pair)
    model = linear_gaussian()
    exact = exact_log_prob(model, *pair)
    means = []
    for draws in (1, 10):
        terms = MonteCarlo(draws)("model", model, batch_of(x, c), STEP, keyed_generator("cpu", draws))
        totals = terms.total.detach().view(5, 4000)
        ratios = (-totals - exact[:, None]).exp()
        assert ((ratios.mean(1) - 1).abs() <= 4 * ratios.std(1) / math.sqrt(4000)).all()
        means.append(totals.mean(1))
    # The gaps are tenths of a nat and more; the standard errors of these means are below 0.05.
    assert (means[0] > means[1] + 0.1).all()
    assert (means[1] > -exact).all()


def test_an_images_estimate_does_not_depend_on_how_many_are_measured(pair: tuple[Tensor, Tensor]) -> None:
    x, c = pair
    model = linear_gaussian(shift=0.2)
    for estimate in (importance_nll, monte_carlo_nll):
        whole, part = estimate(model, x, 120, 0, c=c)[0], estimate(model, x[:2], 120, 0, c=c[:2])[0]
        torch.testing.assert_close(whole[:2], part)
    torch.testing.assert_close(bound(model, x, 0, c=c)[0][:2], bound(model, x[:2], 0, c=c[:2])[0])


def test_the_bound_of_l_draws_has_the_mean_of_one_and_an_lth_of_its_variance(pair: tuple[Tensor, Tensor]) -> None:
    """Both in closed form. With z = m + s eps, r = x - B c - W m and the columns w_k of W orthogonal, -log p(x|z, c) is a
    constant and sum_k (|w_k|^2 s_k^2 eps_k^2 - 2 (r . w_k) s_k eps_k) / (2 NOISE^2); eps_k^2 and eps_k do not correlate."""
    x, c = pair
    model = linear_gaussian(shift=0.3, widen=1.3)
    shared = model.prior.shared
    q_z = model.given(c).encoder(x).base_dist
    loc, scale, W = q_z.loc.detach(), q_z.scale.detach(), shared.W.detach()
    residual = x.flatten(1) - c.flatten(1) @ shared.B.detach().T - loc @ W.T
    spread = W.square().sum(0) * scale.square()
    size = SIDE * SIDE
    mean = (residual.square().sum(1) + spread.sum(1)) / (2 * NOISE**2) + size / 2 * math.log(2 * math.pi * NOISE**2)
    variance = ((residual @ W * scale / NOISE**2).square() + 0.5 * (spread / NOISE**2).square()).sum(1)

    repeats = 8000
    many = batch_of(x.repeat_interleave(repeats, 0), c.repeat_interleave(repeats, 0))
    for samples in (1, 4, 16):
        objective = StructuredPrediction(ELBO(samples=samples), None, guess_weight=0.0)
        terms = objective("model", model, many, STEP, keyed_generator("cpu", samples))
        found = terms.named["reconstruction"].value.detach().view(5, repeats)
        assert ((found.mean(1) - mean).abs() <= 4 * (variance / samples / repeats).sqrt()).all()
        off = (found - mean[:, None]).square()  # its mean estimates the variance, with a standard error of its own
        assert ((off.mean(1) - variance / samples).abs() <= 4 * off.std(1) / math.sqrt(repeats)).all()
        kl = terms.named["kl"].value
        torch.testing.assert_close(terms.total, terms.named["reconstruction"].value + kl)
        torch.testing.assert_close(kl.view(5, repeats).std(1), torch.zeros(5).double())  # in closed form, without draws


# -- the two averages of the GSNN ------------------------------------------------------------------------------------------


class _TwoWays(Decoder):
    """p(x|z) is one of two, as z is above or below 0: log p of either is known, and which it is has a known probability."""

    logits = (1.5, -0.7)

    def forward(self, z: Tensor) -> Independent:
        logits = torch.where(z > 0, *torch.tensor(self.logits, dtype=z.dtype))
        return Independent(Bernoulli(logits.unflatten(-1, (1, 1, 1))), 3)


class _Shifted(Prior):
    """N(c, 1)."""

    def forward(self, context: ContextOutput) -> Independent:
        loc = context.features.flatten(1)
        return Independent(Normal(loc, torch.ones_like(loc)), 1)


def two_ways() -> Model:
    return Model(
        context=ContextNetwork(nn.Identity(), None, Condition(channels=1)), prior=_Shifted(), decoder=_TwoWays()
    )


@pytest.mark.parametrize("draws", [1, 2, 5])
def test_both_averages_of_prior_draws_are_their_closed_forms(draws: int) -> None:
    model = two_ways()
    c = torch.tensor([-0.8, 0.0, 0.5], dtype=torch.float64).view(3, 1, 1, 1)
    x = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64).view(3, 1, 1, 1)
    above = torch.special.ndtr(c.flatten())
    both = torch.nn.functional.logsigmoid(
        torch.tensor(model.decoder.logits).double() * (2 * x.view(3, 1) - 1)
    )  # [3, 2]
    mean_of_logs = -(above * both[:, 0] + (1 - above) * both[:, 1])
    log_of_mean = torch.zeros(3, dtype=torch.float64)
    for k in range(draws + 1):  # k of the draws are above 0
        probability = math.comb(draws, k) * above**k * (1 - above) ** (draws - k)
        log_of_mean -= probability * ((k * both[:, 0].exp() + (draws - k) * both[:, 1].exp()) / draws).log()
    exact = -(above * both[:, 0].exp() + (1 - above) * both[:, 1].exp()).log()
    # Jensen: the truth, then the log of the mean, then the mean of logs, which one draw makes the same.
    assert (exact < log_of_mean - 1e-3).all()
    if draws == 1:
        torch.testing.assert_close(log_of_mean, mean_of_logs)
    else:
        assert (log_of_mean < mean_of_logs - 1e-3).all()

    repeats = 20_000
    many = batch_of(x.repeat_interleave(repeats, 0), c.repeat_interleave(repeats, 0))
    for average, expected in (("likelihood", log_of_mean), ("log-likelihood", mean_of_logs)):
        total = MonteCarlo(draws, average)("model", model, many, STEP, keyed_generator("cpu", draws)).total
        totals = total.view(3, repeats)
        assert ((totals.mean(1) - expected).abs() <= 4 * totals.std(1) / math.sqrt(repeats)).all()


def test_on_the_same_draws_the_log_of_the_mean_is_below_the_mean_of_logs(pair: tuple[Tensor, Tensor]) -> None:
    model, batch = linear_gaussian(), batch_of(*pair)

    def total(draws: int, average: str) -> Tensor:
        return MonteCarlo(draws, average)("model", model, batch, STEP, keyed_generator("cpu", 3)).total

    assert torch.equal(total(1, "likelihood"), total(1, "log-likelihood"))
    assert (total(7, "likelihood") < total(7, "log-likelihood")).all()
    with torch.no_grad():
        model.decoder.shared.W.zero_()  # z has no effect: they are the same for every number of draws
    torch.testing.assert_close(total(7, "likelihood"), total(7, "log-likelihood"))
    torch.testing.assert_close(total(7, "log-likelihood"), total(1, "log-likelihood"))


def test_binary_latents_have_the_average_of_likelihoods_alone() -> None:
    x, c = torch.ones(2, 1, 2, 2, dtype=torch.float64), torch.ones(2, 1, 2, 2, dtype=torch.float64)
    with pytest.raises(ConfigError, match="needs a latent that can be reparameterised"):
        MonteCarlo(5, "log-likelihood")("model", sfnn(), batch_of(x, c), STEP)


# -- the hybrid's ends -----------------------------------------------------------------------------------------------------


def small(name: str, **options: Any) -> tuple[Model, StructuredPrediction]:
    """The model with its seeded weights, and its objective."""
    family = MODELS[name]
    chosen = family.options(hidden=(16, 16), latent=3, guess_weight=0.5, **options)
    torch.manual_seed(3)
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[4:, :4] = True
    spec = Spec((1, 8, 8), condition=Condition(channels=2, masked=True, fixed=mask))
    return family.build(chosen, spec), family.objective(chosen, Schedule(1.0, 10))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("alpha", "other", "options"),
    [
        (1.0, "cvae", {}),
        (1.0, "cvae", {"samples": 3}),
        (0.0, "gsnn", {}),
        (0.0, "gsnn", {"prior_draws": 3}),
        (0.0, "gsnn", {"prior_draws": 3, "average": "log-likelihood"}),
    ],
)
def test_the_hybrid_ends_in_cvae_and_gsnn(alpha: float, other: str, options: dict[str, Any]) -> None:
    (hybrid, objective), (plain, its_objective) = small("hybrid", alpha=alpha, **options), small(other, **options)
    assert hybrid.state_dict().keys() == plain.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(hybrid.parameters(), plain.parameters(), strict=True))
    x = torch.rand(6, 1, 8, 8, generator=keyed_generator("cpu", "images"))
    mask = torch.zeros(6, 1, 8, 8)
    mask[:, :, 4:, :4] = 1
    batch = batch_of(x, torch.cat([x * mask, mask], 1))
    ours, theirs = (
        rule("model", model, batch, STEP, keyed_generator("cpu", 1))
        for rule, model in ((objective, hybrid), (its_objective, plain))
    )
    assert torch.equal(ours.total, theirs.total)
    assert ours.named.keys() == theirs.named.keys()
    for model, terms in ((hybrid, ours), (plain, theirs)):
        terms.total.mean().backward()
        assert all(p.grad is not None for p in model.parameters())
    for (name, a), b in zip(hybrid.named_parameters(), plain.parameters(), strict=True):
        assert a.grad is not None
        assert torch.equal(a.grad, b.grad), name  # type: ignore[arg-type]


def test_draws_of_a_part_that_the_hybrid_has_not_are_refused() -> None:
    with pytest.raises(ConfigError, match="leave --samples out, or raise --alpha"):
        small("hybrid", alpha=0.0, samples=2)
    with pytest.raises(ConfigError, match="leave --average out, or lower --alpha"):
        small("hybrid", alpha=1.0, average="log-likelihood")


def test_what_a_stored_run_does_not_name_is_what_was_trained_before_there_was_a_choice() -> None:
    """Of one draw of q(z|x, c), and of the log of the mean likelihood: a run.json without these options means them."""
    for name in ("cvae", "hybrid"):
        assert MODELS[name].options().samples == 1
    for name in ("gsnn", "hybrid"):
        assert MODELS[name].options().average == "likelihood"
        assert not any("average" in recipe.options for recipe in MODELS[name].recipes.values())


@pytest.mark.parametrize("options", [{}, {"samples": 3, "prior_draws": 4, "average": "log-likelihood"}])
def test_between_the_ends_the_hybrid_is_their_mixture(options: dict[str, Any]) -> None:
    _, objective = small("hybrid", alpha=0.3, **options)
    model, _ = small("hybrid", alpha=0.3, **options)
    x = torch.rand(6, 1, 8, 8, generator=keyed_generator("cpu", "images"))
    c = torch.cat([x * 0, x * 0], 1)
    terms = objective("model", model, batch_of(x, c), STEP, keyed_generator("cpu", 1))
    named = {name: term.value for name, term in terms.named.items()}
    expected = 0.3 * (named["reconstruction"] + named["kl"]) + 0.7 * named["monte_carlo"] + 0.5 * named["guess"]
    torch.testing.assert_close(terms.total, expected)


def test_kl_weight_is_one_plus_beta() -> None:
    model, plain = small("cvae")
    _, heavy = small("cvae", beta=1.5)
    x = torch.rand(4, 1, 8, 8, generator=keyed_generator("cpu", "images"))
    batch = batch_of(x, torch.cat([x * 0, x * 0], 1))
    one, other = (rule("model", model, batch, STEP, keyed_generator("cpu", 1)) for rule in (plain, heavy))
    torch.testing.assert_close(other.total - one.total, 1.5 * one.named["kl"].value)


def test_the_guess_reaches_prior_and_recognition_without_gradient() -> None:
    model, objective = small("cvae")
    x = torch.rand(4, 1, 8, 8, generator=keyed_generator("cpu", "images"))
    terms = objective("model", model, batch_of(x, torch.cat([x * 0, x * 0], 1)), STEP, keyed_generator("cpu", 1))
    own = torch.autograd.grad(terms.named["kl"].value.mean(), list(model.context.guess.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in own)


# -- SFNN: all tuples of latents -------------------------------------------------------------------------------------------


class _BinaryPrior(Prior):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.8 * matrix("prior", 2, 1))

    def forward(self, context: ContextOutput) -> Independent:
        return Independent(Bernoulli(context.features.flatten(1)[:, :1] @ self.weight.T), 1)


class _BinaryDecoder(Decoder):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(matrix("decoder", 4, 2))

    def forward(self, z: Tensor) -> Independent:
        return Independent(Bernoulli((z.double() @ self.weight.T).unflatten(-1, (1, 2, 2))), 3)


def sfnn() -> Model:
    return Model(
        context=ContextNetwork(nn.Identity(), None, Condition(channels=1)),
        prior=_BinaryPrior(),
        decoder=_BinaryDecoder(),
    )


def enumerated(model: Model, x: Tensor, c: Tensor, draws: int) -> tuple[Tensor, list[Tensor]]:
    """E[-log 1/M sum_m p(x|z_m, c)] for each image over all tuples of M latents by their probability, and the gradient of the
    generalised EM step in expectation: that of -sum_m r_m (log p(x|z_m, c) + log p(z_m|c)), r_m = p(x|z_m, c) / sum of them."""
    parameters = list(model.parameters())
    p_z = model.given(c).prior()
    states = torch.tensor(list(itertools.product((0.0, 1.0), repeat=2)), dtype=torch.float64)
    log_prior = torch.stack([p_z.log_prob(z.expand(len(x), 2)) for z in states])  # [4, B]
    log_p = torch.stack([model.given(c).decoder(z.expand(len(x), 2)).log_prob(x) for z in states])
    value, loss = torch.zeros(len(x), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for combination in itertools.product(range(4), repeat=draws):
        chosen = list(combination)
        probability = log_prior[chosen].sum(0).exp().detach()
        value = value + probability * (math.log(draws) - log_p[chosen].logsumexp(0)).detach()
        share = log_p[chosen].softmax(0).detach()
        loss = loss - (probability * share * (log_p[chosen] + log_prior[chosen])).sum() / len(x)
    return value, list(torch.autograd.grad(loss, parameters))


@pytest.mark.parametrize("draws", [2, 3])
def test_the_sfnn_objective_is_its_enumeration(draws: int) -> None:
    model = sfnn()
    x = (matrix("binary", 3, 1, 2, 2) > 0).double()
    c = matrix("conditions", 3, 1, 2, 2)
    value, gradient = enumerated(model, x, c, draws)
    repeats = 20_000
    many = batch_of(x.repeat(repeats, 1, 1, 1), c.repeat(repeats, 1, 1, 1))
    totals = MonteCarlo(draws)("model", model, many, STEP, keyed_generator("cpu", draws)).total.view(repeats, 3)
    assert ((totals.mean(0) - value).abs() <= 4 * totals.detach().std(0) / math.sqrt(repeats)).all()
    # Twenty groups of a thousand give the gradient's own standard error.
    groups = [
        torch.autograd.grad(part.mean(), list(model.parameters()), retain_graph=True) for part in totals.chunk(20)
    ]
    for number, expected in enumerate(gradient):
        found = torch.stack([group[number] for group in groups])
        assert ((found.mean(0) - expected).abs() <= 5 * found.std(0) / math.sqrt(20) + 1e-12).all()


def test_a_latent_that_is_never_drawn_leaves_the_value_that_of_the_others() -> None:
    """With p(z = 1) = 1 for every unit the estimate is exact: -log p(x|z = (1, 1))."""
    model = sfnn()
    with torch.no_grad():
        model.prior.weight.fill_(100.0)
    x, c = torch.ones(2, 1, 2, 2, dtype=torch.float64), torch.ones(2, 1, 2, 2, dtype=torch.float64)
    total = MonteCarlo(5)("model", model, batch_of(x, c), STEP, keyed_generator("cpu", 0)).total
    logits = model.decoder.weight.sum(1)
    torch.testing.assert_close(total, -torch.nn.functional.logsigmoid(logits).sum().expand(2))
