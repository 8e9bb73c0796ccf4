"""One split of images, and a data set of three splits.

Shapes: `N` images, `C H W` image (C is 1 to 64), `D` classes.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from reparam.core.spec import BYTES
from reparam.data.io.on_disk import OnDiskImages
from reparam.data.options import LARGEST, MOST_CHANNELS, SMALLEST, spelled
from reparam.data.scale import EIGHT_BITS, Scale
from reparam.distributions import IGNORED
from reparam.errors import DataError, suggest

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Images:
    """One split: `images` [N, C, H, W], in memory or on disk: uint8, or float32 in [0, 1] where there are other than 256 levels;
    `labels` int64 [N], -1 for none; `maps` uint8 [N, 1, H, W], the label of every pixel (`IGNORED`, 255, where it does not
    count), or None.

    Raises `DataError` for other shapes or types, and where N is 0.
    """

    images: Tensor | OnDiskImages
    labels: Tensor
    maps: Tensor | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if self.images.dtype not in (torch.uint8, torch.float32) or len(shape) != 4:
            found = f"images are {self.images.dtype} of shape {shape}"
            raise DataError(f"{found}: give uint8, or float32 in [0, 1], [N, C, H, W]")
        if not 1 <= shape[1] <= MOST_CHANNELS:
            raise DataError(f"images have {shape[1]} channels (shape {shape}): give 1 to {MOST_CHANNELS}, [N, C, H, W]")
        if not SMALLEST <= min(shape[2:]) <= max(shape[2:]) <= LARGEST:
            found = f"images have {spelled((shape[2], shape[3]))} pixels (height x width)"
            raise DataError(f"{found}: they must have {SMALLEST} to {LARGEST} a side; resize them (--size)")
        if self.labels.dtype != torch.int64 or tuple(self.labels.shape) != shape[:1]:
            found = f"{self.labels.dtype} of shape {tuple(self.labels.shape)} for {shape[0]} images"
            raise DataError(f"labels are {found}: give one int64 label an image, -1 where there is none")
        maps = self.maps
        if maps is not None and (maps.dtype != torch.uint8 or tuple(maps.shape) != (shape[0], 1, *shape[2:])):
            found = f"{maps.dtype} of shape {tuple(maps.shape)} for images {shape}"
            raise DataError(f"label maps are {found}: give uint8 [N, 1, H, W]")
        if not shape[0]:
            raise DataError("a split holds no images: give train, validation and test at least one each")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def pixels(self) -> Tensor:
        """The images of a split in memory."""
        assert isinstance(self.images, Tensor)
        return self.images

    @property
    def skipped(self) -> dict[str, None]:
        """A line for each image on disk that could not be read and was replaced by another."""
        return self.images.skipped if isinstance(self.images, OnDiskImages) else {}

    def to(self, device: torch.device) -> "Images":
        """On the device; images on disk arrive on it when they are read."""
        if isinstance(self.images, OnDiskImages):
            return Images(self.images.to(device), self.labels.to(device))
        return self.change(lambda part: part.to(device))

    def take(self, index: Tensor) -> "Images":
        """Those of the given places, in memory."""
        if isinstance(self.images, OnDiskImages):
            pixels, index = self.images.read(index)
            return Images(pixels, self.labels.index_select(0, index))
        return self.change(lambda part: part.index_select(0, index))

    def choose(self, index: Tensor) -> "Images":
        """Those of the given places; images on disk stay there."""
        if isinstance(self.images, OnDiskImages):
            return Images(self.images.choose(index), self.labels.index_select(0, index))
        return self.take(index)

    def change(self, function: Callable[[Tensor], Tensor]) -> "Images":
        """With each of its tensors changed in the same way; for images in memory."""
        maps = None if self.maps is None else function(self.maps)
        return Images(function(self.pixels), function(self.labels), maps)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits of images of one shape.

    `name` is the canonical spec (`mnist`, `folder:/abs/path`); `classes` names label 0, 1, ... (empty without labels);
    `map_values` names the values of label maps (empty without maps), `map_colours` are their colours, six hexadecimal digits each
    (empty, or "" for one, where none is known), `remap` says what a run must remember to read other maps alike;
    `notes` are the decisions that a user should see;
    `files` names the pictures of the three splits, one after the other (empty where they are not files of their own);
    `scale` says what their numbers were before. Raises `DataError` where the splits differ in shape or type, floats in memory
    lie outside [0, 1], or a label or a map's value has no name.
    """

    name: str
    train: Images
    validation: Images
    test: Images
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    map_values: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    scale: Scale = EIGHT_BITS
    map_colours: tuple[str, ...] = ()
    remap: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.train.images.dtype == torch.uint8 and self.scale.levels != BYTES:
            raise DataError(
                f"images are uint8 and the scale has {self.scale.levels:,} levels, not {BYTES}: give float32 in [0, 1]"
            )
        for split in SPLITS:
            part: Images = getattr(self, split)
            if part.images.shape[1:] != self.train.images.shape[1:]:
                shape = tuple(part.images.shape[1:])
                raise DataError(f"{split} images are {shape} and training images {self.shape}: give them one shape")
            if part.images.dtype != self.train.images.dtype:
                found = f"{split} images are {part.images.dtype} and training images {self.train.images.dtype}"
                raise DataError(f"{found}: give them one type")
            _check_floats(part.images, split)
            low, high = int(part.labels.min()), int(part.labels.max())
            if low < -1 or high >= len(self.classes):
                found = f"{split} labels run from {low} to {high} but there are {len(self.classes)} classes"
                raise DataError(f"{found}: use 0 to D - 1, and -1 for unlabelled")
            if (part.maps is None) != (not self.map_values):
                raise DataError(f"{split} images and map_values disagree on whether there are label maps: give both")
            values = len(self.map_values)
            if part.maps is not None and int(torch.where(part.maps == IGNORED, 0, part.maps).max()) >= values:
                remedy = f"use 0 to {values - 1}, and {IGNORED} for pixels that do not count"
                raise DataError(f"{split} label maps hold values that have no name: {remedy}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        _, channels, height, width = self.train.images.shape
        return channels, height, width

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the shapes, pixels (on disk: the identity of their files) and labels of the three splits."""
        digest = hashlib.sha256()
        for split in SPLITS:
            part: Images = getattr(self, split)
            digest.update(f"{split} {tuple(part.images.shape)};".encode())
            if not self.scale.of_bytes:
                digest.update(f"{self.scale};".encode())
            if isinstance(part.images, OnDiskImages):
                digest.update(f"{part.images.reader.identity};".encode())
                digest.update(part.images.places.numpy().astype("<i8").data)
            else:
                digest.update(part.images.contiguous().numpy().data)
            digest.update(part.labels.contiguous().numpy().astype("<i8").data)
            if part.maps is not None:
                digest.update(part.maps.contiguous().numpy().data)
        return digest.hexdigest()

    def source(self, split: str, index: int) -> str:
        """Where an image of a split comes from: the name of its file, else its split and its place there (`train/17`)."""
        if split == "all":
            split, index = ("train", index) if index < len(self.train) else ("validation", index - len(self.train))
        if self.files:
            return self.files[index + sum(len(self.split(name)) for name in SPLITS[: SPLITS.index(split)])]
        return f"{split}/{index}"

    def split(self, name: str) -> Images:
        """`train`, `validation`, `test`, or `all` = train and validation. Raises `DataError` for another name."""
        if name == "all":
            a, b = self.train, self.validation
            labels = torch.cat([a.labels, b.labels])
            if isinstance(a.images, OnDiskImages) and isinstance(b.images, OnDiskImages):
                return Images(a.images.join(b.images), labels)
            maps = None if a.maps is None or b.maps is None else torch.cat([a.maps, b.maps])
            return Images(torch.cat([a.pixels, b.pixels]), labels, maps)
        if name not in SPLITS:
            raise DataError(f"no split '{name}': choose {', '.join(SPLITS)} or all{suggest(name, (*SPLITS, 'all'))}")
        return getattr(self, name)


def _check_floats(images: Tensor | OnDiskImages, split: str) -> None:
    """Raises DataError for floats in memory that are no images."""
    if isinstance(images, Tensor) and images.is_floating_point():
        low, high = (float(end) for end in images.aminmax())  # NaN where there is one
        if not 0 <= low <= high <= 1:
            raise DataError(f"{split} images run from {low:.6g} to {high:.6g}: give floats in [0, 1], or uint8")


def cut(
    images: Tensor | OnDiskImages,
    labels: Tensor,
    counts: Sequence[int],
    classes: tuple[str, ...],
    notes: tuple[str, ...] = (),
    maps: Tensor | None = None,
    map_values: tuple[str, ...] = (),
    files: tuple[str, ...] = (),
    scale: Scale = EIGHT_BITS,
) -> Dataset:
    """A nameless `Dataset` whose splits, `counts` images each, follow each other in `images`, `labels` and `maps`, and
    are views of them."""
    sizes = list(counts)
    of_maps = (None, None, None) if maps is None else maps.split(sizes)
    train, validation, test = map(Images, images.split(sizes), labels.split(sizes), of_maps)
    return Dataset("", train, validation, test, classes, notes, map_values, files, scale)
