"""How two sets of images compare, by their features.

Every function takes features [N, F] and [M, F]; or images [N, C, H, W] and [M, C, H, W] with `features`, a function or module
that turns images into [n, F]. Distances have the unit of squared features (`energy_distance`: of features).

Shapes: `N M` images, `C H W` image, `F` features.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.core.calls import Count, checked
from reparam.metrics.inputs import Features, two_sets
from reparam.metrics.pairwise import row_blocks

AS_NEAR = 1e-6  # of the squares that are subtracted: what float32 may round
KERNEL_BLOCK = 1000  # features in one estimate of the kernel distance


class Distance(NamedTuple):
    """A distance and how it changes with each image, to first order: `real` [N], `generated` [M], both of mean 0. The errors of
    these means, which are independent, are the error of the distance."""

    value: float
    real: Tensor
    generated: Tensor

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        n, m = len(self.real), len(self.generated)
        return f"Distance({self.value:.6g} ± {self.stderr:.2g}, of {n:,} real and {m:,} generated)"

    @property
    def stderr(self) -> float:
        """Standard error of the value, from the draw of both sets, to first order."""
        return math.hypot(*(float(side.std() / math.sqrt(len(side))) for side in (self.real, self.generated)))


@checked
def frechet_distance(real: Tensor, generated: Tensor, features: Features | None = None) -> Distance:
    r"""Fréchet distance of the Gaussians fitted to features [N, F], [M, F] (Dowson and Landau 1982; Heusel et al. 2017, FID):

        |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^{1/2}),

    with unbiased covariances, in float64. With R_i^T R_i = C_i, the trace of the root is the sum of the singular values of
    R_1 R_2^T = U S V^T; R_i is the triangular factor of the centred features over (N - 1)^{1/2}. No root of a rounded number is
    taken, so that rank-deficient covariances are no special case, and the rounding error is below F eps tr(C_1 + C_2). The
    distance is never negative: what rounding alone can put below 0 is 0.

    A feature b at d from m_2 adds 2 (m_2 - m_1) . d + |d|^2 - |S^{-1/2} U^T R_1 d|^2, less the mean of this, to first order: the
    derivative of the root's trace by C_2 is half of R_1^T U S^{-1} U^T R_1. Of the other side it is the same with V^T R_2.
    """
    a, b = (v.double() for v in two_sets(real, generated, features))
    shift = b.mean(0) - a.mean(0)
    a, b = (v - v.mean(0) for v in (a, b))
    first, second = (torch.linalg.qr(v, mode="r").R / math.sqrt(len(v) - 1) for v in (a, b))
    spread = float(first.square().sum() + second.square().sum())
    left, shared, right = torch.linalg.svd(first @ second.mT, full_matrices=False)
    distance = float(shift.square().sum()) + spread - 2 * float(shared.sum())
    rounding = a.shape[1] * torch.finfo(torch.float64).eps * spread
    known = shared > max(rounding, 1e-12 * spread)

    def influence(values: Tensor, shift: Tensor, root: Tensor) -> Tensor:
        mapped = values @ (root[known] / shared[known, None].sqrt()).mT
        found = 2 * values @ shift + values.square().sum(1) - mapped.square().sum(1)
        return found - found.mean()

    return Distance(
        0.0 if -rounding <= distance < 0 else distance,
        influence(a, -shift, right @ second),
        influence(b, shift, left.mT @ first),
    )


@checked
def kernel_distance(real: Tensor, generated: Tensor, features: Features | None = None) -> Distance:
    r"""Kernel distance of features [N, F], [M, F] (Binkowski et al. 2018, KID): the squared maximum mean discrepancy

        E k(a, a') + E k(b, b') - 2 E k(a, b),   k(a, b) = (a . b / F + 1)^3,

    unbiased: its expectation for equal distributions is 0, and single values may be negative. The value is the mean over disjoint
    blocks of 1,000 features a side, or the one block of fewer than 2,000. The error is that of a U-statistic to first order
    (Hoeffding 1948); near 0, where this order vanishes, it comes out up to 1.4 times too large. Both sides must be in random
    order: blocks of one class each would compare other distributions.
    """
    real, generated = two_sets(real, generated, features)
    n = min(len(real), len(generated))
    blocks = max(1, n // KERNEL_BLOCK)
    a, b = (v[: n // blocks * blocks].double().unflatten(0, (blocks, -1)) for v in (real, generated))
    width = a.shape[2]

    def kernel(u: Tensor, v: Tensor) -> Tensor:
        return (u @ v.mT / width + 1).pow(3)

    return _discrepancy(kernel(a, a), kernel(b, b), kernel(a, b))


@checked
def energy_distance(real: Tensor, generated: Tensor, features: Features | None = None) -> Distance:
    r"""Energy distance (Szekely and Rizzo 2013) of features [N, F], [M, F], 2 E d(a, b) - E d(a, a') - E d(b, b'), with d(a, b) =
    |a - b| / F^{1/2}: the squared maximum mean discrepancy of the kernel -d (Sejdinovic et al. 2013).

    Unbiased, of error as `kernel_distance`. It grows with the distance and not with its cube, so that a few features far away
    neither decide it nor its error.
    """
    real, generated = two_sets(real, generated, features)
    n = min(len(real), len(generated))
    a, b = (v[:n].double() for v in (real, generated))  # in float32, features far from 0 cancel

    def kernel(u: Tensor, v: Tensor) -> Tensor:
        return torch.cdist(u, v)[None] / -math.sqrt(u.shape[1])

    return _discrepancy(kernel(a, a), kernel(b, b), kernel(a, b))


def _discrepancy(first: Tensor, second: Tensor, between: Tensor) -> Distance:
    """The unbiased squared maximum mean discrepancy of kernels [blocks, n, n], the mean over blocks."""
    n = first.shape[1]
    one, other = (
        (k.sum(2) - k.diagonal(dim1=1, dim2=2)) / (n - 1) - between.mean(axis) for k, axis in ((first, 2), (second, 1))
    )
    influences = (2 * (v - v.mean()).flatten() for v in (one, other))
    return Distance(float(one.mean() + other.mean()), *influences)


def nearer_to_first(x: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, float]:
    r"""Whether each of x [M, P] is nearer to one of `first` than to any of `second`, [M] (0.5 where both are as near), and the
    standard error of the mean; both [N, P].

    Where the two are draws of one distribution, 0.5 is expected, and the error is that of exchanging their members: with c_i of x
    having i of the 2 N as nearest, the variance of the share is 2 N / (2 N - 1) \sum_i (c_i - M / 2 N)^2 / (4 M^2). It counts
    that a few images are the nearest of many.
    """
    pool, n = torch.cat([first, second]), len(first)
    squares = pool.square().sum(1)
    nearest, shares = [], []
    for _, rows in row_blocks(x):
        distances = squares - 2 * rows @ pool.mT  # less the square of each row, which does not matter
        nearest.append(distances.argmin(1))
        one, other = distances[:, :n].amin(1), distances[:, n:].amin(1)
        # A matrix product rounds equal columns differently, by where they stand.
        as_near = (one - other).abs() <= AS_NEAR * (rows.square().sum(1) + squares[nearest[-1]])
        shares.append(torch.where(as_near, 0.5, (one < other).double()))
    counts = torch.cat(nearest).bincount(minlength=2 * n).double()
    variance = 2 * n / (2 * n - 1) * float((counts - counts.mean()).square().sum()) / 4 / len(x) ** 2
    return torch.cat(shares), math.sqrt(variance)


class Manifolds(NamedTuple):
    """For each image whether (density: how densely) it is where the other set is: precision and density [M], recall and coverage
    [N]. Their means are the four metrics."""

    precision: Tensor
    recall: Tensor
    density: Tensor
    coverage: Tensor


@checked
def prdc(
    real: Tensor, generated: Tensor, features: Features | None = None, support: Count = 3, neighbours: Count = 5
) -> Manifolds:
    r"""Precision and recall (Kynkaanniemi et al. 2019, k = 3: `support`), density and coverage (Naeem et al. 2020, k = 5:
    `neighbours`), image by image: their means are the four figures, in shares (density: 1 and more is possible).

    Every image has a ball that reaches to its k-th nearest neighbour in its own set. Precision: generated images in the ball of
    any real one, [M]; recall: real images in the ball of any generated one, [N]; density: number of balls of real images that a
    generated one is in, over k, [M] (1 is expected for equal distributions, more where samples crowd the densest places);
    coverage: real images with a generated one in their own ball, [N]. Distances are Euclidean; both sets have more than k images.
    """
    a, b = (v.double() for v in two_sets(real, generated, features, max(support, neighbours) + 1))
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
