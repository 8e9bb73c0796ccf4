"""Likelihoods of an image against scipy's densities."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from reparam.conditionals import LIKELIHOODS
from reparam.core.options import own_options


class _Fixed(torch.nn.Module):
    """A network with a given output, to look at a likelihood alone."""

    def __init__(self, output: torch.Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.output


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_log_prob_of_an_image_is_the_sum_over_pixels_of_scipys(name: str) -> None:
    torch.manual_seed(0)
    kind = LIKELIHOODS[name]
    output = torch.randn(2, kind.parameters_per_pixel * 3, 4, 4)
    x = torch.randint(0, 256, (2, 3, 4, 4)) / 255
    likelihood = kind(_Fixed(output), **({"scale": 0.7} if "scale" in own_options(kind) else {}))
    found = likelihood(torch.zeros(2, 1)).log_prob(x)

    a, b = (output[:, :3].double().numpy(), output[:, -3:].double().numpy())
    v = x.double().numpy()
    loc = scipy.special.expit(a)
    half = 0.5 / 255

    def logistic() -> np.ndarray:
        p = scipy.stats.logistic(loc, np.exp(np.clip(b - 2, math.log(1 / 2550), math.log(10))))
        mass = p.cdf(v + half) - p.cdf(v - half)
        return np.log(np.where(v < half, p.cdf(v + half), np.where(v > 1 - half, p.sf(v - half), mass)))

    def continuous_bernoulli() -> np.ndarray:
        # C(l) = (log l - log(1 - l)) / (2 l - 1): the constant of Loaiza-Ganem and Cunningham 2019, eq. 6.
        constant = np.where(np.abs(a) < 1e-3, 2.0, a / np.where(np.abs(a) < 1e-3, 1.0, 2 * loc - 1))
        return v * np.log(loc) + (1 - v) * np.log1p(-loc) + np.log(constant)

    oracle = {
        "bernoulli": lambda: v * np.log(loc) + (1 - v) * np.log1p(-loc),
        "continuous-bernoulli": continuous_bernoulli,
        "gaussian": lambda: scipy.stats.norm(loc, 0.7).logpdf(v),
        "gaussian-learned": lambda: scipy.stats.norm(loc, 0.7).logpdf(v),
        "gaussian-pixel": lambda: scipy.stats.norm(loc, np.exp(np.clip(b, -math.log(255), math.log(10)))).logpdf(v),
        "laplace": lambda: scipy.stats.laplace(loc, 0.7).logpdf(v),
        "discretised-logistic": logistic,
    }[name]()
    assert found.shape == (2,)
    np.testing.assert_allclose(found.detach().numpy(), oracle.sum((1, 2, 3)), rtol=2e-5)
