"""What the latent space is used for, where the answer is known."""

import math

import pytest
import torch

from reparam.distributions import keyed_generator
from reparam.metrics import latents
from reparam.metrics.latents import active_units, aggregate_posterior


def test_active_units_are_those_whose_mean_varies() -> None:
    n = 1000
    means = torch.stack([torch.linspace(-1, 1, n), torch.full((n,), 3.0), 0.2 * torch.linspace(-1, 1, n)], 1)
    # Variances 1/3, 0 and 0.0133: the threshold is 0.01.
    assert active_units(means) == 2
    assert active_units(0.5 * means) == 1


def test_equal_posteriors_carry_no_information_and_distant_ones_log_n() -> None:
    n = 150
    scale = torch.full((n, 2), 0.1)
    equal = aggregate_posterior(torch.zeros(n, 2), scale, 0)
    torch.testing.assert_close(equal.log_own, equal.log_mixture)
    apart = aggregate_posterior(100 * torch.arange(n)[:, None].expand(n, 2).float(), scale, 0)
    assert float((apart.log_own - apart.log_mixture).mean()) == pytest.approx(math.log(n), rel=1e-9)


def test_information_of_a_gaussian_channel_is_its_capacity() -> None:
    # loc ~ N(0, a^2), z = loc + s eps: q(z) -> N(0, a^2 + s^2), I = 1/2 log(1 + a^2 / s^2) for each latent, and
    # KL(q(z) || N(0, 1)) has its closed form. The mixture over n images stands for its limit: its bias is of the order
    # exp(I) / n < 0.01 here.
    n, a, s = 4000, 1.2, 0.5
    loc = a * torch.randn(n, 2, generator=keyed_generator("cpu", "loc"))
    found = aggregate_posterior(loc, torch.full((n, 2), s), 0)
    information = found.log_own - found.log_mixture
    error = float(information.std()) / math.sqrt(n)
    assert abs(float(information.mean()) - math.log(1 + a**2 / s**2)) < 4 * error + 0.01
    variance = a**2 + s**2
    marginal = found.log_mixture - torch.distributions.Normal(0.0, 1.0).log_prob(found.z).sum(1)
    error = float(marginal.std()) / math.sqrt(n)
    assert abs(float(marginal.mean()) - (variance - 1 - math.log(variance))) < 4 * error + 0.01


def test_densities_are_those_of_torch_even_for_tiny_scales() -> None:
    n = 40
    g = keyed_generator("cpu", "tiny")
    loc, scale = 5 * torch.randn(n, 3, generator=g), 10 ** (-4 * torch.rand(n, 3, generator=g))
    found = aggregate_posterior(loc, scale, 0)
    pairs = torch.distributions.Normal(loc.double(), scale.double()).log_prob(found.z[:, None]).sum(-1)
    # Terms z^2 / s^2 reach (20 / 1e-4)^2 = 4e10 and are rounded at 1e-16 of that.
    torch.testing.assert_close(found.log_own, pairs.diagonal(), rtol=0, atol=1e-4)
    torch.testing.assert_close(found.log_mixture, pairs.logsumexp(1) - math.log(n), rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [1e-2, 1.0, 1e2])
@pytest.mark.parametrize("exponent", [0, -2, -4, -6])
def test_the_product_is_within_its_rounding_of_the_differences(size: float, exponent: int) -> None:
    g = keyed_generator("cpu", "product", exponent)
    mean = size * torch.randn(60, 7, generator=g).double()
    deviation = 10.0**exponent * (0.5 + torch.rand(60, 7, generator=g).double())
    z = mean + deviation * torch.randn(60, 7, generator=g).double()
    bound = latents._rounding_of_product(z, mean, deviation)
    pairs = [of(z, mean, deviation) for of in (latents._by_product, latents._by_differences)]
    exact = torch.distributions.Normal(mean, deviation).log_prob(z[:, None]).sum(-1)
    # Those of the differences: of 7 squares of a quotient, each at most 8 units in its last place.
    assert bool(((pairs[1] - exact).abs() <= 8 * 2.0**-52 * (exact.abs() + 100)).all())
    apart = (pairs[0] - pairs[1]).abs()
    assert bool((apart <= bound + 8 * 2.0**-52 * (exact.abs() + 100)).all())


def test_what_would_be_rounded_away_is_taken_by_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    monkeypatch.setattr(latents, "_by_differences", lambda *of: used.append(1) or latents._by_product(*of))
    for scale, differences in ((0.02, False), (5e-5, True)):
        used.clear()
        aggregate_posterior(
            100 * torch.randn(30, 2, generator=keyed_generator("cpu", 1)), torch.full((30, 2), scale), 0
        )
        assert bool(used) == differences
