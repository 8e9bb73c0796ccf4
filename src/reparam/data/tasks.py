"""From stored images to batches: what the model has to do with them. To add a task: a class, whose fields are its options,
and a row in `TASKS`.

Everything is vectorised and happens on the images' device; random parts come from a generator.

Shapes: `B` batch, `C H W` image. Images that are stored as uint8 become float in [0, 1] here.
"""

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from reparam.core.batch import Batch, Condition
from reparam.core.options import choice, options_of, part
from reparam.core.spec import Spec
from reparam.data.dataset import Images
from reparam.errors import ConfigError, DataError

Random = torch.Generator | None


class TaskOutput(NamedTuple):
    """What a task makes of images: the target, the condition, and the encoder's input where that is not x."""

    x: Tensor
    c: Tensor | None = None
    source: Tensor | None = None


class Task(ABC):
    """From stored images, and the same as floats x [B, C, H, W], to targets and conditions. `label_maps`: whether the target is a
    label map."""

    label_maps: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, stored: Images, x: Tensor, generator: Random) -> TaskOutput: ...

    def condition(self, spec: Spec) -> Condition | None:
        """What c is; None for a task without a condition. Raises ConfigError where the data cannot serve the task."""
        return None


@dataclass(frozen=True)
class Unconditional(Task):
    """The images themselves."""

    def __call__(self, stored: Images, x: Tensor, generator: Random) -> TaskOutput:
        return TaskOutput(x)


@dataclass(frozen=True)
class Denoising(Task):
    """The encoder's input is x + noise * eps clipped to [0, 1], or x with a share `noise` of its pixels zeroed (all channels of a
    pixel)."""

    corruption: Annotated[
        Literal["gaussian", "mask"], Field(description="denoising: added noise, or pixels zeroed")
    ] = "gaussian"
    noise: Annotated[
        float, Field(gt=0, le=1, description="denoising: standard deviation, or share of pixels zeroed")
    ] = 0.3

    def __call__(self, stored: Images, x: Tensor, generator: Random) -> TaskOutput:
        if self.corruption == "mask":
            kept = torch.rand(x[:, :1].shape, device=x.device, generator=generator) >= self.noise
            return TaskOutput(x, source=x * kept)
        eps = torch.randn(x.shape, device=x.device, generator=generator)
        return TaskOutput(x, source=torch.add(x, eps, alpha=self.noise).clamp_(0, 1))


@dataclass(frozen=True)
class Labelled(Task):
    """Images of a class: c is the label."""

    def __call__(self, stored: Images, x: Tensor, generator: Random) -> TaskOutput:
        return TaskOutput(x, stored.labels)

    def condition(self, spec: Spec) -> Condition:
        if spec.classes < 2:
            raise ConfigError(
                "task 'labelled' needs images of at least two classes: give labels (class folders, a 'labels' array)"
            )
        return Condition(classes=spec.classes)


@dataclass(frozen=True)
class ObservedImage(Task):
    """c is an image, of which training may hide a box."""

    omission_noise: Annotated[
        float,
        Field(
            ge=0, lt=1, description="in training, zero a random box of the observed image, of sides up to this share"
        ),
    ] = 0.0


class FixedMask(ObservedImage):
    """The same part of every image is seen, the rest is the target."""

    @abstractmethod
    def mask(self, height: int, width: int) -> Tensor:
        """bool [height, width], true where seen."""

    def __call__(self, stored: Images, x: Tensor, generator: Random) -> TaskOutput:
        return TaskOutput(x, observe(x, _on_device(self, x.shape[-2], x.shape[-1], x.device)[None, None]))

    def condition(self, spec: Spec) -> Condition:
        channels, *sides = spec.image_shape
        return Condition(channels=channels + 1, masked=True, fixed=self.mask(*sides))


@functools.cache
def _on_device(task: FixedMask, height: int, width: int, device: torch.device) -> Tensor:
    """Copied there once: a step of training must not do it again."""
    return task.mask(height, width).to(device)


@dataclass(frozen=True)
class Quadrants(FixedMask):
    """So many quarters are seen: the bottom left, then the top left, then the top right (the order of Pyro's tutorial)."""

    observed: Annotated[
        int,
        Field(
            ge=0,
            le=3,
            description="quadrants: how many are seen: 0 none, 1 bottom left, 2 and top left, 3 and top right",
        ),
    ] = 1

    def mask(self, height: int, width: int) -> Tensor:
        mask, down, across = torch.zeros(height, width, dtype=torch.bool), height // 2, width // 2
        top, left = slice(None, down), slice(None, across)
        for rows, columns in [(slice(down, None), left), (top, left), (top, slice(across, None))][: self.observed]:
            mask[rows, columns] = True
        return mask


@dataclass(frozen=True)
class Half(FixedMask):
    """One half is seen."""

    half: Annotated[
        Literal["left", "right", "top", "bottom"], Field(description="half: which half of the image is seen")
    ] = "left"

    def mask(self, height: int, width: int) -> Tensor:
        side = width if self.half in ("left", "right") else height
        low = torch.arange(side) < side // 2
        line = low if self.half in ("left", "top") else ~low
        return (line[None, :] if self.half in ("left", "right") else line[:, None]).expand(height, width).clone()


@dataclass(frozen=True)
class Boxes(ObservedImage):
    """All but a box of the image's shape is seen, whose share of its sides is uniform between `box` / 2 and `box` and whose place
    is uniform."""

    box: Annotated[
        float,
        Field(
            gt=0,
            lt=1,
            description="boxes: largest sides of the hidden box, a share of the image's (smallest: half of it)",
        ),
    ] = 0.5

    def __call__(self, stored: Images, x: Tensor, generator: Random) -> TaskOutput:
        return TaskOutput(x, observe(x, ~random_boxes(x, self.box / 2, self.box, generator)))

    def condition(self, spec: Spec) -> Condition:
        return Condition(channels=spec.image_shape[0] + 1, masked=True)


@dataclass(frozen=True)
class Segmentation(ObservedImage):
    """The image is seen, its label map is the target."""

    label_maps = True

    def __call__(self, stored: Images, x: Tensor, generator: Random) -> TaskOutput:
        if stored.maps is None:
            raise DataError("this model predicts label maps, and these images have none: give pairs:PATH")
        return TaskOutput(stored.maps.long(), x)

    def condition(self, spec: Spec) -> Condition:
        if not spec.map_values:
            raise ConfigError(
                "task 'segmentation' needs a label map for every image: --data pairs:PATH with PATH/images and PATH/masks"
            )
        return Condition(channels=spec.image_shape[0])


TASKS: dict[str, type[Task]] = {
    "unconditional": Unconditional,
    "denoising": Denoising,
    "labelled": Labelled,
    "quadrants": Quadrants,
    "half": Half,
    "boxes": Boxes,
    "segmentation": Segmentation,
}


@dataclass(frozen=True)
class TaskOptions(options_of(TASKS)):  # type: ignore[misc]
    """What the model has to do, and how grey values are read."""

    task: choice(TASKS, "what the model has to do") = "unconditional"  # type: ignore[valid-type]
    binarise: Annotated[
        Literal["none", "threshold", "dynamic"],
        Field(description="none: grey values; threshold: x >= 1/2; dynamic: x ~ Bernoulli(grey), afresh at every use"),
    ] = "none"
    flip: Annotated[
        bool, Field(description="in training, mirror an image left to right with probability 1/2, with its label map")
    ] = False
    moves: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="in trainings of 5 epochs or more, turn, shift and bend each image, by up to this times what --augment "
            "pixels does",
        ),
    ] = 0.0


@functools.cache
def task_of(options: TaskOptions) -> Task:
    """The chosen task with its options."""
    task: Task = part(options, "task")()
    return task


def to_float(images: Tensor, binarise: str = "none", generator: Random = None) -> Tensor:
    """uint8, or floats in [0, 1] as they are, [B, C, H, W] -> float32 in [0, 1], binarised if `binarise` says so (dynamic:
    Salakhutdinov and Murray 2008)."""
    x = images if images.is_floating_point() else images / 255
    if binarise == "threshold":
        return (x >= 0.5).float()
    if binarise == "dynamic":
        return torch.bernoulli(x, generator=generator)
    return x


def observe(x: Tensor, mask: Tensor) -> Tensor:
    """c: the image where `mask` [B or 1, 1, H, W] is 1, zero elsewhere, and the mask as its last channel."""
    mask = mask.to(x.dtype).expand(len(x), 1, *x.shape[2:])
    return torch.cat([x * mask, mask], 1)


def random_boxes(x: Tensor, low: float, high: float, generator: Random) -> Tensor:
    """bool [B, 1, H, W], true in a box of the image's shape whose share of its sides is uniform in [low, high], wholly inside, at
    a uniform place."""
    uniform = torch.rand(3, len(x), 1, device=x.device, generator=generator)
    within = []
    for side, u in zip(x.shape[2:], uniform[1:], strict=True):
        length = ((low + (high - low) * uniform[0]) * side).round().clamp(1, side)
        start, place = (u * (side - length + 1)).floor(), torch.arange(side, device=x.device)
        within.append((place >= start) & (place < start + length))
    down, across = within
    return (down[:, :, None] & across[:, None, :])[:, None]


def mirrored(stored: Images) -> Images:
    """Each image, with its label map, as it is or mirrored left to right, with probability 1/2 each."""
    coin = torch.rand(len(stored), 1, 1, 1, device=stored.labels.device) < 0.5

    def turned(pixels: Tensor) -> Tensor:
        return torch.where(coin, pixels.flip(-1), pixels)

    return replace(stored, images=turned(stored.pixels), maps=None if stored.maps is None else turned(stored.maps))


def with_condition(spec: Spec, options: TaskOptions) -> Spec:
    """The spec with what c is under a task. Raises ConfigError where the data cannot serve the task."""
    task = task_of(options)
    return replace(spec, condition=task.condition(spec), map_values=spec.map_values if task.label_maps else 0)


def make_batch(
    images: Images,
    index: Tensor,
    options: TaskOptions,
    generator: Random = None,
    omitted: tuple[float, float] | None = None,
) -> Batch:
    """Stored images, those of places `index` in their split, to a batch on their device.

    omitted: a box of the observed image is zeroed whose sides are uniform between these shares of the image's; mask and target
    stay as they are (input omission noise, Sohn et al. 2015, section 4.2).
    """
    x = to_float(images.pixels, options.binarise, generator)
    output = task_of(options)(images, x, generator)
    c = output.c
    if omitted and c is not None and c.dim() == 4:
        kept = ~random_boxes(x, *omitted, generator)
        c = torch.cat([c[:, : x.shape[1]] * kept, c[:, x.shape[1] :]], 1)
    return Batch(output.x, c, images.labels, index, output.source)
