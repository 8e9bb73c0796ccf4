"""`RECONSTRUCTION`: how reconstructions compare with their images. One function and one row add a metric."""

import torch
from torch import Tensor

from reparam.core.abilities import Ability
from reparam.core.blocks import BLOCK, in_blocks
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.metrics.metric import Estimate, Metric, by_image, ratio_by_image
from reparam.evaluation.metrics.plain import mean_image, projection
from reparam.metrics import fidelity

# Sums of five greys are rounded by up to 5e-7; a single pixel that is one grey level off makes edges of 3e-5 in 512 x 512.
EDGELESS = 1e-6


def mse(context: EvaluationContext) -> Estimate:
    """Squared error of reconstructions.

    Squared difference between a test image and its reconstruction, pixel values from 0 to 1. Lower is better."""
    return by_image(fidelity.squared_error(context.x, context.reconstructions), "per pixel")


def psnr(context: EvaluationContext) -> Estimate:
    """Peak signal-to-noise ratio of reconstructions.

    The squared error on the decibel scale of image compression. Higher is better."""
    return by_image(fidelity.psnr(context.x, context.reconstructions), "dB")


def ssim(context: EvaluationContext) -> Estimate:
    """Structural similarity of reconstructions.

    Similarity of local structure between image and reconstruction. 1 is equal; higher is better."""
    rebuilt = context.reconstructions.split(BLOCK)
    return by_image(in_blocks(lambda part, number: fidelity.ssim(part, rebuilt[number]), context.x), "")


def too_small(context: EvaluationContext) -> str | None:
    return "its window needs images of at least 11 pixels" if min(context.dataset.shape[1:]) < 11 else None


def sharpness(context: EvaluationContext) -> Estimate:
    """Edges of reconstructions over edges of test images.

    How sharp reconstructions are beside their originals: 1 is as sharp, less is blurred, more is noisy."""
    return relative_sharpness(context, fidelity.sharpness(context.reconstructions))


def relative_sharpness(context: EvaluationContext, edges: Tensor, note: str = "") -> Estimate:
    """Edges of images [N], over those of test images."""
    own = fidelity.sharpness(context.grey)
    own = torch.where(own > EDGELESS, own, 0.0)
    return ratio_by_image(edges, own, "of test images'", note, "test images have no edges: each is of one colour")


RECONSTRUCTION: dict[str, Metric] = {
    "mse": Metric(Ability.RECONSTRUCT, mse, best="low", beside=(projection, mean_image)),
    "psnr": Metric(Ability.RECONSTRUCT, psnr, best="high", beside=(projection, mean_image)),
    "ssim": Metric(Ability.RECONSTRUCT, ssim, too_small, best="high", beside=(projection,)),
    "sharpness": Metric(Ability.RECONSTRUCT, sharpness, beside=(projection,)),
}
