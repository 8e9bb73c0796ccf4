"""`digits`: the 1,797 handwritten digits that scikit-learn carries; nothing to download.

Shapes: 8 x 8 grey images with 17 levels, spread over 0..255; `--size 28` enlarges them.
"""

from pathlib import Path

import numpy as np
import torch

from reparam.data.dataset import Dataset, cut
from reparam.data.io.resize import conform
from reparam.data.options import ImageOptions
from reparam.data.sources.mnist import DIGITS
from reparam.data.splitting import hold_out

_HELD_OUT = 300  # images each of validation and test


def load_digits(_: Path, options: ImageOptions) -> Dataset:
    """1,197 / 300 / 300 images, stratified, fixed by their index."""
    from sklearn import datasets  # slow to import, and no other data set needs it

    pixels, target = datasets.load_digits(return_X_y=True)
    images = torch.from_numpy(np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8))
    labels = torch.from_numpy(target.astype(np.int64))
    splits = hold_out([str(i) for i in range(len(labels))], target.tolist(), _HELD_OUT, _HELD_OUT)
    order = np.concatenate(splits)
    notes = ("splits are 1,197 / 300 / 300, stratified, fixed by index",)
    return cut(conform(images, options)[order], labels[order], [len(part) for part in splits], DIGITS, notes)
