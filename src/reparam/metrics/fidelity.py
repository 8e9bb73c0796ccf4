"""How an image compares with another.

Shapes: `N` images, `C H W` image in [0, 1].
"""

from torch import Tensor

from reparam.errors import DataError
from reparam.metrics.inputs import check_floats, same_shape

WINDOW = 11  # pixels


def squared_error(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of each image, 1 / (C H W) sum (x - y)^2, [N]; per pixel and channel. x, y: [N, C, H, W]."""
    same_shape(x, y)
    return (x - y).square().flatten(1).mean(1)


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, -10 log10(`squared_error`) for a peak of 1, [N]; 100 dB stands for
    equality."""
    return -10 * squared_error(x, y).clamp(min=1e-10).log10()


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity of each image (Wang et al. 2004, eq. 13, with a Gaussian window of 11 pixels, sigma 1.5), [N]; 1 is
    equal. Raises DataError for images smaller than the window."""
    same_shape(x, y)
    if min(x.shape[-2:]) < WINDOW:
        raise DataError(
            f"images are of {x.shape[-2]} x {x.shape[-1]}, and the window of ssim takes {WINDOW} pixels: use psnr"
        )
    from torchmetrics.functional.image import structural_similarity_index_measure as measure

    similarity = measure(x, y, data_range=1.0, reduction="none")
    assert isinstance(similarity, Tensor)
    return similarity.reshape(-1)


def sharpness(x: Tensor) -> Tensor:
    """Root mean square of each image's discrete Laplacian (4 neighbours, without the border), [N]: the energy of its edges.

    A focus measure: 0 for a flat image, and less for a blurred one than for the same image in focus. It depends on what an image
    shows: compare it with that of other images of the same kind. x: [N, C, H, W].
    Raises DataError for images of less than 3 pixels a side.
    """
    check_floats(x, "x")
    if min(x.shape[-2:]) < 3:
        raise DataError(
            f"images are of {x.shape[-2]} x {x.shape[-1]}, and edges take 3 pixels a side: give larger ones"
        )
    inner = x[..., 1:-1, 1:-1]
    around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    return (around - 4 * inner).square().flatten(1).mean(1).sqrt()
