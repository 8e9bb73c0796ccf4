"""The augmentations of `--augment`: of pixels, or by the latents of another run.

Shapes: `B` batch, `C H W` image.
"""

from pathlib import Path

import torch

from reparam.data import Dataset, Images
from reparam.errors import ConfigError
from reparam.latent.augmentation import BaseAugmenter, Compose, PixelAugmenter
from reparam.latent.directions import PIXELS, find_direction
from reparam.run.config import TrainingOptions
from reparam.run.folder import RunFolder
from reparam.run.loaded import LoadedRun


def build_augmentation(
    options: TrainingOptions, dataset: Dataset, images: Images, device: torch.device, trust: bool = False
) -> Compose | None:
    """(x [B, C, H, W], labels [B]) -> x, with random numbers from torch's default generator; None where there is none. Directions
    of classes are those of the training `images`; `trust`: code that the runs name may run. Raises ConfigError for a run of
    other images, DataError for other classes."""
    strengths = options.augment_strength or [None] * len(options.augment)
    augmenters: list[BaseAugmenter] = []
    for name, strength in zip(options.augment, strengths, strict=True):
        if name == PIXELS:
            augmenters.append(PixelAugmenter(strength=1.0 if strength is None else strength, device=device))
            continue
        run = LoadedRun(name, str(device), trust)
        if run.spec.image_shape != dataset.shape:
            raise ConfigError(
                f"{name} augments images of shape {run.spec.image_shape}, and these are {dataset.shape}: give that --size and "
                "--colour, or another run"
            )
        run.labelled_as_here(dataset)
        by_class = find_direction(options.augment_directions).needs == "latents"
        augmenters.append(
            run.augmenter(
                strength,
                directions=options.augment_directions,
                latents=run.class_latents(images, len(dataset.classes)) if by_class else None,
                apply=options.augment_apply,
                keep_class=options.augment_keep_class,
            )
        )
    return Compose(augmenters, options.augment_share) if augmenters else None


def augmenting_runs(options: TrainingOptions) -> dict[str, str]:
    """Fingerprints of the weights of the runs of `--augment`; empty for a run that is gone."""
    return {name: RunFolder(Path(name)).fingerprint().hex() for name in options.augment if name != PIXELS}
