"""Every likelihood over all outputs that a network can have: total mass, mean and gradients.

In float64 against quadrature, sums and differences; in float32 against float64. Logits reach 200 on both sides, scales their
clamps and beyond.
"""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.conditionals import LIKELIHOODS, LabelMapLikelihood, Likelihood
from reparam.core.options import own_options

EXACT, SINGLE = torch.finfo(torch.float64).eps, torch.finfo(torch.float32).eps
STEP = 3e-6  # of a central difference
GREYS = torch.tensor([0.0, 1, 2, 64, 127, 128, 254, 255]) / 255
SIZES = torch.tensor([1e-30, 1e-6, 1e-3, 0.1, 0.49, 0.51, 1, 3, 9, 15.9, 16.1, 17, 30, 60, 87, 89, 104, 200])
LOGITS = torch.cat([-SIZES.flip(0), torch.zeros(1), SIZES])
LOG_SCALES = torch.tensor([-200.0, -10, -7, -5.6, -5, -2, 0, 2, 2.4, 4.4, 200])
SCALES = (1 / 255, 0.1, 1.0, 10.0)

CASES = [
    pytest.param(kind, scale, id=name if scale is None else f"{name}-{scale:.2g}")
    for name, kind in LIKELIHOODS.items()
    for scale in (SCALES if "scale" in own_options(kind) else (None,))
]


def likelihood(kind: type[Likelihood], scale: float | None) -> Likelihood:
    made = kind(None) if scale is None else kind(None, scale=scale)
    return made.requires_grad_(False)


def outputs(kind: type[Likelihood]) -> Tensor:
    """[N, P, 1, 1]: every logit; with every scale."""
    if kind.parameters_per_pixel == 1:
        return LOGITS[:, None, None, None]
    pairs = torch.cartesian_prod(LOGITS, LOG_SCALES)
    return pairs[:, :, None, None]


def gauss(edges: Tensor, order: int = 24) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss and Legendre's rule on each interval between edges."""
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(order))
    half, middle = (edges[1:] - edges[:-1]) / 2, (edges[1:] + edges[:-1]) / 2
    return (middle[:, None] + half[:, None] * nodes).flatten(), (half[:, None] * weights).flatten()


def support(kind: type[Likelihood], p_x: Distribution) -> tuple[Tensor, Tensor]:
    """Values and weights, [X, N or 1, 1, 1, 1], with which a sum of the density is its integral; of a mass all its values."""
    name = next(name for name, other in LIKELIHOODS.items() if other is kind)
    if name == "bernoulli":
        return _column(torch.tensor([0.0, 1.0])), torch.ones(1).double()
    if name == "discretised-logistic":
        return _column(torch.arange(256).double() / 255), torch.ones(1).double()
    if name == "continuous-bernoulli":
        fine = torch.logspace(-6, 0, 25).double() / 2  # a logit of 200 has its mass within 1/200 of an end
        values, weights = gauss(torch.cat([torch.zeros(1), fine, 1 - fine.flip(0)[1:], torch.ones(1)]).double())
        return _column(values), _column(weights)
    values, weights = gauss(torch.linspace(-40, 40, 81).double())  # in scales; an edge at the peak of a Laplace
    return p_x.loc + p_x.scale * _column(values), p_x.scale * _column(weights)


def _column(values: Tensor) -> Tensor:
    return values.double().view(-1, 1, 1, 1, 1)


@pytest.mark.parametrize(("kind", "scale"), CASES)
def test_total_mass_and_mean_for_every_output(kind: type[Likelihood], scale: float | None) -> None:
    p_x = likelihood(kind, scale).double().pixels(outputs(kind).double())
    values, weights = support(kind, p_x)
    density = p_x.log_prob(values).exp() * weights
    torch.testing.assert_close(density.sum(0), torch.ones_like(p_x.mean), rtol=0, atol=1e-10)
    torch.testing.assert_close((density * values).sum(0), p_x.mean, rtol=1e-9, atol=1e-10)


def derivatives(made: Likelihood, output: Tensor, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """log p(x) and its derivative by each of P outputs, [X, N, 1, 1, 1] each; with each its own derivative by x."""
    shape = torch.broadcast_shapes(x.shape, output[:, :1].shape)
    x = x.expand(shape).clone().requires_grad_()
    parts = [part.expand(shape).clone().requires_grad_() for part in output.split(1, 1)]
    log_p = made.pixels(torch.cat(parts, -3)).log_prob(x)
    options = {"allow_unused": True, "materialize_grads": True}
    found = [log_p, *torch.autograd.grad(log_p.sum(), parts, create_graph=True, **options)]
    return [(one.detach(), torch.autograd.grad(one.sum(), x, retain_graph=True, **options)[0]) for one in found]


@pytest.mark.parametrize(("kind", "scale"), CASES)
def test_float32_has_the_values_means_and_gradients_of_float64(kind: type[Likelihood], scale: float | None) -> None:
    made, x = likelihood(kind, scale), _column(GREYS).float()
    single, mean = derivatives(made, outputs(kind), x), made.pixels(outputs(kind)).mean
    made.double()
    double = derivatives(made, outputs(kind).double(), x.double())
    slope = double[0][1].abs()
    for (found, _), (exact, by_x) in zip(single, double, strict=True):
        # Pixels, locations and the derivative of the sigmoid, all in [0, 1], are rounded, and so is each sum and product.
        limit = 8 * SINGLE * (1 + exact.abs() + by_x.abs() + slope)
        assert float(((found - exact).abs() / limit).max()) <= 1
    torch.testing.assert_close(mean.double(), made.pixels(outputs(kind).double()).mean, rtol=0, atol=8 * SINGLE)


@pytest.mark.parametrize(("kind", "scale"), CASES)
def test_gradients_are_the_differences_of_log_prob(kind: type[Likelihood], scale: float | None) -> None:
    made, x, output = likelihood(kind, scale).double(), _column(GREYS), outputs(kind).double()
    gradients = [found for found, _ in derivatives(made, output, x)][1:]
    for channel, gradient in enumerate(gradients):
        step = torch.zeros(output.shape[1], 1, 1).double()
        step[channel] = STEP
        above, below = (made.pixels(output + sign * step).log_prob(x) for sign in (1, -1))
        error = ((above - below) / (2 * STEP) - gradient).abs()
        # What the difference leaves out, of the order of STEP^2, and what rounding adds to it.
        limit = 1e-6 * (1 + gradient.abs()) + 4 * EXACT * (above.abs() + 1) / STEP
        assert float((error / limit).max()) <= 1


def test_likelihoods_of_label_maps_have_mass_one_for_every_output() -> None:
    logits = torch.cartesian_prod(LOGITS, LOGITS, LOGITS[::4]).double()[:, :, None, None]
    p_x = LabelMapLikelihood(None).pixels(logits)
    mass = torch.stack([p_x.log_prob(torch.full((1, 1, 1), k)) for k in range(3)]).exp().sum(0)
    torch.testing.assert_close(mass, torch.ones_like(mass), rtol=0, atol=1e-12)
