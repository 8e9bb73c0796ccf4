"""Distances between sets of features, against definitions written out and distributions with known answers."""

import math

import pytest
import torch
from torch import Tensor

from reparam.distributions import keyed_generator
from reparam.evaluation.distances import kernel_distance, manifolds


def normal(n: int, features: int, seed: int) -> Tensor:
    return torch.randn(n, features, generator=keyed_generator("cpu", "points", seed), dtype=torch.float64)


def test_kernel_distance_is_its_definition_written_out() -> None:
    a, b = normal(7, 3, 0), normal(7, 3, 1) + 0.5

    def k(u: Tensor, v: Tensor) -> float:
        return (float(u @ v) / 3 + 1) ** 3

    n = len(a)
    within = [sum(k(v[i], v[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1)) for v in (a, b)]
    between = sum(k(u, v) for u in a for v in b) / n**2
    value, stderr = kernel_distance(a, b)
    assert value == pytest.approx(sum(within) - 2 * between, rel=1e-12)
    assert stderr is None


def test_kernel_distance_of_equal_distributions_is_zero_within_its_error_and_else_the_closed_form() -> None:
    # For F = 1 and normals: E k(a, b) = E (a b + 1)^3 = m3(a) m3(b) + 3 m2(a) m2(b) + 3 m1(a) m1(b) + 1 (independent a, b).
    def moments(shift: float) -> tuple[float, float, float]:
        return shift, 1 + shift**2, 3 * shift + shift**3

    def expected(u: float, v: float) -> float:
        (a1, a2, a3), (b1, b2, b3) = moments(u), moments(v)
        return a3 * b3 + 3 * a2 * b2 + 3 * a1 * b1 + 1

    for shift in (0.0, 0.7):
        value, stderr = kernel_distance(normal(8000, 1, 2), normal(8000, 1, 3) + shift)
        assert stderr is not None
        truth = expected(0, 0) + expected(shift, shift) - 2 * expected(0, shift)
        assert abs(value - truth) < 4 * stderr
        assert stderr < 0.2 * max(truth, 1)


def test_manifold_figures_are_their_definitions_written_out() -> None:
    real, made = normal(30, 2, 4), 0.6 * normal(25, 2, 5) + 0.4

    def radius(points: Tensor, i: int, k: int) -> float:
        return sorted(float((points[i] - points[j]).norm()) for j in range(len(points)) if j != i)[k - 1]

    found = manifolds(real, made, support=3, neighbours=5)
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
    same, far = manifolds(x, x), manifolds(x, x + 1000)
    assert [float(v.mean()) for v in same[:2]] == [1, 1]
    assert float(same.coverage.mean()) == 1
    assert [float(v.mean()) for v in far] == [0, 0, 0, 0]


def test_density_and_coverage_of_equal_distributions_have_their_expectations() -> None:
    # Naeem et al. 2020, section 3.3: with as many of each, E density = 1 and E coverage = 1 - 1/2 * ... * (n - k)/(2n - k)
    # ~ 1 - 2^-k. The balls share points, so the errors of independent images are widened by the number of neighbours.
    n, k = 2000, 5
    found = manifolds(normal(n, 8, 7), normal(n, 8, 8), neighbours=k)
    exact = 1 - math.prod((n - i) / (2 * n - 1 - i) for i in range(k))
    for values, truth in ((found.density, 1.0), (found.coverage, exact)):
        assert abs(float(values.mean()) - truth) < 4 * float(values.std()) * math.sqrt(k / n)


def test_results_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from reparam.evaluation import pairwise

    real, made = normal(50, 3, 9), normal(40, 3, 10)
    whole = manifolds(real, made)
    monkeypatch.setattr(pairwise, "PAIRWISE_BLOCK", 7)
    for a, b in zip(manifolds(real, made), whole, strict=True):
        assert a.equal(b)
