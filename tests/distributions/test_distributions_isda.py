"""The closed-form bound of a classifier's cross-entropy under a Gaussian."""

import math

import pytest
import torch
import torch.nn.functional as F

from reparam.distributions import isda_bound, keyed_generator

B, K, D = 6, 5, 4


def normal(*shape: int, key: int) -> torch.Tensor:
    return torch.randn(*shape, generator=keyed_generator("cpu", key), dtype=torch.float64)


LOC, SCALE, WEIGHT, BIAS = normal(B, K, key=1), normal(B, K, key=2).exp(), normal(D, K, key=3), normal(D, key=4)
Y = torch.arange(B) % D


@pytest.mark.parametrize("strength", [0.1, 1.0, 3.0])
def test_lies_above_the_cross_entropy_and_near_it_where_the_scale_is_small(strength: float) -> None:
    for shrink in (1.0, 0.3, 0.05):
        scale, draws = shrink * SCALE, 40_000
        z = LOC + math.sqrt(strength) * scale * normal(draws, B, K, key=5)
        each = F.cross_entropy((z @ WEIGHT.T + BIAS).flatten(0, 1), Y.repeat(draws), reduction="none").view(draws, B)
        stderr = each.std(0) / draws**0.5
        bound = isda_bound(LOC, scale.square(), WEIGHT, BIAS, Y, strength)
        assert (bound >= each.mean(0) - 3 * stderr).all()
    # Bound and expectation are both the cross-entropy and half a trace of order sigma^2: the distance is of that order, too.
    apart = (WEIGHT - WEIGHT[Y][:, None]).square() @ scale.square()[..., None]
    assert (bound - each.mean(0) <= strength / 2 * apart.amax((1, 2)) + 3 * stderr).all()


def test_is_the_cross_entropy_at_the_mean_where_nothing_is_drawn() -> None:
    plain = F.cross_entropy(LOC @ WEIGHT.T + BIAS, Y, reduction="none")
    for nothing in (
        isda_bound(LOC, torch.zeros(B, K).double(), WEIGHT, BIAS, Y),
        isda_bound(LOC, SCALE.square(), WEIGHT, BIAS, Y, 0.0),
    ):
        torch.testing.assert_close(nothing, plain, rtol=1e-12, atol=1e-12)


def test_is_jensens_inequality_with_the_gaussians_own_moments() -> None:
    """log sum_j E exp((w_j - w_y) z + b_j - b_y), each expectation a product over k of one-dimensional integrals."""
    grid = torch.linspace(-30, 30, 60_001, dtype=torch.float64)
    weights = torch.exp(-grid.square() / 2) / math.sqrt(2 * math.pi) * (grid[1] - grid[0])
    expected = torch.zeros(B, dtype=torch.float64)
    for b in range(B):
        apart = WEIGHT - WEIGHT[Y[b]]
        each = (weights * torch.exp(apart[..., None] * (LOC[b, :, None] + 0.3 * SCALE[b, :, None] * grid))).sum(-1)
        expected[b] = (each.prod(-1) * torch.exp(BIAS - BIAS[Y[b]])).sum().log()
    found = isda_bound(LOC, (0.3 * SCALE).square(), WEIGHT, BIAS, Y)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_a_full_covariance_that_is_diagonal_gives_the_same() -> None:
    whole = isda_bound(LOC, torch.diag_embed(SCALE.square()), WEIGHT, BIAS, Y, 0.7)
    torch.testing.assert_close(whole, isda_bound(LOC, SCALE.square(), WEIGHT, BIAS, Y, 0.7), rtol=1e-12, atol=1e-12)


def test_gradients_reach_mean_scale_and_classifier() -> None:
    inputs = [t.clone().requires_grad_() for t in (LOC, SCALE, WEIGHT, BIAS)]

    def bound(loc: torch.Tensor, scale: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return isda_bound(loc, scale.square(), weight, bias, Y, 0.5)

    assert torch.autograd.gradcheck(bound, inputs)
    bound(*inputs).sum().backward()
    assert (inputs[1].grad > 0).all()  # type: ignore[operator]  # a wider posterior is never better for the class


def test_huge_logits_do_not_overflow() -> None:
    found = isda_bound(1e4 * LOC.float(), SCALE.float().square(), WEIGHT.float(), BIAS.float(), Y, 10.0)
    assert found.isfinite().all()
