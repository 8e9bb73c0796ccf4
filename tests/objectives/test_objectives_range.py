"""Divergences, bounds and estimators over the whole range of a posterior's scales, where the answer is known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from reparam.conditionals import StandardNormal
from reparam.conditionals.encoders import LOG_SCALE_RANGE
from reparam.core.conditional import Decoder, Encoder
from reparam.distributions import keyed_generator, mixture, report_kl, tight_kl
from reparam.evaluation.likelihood import bound, importance_nll
from reparam.metrics import latents
from reparam.metrics.latents import aggregate_posterior
from reparam.models import Model
from reparam.objectives.variational import kl_per_dimension

SINGLE = torch.finfo(torch.float32).eps
LOG_SCALES = (LOG_SCALE_RANGE[0], -6.0, -1.0, 0.0, 1.0, 6.0, LOG_SCALE_RANGE[1])
LOCS = (-1000.0, -3.0, 0.0, 1e-3, 3.0, 1000.0)


def normals(*shape: int) -> Normal:
    """Every location with every scale, float32."""
    loc, log_scale = torch.cartesian_prod(torch.tensor(LOCS), torch.tensor(LOG_SCALES)).T
    return Normal(loc.view(shape), log_scale.exp().view(shape))


def doubled(normal: Normal) -> Normal:
    return Normal(normal.loc.double(), normal.scale.double())


def test_the_kl_of_normals_is_its_integral_for_every_pair() -> None:
    q, p = normals(-1, 1, 1), normals(1, -1, 1)
    # The integrand is a square in z: Gauss and Hermite's rule of three nodes is exact.
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.hermite_e.hermegauss(3))
    wide, other = doubled(q), doubled(p)
    z = wide.loc + wide.scale * nodes[:, None, None, None]
    # log q(z) from the nodes, not from z, which is rounded to many scales of the narrowest.
    log_q = -0.5 * nodes[:, None, None, None].square() - wide.scale.log() - 0.5 * math.log(2 * math.pi)
    exact = ((log_q - other.log_prob(z)) * weights[:, None, None, None]).sum(0) / math.sqrt(2 * math.pi)
    found = kl_per_dimension(Independent(q, 1), Independent(p, 1))
    # Each of the terms is rounded, and so is the difference of the logarithms.
    size = 1 + exact.abs() + (wide.scale / other.scale).log().abs()
    assert float(((found - exact).abs() / size).max()) <= 8 * SINGLE


def test_the_kl_to_a_mixture_is_below_its_bounds_for_every_posterior() -> None:
    q = normals(-1, 1)
    centres, widths = torch.tensor([[-3.0], [0.0], [900.0]]), torch.tensor([[1.0], [math.exp(-10)], [math.exp(6)]])
    weights = torch.tensor([0.2, -1.0, 0.5])
    tight, report = (kl(Independent(q, 1), mixture(weights, centres, widths)) for kl in (tight_kl, report_kl))
    wide, p_z = doubled(q), mixture(weights.double(), centres.double(), widths.double())
    exact = tight_kl(Independent(wide, 1), p_z)
    assert tight.isfinite().all()
    assert float(((tight - exact).abs() / (1 + exact.abs())).max()) <= 16 * SINGLE
    assert (report >= tight * (1 - 8 * SINGLE) - 8 * SINGLE).all()
    # The KL itself, by the trapezoidal rule in the posterior's own scales, which is exact to rounding for smooth integrands.
    t = torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None, None]
    log_q = -0.5 * t.square() - 0.5 * math.log(2 * math.pi)
    ratio = (log_q - wide.scale.log()).squeeze(-1) - p_z.log_prob(wide.loc + wide.scale * t)
    kl = torch.trapezoid(log_q.squeeze(-1).exp() * ratio, t.squeeze(-1).squeeze(-1), dim=0)
    assert (kl <= exact + 1e-6 * (1 + exact.abs())).all()
    assert (kl >= -1e-9).all()


class _Line(Decoder):
    def __init__(self, weight: float, noise: float) -> None:
        super().__init__()
        self.weight, self.noise = nn.Parameter(torch.tensor(weight)), noise

    def forward(self, z: Tensor) -> Independent:
        loc = (z * self.weight).unflatten(-1, (1, 1, 1))
        return Independent(Normal(loc, torch.full_like(loc, self.noise)), 3)


class _Exact(Encoder):
    """The posterior of x = w z + noise: N(w x / (w^2 + s^2), s^2 / (w^2 + s^2))."""

    def __init__(self, decoder: _Line) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, x: Tensor) -> Independent:
        w, s = self.decoder.weight, self.decoder.noise
        total = w.square() + s**2
        loc = x.flatten(1) * w / total
        return Independent(Normal(loc, (s / total.sqrt()).expand_as(loc)), 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weight", [1e-4, 0.1, 1.0, 80.0])  # posterior scales from 1 to e^-10
def test_bound_and_likelihood_at_the_true_posterior_are_log_p(weight: float, dtype: torch.dtype) -> None:
    noise = 1 / 255
    decoder = _Line(weight, noise)
    model = Model(encoder=_Exact(decoder), prior=StandardNormal(1), decoder=decoder).to(dtype)
    x = weight * torch.tensor([-2.0, -0.3, 0.0, 1.0, 3.0], dtype=dtype).view(-1, 1, 1, 1)
    total = math.hypot(decoder.weight.item(), noise)
    exact = -0.5 * (x.double().flatten() / total).square() - math.log(total) - 0.5 * math.log(2 * math.pi)
    # x - w z is rounded to eps |x|, in units of the noise, times a residual of up to 5 of these; and each sum is rounded.
    eps = torch.finfo(dtype).eps
    limit = 8 * eps * (10 + 5 * x.double().flatten().abs() / noise + exact.abs())
    nll, sizes = importance_nll(model, x, samples=300, seed=0)
    assert ((-nll - exact).abs() <= limit).all()
    assert ((sizes - 300).abs() <= 300 * limit.max()).all()
    _, kl = bound(model, x, seed=0)
    loc, scale = decoder.weight.item() * x.double().flatten() / total**2, noise / total
    known = 0.5 * (loc.square() + scale**2 - 1) - math.log(scale)
    assert ((kl - known).abs() <= 8 * eps * (1 + known + loc.square())).all()


def test_information_and_marginal_are_those_of_differences_for_extreme_posteriors() -> None:
    n = 60
    g = keyed_generator("cpu", "extreme")
    for spread in (0.0, 1.0, 100.0, 1e4):
        for log_scale in (*LOG_SCALE_RANGE, -3.0):
            loc = spread * torch.randn(n, 3, generator=g)
            loc[1] = loc[0]  # two images that no code tells apart
            scale = torch.full((n, 3), math.exp(log_scale))
            found = aggregate_posterior(loc, scale, 0)
            q_z = Independent(Normal(loc.double(), scale.double()), 1)
            # Squares are expanded where that rounds by less than a thousandth of a nat at most, else not.
            rounding = latents._rounding_of_product(found.z, loc.double(), scale.double())
            atol = max(1e-10, rounding if rounding < latents.LARGEST_ROUNDING else 0.0)
            torch.testing.assert_close(found.log_own, q_z.log_prob(found.z), rtol=1e-12, atol=atol)
            mixed = q_z.log_prob(found.z[:, None]).logsumexp(1) - math.log(n)
            torch.testing.assert_close(found.log_mixture, mixed, rtol=1e-12, atol=atol)
            assert float((found.log_own - found.log_mixture).mean()) <= math.log(n)
