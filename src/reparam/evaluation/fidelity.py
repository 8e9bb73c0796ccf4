"""How images compare: one with another, and two sets of them.

Shapes: `N` images, `C H W` image in [0, 1], `F` features.
"""

import numpy as np
from torch import Tensor


def squared_error(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of each image over its pixels and channels, [N]."""
    return (x - y).square().flatten(1).mean(1)


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, -10 log10(mse) for a peak of 1, [N]; 100 dB stands for equality."""
    return -10 * squared_error(x, y).clamp(min=1e-10).log10()


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity of each image (Wang et al. 2004: Gaussian window of 11 pixels, sigma 1.5), [N]."""
    from torchmetrics.functional.image import structural_similarity_index_measure as measure

    similarity = measure(x, y, data_range=1.0, reduction="none")
    assert isinstance(similarity, Tensor)
    return similarity.reshape(-1)


def frechet_distance(real: Tensor, made: Tensor) -> float:
    r"""Fréchet distance of the Gaussians fitted to two sets of features [N, F] (Dowson and Landau 1982; Heusel et al. 2017):

        |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^{1/2}),

    with unbiased covariances, in float64. The trace of the root comes from the symmetric C_1^{1/2} C_2 C_1^{1/2}, whose
    eigenvalues are those of C_1 C_2 and never negative, so that rank-deficient covariances are no special case.
    """
    a, b = real.double().numpy(), made.double().numpy()
    difference = a.mean(0) - b.mean(0)
    cov_a, cov_b = (np.atleast_2d(np.cov(v, rowvar=False)) for v in (a, b))
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    middle = np.linalg.eigvalsh(root @ cov_b @ root)
    trace = np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(middle.clip(min=0)).sum()
    return float(difference @ difference + trace)
