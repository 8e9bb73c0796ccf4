"""`folder:PATH`: a person's own pictures in a folder or a zip, one class a subfolder.

Shapes: `N` pictures, `C H W` image.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from reparam.data.archives import Tree, open_tree
from reparam.data.dataset import SPLITS, Dataset, cut
from reparam.data.options import DataOptions
from reparam.data.pictures import SUFFIXES, choose_size, count, decode, measure
from reparam.data.splitting import hold_out, tenth
from reparam.errors import DataError

_SPLIT_NAMES = {"train": 0, "training": 0, "validation": 1, "val": 1, "valid": 1, "test": 2, "testing": 2}
_CLUTTER = {"__macosx", "thumbs.db", "desktop.ini"}  # beside everything hidden: what systems leave behind
_FEWEST = 3  # one picture for each split

Parts = tuple[str, ...]


def load_folder(path: Path, options: DataOptions) -> Dataset:
    """Every picture below `path`, a folder or .zip.

    Folders that hold everything are skipped; then `train/`, `validation/` (or `val/`), `test/` are the splits where
    there are a `train/` and another; then the first subfolder is the class, and pictures outside of one have label -1.
    Splits that are not given are made, stratified and fixed by the files' names: 80 / 10 / 10 % of all, or 10 % of
    `train/` each. Raises `DataError` where nothing, too little, or something unreadable is found.
    """
    with open_tree(path) as tree:
        names, notes = find_pictures(tree)
        parts = without_common([PurePosixPath(name).parts for name in names])
        given = _given_splits(parts)
        labels, classes, label_notes = _labels([p[1:] if given else p for p in parts])
        splits, split_note = _splits(given, ["/".join(p) for p in parts], labels)
        size, size_notes = choose_size(measure(tree, names), options)
        order = np.concatenate(splits)
        images, decode_notes = decode(tree, [names[i] for i in order], size, options)
    counts = (len(splits[0]), len(splits[1]), len(splits[2]))
    notes = (*notes, *label_notes, split_note, *size_notes, *decode_notes)
    return cut(images, torch.tensor(labels)[order], counts, classes, notes)


def find_pictures(tree: Tree) -> tuple[list[str], tuple[str, ...]]:
    """Names of the pictures in `tree`, and a note on other files that were passed over (hidden ones silently)."""
    plain = [name for name in tree.names if not any(_clutter(part) for part in PurePosixPath(name).parts)]
    names = [name for name in plain if PurePosixPath(name).suffix.lower() in SUFFIXES]
    others = [name for name in plain if PurePosixPath(name).suffix.lower() not in SUFFIXES]
    if not names and others:
        raise DataError(f"{tree.where} holds no pictures but {count(others)}: convert them to .png or .jpg")
    if not names:
        raise DataError(
            f"{tree.where} is empty: put .png or .jpg pictures into it, one subfolder a class if there are any"
        )
    if len(names) < _FEWEST:
        raise DataError(
            f"{tree.where} holds {len(names)} picture{'s' * (len(names) > 1)}: at least {_FEWEST} are needed, one "
            "each for training, validation and test"
        )
    return names, (f"{count(others)} passed over",) if others else ()


def without_common(parts: list[Parts]) -> list[Parts]:
    """Paths without the leading folders that all of them share."""
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
    classes = tuple(sorted(sizes, key=lambda c: (not c.isdecimal(), int(c) if c.isdecimal() else 0, c)))
    index = {name: i for i, name in enumerate(classes)}
    labels = [index[p[0]] if len(p) > 1 else -1 for p in parts]
    notes = []
    if classes and -1 in labels:
        notes.append(f"pictures outside the class folders are unlabelled: {labels.count(-1):,}")
    if single := [name for name in classes if sizes[name] == 1]:
        notes.append(f"classes with a single picture, which is in one split only: {', '.join(single[:5])}")
    return labels, classes, tuple(notes)


def _splits(given: list[int] | None, keys: list[str], labels: list[int]) -> tuple[list[np.ndarray], str]:
    """Index arrays of train, validation and test, and how they came about."""
    if given is None:
        share = tenth(len(keys))
        return hold_out(keys, labels, share, share), "splits are 80 / 10 / 10 %, stratified, fixed by the files' names"
    splits = [np.flatnonzero(np.array(given) == split) for split in range(3)]
    missing = [split for split in range(3) if not len(splits[split])]
    if not missing:
        return splits, "splits are the folders'"
    return _from_train(splits, missing, keys, labels)


def _from_train(
    splits: list[np.ndarray], missing: Sequence[int], keys: list[str], labels: list[int]
) -> tuple[list[np.ndarray], str]:
    train = splits[0]
    share = tenth(len(train))
    if len(train) <= share * len(missing):
        raise DataError(
            f"train/ holds {len(train)} pictures, too few to take a split from: add a validation/ and a test/"
        )
    kept, *taken = hold_out([keys[i] for i in train], [labels[i] for i in train], *[share] * len(missing))
    splits = [train[kept], *splits[1:]]
    for split, part in zip(missing, taken, strict=True):
        splits[split] = train[part]
    names = " and ".join(SPLITS[split] for split in missing)
    return splits, f"{names}: 10 % of train/ each, stratified, fixed by the files' names; the others are the folders'"
