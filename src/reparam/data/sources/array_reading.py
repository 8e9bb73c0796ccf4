"""Images of arrays that stay on disk: each is made of its numbers when it is needed.

Shapes: `N` images, `C H W` image.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from reparam.core.spec import BYTES
from reparam.data.depth import Conversion
from reparam.data.io.npy import map_npy
from reparam.data.io.resize import conform
from reparam.data.options import ArrayOptions
from reparam.data.sources.array_layout import channels_first


class Stored(NamedTuple):
    """A .npy with so many images, and how its numbers become those of images."""

    file: Path
    number: int
    conversion: Conversion


class ArrayReader:
    """Random access to the images of files that follow each other, as `options` say; each process maps the files for itself."""

    def __init__(
        self, files: Sequence[Stored], shape: tuple[int, int, int], options: ArrayOptions, remedy: str
    ) -> None:
        self.files, self.shape, self.options, self.remedy = tuple(files), shape, options, remedy
        self.dtype = np.uint8 if files[0].conversion.scale.levels == BYTES else np.float32
        self.ends = list(accumulate(stored.number for stored in files))
        self._mapped: dict[Path, np.ndarray] = {}
        digest = hashlib.sha256(f"{shape} {options.crop} {options.layout}".encode())
        for stored in files:
            with stored.file.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        self.identity = f"arrays {digest.hexdigest()}"

    def __len__(self) -> int:
        return self.ends[-1]

    def read(self, place: int) -> np.ndarray:
        which = bisect_right(self.ends, place)
        file, number, convert = self.files[which]
        if file not in self._mapped:
            self._mapped[file] = channels_first(map_npy(file, self.remedy), str(file), self.options.layout)
        row = place - self.ends[which] + number
        values = np.ascontiguousarray(convert(self._mapped[file][row : row + 1]))
        return conform(torch.from_numpy(values), self.options, convert.scale.levels)[0].numpy()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_mapped": {}}
