"""`folder:PATH`: a person's own pictures in a folder or a zip, one class a subfolder.

Shapes: `N` pictures, `C H W` image.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reparam.data.dataset import SPLITS, Dataset, cut
from reparam.data.io.archives import Tree, ZipTree, open_tree
from reparam.data.io.on_disk import OnDiskImages
from reparam.data.io.pictures import SUFFIXES, choose_size, count, decode, decode_one, measure
from reparam.data.options import DataOptions
from reparam.data.splitting import hold_out, tenth
from reparam.errors import DataError

_SPLIT_NAMES = {"train": 0, "training": 0, "validation": 1, "val": 1, "valid": 1, "test": 2, "testing": 2}
_CLUTTER = {"__macosx", "thumbs.db", "desktop.ini"}  # beside everything hidden: what systems leave behind
_FEWEST = 3  # one picture for each split

Parts = tuple[str, ...]


class Arrangement(NamedTuple):
    """What folders say about N pictures: their `order` [N], in which the three splits of `counts` follow each other and
    what is left out comes last; the labels of the splits' pictures in that order, class names, and notes."""

    order: np.ndarray
    counts: tuple[int, int, int]
    labels: Tensor
    classes: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def kept(self) -> int:
        """How many are in a split."""
        return sum(self.counts)


def load_folder(path: Path, options: DataOptions) -> Dataset:
    """Every picture below `path`, a folder or .zip.

    Folders that hold everything are skipped; then `train/`, `validation/` (or `val/`), `test/` are the splits where
    there are a `train/` and another; then the first subfolder is the class, and pictures outside of one have label -1.
    Splits that are not given are made, stratified and fixed by the files' names: 80 / 10 / 10 % of all or as many as
    asked for, or 10 % of `train/` each. Raises `DataError` where nothing, too little, or something unreadable is found.
    """
    with open_tree(path) as tree:
        names, notes = find_pictures(tree)
        if options.stream:
            return _left_on_disk(tree, names, notes, options)
        found = arrange([PurePosixPath(name).parts for name in names], options)
        size, size_notes = choose_size(list(measure(tree, names)[0].values()), options)
        images, decode_notes = decode(tree, [names[i] for i in found.order], size, options)
    notes = (*notes, *found.notes, *size_notes, *decode_notes)
    return cut(images[: found.kept], found.labels, found.counts, found.classes, notes)


class FolderReader:
    """Pictures of a folder or zip, decoded as they are asked for. Raises `DataError` for a file that is no picture now."""

    def __init__(self, tree: Tree, names: Sequence[str], size: int, options: DataOptions) -> None:
        self.names, self.size, self.options = tuple(names), size, options
        self.shape = (1 if options.colour == "grey" else 3, size, size)
        self._tree: Tree | str = tree
        self._process = 0
        digest = hashlib.sha256(f"{self.shape} {options.crop}".encode())
        for name in self.names:
            digest.update(f"{name}\0{tree.size(name)}\0".encode("utf-8", "surrogateescape"))
        self.identity = f"files {digest.hexdigest()}"

    def __len__(self) -> int:
        return len(self.names)

    def read(self, place: int) -> np.ndarray:
        return decode_one(self._open(), self.names[place], self.size, self.options)

    def __getstate__(self) -> dict[str, Any]:
        """An open zip stays where it is; another process opens its own."""
        tree = self._tree.where if isinstance(self._tree, ZipTree) else self._tree
        return {**vars(self), "_tree": tree, "_process": 0}

    def _open(self) -> Tree:
        """Processes that share an open zip would share its place in the file: each opens its own."""
        if isinstance(self._tree, str) or (isinstance(self._tree, ZipTree) and self._process != os.getpid()):
            path = self._tree if isinstance(self._tree, str) else self._tree.where
            self._tree, self._process = ZipTree(Path(path)), os.getpid()
        return self._tree


def _left_on_disk(tree: Tree, names: list[str], notes: tuple[str, ...], options: DataOptions) -> Dataset:
    """Sizes are those of the headers; files without a header that can be read stop it, or are left out."""
    sizes, lines = measure(tree, names, options.damaged)
    names = list(sizes)
    enough(tree, len(names), "readable picture")
    found = arrange([PurePosixPath(name).parts for name in names], options)
    size, size_notes = choose_size(list(sizes.values()), options)
    if lines:
        notes = (*notes, f"pictures that cannot be read are left out: {len(lines):,} ({'; '.join(lines[:10])})")
    colour = () if options.colour != "auto" else ("pictures on disk are read as RGB: --colour grey for grey ones",)
    reader = FolderReader(tree, [names[i] for i in found.order[: found.kept]], size, options)
    stored = OnDiskImages(reader, torch.arange(found.kept), options.damaged, options.workers)
    return cut(stored, found.labels, found.counts, found.classes, (*notes, *found.notes, *size_notes, *colour))


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
    enough(tree, len(names), "picture")
    return names, (f"{count(others)} passed over",) if others else ()


def enough(tree: Tree, number: int, what: str) -> None:
    """Raises `DataError` where `tree` holds fewer than one for each split."""
    if number < _FEWEST:
        raise DataError(
            f"{tree.where} holds {number} {what}{'s' * (number > 1)}: at least {_FEWEST} are needed, one each for "
            "training, validation and test"
        )


def arrange(parts: list[Parts], options: DataOptions) -> Arrangement:
    """Splits, labels and classes of the pictures whose paths these are. What is left out of all splits is told as well,
    so that size, colour and the like can be those of all pictures, whatever the splits.

    Raises `DataError` where there are fewer pictures than asked for, or the folders leave nothing to choose.
    """
    parts = without_common(parts)
    given = _given_splits(parts)
    labels, classes, notes = _labels([p[1:] if given else p for p in parts])
    splits, note = _splits(given, ["/".join(p) for p in parts], labels, options)
    order = np.concatenate(splits)
    train, validation, test = (len(split) for split in splits[:3])
    kept = order[: train + validation + test]
    return Arrangement(order, (train, validation, test), torch.tensor(labels)[kept], classes, (*notes, note))


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


def _splits(
    given: list[int] | None, keys: list[str], labels: list[int], options: DataOptions
) -> tuple[list[np.ndarray], str]:
    """Index arrays of train, validation, test and what is left out, and how they came about."""
    if given is None:
        return _made(keys, labels, options)
    splits = [np.flatnonzero(np.array(given) == split) for split in range(3)]
    missing = [split for split in range(3) if not len(splits[split])]
    if options.split_sizes or (options.split_seed and not missing):
        raise DataError(
            f"the splits are the folders {', '.join(f'{SPLITS[i]}/' for i in range(3) if i not in missing)}: leave "
            "--split-sizes and --split-seed out, or put all pictures into one folder"
        )
    if not missing:
        return splits, "splits are the folders'"
    return _from_train(splits, missing, keys, labels, options)


def _made(keys: list[str], labels: list[int], options: DataOptions) -> tuple[list[np.ndarray], str]:
    share, total = tenth(len(keys)), len(keys)
    sizes = options.split_sizes or (total - 2 * share, share, share)
    rest = total - sum(sizes)
    if rest < 0:
        raise DataError(
            f"split-sizes {','.join(map(str, sizes))} are {sum(sizes):,} together and there are {total:,} pictures: "
            "ask for fewer"
        )
    how = " / ".join(f"{size:,}" for size in sizes) if options.split_sizes else "80 / 10 / 10 %"
    note = f"splits are {how}, {_fixed_by(options)}" + (f"; {rest:,} pictures are left out" if rest else "")
    return hold_out(keys, labels, *sizes[1:], rest, seed=options.split_seed), note


def _from_train(
    splits: list[np.ndarray], missing: Sequence[int], keys: list[str], labels: list[int], options: DataOptions
) -> tuple[list[np.ndarray], str]:
    train = splits[0]
    share = tenth(len(train))
    if len(train) <= share * len(missing):
        raise DataError(
            f"train/ holds {len(train)} pictures, too few to take a split from: add a validation/ and a test/"
        )
    shares = [share] * len(missing)
    kept, *taken = hold_out([keys[i] for i in train], [labels[i] for i in train], *shares, seed=options.split_seed)
    splits = [train[kept], *splits[1:]]
    for split, part in zip(missing, taken, strict=True):
        splits[split] = train[part]
    names = " and ".join(SPLITS[split] for split in missing)
    return splits, f"{names}: 10 % of train/ each, {_fixed_by(options)}; the others are the folders'"


def _fixed_by(options: DataOptions) -> str:
    return "stratified, fixed by the files' names" + (f" and seed {options.split_seed}" if options.split_seed else "")
