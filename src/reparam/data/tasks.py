"""From stored images to batches: what the model is asked to do with them. To add one: a function, and a line in `TASKS`.

Everything is vectorised and happens on the images' device; random parts come from a generator.

Shapes: `B` batch, `C H W` image. Images are stored as uint8 and become float in [0, 1] here.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from reparam.core.batch import Batch, Condition
from reparam.core.spec import Spec
from reparam.data.dataset import Images
from reparam.errors import ConfigError

TaskName = Literal["unconditional", "denoising", "labelled", "quadrants", "half", "boxes", "segmentation"]


@dataclass(frozen=True)
class TaskOptions:
    """What is asked of the images, and how grey values are read."""

    task: Annotated[TaskName, Field(description="what the model is asked to do")] = "unconditional"
    binarise: Annotated[
        Literal["none", "threshold", "dynamic"],
        Field(description="none: grey values; threshold: x >= 1/2; dynamic: x ~ Bernoulli(grey), afresh at every use"),
    ] = "none"
    corruption: Annotated[
        Literal["gaussian", "mask"], Field(description="denoising: added noise, or pixels zeroed")
    ] = "gaussian"
    noise: Annotated[
        float, Field(gt=0, le=1, description="denoising: standard deviation, or share of pixels zeroed")
    ] = 0.3
    observed: Annotated[
        int,
        Field(
            ge=0,
            le=3,
            description="quadrants: how many are seen: 0 none, 1 bottom left, 2 and top left, 3 and top right",
        ),
    ] = 1
    half: Annotated[
        Literal["left", "right", "top", "bottom"], Field(description="half: which half of the image is seen")
    ] = "left"
    box: Annotated[
        float,
        Field(
            gt=0,
            lt=1,
            description="boxes: largest side of the hidden box, a share of the image's (smallest: half of it)",
        ),
    ] = 0.5
    omission_noise: Annotated[
        float,
        Field(
            ge=0, lt=1, description="in training, zero a random box of the observed image, of a side up to this share"
        ),
    ] = 0.0
    flip: Annotated[
        bool, Field(description="in training, mirror every other image left to right, at random, with its label map")
    ] = False


class TaskOutput(NamedTuple):
    """What a task makes of images: what is wanted, what is known, what an encoder is shown in place of x."""

    x: Tensor
    c: Tensor | None = None
    source: Tensor | None = None


class Task(NamedTuple):
    """A row: the function of the stored images and the same as floats x, and what c is by it (None: the task has no
    condition)."""

    make: Callable[[Images, Tensor, TaskOptions, torch.Generator | None], TaskOutput]
    condition: Callable[[Spec, TaskOptions], Condition] | None = None
    maps: bool = False


def to_float(images: Tensor, binarise: str = "none", generator: torch.Generator | None = None) -> Tensor:
    """uint8 [B, C, H, W] -> float32 in [0, 1], binarised as asked (dynamic: Salakhutdinov and Murray 2008)."""
    x = images / 255
    if binarise == "threshold":
        return (x >= 0.5).float()
    if binarise == "dynamic":
        return torch.bernoulli(x, generator=generator)
    return x


def unconditional(stored: Images, x: Tensor, options: TaskOptions, generator: torch.Generator | None) -> TaskOutput:
    return TaskOutput(x)


def denoising(stored: Images, x: Tensor, options: TaskOptions, generator: torch.Generator | None) -> TaskOutput:
    """The encoder is shown x + noise * eps clipped to [0, 1], or x with a share `noise` of its pixels zeroed (all channels of a
    pixel)."""
    if options.corruption == "mask":
        kept = torch.rand(x[:, :1].shape, device=x.device, generator=generator) >= options.noise
        return TaskOutput(x, source=x * kept)
    eps = torch.randn(x.shape, device=x.device, generator=generator)
    return TaskOutput(x, source=torch.add(x, eps, alpha=options.noise).clamp_(0, 1))


def labelled(stored: Images, x: Tensor, options: TaskOptions, generator: torch.Generator | None) -> TaskOutput:
    return TaskOutput(x, stored.labels)


def _of_class(spec: Spec, options: TaskOptions) -> Condition:
    if spec.classes < 2:
        raise ConfigError(
            "task 'labelled' needs images of at least two classes: give labels (class folders, a 'labels' array)"
        )
    return Condition(classes=spec.classes)


def quadrant_mask(observed: int, side: int) -> Tensor:
    """bool [side, side], true where seen: 1 bottom left, 2 and top left, 3 and top right (Pyro's order)."""
    half, mask = side // 2, torch.zeros(side, side, dtype=torch.bool)
    for rows, columns in [((half, side), (0, half)), ((0, half), (0, half)), ((0, half), (half, side))][:observed]:
        mask[slice(*rows), slice(*columns)] = True
    return mask


def half_mask(which: str, side: int) -> Tensor:
    """bool [side, side], true in the half that is seen."""
    low = torch.arange(side) < side // 2
    line = low if which in ("left", "top") else ~low
    return (line[None, :] if which in ("left", "right") else line[:, None]).expand(side, side).clone()


def _fixed_mask(options: TaskOptions, side: int, device: torch.device | None = None) -> Tensor:
    return _made_once(options.task, options.observed, options.half, side, device)


@functools.cache
def _made_once(task: str, observed: int, half: str, side: int, device: torch.device | None) -> Tensor:
    """On its device: a step of training must not copy it there again."""
    mask = quadrant_mask(observed, side) if task == "quadrants" else half_mask(half, side)
    return mask.to(device)


def observe(x: Tensor, mask: Tensor) -> Tensor:
    """c: the image where `mask` [B or 1, 1, H, W] is 1, zero elsewhere, and the mask as its last channel."""
    mask = mask.to(x.dtype).expand(len(x), 1, *x.shape[2:])
    return torch.cat([x * mask, mask], 1)


def completion(stored: Images, x: Tensor, options: TaskOptions, generator: torch.Generator | None) -> TaskOutput:
    return TaskOutput(x, observe(x, _fixed_mask(options, x.shape[-1], x.device)[None, None]))


def _of_fixed_mask(spec: Spec, options: TaskOptions) -> Condition:
    channels, side, _ = spec.image_shape
    return Condition(channels=channels + 1, masked=True, fixed=_fixed_mask(options, side))


def boxes(stored: Images, x: Tensor, options: TaskOptions, generator: torch.Generator | None) -> TaskOutput:
    """All but a box is seen, whose side is uniform between `box` / 2 and `box` of the image's and whose place is uniform."""
    return TaskOutput(x, observe(x, ~random_boxes(x, options.box / 2, options.box, generator)))


def _of_mask(spec: Spec, options: TaskOptions) -> Condition:
    return Condition(channels=spec.image_shape[0] + 1, masked=True)


def segmentation(stored: Images, x: Tensor, options: TaskOptions, generator: torch.Generator | None) -> TaskOutput:
    assert stored.maps is not None
    return TaskOutput(stored.maps.long(), x)


def _of_image(spec: Spec, options: TaskOptions) -> Condition:
    if not spec.map_values:
        raise ConfigError(
            "task 'segmentation' needs a label map for every image: --data pairs:PATH with PATH/images and PATH/masks"
        )
    return Condition(channels=spec.image_shape[0])


TASKS: dict[str, Task] = {
    "unconditional": Task(unconditional),
    "denoising": Task(denoising),
    "labelled": Task(labelled, _of_class),
    "quadrants": Task(completion, _of_fixed_mask),
    "half": Task(completion, _of_fixed_mask),
    "boxes": Task(boxes, _of_mask),
    "segmentation": Task(segmentation, _of_image, maps=True),
}


def random_boxes(x: Tensor, low: float, high: float, generator: torch.Generator | None) -> Tensor:
    """bool [B, 1, H, W], true in a box whose side is uniform in [low, high] of the image's, wholly inside, at a uniform
    place."""
    n, side = len(x), x.shape[-1]
    uniform = torch.rand(3, n, 1, device=x.device, generator=generator)
    length = ((low + (high - low) * uniform[0]) * side).round().clamp(1, side)
    place = torch.arange(side, device=x.device)
    down, across = (
        (place >= start) & (place < start + length)
        for start in ((u * (side - length + 1)).floor() for u in uniform[1:])
    )
    return (down[:, :, None] & across[:, None, :])[:, None]


def mirrored(stored: Images) -> Images:
    """Each image, with its label map, as it is or mirrored left to right, with probability 1/2 each."""
    coin = torch.rand(len(stored), 1, 1, 1, device=stored.labels.device) < 0.5

    def turned(pixels: Tensor) -> Tensor:
        return torch.where(coin, pixels.flip(-1), pixels)

    return replace(stored, images=turned(stored.pixels), maps=None if stored.maps is None else turned(stored.maps))


def with_condition(spec: Spec, options: TaskOptions) -> Spec:
    """The spec with what c is under a task. Raises ConfigError where the data cannot serve the task."""
    _, condition, maps = TASKS[options.task]
    given = condition(spec, options) if condition else None
    return replace(spec, condition=given, map_values=spec.map_values if maps else 0)


def make_batch(
    images: Images,
    index: Tensor,
    options: TaskOptions,
    generator: torch.Generator | None = None,
    omitted: tuple[float, float] | None = None,
) -> Batch:
    """Stored images, those of places `index` in their split, to a batch on their device.

    omitted: a box of the observed image is zeroed whose side is uniform between these shares of the image's; mask and what is
    wanted stay as they are (input omission noise, Sohn et al. 2015, section 4.2).
    """
    x = to_float(images.pixels, options.binarise, generator)
    drawn = TASKS[options.task].make(images, x, options, generator)
    c = drawn.c
    if omitted and c is not None and c.dim() == 4:
        kept = ~random_boxes(x, *omitted, generator)
        c = torch.cat([c[:, : x.shape[1]] * kept, c[:, x.shape[1] :]], 1)
    return Batch(drawn.x, c, images.labels, index, drawn.source)
