"""Measurements as plain functions on tensors: no run is needed, and the command uses the same functions.

    from reparam.metrics import frechet_distance, inception_features
    distance = frechet_distance(real, made, features=inception_features())  # images [N, C, H, W] in [0, 1]
    print(distance.value, distance.stderr)

Each says what it computes, by which equation and from which source, its shapes and its unit.
"""

from reparam.metrics.clusters import cluster_accuracy
from reparam.metrics.distances import Distance, Manifolds, energy_distance, frechet_distance, kernel_distance, prdc
from reparam.metrics.fidelity import psnr, sharpness, squared_error, ssim
from reparam.metrics.inception import inception_features
from reparam.metrics.latents import active_units
from reparam.metrics.likelihood import importance_nll
from reparam.metrics.structured import calibration_error, iou, pixel_accuracy, reliability

__all__ = [
    "Distance",
    "Manifolds",
    "active_units",
    "calibration_error",
    "cluster_accuracy",
    "energy_distance",
    "frechet_distance",
    "importance_nll",
    "inception_features",
    "iou",
    "kernel_distance",
    "pixel_accuracy",
    "prdc",
    "psnr",
    "reliability",
    "sharpness",
    "squared_error",
    "ssim",
]
