"""The augmentations of `--augment`: of pixels, or by the latents of another run.

Shapes: `B` batch, `C H W` image.
"""

from pathlib import Path

import torch

from reparam.core.abilities import Ability
from reparam.data import Dataset, Images
from reparam.data.selection import random_indices
from reparam.data.tasks import to_float
from reparam.errors import ConfigError
from reparam.latent.augmentation import CALIBRATED_ON, BaseAugmenter, Compose, PixelAugmenter
from reparam.latent.directions import PIXELS, find_direction
from reparam.run.config import RunConfig, TrainingOptions
from reparam.run.folder import RunFolder
from reparam.run.loaded import LoadedRun


def build_augmentation(
    config: RunConfig, dataset: Dataset, images: Images, device: torch.device, trust: bool = False
) -> Compose | None:
    """(x [B, C, H, W], labels [B]) -> x, with random numbers from torch's default generator; None where there is none. Directions
    of classes are those of the training `images`, and so are changes; `trust`: code that the runs name may run. Raises
    ConfigError for a run of other images, or that was trained with labels which this one may not see; DataError for other
    classes."""
    options = config.training
    strengths = options.augment_strength or [None] * len(options.augment)
    changes = options.augment_change or [None] * len(options.augment)
    part = images.take(random_indices(images, CALIBRATED_ON)).to(device) if options.augment_change else None
    augmenters: list[BaseAugmenter] = []
    for name, strength, change in zip(options.augment, strengths, changes, strict=True):
        if name == PIXELS:
            augmenters.append(PixelAugmenter(strength=1.0 if strength is None else strength, device=device))
        else:
            run = LoadedRun(name, str(device), trust)
            if run.spec.image_shape != dataset.shape:
                raise ConfigError(
                    f"{name} augments images of shape {run.spec.image_shape}, and these are {dataset.shape}: give that --size "
                    "and --colour, or another run"
                )
            run.labelled_as_here(dataset.classes)
            _check_labels(config, run, dataset)
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
        if part and change is not None:
            augmenters[-1].calibrate(to_float(part.pixels), part.labels, change)
    return Compose(augmenters, options.augment_share) if augmenters else None


def _check_labels(config: RunConfig, run: LoadedRun, dataset: Dataset) -> None:
    """Raises ConfigError where a run that learnt classes on these images had labels that a training with few may not see: they
    would reach it through the moves."""
    few = config.data.labels_per_class
    learnt_classes = run.model.has("head") or Ability.SAMPLE_BY_CLASS in run.model.abilities
    if not few or not learnt_classes or run.document.data.fingerprint != dataset.fingerprint:
        return
    known = config.labelled_index(dataset, config.data.train_on)
    seen = run.config.labelled_index(dataset, run.config.data.train_on)
    if not torch.isin(seen, known).all():
        seed = config.training.seed
        raise ConfigError(
            f"{run.path} was trained with labels that this training may not see (--labels-per-class {few} --seed {seed}): train "
            f"it with the same: reparam train {run.config.model} --labels-per-class {few} --seed {seed} ..., or give the run "
            "of a model without classes (vae)"
        )


def augmenting_runs(options: TrainingOptions) -> dict[str, str]:
    """Fingerprints of the weights of the runs of `--augment`; empty for a run that is gone."""
    return {name: RunFolder(Path(name)).fingerprint().hex() for name in options.augment if name != PIXELS}
