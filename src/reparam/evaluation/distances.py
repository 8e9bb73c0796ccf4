"""How two sets of images compare, by their features.

Shapes: `N M` images, `F` features.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.evaluation.pairwise import row_blocks

KERNEL_BLOCK = 1000  # features in one estimate of the kernel distance


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    r"""Fréchet distance of the Gaussians fitted to two sets of features [N, F] (Dowson and Landau 1982; Heusel et al. 2017):

        |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^{1/2}),

    with unbiased covariances, in float64. With R_i^T R_i = C_i, the trace of the root is the sum of the singular values of
    R_1 R_2^T; R_i is the triangular factor of the centred features over (N - 1)^{1/2}. No root of a rounded number is taken, so
    that rank-deficient covariances are no special case, and the rounding error is below F eps tr(C_1 + C_2). The distance is
    never negative: what rounding alone can put below 0 is 0.
    """
    a, b = real.double(), generated.double()
    first, second = (torch.linalg.qr(v - v.mean(0), mode="r").R / math.sqrt(len(v) - 1) for v in (a, b))
    spread = float(first.square().sum() + second.square().sum())
    shared = float(torch.linalg.svdvals(first @ second.mT).sum())
    distance = float((a.mean(0) - b.mean(0)).square().sum()) + spread - 2 * shared
    rounding = a.shape[1] * torch.finfo(torch.float64).eps * spread
    return 0.0 if -rounding <= distance < 0 else distance


def kernel_distance(real: Tensor, generated: Tensor) -> tuple[float, float | None]:
    r"""Kernel distance (Binkowski et al. 2018, KID) and its standard error: the squared maximum mean discrepancy

        E k(a, a') + E k(b, b') - 2 E k(a, b),   k(a, b) = (a . b / F + 1)^3,

    unbiased: its expectation for equal distributions is 0, and single values may be negative. The value is the mean over disjoint
    blocks of 1,000 features a side, the error comes from their spread; fewer than 2,000 are one block, without an error. Both
    sides must be in random order: blocks of one class each would compare other distributions.
    """
    n = min(len(real), len(generated))
    blocks = max(1, n // KERNEL_BLOCK)
    a, b = (v[: n // blocks * blocks].double().unflatten(0, (blocks, -1)) for v in (real, generated))
    size, width = a.shape[1:]

    def kernel(u: Tensor, v: Tensor) -> Tensor:
        return (u @ v.mT / width + 1).pow(3)

    within = sum(
        (k.sum((1, 2)) - k.diagonal(dim1=1, dim2=2).sum(1)) / (size * (size - 1)) for k in (kernel(a, a), kernel(b, b))
    )
    values = within - 2 * kernel(a, b).mean((1, 2))
    stderr = float(values.std() / math.sqrt(blocks)) if blocks > 1 else None
    return float(values.mean()), stderr


class Manifolds(NamedTuple):
    """For each image whether (density: how densely) it is where the other set is. Their means are the four metrics."""

    precision: Tensor
    recall: Tensor
    density: Tensor
    coverage: Tensor


def manifolds(real: Tensor, generated: Tensor, support: int = 3, neighbours: int = 5) -> Manifolds:
    r"""Improved precision and recall (Kynkaanniemi et al. 2019, k = 3), density and coverage (Naeem et al. 2020, k = 5).

    Every image has a ball that reaches to its k-th nearest neighbour in its own set. Precision: generated images in the ball of
    any real one, [M]; recall: real images in the ball of any generated one, [N]; density: number of balls of real images that a
    generated one is in, over k, [M] (1 is expected for equal distributions, more where samples crowd the densest places);
    coverage: real images with a generated one in their own ball, [N]. Distances are Euclidean; both sets have more than k images.
    """
    a, b = real.double(), generated.double()
    real_radii, generated_radii = _radii(a, (support, neighbours)), _radii(b, (support,))
    precision, density = [], []
    recall, coverage = (torch.zeros(len(a), dtype=torch.bool) for _ in range(2))
    for start, rows in row_blocks(b):
        distances = torch.cdist(rows, a)
        precision.append((distances <= real_radii[0]).any(1))
        inside = distances <= real_radii[1]
        density.append(inside.double().sum(1) / neighbours)
        coverage |= inside.any(0)
        recall |= (distances <= generated_radii[0][start:][: len(rows), None]).any(0)
    return Manifolds(torch.cat(precision).double(), recall.double(), torch.cat(density), coverage.double())


def _radii(features: Tensor, ks: tuple[int, ...]) -> list[Tensor]:
    """Distance of each to its k-th nearest neighbour other than itself, for each k."""
    found = []
    for start, rows in row_blocks(features):
        distances = torch.cdist(rows, features)
        distances.diagonal(start).fill_(torch.inf)
        found.append(distances.topk(max(ks), largest=False).values)
    nearest = torch.cat(found)
    return [nearest[:, k - 1] for k in ks]
