"""The two records that the rest of the library sees: one split of images, and a data set of three.

Shapes: `N` images, `C H W` image (C is 1 or 3, H = W), `D` classes.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from reparam.data.options import LARGEST, SMALLEST
from reparam.errors import DataError, suggest

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Images:
    """One split: `images` uint8 [N, C, H, W] with H = W, `labels` int64 [N], -1 where there is no label.

    Raises `DataError` where shapes or types are others, or where N is 0.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if self.images.dtype != torch.uint8 or len(shape) != 4 or shape[1] not in (1, 3):
            raise DataError(f"images are {self.images.dtype} of shape {shape}: give uint8 [N, C, H, W], C being 1 or 3")
        if shape[2] != shape[3] or not SMALLEST <= shape[2] <= LARGEST:
            raise DataError(
                f"images are {shape[3]} x {shape[2]} pixels: they must be square, {SMALLEST} to {LARGEST} pixels a "
                "side; resize them (--size)"
            )
        if self.labels.dtype != torch.int64 or tuple(self.labels.shape) != shape[:1]:
            raise DataError(
                f"labels are {self.labels.dtype} of shape {tuple(self.labels.shape)} for {shape[0]} images: give one "
                "int64 label an image, -1 where there is none"
            )
        if not shape[0]:
            raise DataError("a split holds no images: give train, validation and test at least one each")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits of images of one shape.

    `name` is the canonical spec (`mnist`, `folder:/abs/path`), `classes` names label 0, 1, ... (empty without labels),
    `notes` are the decisions that a user should see: how splits were made, what was cropped, skipped or rounded.
    Raises `DataError` where the splits differ in shape or a label has no class.
    """

    name: str
    train: Images
    validation: Images
    test: Images
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for split in SPLITS:
            part: Images = getattr(self, split)
            if part.images.shape[1:] != self.train.images.shape[1:]:
                raise DataError(
                    f"{split} images have shape {tuple(part.images.shape[1:])} and training images {self.shape}: "
                    "give all splits one shape"
                )
            low, high = int(part.labels.min()), int(part.labels.max())
            if low < -1 or high >= len(self.classes):
                raise DataError(
                    f"{split} labels run from {low} to {high} but there are {len(self.classes)} classes: "
                    "use 0 to D - 1, and -1 for unlabelled"
                )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        _, channels, height, width = self.train.images.shape
        return channels, height, width

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over shapes, pixels and labels of the three splits: equal data, equal fingerprint."""
        digest = hashlib.sha256()
        for split in SPLITS:
            part: Images = getattr(self, split)
            digest.update(f"{split} {tuple(part.images.shape)};".encode())
            digest.update(part.images.contiguous().numpy().data)
            digest.update(part.labels.contiguous().numpy().astype("<i8").data)
        return digest.hexdigest()

    def split(self, name: str) -> Images:
        """`train`, `validation`, `test`, or `all` = train and validation (MNIST: all 60,000). Else `DataError`."""
        if name == "all":
            return Images(
                torch.cat([self.train.images, self.validation.images]),
                torch.cat([self.train.labels, self.validation.labels]),
            )
        if name not in SPLITS:
            raise DataError(f"no split '{name}': choose {', '.join(SPLITS)} or all{suggest(name, (*SPLITS, 'all'))}")
        return getattr(self, name)


def cut(
    images: Tensor, labels: Tensor, counts: tuple[int, int, int], classes: tuple[str, ...], notes: tuple[str, ...] = ()
) -> Dataset:
    """A nameless `Dataset` whose splits are consecutive views (no copies) of `images` [N, C, H, W], `labels` [N]."""
    parts = zip(images.split(list(counts)), labels.split(list(counts)), strict=True)
    train, validation, test = (Images(x, y) for x, y in parts)
    return Dataset("", train, validation, test, classes, notes)
