"""Images, masks and labels that a person gives as numbers: what is accepted, and advice that keeps the pictures where it is not.

Images are floats in [0, 1], or uint8 from 0 to 255. All that takes them from a person asks here.

Shapes: `n` images, `C H W` image.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from reparam.errors import DataError

ROUNDING = 1e-6  # beyond [0, 1], which arithmetic in float32 leaves: cut off
OVERSHOOT = 0.5  # beyond [0, 1], which resizing leaves at edges
LEVELS = (2**8 - 1, 2**16 - 1)  # the largest values of the usual files


def scaling(low: float, high: float, name: str = "images") -> str:
    """How to bring numbers from `low` to `high` into [0, 1] and keep what they show, in Python; "" where they lie there. By what
    they look like: an overshoot of resizing, [-1, 1], 0 to 255 or 65535, else their own range."""
    if low >= -ROUNDING and high <= 1 + ROUNDING:
        return ""
    if low >= -OVERSHOOT and high <= 1 + OVERSHOOT:
        return f"{name}.clip(0, 1)"
    if low >= -1 - ROUNDING and high <= 1 + ROUNDING:
        return f"({name} + 1) / 2"
    if low < 0:
        return f"({name} - {name}.min()) / ({name}.max() - {name}.min())"
    largest = next((str(level) for level in LEVELS if level / 2 < high <= level), f"{name}.max()")
    return f"{name} / {largest}"


_MAKERS: dict[str, Callable[..., Tensor]] = {
    "torch.stack({})": torch.stack,
    "torch.as_tensor({})": torch.as_tensor,
    "torch.as_tensor(numpy.array({}))": lambda value: torch.as_tensor(np.array(value)),
}


def _runs(maker: Callable[..., Tensor], value: object) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that lists of arrays are slow
            maker(value)
    except (TypeError, ValueError, RuntimeError):
        return False
    return True


def not_a_tensor(value: object, name: str, expected: str) -> DataError:
    """The error for what should be a tensor and is not, with what makes one of it, or with what is `expected` where nothing
    does."""
    # Others are not tried: a data set of one's own would be read whole.
    known = isinstance(value, list | tuple) or hasattr(value, "__array__") or hasattr(value, "__array_interface__")
    works = (code for code, maker in _MAKERS.items() if known and _runs(maker, value))
    code = next(works, None)
    remedy = f"use {code.format(name)}" if code else f"give {expected}"
    return DataError(f"{name}: a torch tensor is expected, not {type(value).__name__}; {remedy}")


def as_images(values: Tensor, shape: tuple[int, ...] | None = None, name: str = "images") -> Tensor:
    """float32 [n, C, H, W] in [0, 1], of floats in [0, 1] or of uint8 from 0 to 255. `shape`: (C, H, W) that they must have.

    Rounding errors beyond [0, 1] are cut off. Raises DataError for another shape or type, for NaN, and for other values.
    """
    _check_shape(values, shape, name)
    if values.dtype == torch.uint8:
        if values.numel() and int(values.max()) == 1:
            raise DataError(
                f"{name} are uint8, and so from 0 to 255, but hold 0 and 1 alone: use {name}.float() for black and white"
            )
        return values / 255
    if values.layout != torch.strided or values.is_complex():
        raise DataError(f"{name} are {values.layout} {values.dtype}: give a plain tensor of floats in [0, 1]")
    if not (values.is_floating_point() or values.dtype == torch.bool):
        advice = scaling(int(values.min()), int(values.max()), name) if values.numel() else ""
        raise DataError(
            f"{name} are {values.dtype}, and should be floats in [0, 1] or uint8 from 0 to 255: use {advice or f'{name}.float()'}"
        )
    found = values.detach().float()
    if not found.numel():
        return found
    low, high = (float(end) for end in found.aminmax())  # NaN where there is one
    if not -torch.inf < low <= high < torch.inf:
        first = (~found.isfinite()).nonzero()[0].tolist()
        raise DataError(
            f"{name} hold NaN or infinity (the first at {first}): use {name}.nan_to_num(0, 1, 0), or leave those images out"
        )
    if advice := scaling(low, high, name):
        raise DataError(f"{name} run from {low:.6g} to {high:.6g}, and floats must lie in [0, 1]: use {advice}")
    return found if low >= 0 and high <= 1 else found.clamp(0, 1)


def _check_shape(values: Tensor, shape: tuple[int, ...] | None, name: str) -> None:
    if not isinstance(values, Tensor):
        sides = ", ".join(map(str, shape or "CHW"))
        raise not_a_tensor(values, name, f"one [n, {sides}] of floats in [0, 1], or of uint8 from 0 to 255")
    found = tuple(values.shape)
    if len(found) == 4 and shape in (None, found[1:]):
        return
    expected = f"[n, {', '.join(map(str, shape or 'CHW'))}]"
    remedy = ""
    if len(found) == 2 and (shape is None or found == shape[1:]):
        remedy = f"; use {name}[None, None]"
    elif len(found) == 3 and shape in (None, found):
        remedy = f"; use {name}[None]"
    elif (
        len(found) == 3 and shape and found[1:] == shape[1:] and found[0] != 3
    ):  # 3: one picture in colour, or three grey ones
        remedy = f"; use {name}[:, None]"
    elif len(found) == 4 and shape:
        channels, *sides = shape
        if found[1:] == (*sides, channels):
            remedy = f"; use {name}.permute(0, 3, 1, 2)"
        elif list(found[2:]) != sides:
            remedy = f"; use torch.nn.functional.interpolate({name}, {tuple(sides)}, mode='area')"
        elif found[1] == 1:
            remedy = f"; use {name}.expand(-1, {channels}, -1, -1)"
        elif channels == 1:
            remedy = f"; use {name}.mean(1, keepdim=True)"
    raise DataError(f"{name} are a tensor {expected}, not {list(found)}{remedy}")


def as_mask(mask: Tensor, images: Tensor) -> Tensor:
    """bool [n or 1, 1, H, W], on the device of `images` [n, C, H, W]: of floats or whole numbers from 0 to 1 those of at least
    1/2, of uint8 that go beyond 1 those of at least 128. `mask`: [H, W], [1 or n, H, W] or [1 or n, 1, H, W].

    Raises DataError for another shape, for NaN, and for other values.
    """
    if not isinstance(mask, Tensor):
        raise not_a_tensor(mask, "mask", "one [H, W], 1 where a pixel is seen, and 0 elsewhere")
    if mask.layout != torch.strided or mask.is_complex() or mask.is_meta:
        where = "on no device" if mask.is_meta else f"{mask.layout} {mask.dtype}"
        raise DataError(f"the mask is {where}: give a plain tensor, 1 where a pixel is seen")
    mask = mask.detach()
    whole = mask if mask.dim() == 4 else mask.reshape(-1, 1, *mask.shape[-2:])
    if tuple(whole.shape[1:]) != (1, *images.shape[2:]) or len(whole) not in (1, len(images)):
        raise DataError(f"a mask of shape {tuple(mask.shape)} does not go with images {tuple(images.shape)}")
    low, high = (float(end) for end in whole.float().aminmax())
    levels = mask.dtype == torch.uint8 and high > 1
    if not levels and not 0 <= low <= high <= 1:
        raise DataError(f"the mask runs from {low:.6g} to {high:.6g}: give 1 where a pixel is seen, and 0 elsewhere")
    return (whole.float() >= (128 if levels else 0.5)).to(images.device)


def as_labels(labels: Tensor, count: int | None, low: int, classes: int | None, name: str = "labels") -> Tensor:
    """int64 [n], on the device that they are on. `count`: how many there must be; `low`: the least, -1 where some may be without;
    `classes`: how many there are. Raises DataError for other labels."""
    if not isinstance(labels, Tensor):
        raise not_a_tensor(labels, name, "one [n] of whole numbers")
    whole = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    if labels.dim() != 1 or count not in (None, len(labels)) or not whole:
        images = "image" if count is None else f"of the {count} images"
        raise DataError(f"{name} are {labels.dtype} {tuple(labels.shape)}: give one whole number for each {images}")
    found = labels.long()
    if len(found) and classes is not None:
        least, most = int(found.min()), int(found.max())
        if least < low or most >= classes:
            raise DataError(f"{name} run from {least} to {most}: give whole numbers from {low} to {classes - 1}")
    return found
