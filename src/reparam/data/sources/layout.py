"""What the names in a folder say: which files are pictures, and their classes and splits by subfolder.

Shapes: `N` pictures.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reparam.data.dataset import SPLITS
from reparam.data.io.archives import Tree
from reparam.data.options import SplitOptions
from reparam.data.splitting import fill_splits, hold_out, tenth
from reparam.errors import DataError, escaped

SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm"}
_SPLIT_NAMES = {"train": 0, "training": 0, "validation": 1, "val": 1, "valid": 1, "test": 2, "testing": 2}
_CLUTTER = {"__macosx", "thumbs.db", "desktop.ini"}  # beside everything hidden: what systems leave behind
_FEWEST = 3  # one picture for each split

Parts = tuple[str, ...]  # of a path


class Arrangement(NamedTuple):
    """What folders say about N pictures: their `order` [N], in which the three splits of `counts` follow each other and
    what is left out comes last; the labels of the splits' pictures in that order, class names, and notes."""

    order: np.ndarray
    counts: tuple[int, ...]
    labels: Tensor
    classes: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def kept(self) -> int:
        """How many are in a split."""
        return sum(self.counts)


def find_pictures(tree: Tree) -> tuple[list[str], tuple[str, ...]]:
    """Names of the pictures in `tree`, and a note on other files that were ignored (hidden ones silently)."""
    plain = [name for name in tree.names if not any(_clutter(part) for part in PurePosixPath(name).parts)]
    kinds = [escaped(PurePosixPath(name).suffix.lower()) for name in plain]
    names = [name for name, kind in zip(plain, kinds, strict=True) if kind in SUFFIXES]
    others = Counter(kind or "without suffix" for kind in kinds if kind not in SUFFIXES)
    listed = ", ".join(f"{n:,} {kind}" for kind, n in others.most_common(4))
    found = f"{others.total():,} file{'s' * (others.total() > 1)} of other kinds ({listed})"
    if not names and others:
        raise DataError(f"{tree.where} holds no pictures but {found}: convert them to .png or .jpg")
    if not names:
        raise DataError(f"{tree.where} is empty: put .png or .jpg pictures into it, with classes one subfolder each")
    require_enough(tree, len(names), "picture")
    return names, (f"{found} ignored",) if others else ()


def require_enough(tree: Tree, number: int, what: str) -> None:
    """Raises `DataError` where `tree` holds fewer than one for each split."""
    if number < _FEWEST:
        remedy = f"give at least {_FEWEST}, one each for training, validation and test"
        raise DataError(f"{tree.where} holds {number} {what}{'s' * (number > 1)}: {remedy}")


def arrange(names: Sequence[str], options: SplitOptions) -> Arrangement:
    """Splits, labels and classes of the pictures of these names. What is left out of all splits is part of the order, so
    that size, colour and the like can be those of all pictures, whatever the splits.

    Raises `DataError` where there are fewer pictures than requested, or the folders leave nothing to choose.
    """
    parts = without_common(names)
    given = _given_splits(parts)
    labels, classes, notes = _labels([p[1:] if given else p for p in parts])
    splits, note = _splits(given, ["/".join(p) for p in parts], labels, options)
    order = np.concatenate(splits)
    counts = tuple(len(split) for split in splits[:3])
    known = {labels[place] for place in splits[0]}
    if unseen := [name for label, name in enumerate(classes) if label not in known]:
        notes = (*notes, f"classes without a training image, which no model can learn: {', '.join(unseen[:5])}")
    return Arrangement(order, counts, torch.tensor(labels)[order[: sum(counts)]], classes, (*notes, note))


def without_common(names: Sequence[str]) -> list[Parts]:
    """Parts of the paths without the leading folders that all of them share."""
    parts = [PurePosixPath(name).parts for name in names]
    while all(len(p) > 1 for p in parts) and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]
    return parts


def _clutter(part: str) -> bool:
    return (part.startswith(".") and part not in (".", "..")) or part.lower() in _CLUTTER


def _given_splits(parts: list[Parts]) -> list[int] | None:
    """The split of each picture (0, 1, 2) where the outermost folders say so, else None."""
    tops = [p[0].lower() if len(p) > 1 else "" for p in parts]
    if not set(tops) <= set(_SPLIT_NAMES):
        return None
    splits = [_SPLIT_NAMES[top] for top in tops]
    return splits if 0 in splits else None


def _labels(parts: list[Parts]) -> tuple[list[int], tuple[str, ...], tuple[str, ...]]:
    """Labels [N], class names, notes: the first folder is the class; numbers sort as numbers."""
    sizes = Counter(p[0] for p in parts if len(p) > 1)
    folders = sorted(sizes, key=_as_number)
    index = {name: i for i, name in enumerate(folders)}
    classes = tuple(escaped(name) for name in folders)
    labels = [index[p[0]] if len(p) > 1 else -1 for p in parts]
    notes = []
    if classes and -1 in labels:
        notes.append(f"pictures outside the class folders are unlabelled: {labels.count(-1):,}")
    if single := [escaped(name) for name in folders if sizes[name] == 1]:
        notes.append(f"classes with a single picture, which is in one split only: {', '.join(single[:5])}")
    return labels, classes, tuple(notes)


def _as_number(name: str) -> tuple[bool, int, str]:
    """Numbers first, as numbers; one with more digits than any that is meant is a name."""
    number = name.isdecimal() and len(name) < 20
    return not number, int(name) if number else 0, name


def _splits(
    given: list[int] | None, keys: list[str], labels: list[int], options: SplitOptions
) -> tuple[list[np.ndarray], str]:
    """Index arrays of train, validation, test and what is left out, and how they came about."""
    seed = options.split_seed
    stratified = "stratified, " if max(labels, default=-1) >= 0 else ""
    fixed = f"{stratified}fixed by the files' names" + (f" and seed {seed}" if seed else "")
    if given is None:
        total, share = len(keys), tenth(len(keys))
        sizes = options.split_sizes or (total - 2 * share, share, share)
        rest = total - sum(sizes)
        if rest < 0:
            found = f"{sum(sizes):,} together and there are {total:,} pictures"
            raise DataError(f"split-sizes {','.join(map(str, sizes))} are {found}: choose fewer")
        how = " / ".join(f"{size:,}" for size in sizes) if options.split_sizes else "80 / 10 / 10 %"
        note = f"splits are {how}, {fixed}" + (f"; {rest:,} pictures are left out" if rest else "")
        return hold_out(keys, labels, *sizes[1:], rest, seed=seed), note
    splits = [np.flatnonzero(np.array(given) == split) for split in range(3)]
    missing = [name for name, split in zip(SPLITS, splits, strict=True) if not len(split)]
    if options.split_sizes or (seed and not missing):
        folders = ", ".join(f"{name}/" for name in SPLITS if name not in missing)
        remedy = "leave --split-sizes and --split-seed out, or put all pictures into one folder"
        raise DataError(f"the splits are the folders {folders}: {remedy}")
    if not missing:
        return splits, "splits are the folders'"
    note = f"{' and '.join(missing)}: 10 % of train/ each, {fixed}; the others are the folders'"
    return fill_splits(splits, keys, labels, "train/", seed), note
