"""Which images of a split are used, and the batches that a task makes of them: the same every time.

Shapes: `n` images.
"""

from collections.abc import Sized
from functools import partial

import numpy as np
import torch
from torch import Tensor

from reparam.core.batch import Batch
from reparam.core.blocks import BLOCK, full_block
from reparam.data.dataset import Images
from reparam.data.io.on_disk import OnDiskImages
from reparam.data.tasks import TaskOptions, make_batch
from reparam.distributions import keyed_generator


def class_balanced_indices(labels: Tensor, n: int) -> Tensor:
    """The first indices [<= n] that take the classes in turn (0, 1, 2, ..., 0, 1, ...), whatever order the images lie in."""
    turns = torch.empty_like(labels)
    for label in labels.unique():
        own = labels == label
        turns[own] = torch.arange(int(own.sum()))
    order = np.lexsort((np.arange(len(labels)), labels.numpy(), turns.numpy()))
    return torch.from_numpy(order[:n])


def random_indices(split: Sized, n: int) -> Tensor:
    """Indices of n images of a split, or of all in random order: the same every time, n of them the first of more.

    Data may lie in the order of its classes, where the first n would be no sample of it.
    """
    return torch.randperm(len(split), generator=keyed_generator("cpu", "chosen", len(split)))[:n]


def _placed(rows: Tensor, part: Tensor) -> Tensor:
    """A block with `part` in its `rows`, and zeros."""
    return part.new_zeros(BLOCK, *part.shape[1:]).index_copy(0, rows, part)


def task_images(
    split: Images,
    task: TaskOptions,
    which: int | Tensor | None = None,
    omitted: tuple[float, float] | None = None,
) -> Batch:
    """Images of a split as the task gives them. `which`: the first so many, those of these indices, or all.

    Random parts are the same every time, in fixed blocks of the split: those of an image do not depend on which others are asked
    for. `omitted`: as in `make_batch`, the box that is hidden of what is observed.
    """
    index = which if isinstance(which, Tensor) else torch.arange(len(split))[:which]
    places = index.argsort()  # blocks are gone through once, in order
    rising = index[places]
    parts: list[Batch] = []
    for number in (rising // BLOCK).unique().tolist():
        within = torch.arange(number * BLOCK, min((number + 1) * BLOCK, len(split)))
        rows = rising[rising // BLOCK == number] - number * BLOCK
        generator = keyed_generator("cpu", 0, "test", number)
        if isinstance(split.images, OnDiskImages):  # only those that are asked for are read
            stored = split.take(within[rows]).change(partial(_placed, rows))
        else:
            stored = split.take(within).change(full_block)
        batch = make_batch(stored, torch.arange(BLOCK) + number * BLOCK, task, generator, omitted)
        parts.append(batch.take(rows))
    back = places.argsort()
    return Batch.concatenate(parts).take(back)
