"""Training with few labels, and the attributes that the names of classes consist of.

Shapes: `N` images, `C H W` image.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.data.dataset import Images
from reparam.distributions import keyed_generator
from reparam.errors import DataError


def chosen_labels(split: Images, per_class: int, classes: tuple[str, ...], seed: int) -> Tensor:
    """Indices of `per_class` images of each class, chosen by `seed`. Raises DataError where a class has fewer."""
    order = torch.randperm(len(split), generator=keyed_generator("cpu", seed, "labels"))
    chosen: list[Tensor] = []
    for number, name in enumerate(classes):
        own = order[split.labels[order] == number][:per_class]
        if len(own) < per_class:
            found = f"{len(own)} labelled training images, not {per_class}"
            raise DataError(f"class '{name}' has {found}: choose a smaller --labels-per-class")
        chosen.append(own)
    if not chosen:
        raise DataError("labels-per-class is for images with classes: leave it out, or give labels")
    return torch.cat(chosen)


def few_labels(split: Images, per_class: int, classes: tuple[str, ...], keep: bool, share: float, seed: int) -> Images:
    """`per_class` images of each class with their labels, chosen by `seed`; with `keep` also all others, unlabelled. The
    labelled ones are repeated until they are at least `share` of all. Raises as `chosen_labels`."""
    labelled = chosen_labels(split, per_class, classes, seed)
    if not keep:
        return split.choose(labelled)
    others = torch.ones(len(split), dtype=torch.bool)
    others[labelled] = False
    rest = others.nonzero().squeeze(1)
    times = max(1, math.ceil(share / (1 - share) * len(rest) / len(labelled)))
    found = split.choose(torch.cat([labelled.repeat(times), rest]))
    found.labels[times * len(labelled) :] = -1
    return found


class Attribute(NamedTuple):
    """A part of the names of classes: its values, and which of them each class has."""

    values: tuple[str, ...]
    of_class: tuple[int, ...]


def attributes(classes: tuple[str, ...]) -> list[Attribute]:
    """The parts of names that are all combinations of several ("not Male+Smiling", ...), in order; else none."""
    parts = [name.split("+") for name in classes]
    if len({len(part) for part in parts}) != 1 or len(parts[0]) < 2:
        return []
    found = []
    for column in zip(*parts, strict=True):
        values = tuple(dict.fromkeys(column))
        found.append(Attribute(values, tuple(values.index(value) for value in column)))
    return found if math.prod(len(attribute.values) for attribute in found) == len(classes) else []
