"""The continuous Bernoulli for any logit: value, gradient, mean and draws, against its definition."""

import math

import pytest
import scipy.stats
import torch
from torch import Tensor

from reparam.distributions import ContinuousBernoulli, keyed_generator, rsample
from reparam.testing import check_distribution

SIZES = torch.cat([torch.logspace(-30, 0, 31), torch.linspace(0.4, 0.6, 9), torch.linspace(1, 400, 57)])
LOGITS = torch.cat([-SIZES.flip(0), torch.zeros(1), SIZES])


@pytest.mark.parametrize("logit", [-300.0, -100.0, -30.0, -17.0, -10.0, 10.0, 17.0, 100.0])
def test_the_density_is_its_definition(logit: float) -> None:
    """l e^(l x) / (e^l - 1), written so that nothing overflows; torch's class is far from it beyond 16."""
    x = torch.linspace(0, 1, 11).double()
    expected = logit * (x - int(logit > 0)) + math.log(abs(logit)) - math.log1p(-math.exp(-abs(logit)))
    found = ContinuousBernoulli(torch.tensor(logit)).log_prob(x.float())
    torch.testing.assert_close(found.double(), expected, rtol=4e-7, atol=4e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_continuous_and_finite_for_any_logit(dtype: torch.dtype) -> None:
    logits = LOGITS.to(dtype).requires_grad_()
    x = torch.tensor([0.0, 0.3, 1.0], dtype=dtype)[:, None]
    p = ContinuousBernoulli(logits)
    (gradient,) = torch.autograd.grad(p.log_prob(x).sum(), logits)
    # d log p / d l = x - E[x], of three x.
    torch.testing.assert_close(gradient, x.sum() - 3 * p.mean, rtol=0, atol=20 * torch.finfo(dtype).eps)
    (slope,) = torch.autograd.grad(p.mean.sum(), logits)  # the variance of x
    assert ((slope >= 0) & (slope <= 1 / 12 + 1e-6)).all()
    assert float((slope[LOGITS.abs() < 1e-3] - 1 / 12).abs().max()) < 1e-6
    huge = torch.tensor([-1e30, -1e5, 1e5, 1e30], dtype=dtype, requires_grad=True)
    value = ContinuousBernoulli(huge).log_prob(torch.tensor([0.0, 0.0, 1.0, 1.0]))
    torch.testing.assert_close(value, huge.detach().abs().log())
    assert torch.autograd.grad(value.sum(), huge)[0].isfinite().all()


def test_gradients_can_be_differentiated_again_and_mapped() -> None:
    logits = torch.tensor([-9.0, -0.7, -0.3, 0.0, 0.2, 0.9, 30.0]).double().requires_grad_()
    x = torch.rand(7, generator=keyed_generator("cpu", "twice")).double()
    assert torch.autograd.gradgradcheck(lambda v: ContinuousBernoulli(v).log_prob(x), logits)
    each = torch.func.vmap(torch.func.grad(lambda v, x: ContinuousBernoulli(v).log_prob(x)))(logits.detach(), x)
    torch.testing.assert_close(each, x - ContinuousBernoulli(logits.detach()).mean)


def _distribution_function(x: Tensor, logit: float) -> Tensor:
    return x if logit == 0 else torch.expm1(logit * x) / math.expm1(logit)


@pytest.mark.parametrize("logit", [-200.0, -30.0, -1.0, -1e-9, 0.0, 1e-4, 0.6, 17.0, 200.0])
def test_draws_have_the_distribution_function(logit: float) -> None:
    p = ContinuousBernoulli(torch.full((3,), logit))
    check_distribution(p)
    x = rsample(p, (5000,), keyed_generator("cpu", "draws")).flatten().double()
    assert ((x >= 0) & (x <= 1)).all()
    # Uniform if the draws are right; a right sampler fails this once in a thousand seeds, and the seed is fixed.
    assert scipy.stats.kstest(_distribution_function(x, logit).numpy(), scipy.stats.uniform.cdf).pvalue > 1e-3


def test_draws_move_with_the_logit_without_jumps() -> None:
    """The same uniform numbers at logits on both sides of 0: inverse and mirrored inverse meet there."""
    x = torch.stack(
        [rsample(ContinuousBernoulli(torch.full((500,), v)), (), keyed_generator("cpu", 0)) for v in (-1e-5, 0.0, 1e-5)]
    )
    assert float((x[1:] - x[:-1]).abs().max()) < 1e-5
    assert not rsample(ContinuousBernoulli(LOGITS.clone().requires_grad_())).requires_grad
