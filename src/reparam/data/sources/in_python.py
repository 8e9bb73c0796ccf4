"""Images that Python gives: tensors, arrays, torch data sets, and whatever has a length and items.

Shapes: `N` images, `C H W` image.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from reparam.data.dataset import Dataset
from reparam.data.io.deep import holds_numbers
from reparam.data.io.pictures import flat
from reparam.data.io.resize import conform
from reparam.data.options import COLOURS, ArrayOptions, DataOptions
from reparam.data.sources.array_names import IMAGE_WORDS, LABEL_WORDS
from reparam.data.sources.arrays import Arrays, all_of_arrays, of_arrays
from reparam.errors import DataError, flag

IN_PYTHON = "python"  # what stands in run.json for `--data`
EXPECTED = (
    "give images [N, C, H, W] as a tensor or an array, (images, labels), a torch Dataset of (image, "
    "label), or a dict of these by split: {'train': ..., 'test': ...}"
)


def is_images(value: object) -> bool:
    """Whether a value can be read: it is a data set, or has a length and items, and is no text."""
    sized = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    return isinstance(value, Dataset | DataLoader) or (sized and not isinstance(value, str | bytes | bytearray | type))


def as_dataset(value: Any, options: DataOptions, name: str = "data") -> Dataset:
    """The data set of images that Python gives, all of which is read now: images [N, C, H, W], [N, H, W] or [N, H, W, C] as a
    tensor or an array, alone or in a pair with labels [N]; what has a length and items that are images, (image, label) or dicts
    of these; a dict by the names of `by_name`, or by split alone.

    Values are of any real type, as in files. Splits are 80 / 10 / 10 %, stratified and fixed by index,
    where none are given. Raises `DataError` for others, for items that cannot be read, and for options that are for files.
    """
    if isinstance(value, Dataset):
        return replace(value, name=IN_PYTHON)
    for field in fields(DataOptions):
        known = {own.name for own in fields(ArrayOptions)}
        if field.name not in known and getattr(options, field.name) != field.default:
            raise DataError(f"{flag(field.name)} is for files, and images in memory have no names: leave it out")
    arrays, called, notes = _by_name(value, options, name)
    found = of_arrays(arrays, name, options)
    names = called if len(called) >= len(found.classes) > 0 else found.classes
    return replace(found, name=IN_PYTHON, classes=names, notes=(*notes, *found.notes))


def all_images(
    value: Any, options: ArrayOptions, name: str = "images"
) -> tuple[Tensor, Tensor, tuple[str, ...], tuple[str, ...]]:
    """All images that a value of `as_dataset` holds, whatever splits it names, [N, C, H, W] as `options` say, their labels [N],
    the names of their classes (empty where it has none), and notes."""
    arrays, called, notes = _by_name(value, options, name)
    images, labels, found = all_of_arrays(arrays, name, options)
    return images, labels, called if len(called) > int(labels.max()) else (), (*notes, *found)


def _by_name(value: Any, options: ArrayOptions, name: str) -> tuple[Arrays, tuple[str, ...], list[str]]:
    """A value as arrays by name, the names of classes that its data sets agree on (empty where they do not), and notes."""
    if not is_images(value):
        raise DataError(f"{name} is {type(value).__name__}, no images: {EXPECTED}")
    notes: list[str] = []
    classes: list[tuple[str, ...]] = []
    arrays: dict[str, Any] = {}
    for key, own in value.items() if isinstance(value, Mapping) else [("", value)]:
        arrays |= _arrays(own, str(key), name if key == "" else f"{name}['{key}']", options, notes, classes)
    called = classes[0] if classes and all(own == classes[0] for own in classes) else ()
    return {key: partial(_plain, array, name) for key, array in arrays.items()}, called, notes


def _arrays(
    value: Any, key: str, where: str, options: ArrayOptions, notes: list[str], classes: list[tuple[str, ...]]
) -> dict[str, Any]:
    """A value under the names of arrays."""
    separate = f"{key}_" if key else ""
    if isinstance(value, list | tuple) and len(value) == 2 and _is_array(value[0], 3) and not _is_array(value[1], 3):
        return {f"{separate}images": value[0], f"{separate}labels": value[1]}
    if isinstance(value, Tensor | np.ndarray):
        return {key or "images": value}
    if isinstance(value, DataLoader):
        notes.append("images are those of the loader's data set, in its order")
        value = value.dataset
    if not is_images(value):
        raise DataError(f"{where} is {type(value).__name__}, no images: {EXPECTED}")
    if key and value and isinstance(value, list | tuple) and all(isinstance(own, int | np.integer) for own in value):
        return {key: np.array(value)}  # labels
    images, labels = _items(value, where, options, notes)
    if names := _class_names(value):
        classes.append(names)
    return {f"{separate}images": images} | ({} if labels is None else {f"{separate}labels": labels})


def _is_array(value: object, dimensions: int) -> bool:
    return isinstance(value, Tensor | np.ndarray) and value.ndim >= dimensions


def _plain(value: Any, where: str) -> np.ndarray:
    """An array of a tensor, an array, a picture of Pillow's, or what numpy makes one of."""
    if isinstance(value, Image.Image) and not holds_numbers(value):
        value = flat(value)
    if isinstance(value, Tensor):
        if value.layout != torch.strided or value.is_complex() or value.is_meta:
            place = "on no device" if value.is_meta else f"{value.layout} {value.dtype}"
            raise DataError(f"{where} is {place}: give a plain tensor of integers or floats")
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    try:
        array = np.asarray(value)
    except ValueError:
        raise DataError(f"{where} is ragged: {EXPECTED}") from None
    if array.dtype.hasobject:
        raise DataError(f"{where} holds Python objects of several kinds or sizes: {EXPECTED}")
    return array


def _items(value: Any, where: str, options: ArrayOptions, notes: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """The images [N, C, H, W] and labels [N] of what has items."""
    number = len(value)
    if not number:
        raise DataError(f"{where} is empty: {EXPECTED}")
    images, labels = [], []
    for place in range(number):
        image, label = _item(value, place, where)
        images.append(image)
        labels.append(label)
    if not np.array_equal(_item(value, 0, where)[0], images[0]):
        drawn = (
            "item 0 is another image when it is read again, so images are drawn at random: each is read once, as drawn"
        )
        notes.append(f"{drawn}; resume wants the same images again")
    channels = {image.shape[0] for image in images}
    if channels == {1, 3}:
        notes.append("some images are grey, the others coloured: all are read as RGB")
        images = [np.repeat(image, 3, 0) if len(image) == 1 else image for image in images]
    if len(types := sorted({str(image.dtype) for image in images})) > 1:
        raise DataError(f"{where} has images of {' and '.join(types)}: give all of one type")
    shapes = sorted({image.shape for image in images})
    counts = sorted({shape[0] for shape in shapes})
    if len(counts) > 1 and options.colour == "auto":
        remedy = "give colour='rgb' or 'grey'" if set(counts) <= set(COLOURS) else "give all of one kind"
        raise DataError(f"{where} has images of {' and '.join(map(str, counts))} channels: {remedy}")
    if len(shapes) > 1:
        if options.size is None and len({shape[1:] for shape in shapes}) > 1:
            sizes = f"from {shapes[0]} to {shapes[-1]}"
            raise DataError(f"{where} has images of {len(shapes)} shapes, {sizes}: give size=, or resize them to one")
        images = _resized(images, options)
    known = [label for label in labels if label != -1]
    return np.stack(images), np.array(labels, np.int64) if known else None


def _resized(images: list[np.ndarray], options: ArrayOptions) -> list[np.ndarray]:
    """Images [C, H, W] in the size and colour of `options`, with numbers of the same type."""
    if all(image.dtype == np.uint8 for image in images):
        return [conform(torch.from_numpy(image[None]), options)[0].numpy() for image in images]
    low, high = float(min(image.min() for image in images)), float(max(image.max() for image in images))
    span = high - low if high > low else 1.0  # NaN stays, and is told of later
    found = []
    for image in images:
        inside = torch.from_numpy(((image - low) / span).astype(np.float32))
        fitted = conform(inside[None], options, levels=0)[0].numpy().astype(np.float64) * span + low
        found.append(np.rint(fitted).astype(image.dtype) if image.dtype.kind in "biu" else fitted.astype(image.dtype))
    return found


def _item(value: Any, place: int, where: str) -> tuple[np.ndarray, int]:
    """An image [C, H, W] and its label, -1 where it has none."""
    try:
        item = value[place]
    except Exception as error:  # a person's own code
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{where}: item {place} cannot be read ({type(error).__name__}: {reason}): mend it") from error
    label = None
    if isinstance(item, Mapping):
        image, label = (next((item[key] for key in words if key in item), None) for words in (IMAGE_WORDS, LABEL_WORDS))
    elif isinstance(item, tuple | list) and item and not isinstance(item[0], int | float | list):
        image, label = item[0], item[1] if len(item) > 1 else None
    else:
        image = item
    own = f"{where}: item {place}"
    array = _plain(image, own)
    if array.ndim == 2:
        array = array[None]
    elif array.ndim == 3 and array.shape[-1] in COLOURS and array.shape[0] not in COLOURS:
        array = array.transpose(2, 0, 1)
    if array.ndim != 3:
        raise DataError(f"{own} is {type(image).__name__} of shape {array.shape}, no image [C, H, W]: {EXPECTED}")
    if label is None:
        return array, -1
    number = _plain(label, own)
    if number.size != 1 or number.dtype.kind not in "iub":
        raise DataError(f"{own} has no whole number for a label but {type(label).__name__}: {EXPECTED}")
    return array, int(number.reshape(()))


def _class_names(value: Any) -> tuple[str, ...]:
    """The names of classes that a data set has, as those of torchvision and of Hugging Face do; empty where it has none."""
    while hasattr(value, "dataset"):  # a part of another
        value = value.dataset
    features = getattr(value, "features", None)
    named = features if isinstance(features, Mapping) else {}
    of_label = next((named[key] for key in LABEL_WORDS if key in named), None)
    names = getattr(value, "classes", None) or getattr(of_label, "names", ())
    return tuple(names) if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names) else ()
