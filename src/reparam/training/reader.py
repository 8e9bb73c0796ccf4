"""The images of given indices, for training and validation: from memory, or read ahead from disk by other processes.

Shapes: `n` images.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from reparam.data import Images
from reparam.data.io.on_disk import OnDiskImages, ReadAhead
from reparam.errors import ImageError, ReparamError

AHEAD = 4  # parts of batches that each worker has ready


class BatchReader:
    """Iterates over (index [n], images) for the indices that `indices` yields.

    Images in memory are taken when they are needed. Those on disk are read by `workers` processes, at most `AHEAD` parts
    ahead each, which bounds their memory; order and content do not depend on how many there are. Raises DataError for an image
    that cannot be read.
    """

    def __init__(self, split: Images, indices: Iterator[Tensor]) -> None:
        self.split, self.indices = split, indices
        self.batches: ReadAhead | None = None
        if isinstance(split.images, OnDiskImages):
            arrays = (index.cpu().numpy() for index in indices)
            self.batches = ReadAhead(_DiskReader(split.images), arrays, split.images.workers, AHEAD)

    def __iter__(self) -> "BatchReader":
        return self

    def __next__(self) -> tuple[Tensor, Images]:
        if self.batches is None:
            index = next(self.indices)
            return index, self.split.take(index)
        found = next(self.batches)
        if isinstance(found, str):
            raise ImageError(found)
        index, pixels, used, lines = found
        images, labels = self.split.images, self.split.labels
        assert isinstance(images, OnDiskImages)
        images.tell(lines)
        index, pixels, used = (torch.as_tensor(part).to(labels.device) for part in (index, pixels, used))
        return index, Images(pixels, labels.index_select(0, used))

    def close(self) -> None:
        """Ends the workers."""
        if self.batches:
            self.batches.close()


class _DiskReader(TorchDataset):
    """What a worker does for a part of a batch; an error arrives as its line, not as another process's traceback."""

    def __init__(self, images: OnDiskImages) -> None:
        self.images = images

    def __getitem__(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[int], list[str]] | str:
        try:
            pixels, used, lines = self.images.read_rows(index.tolist())
        except ReparamError as error:
            return str(error)
        return index, pixels, used, lines
