"""Images in a given order, as training and validation ask for them: taken where they lie, or read ahead by other processes.

Shapes: `n` images.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from reparam.data import Images
from reparam.data.io.on_disk import OnDiskImages, read_ahead
from reparam.errors import DataError, ReparamError

AHEAD = 4  # parts of batches that each worker has ready


class BatchReader:
    """Iterates over (index [n], images) for the indices that `places` yields.

    Images in memory are taken when they are asked for. Those on disk are read by `workers` processes, at most
    `AHEAD` * workers parts ahead of what is asked for, which bounds their memory; order and content do not depend on how
    many there are. Raises DataError for an image that cannot be read.
    """

    def __init__(self, split: Images, places: Iterator[Tensor]) -> None:
        self.split, self.places = split, places
        self.batches: Iterator[Any] | None = None
        if isinstance(split.images, OnDiskImages):
            indices = (index.cpu().numpy() for index in places)
            self.batches = read_ahead(_Reading(split.images), indices, split.images.workers, AHEAD)

    def __iter__(self) -> "BatchReader":
        return self

    def __next__(self) -> tuple[Tensor, Images]:
        if self.batches is None:
            index = next(self.places)
            return index, self.split.take(index)
        found = next(self.batches)
        if isinstance(found, str):
            raise DataError(found)
        index, pixels, used, lines = found
        stored, labels = self.split.images, self.split.labels
        assert isinstance(stored, OnDiskImages)
        stored.tell(lines)
        index, pixels, used = (torch.as_tensor(part).to(labels.device) for part in (index, pixels, used))
        return index, Images(pixels, labels.index_select(0, used))

    def close(self) -> None:
        """Ends the workers."""
        self.batches = None


class _Reading(TorchDataset):
    """What a worker does for a part of a batch; an error travels as its line, as a traceback of another process helps nobody."""

    def __init__(self, stored: OnDiskImages) -> None:
        self.stored = stored

    def __getitem__(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[int], list[str]] | str:
        try:
            pixels, used, lines = self.stored.read_rows(index.tolist())
        except ReparamError as error:
            return str(error)
        return index, pixels, used, lines
