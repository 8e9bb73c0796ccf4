"""Distances and qualities of images with known answers."""

import numpy as np
import pytest
import scipy.linalg
import torch

from reparam.distributions import keyed_generator
from reparam.metrics.distances import frechet_distance
from reparam.metrics.fidelity import psnr, sharpness, squared_error, ssim


def gaussian_points(mean: torch.Tensor, covariance: torch.Tensor, n: int, seed: int) -> torch.Tensor:
    """n points whose sample mean and covariance are exactly these."""
    x = torch.randn(n, len(mean), generator=keyed_generator("cpu", seed), dtype=torch.float64)
    x = x - x.mean(0)
    white = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def test_frechet_distance_of_gaussians_is_the_closed_form() -> None:
    g = keyed_generator("cpu", 4)
    covariances, means = [], []
    for _ in range(2):
        root = torch.randn(6, 6, generator=g, dtype=torch.float64)
        covariances.append(root @ root.T + 0.1 * torch.eye(6, dtype=torch.float64))
        means.append(torch.randn(6, generator=g, dtype=torch.float64))
    points = [gaussian_points(m, c, 500, i) for i, (m, c) in enumerate(zip(means, covariances, strict=True))]
    # An independent root: scipy's general one, of the unsymmetric product.
    root = scipy.linalg.sqrtm((covariances[0] @ covariances[1]).numpy()).real
    expected = float((means[0] - means[1]).square().sum()) + np.trace(
        (covariances[0] + covariances[1]).numpy() - 2 * root
    )
    assert frechet_distance(*points).value == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(points[1], points[0]).value == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_commuting_gaussians_by_hand() -> None:
    a = gaussian_points(torch.zeros(2).double(), torch.diag(torch.tensor([4.0, 9.0])).double(), 100, 0)
    b = gaussian_points(torch.tensor([3.0, 4.0]).double(), torch.eye(2).double(), 100, 1)
    assert frechet_distance(a, b).value == pytest.approx(25 + (2 - 1) ** 2 + (3 - 1) ** 2)


@pytest.mark.parametrize(("n", "features", "rank"), [(10, 40, 40), (400, 64, 9), (300, 20, 20)])
@pytest.mark.parametrize("scale", [1e-3, 30.0])
def test_frechet_distance_of_equal_sets_is_zero_up_to_rounding_and_never_below(
    n: int, features: int, rank: int, scale: float
) -> None:
    g = keyed_generator("cpu", n)
    x = scale * (torch.randn(n, rank, generator=g) @ torch.randn(rank, features, generator=g) + 5)
    trace = float(torch.cov(x.double().T).trace())
    for other in (x, x.flip(0)):
        assert 0 <= frechet_distance(x, other).value <= 2 * features * trace * torch.finfo(torch.float64).eps


def test_frechet_distance_shows_what_is_beyond_rounding() -> None:
    """Sets with no direction in common: the root's trace is 0, and nothing of the distance may be lost."""
    g = keyed_generator("cpu", "apart")
    a, b = torch.zeros(50, 12), torch.zeros(60, 12)
    a[:, :6], b[:, 6:] = torch.randn(50, 6, generator=g), torch.randn(60, 6, generator=g)
    means = float((a.double().mean(0) - b.double().mean(0)).square().sum())
    traces = sum(float(torch.cov(v.double().T).trace()) for v in (a, b))
    assert frechet_distance(a, b).value == pytest.approx(means + traces, rel=1e-13)


def test_psnr_and_squared_error_by_hand() -> None:
    x = torch.zeros(2, 1, 12, 12)
    y = x.clone()
    y[0] += 0.1
    torch.testing.assert_close(squared_error(x, y), torch.tensor([0.01, 0.0]))
    torch.testing.assert_close(psnr(x, y), torch.tensor([20.0, 100.0]))


def test_ssim_is_one_for_equal_images_and_the_constants_formula_for_flat_ones() -> None:
    x = torch.rand(3, 1, 16, 16, generator=keyed_generator("cpu", 0))
    torch.testing.assert_close(ssim(x, x), torch.ones(3))
    a, b = torch.full((1, 1, 16, 16), 0.2), torch.full((1, 1, 16, 16), 0.6)
    # Flat images have no variance: SSIM is (2 a b + c1) / (a^2 + b^2 + c1), c1 = 0.01^2. Variances of flat float32 images
    # are computed as differences of numbers near 0.36, whose rounding of 1e-8 stands beside c2 = 9e-4.
    expected = (2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4)
    assert float(ssim(a, b)) == pytest.approx(expected, rel=1e-3)


def test_sharpness_of_a_wave_is_its_amplitude_times_the_laplacian_of_its_frequency() -> None:
    # The 4-neighbour Laplacian multiplies cos(w i) by 2 cos w - 2; whole periods have root mean square a / sqrt 2.
    w, a = 2 * np.pi / 8, 0.3
    wave = (0.5 + a * torch.cos(w * torch.arange(34).double())).expand(1, 1, 34, 34)
    expected = a * (2 - 2 * np.cos(w)) / np.sqrt(2)
    assert float(sharpness(wave)[0]) == pytest.approx(expected, rel=1e-12)
    assert float(sharpness(torch.full((1, 1, 8, 8), 0.7))[0]) == pytest.approx(0, abs=1e-6)
