"""Mixtures: draws, density, and the bounds on the KL of a Gaussian or a mixture to one, against Monte Carlo and closed forms."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, MixtureSameFamily, Normal, kl_divergence

from reparam.distributions import (
    full_mixture,
    keyed_generator,
    kl_at,
    mixture,
    monte_carlo_kl,
    paired_kl,
    report_kl,
    responsibilities,
    rsample,
    tight_kl,
    with_parameters,
)
from reparam.errors import ReparamError
from reparam.testing import check_distribution

B, K = 7, 3
DRAWS = 20_000


def gaussians(seed: int, *shape: int) -> tuple[Tensor, Tensor]:
    g = keyed_generator("cpu", "mixtures", seed)
    loc = 1.5 * torch.randn(*shape, K, generator=g, dtype=torch.float64)
    return loc, (0.5 * torch.randn(*shape, K, generator=g, dtype=torch.float64)).exp()


def posterior(seed: int = 0) -> Independent:
    return Independent(Normal(*gaussians(seed, B)), 1)


def prior(components: int, seed: int = 1) -> MixtureSameFamily:
    logits = torch.randn(components, generator=keyed_generator("cpu", "weights", seed), dtype=torch.float64)
    return mixture(logits, *gaussians(seed, components))


@pytest.mark.parametrize("components", [2, 5, 20])
@pytest.mark.parametrize("seed", range(4))
def test_monte_carlo_is_below_the_tight_bound_which_is_below_the_reports(components: int, seed: int) -> None:
    q_z, p_z = posterior(seed), prior(components, 10 + seed)
    z = rsample(q_z, (DRAWS,), keyed_generator("cpu", seed))
    ratio = q_z.log_prob(z) - p_z.log_prob(z)
    error = 4 * ratio.std(0) / math.sqrt(DRAWS)
    torch.testing.assert_close(monte_carlo_kl(q_z, p_z, z), ratio.mean(0))
    assert (monte_carlo_kl(q_z, p_z, z) <= tight_kl(q_z, p_z) + error).all()
    assert (tight_kl(q_z, p_z) <= report_kl(q_z, p_z) + 1e-12).all()
    # On random mixtures neither is the other: a test that could not tell them apart would show nothing.
    assert (monte_carlo_kl(q_z, p_z, z) < tight_kl(q_z, p_z) - error).any()
    assert (tight_kl(q_z, p_z) < report_kl(q_z, p_z) - 0.1).any()


def test_one_component_has_the_closed_form_under_every_bound() -> None:
    q_z, p_z = posterior(), prior(1)
    loc, scale = gaussians(1, 1)
    exact = kl_divergence(q_z, Independent(Normal(loc[0], scale[0]), 1))
    torch.testing.assert_close(tight_kl(q_z, p_z), exact)
    torch.testing.assert_close(report_kl(q_z, p_z), exact)


def test_components_that_coincide_have_the_closed_form_whatever_their_weights() -> None:
    q_z = posterior()
    loc, scale = gaussians(1, 1)
    p_z = mixture(torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64), loc.expand(3, K), scale.expand(3, K))
    exact = kl_divergence(q_z, Independent(Normal(loc[0], scale[0]), 1))
    torch.testing.assert_close(tight_kl(q_z, p_z), exact)
    assert (report_kl(q_z, p_z) > exact + 0.1).all()  # unless its weights are equal, too


def test_the_reports_bound_is_the_tight_one_where_weighted_components_are_equally_near() -> None:
    q_z = Independent(Normal(torch.zeros(1, K).double(), torch.ones(1, K).double()), 1)
    loc = torch.eye(K).double()  # all at the same distance, and of equal weight
    p_z = mixture(torch.zeros(K).double(), loc, torch.ones(K, K).double())
    torch.testing.assert_close(report_kl(q_z, p_z), tight_kl(q_z, p_z))
    unequal = mixture(torch.arange(K).double(), loc, torch.ones(K, K).double())
    assert (report_kl(q_z, unequal) > tight_kl(q_z, unequal) + 0.1).all()


def test_a_weight_of_zero_makes_the_reports_bound_infinite_and_leaves_the_tight_one() -> None:
    q_z, p_z = posterior(), prior(3)
    logits = p_z.mixture_distribution.logits
    components = p_z.component_distribution.base_dist
    without = mixture(logits[:2], components.loc[:2], components.scale[:2])
    with_zero = mixture(torch.tensor([*logits[:2].tolist(), -torch.inf]).double(), components.loc, components.scale)
    assert report_kl(q_z, with_zero).isposinf().all()
    torch.testing.assert_close(tight_kl(q_z, with_zero), tight_kl(q_z, without))


def test_responsibilities_attain_the_tight_bound() -> None:
    """sum_m r_m (KL_m - log pi_m + log r_m) is above the bound for every r, and on it for these."""
    q_z, p_z = posterior(), prior(4)
    components = p_z.component_distribution.base_dist
    each = torch.stack(
        [kl_divergence(q_z, Independent(Normal(components.loc[m], components.scale[m]), 1)) for m in range(4)], 1
    )

    def energy(r: Tensor) -> Tensor:
        return (r * (each - p_z.mixture_distribution.logits + r.log())).sum(1)

    r = responsibilities(q_z, p_z)
    torch.testing.assert_close(energy(r), tight_kl(q_z, p_z))
    other = (r.log() + 0.3 * torch.randn(B, 4, generator=keyed_generator("cpu", 2), dtype=torch.float64)).softmax(1)
    assert (energy(other) > tight_kl(q_z, p_z)).all()


@pytest.mark.parametrize("bound", [tight_kl, report_kl])
def test_gradients_of_the_bounds(bound) -> None:
    loc, scale = gaussians(0, 2)
    logits = torch.randn(3, generator=keyed_generator("cpu", 3), dtype=torch.float64)
    parameters = [t.clone().requires_grad_() for t in (loc, scale, logits, *gaussians(1, 3))]

    def value(loc: Tensor, scale: Tensor, logits: Tensor, locs: Tensor, scales: Tensor) -> Tensor:
        return bound(Independent(Normal(loc, scale), 1), mixture(logits, locs, scales))

    assert torch.autograd.gradcheck(value, parameters)


def test_far_components_keep_the_tight_bound_finite_and_its_gradient() -> None:
    loc = torch.zeros(1, K, requires_grad=True)
    q_z = Independent(Normal(loc, torch.ones(1, K)), 1)
    p_z = mixture(torch.zeros(2), torch.tensor([[1e3], [2e3]]).expand(2, K), torch.ones(2, K))
    bound = tight_kl(q_z, p_z)
    bound.sum().backward()
    torch.testing.assert_close(bound, torch.tensor([K * 1e6 / 2 + math.log(2)]))
    assert loc.grad.isfinite().all()


# -- mixture against mixture: the VAE report's eq. 15 ----------------------------------------------------------------------


@pytest.mark.parametrize("components", [2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_the_paired_bound_is_above_monte_carlo(components: int, seed: int) -> None:
    q_z, p_z = prior(components, seed), prior(components, 10 + seed)
    z = rsample(q_z, (DRAWS,), keyed_generator("cpu", seed))
    ratio = q_z.log_prob(z) - p_z.log_prob(z)
    assert paired_kl(q_z, p_z) > ratio.mean() + 4 * ratio.std() / math.sqrt(DRAWS)


def test_the_paired_bound_of_one_component_is_the_closed_form() -> None:
    (loc, scale), (other, its_scale) = gaussians(0, 1), gaussians(1, 1)
    exact = kl_divergence(Independent(Normal(loc[0], scale[0]), 1), Independent(Normal(other[0], its_scale[0]), 1))
    torch.testing.assert_close(paired_kl(prior(1, 0), prior(1, 1)), exact)


def test_the_paired_bound_of_a_mixture_to_itself_is_0_and_not_in_another_order() -> None:
    q_z = prior(4)
    torch.testing.assert_close(paired_kl(q_z, q_z), torch.zeros((), dtype=torch.float64))
    turned = with_parameters(q_z, lambda parameter: parameter.roll(1, 0))
    torch.testing.assert_close(turned.log_prob(torch.ones(K).double()), q_z.log_prob(torch.ones(K).double()))
    assert paired_kl(q_z, turned) > 1


def test_the_paired_bound_is_exact_for_components_that_are_far_apart_and_the_same() -> None:
    """Each draw then tells its component, and the KL is that of the weights. For components that coincide it is 0 instead."""
    weights, others = torch.tensor([0.2, 0.5, 0.3]).double(), torch.tensor([0.6, 0.1, 0.3]).double()
    exact = (weights * (weights / others).log()).sum()
    for apart in (100.0, 0.0):
        loc = apart * torch.arange(3.0).double()[:, None].expand(3, K)
        q_z, p_z = (mixture(w.log(), loc, torch.ones(3, K).double()) for w in (weights, others))
        torch.testing.assert_close(paired_kl(q_z, p_z), exact)
        z = rsample(q_z, (DRAWS,), keyed_generator("cpu", "apart"))
        ratio = q_z.log_prob(z) - p_z.log_prob(z)
        known = exact if apart else torch.zeros(())
        assert (ratio.mean() - known).abs() <= 4 * ratio.std() / math.sqrt(DRAWS) + 1e-12


def test_the_reports_bound_is_the_paired_one_of_a_gaussian_repeated() -> None:
    """Its eq. 16 from its eq. 15: q = sum_m 1/M q, image by image."""
    q_z, p_z = posterior(), prior(5)
    loc, scale = (part[:, None].expand(B, 5, K) for part in (q_z.base_dist.loc, q_z.base_dist.scale))
    repeated = mixture(torch.zeros(B, 5, dtype=torch.float64), loc, scale)
    torch.testing.assert_close(paired_kl(repeated, p_z), report_kl(q_z, p_z))


def test_the_paired_bound_takes_full_covariances() -> None:
    q_z, p_z = prior(3, 0), prior(3, 1)

    def full(one: MixtureSameFamily) -> MixtureSameFamily:
        components = one.component_distribution.base_dist
        return full_mixture(one.mixture_distribution.logits, components.loc, components.scale.diag_embed())

    for first, second in ((full(q_z), full(p_z)), (q_z, full(p_z))):
        torch.testing.assert_close(paired_kl(first, second), paired_kl(q_z, p_z))


def test_the_paired_bound_of_weights_of_0() -> None:
    """Of q: the component is not there. Of p alone: infinite. Without any in the other: as if neither had it."""
    loc, scale = gaussians(0, 3)
    other, its_scale = gaussians(1, 3)
    some, none = torch.tensor([0.2, 0.3, 0.5]).double().log(), torch.tensor([0.4, 0.6, 0.0]).double().log()
    two = torch.tensor([0.4, 0.6]).double().log()
    assert paired_kl(mixture(some, loc, scale), mixture(none, other, its_scale)).isposinf()
    without = paired_kl(mixture(two, loc[:2], scale[:2]), mixture(two, other[:2], its_scale[:2]))
    torch.testing.assert_close(paired_kl(mixture(none, loc, scale), mixture(none, other, its_scale)), without)
    found = paired_kl(mixture(none, loc, scale), mixture(some, other, its_scale))
    torch.testing.assert_close(found, without + math.log(2))  # p has its two at half of their weights


def test_mixtures_of_other_numbers_of_components_are_told() -> None:
    with pytest.raises(ReparamError, match="3 and 1 components cannot be paired: repeat components"):
        paired_kl(prior(3), prior(1))


def test_gradients_of_the_paired_bound() -> None:
    parameters = [
        part.clone().requires_grad_()
        for seed in (0, 1)
        for part in (torch.randn(3, generator=keyed_generator("cpu", seed), dtype=torch.float64), *gaussians(seed, 3))
    ]

    def value(*parts: Tensor) -> Tensor:
        return paired_kl(mixture(*parts[:3]), mixture(*parts[3:]))

    assert torch.autograd.gradcheck(value, parameters)


def test_draws_have_the_mixtures_moments_and_its_shares() -> None:
    p_z = mixture(
        torch.tensor([0.2, 0.5, 0.3]).log(), torch.tensor([[-5.0, 0], [0, 5], [5, 0]]), 0.3 * torch.ones(3, 2)
    )
    check_distribution(p_z)
    z = rsample(p_z, (DRAWS,), keyed_generator("cpu", 0))
    share = torch.stack([z[:, 0] < -2.5, z[:, 1] > 2.5, z[:, 0] > 2.5]).float().mean(1)
    expected = torch.tensor([0.2, 0.5, 0.3])
    # Components lie 17 deviations apart; a share has a standard error below 0.0036.
    assert ((share - expected).abs() <= 4 * (expected * (1 - expected) / DRAWS).sqrt()).all()
    spread = z[z[:, 0] < -2.5].std(0)
    assert ((spread - 0.3).abs() <= 4 * 0.3 / math.sqrt(2 * 0.2 * DRAWS)).all()


def test_draws_of_a_batch_of_mixtures_are_each_ones_own() -> None:
    """p(z|c): [B, M, K], as a conditional prior would have it; changed parameter by parameter, as estimators cut a batch."""
    loc = torch.tensor([[[-1.0], [1.0]], [[9.0], [11.0]]])
    p_z = mixture(torch.zeros(2, 2), loc, 0.01 * torch.ones(2, 2, 1))
    z = rsample(p_z, (500,), keyed_generator("cpu", 1))
    assert z.shape == (500, 2, 1)
    assert z[:, 0].abs().sub(1).abs().max() < 0.1
    assert z[:, 1].sub(10).abs().sub(1).abs().max() < 0.1
    check_distribution(p_z)
    second = with_parameters(p_z, lambda parameter: parameter[1:])
    value = torch.tensor([[9.02]])
    torch.testing.assert_close(second.log_prob(value), p_z.log_prob(value.expand(2, 1))[1:])


def test_draws_carry_no_gradient() -> None:
    loc = torch.randn(2, K, requires_grad=True)
    assert not rsample(mixture(torch.zeros(2), loc, torch.ones(2, K)), (4,)).requires_grad


def test_kl_at_is_exact_where_it_can_be_and_unbiased_elsewhere() -> None:
    q_z = posterior()
    normal = Independent(Normal(torch.zeros(K).double(), torch.ones(K).double()), 1)
    z = rsample(q_z, (DRAWS,), keyed_generator("cpu", 0))
    torch.testing.assert_close(kl_at(q_z, normal, z[0]), kl_divergence(q_z, normal))
    one = prior(1)
    ratio = q_z.log_prob(z) - one.log_prob(z)
    error = 4 * ratio.std(0) / math.sqrt(DRAWS)
    assert ((kl_at(q_z, one, z) - tight_kl(q_z, one)).abs() <= error).all()
