"""Partitions of points: modularity against its definition, clusters of unequal size, degenerate points."""

import numpy as np
import pytest

from reparam.models.placement import _joined, _links, modularity, partition


def blobs(sizes: list[int], apart: float, dimensions: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Unit Gaussians, whose means are `apart * sqrt(2)` from each other, and which one each point is of."""
    which = np.repeat(np.arange(len(sizes)), sizes)
    noise = np.random.default_rng(0).normal(size=(len(which), dimensions))
    return apart * np.eye(len(sizes), dimensions)[which] + noise, which


def agree(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two partitions are the same up to the parts' names."""
    return len({*zip(one, other, strict=True)}) == len({*one}) == len({*other})


def test_modularity_is_the_share_of_links_within_beyond_chance() -> None:
    links = np.array([[0, 1], [1, 0], [2, 3], [3, 2], [1, 2], [2, 1], [0, 0]])
    labels = np.array([0, 0, 1, 1])
    within = 5 / 7  # 0-1, 1-0, 2-3, 3-2, 0-0
    assert modularity(labels, links, 0.5) == pytest.approx(within - 0.5 * ((4 / 7) ** 2 + (3 / 7) ** 2))
    assert modularity(np.zeros(4, dtype=int), links, 1.0) == pytest.approx(0)


def test_parts_are_joined_where_modularity_grows_most() -> None:
    points, which = blobs([40, 40, 40], 6)
    links = _links(points)
    fine = 2 * which + np.arange(120) % 2  # every blob in two halves at random
    assert agree(_joined(fine, links, 3, 0.1), which)
    by_hand = max(
        (np.unique(np.where(fine == j, i, fine), return_inverse=True)[1] for i in range(6) for j in range(i + 1, 6)),
        key=lambda labels: modularity(labels, links, 0.1),
    )
    assert agree(_joined(fine, links, 5, 0.1), by_hand)


@pytest.mark.parametrize("sizes", [[100, 300, 900], [30, 30, 30, 1200], [20, 60, 180, 540]])
def test_unequal_clusters_are_neither_split_nor_joined(sizes: list[int]) -> None:
    points, which = blobs(sizes, 6)
    found = partition(points, len(sizes))
    assert np.mean([np.bincount(found[which == c]).max() / n for c, n in enumerate(sizes)]) > 0.99
    assert sorted(np.bincount(found)) == pytest.approx(sizes, rel=0.03)


@pytest.mark.parametrize(("points", "parts"), [(1, 1), (3, 3), (12, 10)])
def test_few_points_still_have_their_parts(points: int, parts: int) -> None:
    found = partition(np.random.default_rng(0).normal(size=(points, 2)), parts)
    assert sorted(set(found)) == list(range(parts))
    assert len(found) == points


def test_points_that_coincide() -> None:
    points = np.repeat(np.eye(3), 20, 0)
    assert agree(partition(points, 3), np.repeat(np.arange(3), 20))
