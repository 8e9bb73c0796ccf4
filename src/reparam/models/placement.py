r"""Where the components of a mixture begin: on the clusters of points.

`by_likelihood`: those of the likeliest mixture, which easily has one component in two clusters and two in another, the likelier
the more their sizes differ.

`by_links`: points are linked where each is among the other's nearest. A partition is good where more links stay within its parts
than parts of those sizes would have by chance (modularity, Newman 2004, with the resolution g of Reichardt and Bornholdt 2006):

    Q = sum_c (e_cc - g a_c^2),   e_cd the share of links between parts c and d, a_c = sum_d e_cd

A part is better cut in two where that severs less than the share g a_c / 2 of its links. With g = 1 a cluster of half of the
points is cut; with g = 0 a few points that lie apart stay a part of their own, and two clusters are one. Here g = 0.07 P: a part
of the average size is cut where that severs fewer than 3.5% of its links.

Shapes: `N` points, `K` dimensions, `P` parts.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

# Nearest points, of which the mutual ones are links: so many at least, and a share of all, so that what a cut severs does not
# depend on how many points there are.
LINKS, LINKS_SHARE = 10, 0.01
RESOLUTION = 0.07  # g over the number of parts that are looked for
STARTS = 10
FINER = 2  # Gaussians a part, at first
RIDGE = 1e-3  # of the points' variance, so that no Gaussian is flat


class Placement(NamedTuple):
    """Of each part its weight [P], mean [P, K], variances [P, K], and its share of each point [N, P]."""

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    shares: np.ndarray


def by_likelihood(points: np.ndarray, parts: int) -> Placement:
    """A mixture with full covariances, fitted by EM from `STARTS` different k-means; the one with the highest likelihood."""
    from sklearn.mixture import GaussianMixture

    ridge = 1e-6 * max(float(points.var(0).mean()), 1e-6)  # for a dimension in which a cluster has no width
    fit = GaussianMixture(parts, n_init=STARTS, reg_covar=ridge, random_state=0).fit(points)
    variances = np.einsum("pkk->pk", fit.covariances_).copy()
    return Placement(fit.weights_, fit.means_, variances, fit.predict_proba(points))


def by_links(points: np.ndarray, parts: int) -> Placement:
    """The parts of `partition`."""
    shares = np.eye(parts)[partition(points, parts)]
    sizes = shares.sum(0)
    means = shares.T @ points / sizes[:, None]
    variances = shares.T @ np.square(points - shares @ means) / sizes[:, None]
    return Placement(sizes / len(points), means, variances, shares)


PLACEMENTS: dict[str, Callable[[np.ndarray, int], Placement]] = {"likelihood": by_likelihood, "links": by_links}


def partition(points: np.ndarray, parts: int) -> np.ndarray:
    """The part of each point, [N] in 0..parts - 1, none empty; of points [N, K] of which at least `parts` differ.

    Mixtures of twice as many Gaussians are fitted (EM, `STARTS` times); two parts are joined where it adds most to Q, until there
    are so many; the partition with the highest Q is taken, k-means' being one of them. The same points give the same partition.
    """
    if parts == 1:
        return np.zeros(len(points), dtype=np.int64)
    links = _links(points)
    resolution = RESOLUTION * parts
    found = [_joined(fine, links, parts, resolution) for fine in _fine(points, parts)]
    return max(found, key=lambda labels: modularity(labels, links, resolution))


def modularity(labels: np.ndarray, links: np.ndarray, resolution: float) -> float:
    """Q of the parts [N] under links [L, 2], each given in both directions."""
    shares = _shares(labels, links)
    return float(shares.trace() - resolution * np.square(shares.sum(1)).sum())


def _links(points: np.ndarray) -> np.ndarray:
    """Pairs [L, 2] of mutual neighbours, in both directions."""
    from sklearn.neighbors import kneighbors_graph

    near = kneighbors_graph(points, min(max(LINKS, round(LINKS_SHARE * len(points))), len(points) - 1))
    return np.stack(near.minimum(near.T).nonzero(), 1)


def _fine(points: np.ndarray, parts: int) -> Iterator[np.ndarray]:
    """Partitions into at least so many parts."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    yield KMeans(parts, n_init=STARTS, random_state=0).fit_predict(points)
    count = min(FINER * parts, len(np.unique(points, axis=0)))
    ridge = RIDGE * max(float(points.var(0).mean()), 1e-6)
    for start in range(STARTS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a start that is not done is still a partition
            fit = GaussianMixture(count, reg_covar=ridge, random_state=start).fit_predict(points)
        labels = np.unique(fit, return_inverse=True)[1]
        if labels.max() + 1 >= parts:
            yield labels


def _shares(labels: np.ndarray, links: np.ndarray) -> np.ndarray:
    """e [P, P]."""
    size = int(labels.max()) + 1
    shares = np.zeros((size, size))
    np.add.at(shares, tuple(labels[links].T), 1.0)
    return shares / max(len(links), 1)


def _joined(labels: np.ndarray, links: np.ndarray, parts: int, resolution: float) -> np.ndarray:
    """Two parts at a time become one, where Q grows most, or falls least."""
    shares = _shares(labels, links)
    while len(shares) > parts:
        ends = shares.sum(1)
        gain = shares - resolution * np.outer(ends, ends)  # half of what Q grows by
        gain[np.tril_indices(len(shares))] = -np.inf
        one, other = np.unravel_index(gain.argmax(), gain.shape)
        shares[one] += shares[other]
        shares[:, one] += shares[:, other]
        shares = np.delete(np.delete(shares, other, 0), other, 1)
        labels = np.where(labels == other, one, labels)
        labels = labels - (labels > other)
    return labels
