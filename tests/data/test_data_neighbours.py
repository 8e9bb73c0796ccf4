"""Neighbours by pixels, against all distances in float64; what they do not depend on; parts of a large set."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reparam.data import neighbours
from reparam.data.neighbours import mutual_neighbours
from reparam.distributions import keyed_generator

N, K = 60, 4


def drawn(n: int = N, side: int = 8, channels: int = 1) -> Tensor:
    generator = keyed_generator("cpu", "images")
    return torch.randint(0, 256, (n, channels, side, side), dtype=torch.uint8, generator=generator)


def expected(images: Tensor, k: int, side: int) -> list[set[int]]:
    """The mutual neighbours of each image."""
    small = F.adaptive_avg_pool2d(images.double(), side).flatten(1)
    small = F.normalize(small - small.mean(1, keepdim=True))
    like = small @ small.T
    like.fill_diagonal_(-2)
    nearest = [set(row.argsort(descending=True)[:k].tolist()) for row in like]
    return [{j for j in nearest[i] if i in nearest[j]} for i in range(len(images))]


@pytest.mark.parametrize(("side", "thumbnail", "channels"), [(8, 8, 1), (28, 14, 1), (28, 14, 3)])
def test_they_are_those_of_all_distances(side: int, thumbnail: int, channels: int) -> None:
    images = drawn(side=side, channels=channels)
    found = mutual_neighbours(images, K)
    assert found.shape == (N, K)
    for own, (row, mutual) in enumerate(zip(found.tolist(), expected(images, K, thumbnail), strict=True)):
        assert set(row) - {own} == mutual
        assert row.count(own) == K - len(mutual)
    assert any(expected(images, K, thumbnail))


def test_brightness_and_contrast_do_not_count() -> None:
    images = drawn() // 2
    found = mutual_neighbours(torch.cat([images, images // 2 + 100]), 1)  # an image, and a paler one of it
    assert torch.equal(found[:, 0], torch.arange(2 * N).roll(N))


def test_parts_of_a_large_set_are_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "TOGETHER", 25)
    images = drawn()
    found = mutual_neighbours(images, K)
    linked = torch.zeros(N, N, dtype=torch.bool)
    linked[torch.arange(N)[:, None], found] = True
    assert torch.equal(linked, linked.T)
    order = torch.randperm(N, generator=keyed_generator("cpu", "neighbours"))
    for part in order.tensor_split(3):
        inside = torch.zeros(N, dtype=torch.bool)
        inside[part] = True
        assert not linked[inside][:, ~inside].any()
        few = [set(row) for row in expected(images[part], K, 8)]
        assert [set(row.nonzero()[:, 0].tolist()) - {i} for i, row in enumerate(linked[part][:, part])] == few


@pytest.mark.parametrize("n", [1, 2, 3])
def test_fewer_images_than_neighbours(n: int) -> None:
    found = mutual_neighbours(drawn(n), K)
    assert found.shape == (n, K)
    for own, row in enumerate(found.tolist()):
        assert set(row) | {own} == set(range(n))
