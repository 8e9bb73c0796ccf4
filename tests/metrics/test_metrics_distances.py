"""Distances between sets of features, against definitions written out and distributions with known answers."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from reparam.distributions import keyed_generator
from reparam.metrics.distances import (
    Distance,
    energy_distance,
    frechet_distance,
    kernel_distance,
    nearer_to_first,
    prdc,
)


def normal(n: int, features: int, seed: int) -> Tensor:
    return torch.randn(n, features, generator=keyed_generator("cpu", "points", seed), dtype=torch.float64)


def test_kernel_distance_is_its_definition_written_out() -> None:
    a, b = normal(7, 3, 0), normal(7, 3, 1) + 0.5

    def k(u: Tensor, v: Tensor) -> float:
        return (float(u @ v) / 3 + 1) ** 3

    n = len(a)
    within = [sum(k(v[i], v[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1)) for v in (a, b)]
    between = sum(k(u, v) for u in a for v in b) / n**2
    assert kernel_distance(a, b).value == pytest.approx(sum(within) - 2 * between, rel=1e-12)


def test_kernel_distance_of_equal_distributions_is_zero_within_its_error_and_else_the_closed_form() -> None:
    # For F = 1 and normals: E k(a, b) = E (a b + 1)^3 = m3(a) m3(b) + 3 m2(a) m2(b) + 3 m1(a) m1(b) + 1 (independent a, b).
    def moments(shift: float) -> tuple[float, float, float]:
        return shift, 1 + shift**2, 3 * shift + shift**3

    def expected(u: float, v: float) -> float:
        (a1, a2, a3), (b1, b2, b3) = moments(u), moments(v)
        return a3 * b3 + 3 * a2 * b2 + 3 * a1 * b1 + 1

    for shift in (0.0, 0.7):
        value, stderr = (found := kernel_distance(normal(8000, 1, 2), normal(8000, 1, 3) + shift)).value, found.stderr
        assert stderr is not None
        truth = expected(0, 0) + expected(shift, shift) - 2 * expected(0, shift)
        assert abs(value - truth) < 4 * stderr
        assert stderr < 0.2 * max(truth, 1)


def test_energy_distance_of_normals_is_the_closed_form() -> None:
    """In one dimension E |N(m, s^2)| = s (2 / pi)^(1/2) exp(-m^2 / 2 s^2) + m erf(m / s 2^(1/2))."""

    def absolute(m: float, variance: float) -> float:
        return math.sqrt(2 * variance / math.pi) * math.exp(-(m**2) / 2 / variance) + m * math.erf(
            m / math.sqrt(2 * variance)
        )

    found = energy_distance(normal(3000, 1, 2), 2 * normal(3000, 1, 3) + 1)
    truth = 2 * absolute(1, 5) - absolute(0, 2) - absolute(0, 8)
    assert found.stderr is not None
    assert abs(found.value - truth) < 4 * found.stderr < 0.5 * truth


@pytest.mark.parametrize("measure", [kernel_distance, energy_distance, frechet_distance])
def test_the_error_of_a_distance_is_its_deviation_between_draws(measure: Callable[[Tensor, Tensor], Distance]) -> None:
    """Also of few images, of one block. With 200 repetitions the deviation itself is known to 5%."""
    found = [measure(normal(150, 4, 10 + i), 1.5 * normal(150, 4, 5000 + i) + 0.5) for i in range(200)]
    deviation = float(torch.tensor([one.value for one in found]).std())
    claimed = math.sqrt(sum((one.stderr or 0) ** 2 for one in found) / len(found))
    assert claimed == pytest.approx(deviation, rel=0.2)


@pytest.mark.parametrize("measure", [kernel_distance, energy_distance])
def test_near_zero_the_error_is_on_the_safe_side(measure: Callable[[Tensor, Tensor], Distance]) -> None:
    found = [measure(normal(150, 4, 10 + i), normal(150, 4, 5000 + i)) for i in range(200)]
    deviation = float(torch.tensor([one.value for one in found]).std())
    claimed = math.sqrt(sum((one.stderr or 0) ** 2 for one in found) / len(found))
    assert 1 < claimed / deviation < 1.8


def test_as_many_are_nearer_to_either_of_two_sets_of_one_distribution() -> None:
    """Within the stated error, whose square is the variance of the share between draws: 300 draws know it to 8%."""
    shares, errors = [], []
    for i in range(300):
        x, first, second = (normal(60, 12, 1000 * i + j) for j in range(3))
        found, stderr = nearer_to_first(x, first, second)
        distances = [torch.cdist(x, each).amin(1) for each in (first, second)]
        assert torch.equal(found, (distances[0] < distances[1]).double())
        shares.append(float(found.mean()))
        errors.append(stderr)
    share = torch.tensor(shares)
    assert abs(float(share.mean()) - 0.5) < 4 * float(share.std()) / math.sqrt(len(share))
    claimed = math.sqrt(sum(error**2 for error in errors) / len(errors))
    assert claimed == pytest.approx(float(share.std()), rel=0.2)


def test_repeated_images_are_nearer_to_themselves_and_ties_are_halves() -> None:
    first, second = normal(40, 6, 20), normal(40, 6, 21)
    assert float(nearer_to_first(first, first, second)[0].mean()) == 1
    assert float(nearer_to_first(second, first, second)[0].mean()) == 0
    assert float(nearer_to_first(first, second, second)[0].mean()) == 0.5


def test_manifold_figures_are_their_definitions_written_out() -> None:
    real, made = normal(30, 2, 4), 0.6 * normal(25, 2, 5) + 0.4

    def radius(points: Tensor, i: int, k: int) -> float:
        return sorted(float((points[i] - points[j]).norm()) for j in range(len(points)) if j != i)[k - 1]

    found = prdc(real, made, support=3, neighbours=5)
    for j in range(len(made)):
        distances = [float((made[j] - r).norm()) for r in real]
        assert found.precision[j] == any(d <= radius(real, i, 3) for i, d in enumerate(distances))
        inside = sum(d <= radius(real, i, 5) for i, d in enumerate(distances))
        assert float(found.density[j]) == pytest.approx(inside / 5)
    for i in range(len(real)):
        distances = [float((real[i] - m).norm()) for m in made]
        assert found.recall[i] == any(d <= radius(made, j, 3) for j, d in enumerate(distances))
        assert found.coverage[i] == any(d <= radius(real, i, 5) for d in distances)


def test_equal_sets_agree_wholly_and_far_ones_not_at_all() -> None:
    x = normal(200, 4, 6)
    same, far = prdc(x, x), prdc(x, x + 1000)
    assert [float(v.mean()) for v in same[:2]] == [1, 1]
    assert float(same.coverage.mean()) == 1
    assert [float(v.mean()) for v in far] == [0, 0, 0, 0]


def test_density_and_coverage_of_equal_distributions_have_their_expectations() -> None:
    # Naeem et al. 2020, section 3.3: with as many of each, E density = 1 and E coverage = 1 - 1/2 * ... * (n - k)/(2n - k)
    # ~ 1 - 2^-k. The balls share points, so the errors of independent images are widened by the number of neighbours.
    n, k = 2000, 5
    found = prdc(normal(n, 8, 7), normal(n, 8, 8), neighbours=k)
    exact = 1 - math.prod((n - i) / (2 * n - 1 - i) for i in range(k))
    for values, truth in ((found.density, 1.0), (found.coverage, exact)):
        assert abs(float(values.mean()) - truth) < 4 * float(values.std()) * math.sqrt(k / n)


def test_results_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from reparam.metrics import pairwise

    real, made = normal(50, 3, 9), normal(40, 3, 10)
    whole = prdc(real, made)
    monkeypatch.setattr(pairwise, "PAIRWISE_BLOCK", 7)
    for a, b in zip(prdc(real, made), whole, strict=True):
        assert a.equal(b)
