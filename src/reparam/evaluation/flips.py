"""How often augmentation changes the class: pictures that a judge reads otherwise than the images that they were made from.

Shapes: `N` images, `C H W` image.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.core.blocks import BLOCK, in_blocks
from reparam.data import Dataset
from reparam.data.selection import random_indices
from reparam.data.tasks import to_float
from reparam.distributions import keyed_generator
from reparam.errors import ConfigError
from reparam.evaluation.networks.features import FeatureNetwork, judge_network
from reparam.latent.augmentation import BaseAugmenter, PixelAugmenter
from reparam.progress import Progress, silent
from reparam.run.loaded import LoadedRun

PICTURES = 1000  # that the judge reads, about: of few images several copies each
COPIES = 20  # of one image, at most
CLEAR = 2.0  # standard errors


@dataclass(frozen=True)
class Reading:
    """What a judge reads of moved pictures: the share that it reads otherwise than their images, and their mean change (L2 to the
    unmoved)."""

    share: float
    stderr: float
    change: float


@dataclass(frozen=True)
class Flips:
    """Flips of an augmenter beside those of pixel moves (turned, shifted, bent, at their usual strength of 1), by a judge.

    images: how many held-out images both were measured on, by a classifier that is trained on the training images; `judge` names
    it, with its accuracy on test images. excess: flips of the augmenter less those of pixel moves, stderr: its standard error,
    paired over images.
    """

    augmenter: Reading
    pixels: Reading
    excess: float
    stderr: float
    images: int
    judge: str

    @property
    def worse(self) -> bool:
        """Whether the augmenter flips more often than pixel moves, beyond two standard errors."""
        return self.excess > CLEAR * self.stderr

    @property
    def text(self) -> str:
        """In words."""
        own, pixels = self.augmenter, self.pixels
        return (
            f"flips: {own.share:.1%} ± {own.stderr:.1%} (change {own.change:.2f}); pixel moves {pixels.share:.1%} ± "
            f"{pixels.stderr:.1%} (change {pixels.change:.2f}); {self.images:,} held-out images, {self.judge}"
        )

    @property
    def warning(self) -> str:
        """What whoever trains on the pictures should know where they are `worse`."""
        return (
            f"these moves change the class more often than pixel moves do ({self.augmenter.share:.1%}, {self.pixels.share:.1%}): "
            "take a smaller strength or change, or the change alone (--apply change), and try 'reparam augment-test' first"
        )

    def require(self, most: float) -> None:
        """Raises ConfigError where more than this share flips."""
        if self.augmenter.share > most:
            raise ConfigError(
                f"{self.augmenter.share:.1%} of the new pictures are read as another class than their images "
                f"(± {self.augmenter.stderr:.1%}; pixel moves: {self.pixels.share:.1%}), and --max-flips allows {most:.1%}: take "
                "a smaller --strength or --change, or --apply change"
            )


def flips_of(
    augmenter: BaseAugmenter, images: Tensor, labels: Tensor, read: Callable[[Tensor], Tensor], seed: int = 0
) -> tuple[Tensor, Tensor]:
    """For each image [N, C, H, W]: the share of its moved copies that `read` (images -> classes [N]) reads otherwise than the
    image itself, [N], and their mean change [N]. The augmenter's own series of draws stays where it is."""
    copies = max(1, min(COPIES, PICTURES // len(images)))
    before, kept = read(images), augmenter.generator
    device = torch.device("cpu") if kept is None else kept.device
    flips, changes = torch.zeros(len(images)), torch.zeros(len(images))
    try:
        for copy in range(copies):

            def block(part: Tensor, number: int, copy: int = copy) -> Tensor:
                y = labels[number * BLOCK :][: len(part)].to(device)
                part = part.to(device)
                augmenter.generator = keyed_generator(device, seed, "flips", number, copy)
                moved = augmenter(part, y)
                changes[number * BLOCK :][: len(part)] += (
                    (moved - augmenter.unmoved(part, y)).flatten(1).norm(dim=1).cpu()
                )
                return moved

            flips += (read(in_blocks(block, images)) != before).float()
    finally:
        augmenter.generator = kept
    return flips / copies, changes / copies


def measure_flips(
    run: LoadedRun,
    augmenter: BaseAugmenter,
    dataset: Dataset | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = silent,
) -> Flips:
    """Flips of an augmenter of the run, on up to 1,000 validation images of its data or of `dataset`, which no classifier is
    tested on.

    The judge is trained at its first use, on the training images with the labels that the run had. Raises ConfigError for images
    of fewer than two classes.
    """
    judge = _judge(run, dataset or run.dataset, progress, say)
    dataset = dataset or run.dataset
    split = dataset.validation
    if augmenter.classes:  # moves go by labels
        split = split.choose((split.labels >= 0).nonzero().squeeze(1))
    part = split.take(random_indices(split, PICTURES))
    x = to_float(part.pixels)
    pixels = PixelAugmenter(device=run.device)
    (own, change), (usual, usual_change) = (flips_of(one, x, part.labels, judge.classes) for one in (augmenter, pixels))
    excess = own - usual
    return Flips(
        Reading(float(own.mean()), _stderr(own), float(change.mean())),
        Reading(float(usual.mean()), _stderr(usual), float(usual_change.mean())),
        float(excess.mean()),
        _stderr(excess),
        len(x),
        judge.about,
    )


def _judge(run: LoadedRun, dataset: Dataset, progress: Progress | None, say: Callable[[str], None]) -> FeatureNetwork:
    if len(dataset.classes) < 2:
        raise ConfigError(
            "flips are of classes, and these images have fewer than two: leave --max-flips out, or give labels (class folders, "
            "a 'labels' array)"
        )
    if dataset is run.dataset and run.config.data.labels_per_class:
        labelled = run.config.labelled_index(dataset, run.config.data.train_on)
        dataset = dataclasses.replace(dataset, train=dataset.split(run.config.data.train_on).choose(labelled))
    return judge_network(dataset, run.device, progress, say)


def _stderr(values: Tensor) -> float:
    """Of the mean over images [N]; of one image not known, and taken as the largest that there is."""
    return float(values.double().std()) / math.sqrt(len(values)) if len(values) > 1 else 1.0
