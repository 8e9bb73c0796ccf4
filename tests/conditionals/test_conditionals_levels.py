"""Likelihoods of images with other than 256 levels."""

import math

import pytest
import torch

from reparam.conditionals import LIKELIHOODS
from reparam.conditionals.likelihoods import DiscretisedLogisticLikelihood
from reparam.distributions import DiscretisedLogistic, keyed_generator
from reparam.errors import ConfigError

LEVELS = (2, 17, 151, 4096, 65536)


def logistics(levels: int) -> DiscretisedLogistic:
    """With locations within, at and beyond the ends, and scales from a tenth of a level to more than the range."""
    loc = torch.tensor([-0.2, 0.0, 0.31, 0.5, 1.0, 1.3]).double()
    scale = torch.tensor([0.1 / (levels - 1), 1 / (levels - 1), 0.01, 0.3, 2.0]).double()
    loc, scale = torch.cartesian_prod(loc, scale).T
    return DiscretisedLogistic(loc, scale, levels)


def grid(levels: int) -> torch.Tensor:
    return torch.arange(levels).double()[:, None] / (levels - 1)


@pytest.mark.parametrize("levels", LEVELS)
def test_the_mass_of_all_levels_is_one(levels: int) -> None:
    mass = logistics(levels).log_prob(grid(levels)).exp().sum(0)
    torch.testing.assert_close(mass, torch.ones_like(mass), rtol=0, atol=1e-9)


@pytest.mark.parametrize("levels", LEVELS)
def test_the_mean_is_that_of_the_levels(levels: int) -> None:
    p = logistics(levels)
    exact = (p.log_prob(grid(levels)).exp() * grid(levels)).sum(0)
    apart = (p.mean - exact).abs() * (levels - 1)  # in levels
    assert float(apart.max()) <= (1e-6 if levels <= 256 else 0.5)
    wide = p.scale * (levels - 1) >= 1
    assert float(apart[wide].max()) <= 0.02


def test_draws_are_levels_in_their_proportions() -> None:
    levels, n = 5, 40_000
    p = DiscretisedLogistic(torch.tensor(0.4), torch.tensor(0.2), levels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = (p.sample((n,)) * (levels - 1)).round().long().bincount(minlength=levels) / n
    expected = p.log_prob(torch.arange(levels) / (levels - 1)).exp()
    assert float(((found - expected).abs() / (expected * (1 - expected) / n).sqrt()).max()) < 5


@pytest.mark.parametrize("name", sorted(set(LIKELIHOODS) - {"bernoulli", "continuous-bernoulli"}))
def test_twelve_bits_are_told_apart_in_float32(name: str) -> None:
    """A likelihood that is as narrow as it may be at one of 4,096 levels has more there than at the next."""
    likelihood = LIKELIHOODS[name](None, levels=4096).requires_grad_(False)
    location = torch.logit(torch.tensor(1234 / 4095).double()).float()
    narrow = torch.full((1, 1, 1), -20.0)
    output = location.expand(1, 1, 1)
    output = torch.cat([output, narrow]) if likelihood.parameters_per_pixel == 2 else output
    here, beside = (likelihood.pixels(output).log_prob(torch.tensor(level / 4095)) for level in (1234, 1236))
    assert float(here) > float(beside)


def test_scales_end_at_one_level() -> None:
    output = torch.tensor([0.0, -50.0])[:, None, None]
    for levels, smallest in ((256, 1 / 255), (4096, 1 / 4095), (0, 1 / 255)):
        p_x = LIKELIHOODS["gaussian-pixel"](None, levels=levels).pixels(output)
        assert float(p_x.scale) == pytest.approx(smallest, rel=1e-6)
        learned = LIKELIHOODS["gaussian-learned"](None, scale=1e-9, levels=levels).requires_grad_(False)
        assert float(learned.pixels(output[:1]).scale) == pytest.approx(smallest, rel=1e-6)


def test_a_mass_on_levels_refuses_images_that_have_none() -> None:
    with pytest.raises(ConfigError, match="floats of any value: choose --likelihood gaussian-pixel, or .* --depth 8"):
        DiscretisedLogisticLikelihood(None, levels=0)


def test_the_dequantised_levels_of_sixteen_bits_stay_apart() -> None:
    """((L - 1) x + u) / L in float32 lies within its level, for every level of 16 bits."""
    levels = 65536
    x = torch.arange(levels) / (levels - 1)
    noise = torch.rand(levels, generator=keyed_generator("cpu", 0)).clamp(0.01, 0.99)
    y = (x * (levels - 1) + noise) / levels
    assert torch.equal((y * levels).floor(), torch.arange(levels).float())
    assert math.log2(levels) == 16
