"""Plain baselines: what can be had of the same training images without training a model.

Shapes: `N` images, `C H W` image, `P` its pixels and channels, `K` components, `D` values of a label map, `M` clusters.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reparam.core.blocks import keyed_noise
from reparam.distributions import IGNORED

RESTARTS = 4  # of k-means
STEPS = 100  # of expectation maximisation
COMPARED = 1000  # images at a time
FITTED = 10_000  # images, at most, and
LARGEST_FITTED = 250_000_000  # floats of them (1 GB)


class Components(NamedTuple):
    """The mean of images [P], their orthonormal principal components [K, P], the variance along each [K]; the images' shape."""

    mean: Tensor
    vectors: Tensor
    variances: Tensor
    shape: torch.Size

    def encode(self, x: Tensor) -> Tensor:
        """Coordinates of images [N, C, H, W], [N, K]."""
        return (x.flatten(1) - self.mean) @ self.vectors.mT

    def decode(self, z: Tensor) -> Tensor:
        """Images at coordinates [N, K], cut to [0, 1], [N, C, H, W]."""
        return (self.mean + z @ self.vectors).clamp(0, 1).unflatten(1, self.shape)

    def project(self, x: Tensor) -> Tensor:
        """The nearest points of the plane of the components, cut to [0, 1], [N, C, H, W]: the best linear reconstructions."""
        return self.decode(self.encode(x))

    def sample(self, n: int, seed: int) -> Tensor:
        """Draws of the Gaussian with the components' variances in that plane, cut to [0, 1], [n, C, H, W]."""
        noise = keyed_noise(n, len(self.variances), seed, "components")
        return self.decode(noise * self.variances.sqrt())


def principal_components(x: Tensor, count: int) -> Components:
    """`count` principal components of images [N, C, H, W], or as many as there are."""
    from sklearn.decomposition import PCA

    flat = x.flatten(1).numpy()
    with np.errstate(all="ignore"):  # images that are all alike, or one, have no variance to explain
        pca = PCA(min(count, *flat.shape), random_state=0).fit(flat)
    mean, vectors, variances = (
        torch.from_numpy(np.asarray(part)).float() for part in (pca.mean_, pca.components_, pca.explained_variance_)
    )
    return Components(mean, vectors, variances.nan_to_num(0).clamp(min=0), x.shape[1:])


def mean_map(maps: Tensor, values: int) -> Tensor:
    """Share of each value at each pixel of label maps [N, 1, H, W], without ignored ones, [D, H, W]; equal where none counts."""
    counts = torch.stack([(maps == value).sum(0)[0] for value in range(values)]).float()
    total = (maps != IGNORED).sum(0)
    return torch.where(total > 0, counts / total.clamp(min=1), 1 / values)


def nearest(x: Tensor, among: Tensor) -> Tensor:
    """Place of the nearest of images `among` [n, C, H, W] to each of `x` [N, C, H, W] by squared error, [N]; the first of
    equals."""
    flat = among.flatten(1)
    return torch.cat([torch.cdist(part.flatten(1), flat).argmin(1) for part in x.split(COMPARED)])


def clusters(kind: str, train: Tensor, test: Tensor, count: int) -> Tensor:
    """The cluster of each of `test` [N, K], of `count` found in `train` [n, K] by `kind`: "k-means", or a
    "Gaussian mixture" of full covariances, [N]."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    model: Any = (
        KMeans(count, n_init=RESTARTS, random_state=0)
        if kind == "k-means"
        else GaussianMixture(count, max_iter=STEPS, random_state=0)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train.double().numpy())
    return torch.from_numpy(model.predict(test.double().numpy())).long()
