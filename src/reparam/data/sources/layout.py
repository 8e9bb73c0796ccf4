"""What the names in a folder say: which files are pictures, and their classes and splits by subfolder.

Shapes: `N` pictures.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reparam.data.dataset import SPLITS
from reparam.data.io.archives import Tree
from reparam.data.io.text import read_lines
from reparam.data.options import SplitOptions
from reparam.data.sources.split_folders import Parts, class_paths, given_splits, split_of
from reparam.data.splitting import fill_splits, hold_out, tenth
from reparam.errors import DataError, escaped

SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm"}
_CLUTTER = {"__macosx", "thumbs.db", "desktop.ini"}  # beside everything hidden: what systems leave behind
_FEWEST = 3  # one picture for each split
_LISTING = "_annotations.txt"  # of Tiny ImageNet: rows of a picture's name, its class, and a box


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


def find_pictures(tree: Tree, known: Collection[str] = (), fewest: int = _FEWEST) -> tuple[list[str], tuple[str, ...]]:
    """Names of the pictures in `tree`, and notes on files that are left out: of other kinds, but for those that are `known`;
    pictures that are hidden."""
    hidden = {name for name in tree.names if any(_clutter(part) for part in PurePosixPath(name).parts)}
    kinds = {name: escaped(PurePosixPath(name).suffix.lower()) for name in tree.names}
    names = [name for name, kind in kinds.items() if kind in SUFFIXES and name not in hidden]
    others = Counter(
        kind or "without suffix"
        for name, kind in kinds.items()
        if kind not in SUFFIXES and name not in hidden and name not in known
    )
    listed = ", ".join(f"{n:,} {kind}" for kind, n in others.most_common(4))
    found = f"{others.total():,} file{'s' * (others.total() > 1)} of other kinds ({listed})"
    if not names and (packed := [name for name, kind in kinds.items() if kind == ".zip"]):
        inner = f"{len(packed)} .zip (first '{escaped(packed[0])}')"
        raise DataError(f"{tree.where} holds no pictures but {inner}: unpack it, and give a .zip or folder of pictures")
    if not names and others:
        raise DataError(f"{tree.where} holds no pictures but {found}: convert them to .png or .jpg")
    if not names:
        raise DataError(f"{tree.where} is empty: put .png or .jpg pictures into it, with classes one subfolder each")
    if len(names) < fewest:
        require_enough(tree, len(names), "picture")
    notes = (f"{found} ignored",) if others else ()
    if out_of_sight := sum(kinds[name] in SUFFIXES for name in hidden):
        notes = (*notes, f"hidden pictures left out (a dot before the name, __MACOSX): {out_of_sight:,}")
    return names, notes


def listed_classes(tree: Tree) -> tuple[dict[str, str], tuple[str, ...]]:
    """The classes of pictures that a list beside their folder, or in it, gives (`val_annotations.txt` of Tiny ImageNet), and the
    names of the lists."""
    lists = tuple(name for name in tree.names if name.endswith(_LISTING) and not _clutter(PurePosixPath(name).name))
    found: dict[str, str] = {}
    for name in lists:
        folder = PurePosixPath(name).parent
        with tree.open(name) as file:
            rows = [line.split("\t") for line in read_lines(file.read(), f"{tree.where}/{escaped(name)}")]
        classes = {row[0]: row[1] for row in rows if len(row) > 1}
        for other in tree.names:
            path = PurePosixPath(other)
            if folder in path.parents and path.name in classes:
                found[other] = classes[path.name]
    return found, lists


def require_enough(tree: Tree, number: int, what: str) -> None:
    """Raises `DataError` where `tree` holds fewer than one for each split."""
    if number < _FEWEST:
        remedy = f"give at least {_FEWEST}, one each for training, validation and test"
        if any(PurePosixPath(name).suffix.lower() in (".tif", ".tiff") for name in tree.names):
            remedy += "; of TIFFs with several pages, --pages images reads each"
        raise DataError(f"{tree.where} holds {number} {what}{'s' * (number > 1)}: {remedy}")


def arrange(
    names: Sequence[str], options: SplitOptions, listed: Mapping[str, str] = MappingProxyType({})
) -> Arrangement:
    """Splits, labels and classes of the pictures of these names, all of which count (`beside_splits`). What is left out of all
    splits is part of the order, so that size, colour and the like can be those of all pictures, whatever the splits. listed: the
    classes of pictures that are in no folder of one.

    Raises `DataError` where there are fewer pictures than requested, or the folders leave nothing to choose.
    """
    parts = without_common(names)
    given = given_splits(parts)
    paths, notes = class_paths(given) if given else (parts, ())
    labels, classes, label_notes = _labels(paths, [listed.get(name) for name in names])
    groups, group_notes = _groups(["/".join(p) for p in parts], options)
    stated = given.splits if given else None
    splits, note = _splits(stated, ["/".join(p) for p in parts], labels, options, groups)
    notes = (*notes, *label_notes, *_label_notes(stated, labels, splits, classes), *group_notes)
    order = np.concatenate(splits)
    counts = tuple(len(split) for split in splits[:3])
    torn = _torn(groups, splits[:3])
    return Arrangement(order, counts, torch.tensor(labels)[order[: sum(counts)]], classes, (*notes, note, *torn))


def _label_notes(
    given: list[int | None] | None, labels: list[int], splits: list[np.ndarray], classes: tuple[str, ...]
) -> Iterator[str]:
    """What does not fit between the labels of the splits."""
    known = {labels[place] for place in splits[0]}
    if given is None and (likely := [name for name in classes if split_of(name)]):
        need = "splits are a folder for training with another beside it"
        yield f"classes whose names are those of splits: {', '.join(likely[:5])}; {need}"
    if unseen := [name for label, name in enumerate(classes) if label not in known]:
        yield f"classes without a training image, which no model can learn: {', '.join(unseen[:5])}"
    without = [name for name, split in zip(SPLITS, splits, strict=False) if all(labels[place] < 0 for place in split)]
    if classes and given and without:
        yield f"pictures without labels: all of {' and '.join(without)}"


def _groups(keys: list[str], options: SplitOptions) -> tuple[list[str] | None, tuple[str, ...]]:
    """The group of each picture by `--group`, and notes. Raises `DataError` where no name has one."""
    if options.group is None:
        return None, ()
    matches = [re.search(options.group, key) for key in keys]
    found = ["\0".join(m.groups("")) if m and m.groups() else m[0] if m else None for m in matches]
    alone = found.count(None)
    if alone == len(keys):
        raise DataError(f"--group {options.group!r} matches no name, such as {keys[0]!r}: it is a regular expression")
    groups = [f"\0{key}" if group is None else group for group, key in zip(found, keys, strict=True)]
    number = len({group for group in found if group is not None})
    notes = [f"groups by --group, none of which is torn apart: {number:,}, of {len(keys) - alone:,} pictures"]
    if alone:
        notes.append(
            f"names that --group does not match stand alone: {alone:,} (first {escaped(keys[found.index(None)])})"
        )
    return groups, tuple(notes)


def _torn(groups: list[str] | None, splits: list[np.ndarray]) -> tuple[str, ...]:
    """A note on groups that the given folders tear apart."""
    if groups is None:
        return ()
    inside = [{groups[place] for place in split} for split in splits]
    torn = sorted((inside[0] & inside[1]) | (inside[0] & inside[2]) | (inside[1] & inside[2]))
    return (
        (f"groups in more than one split, as the folders have them: {len(torn):,} (first {escaped(torn[0])})",)
        if torn
        else ()
    )


def without_common(names: Sequence[str]) -> list[Parts]:
    """Parts of the paths without the leading folders that all of them share."""
    parts = [PurePosixPath(name).parts for name in names]
    while all(len(p) > 1 for p in parts) and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]
    return parts


def _clutter(part: str) -> bool:
    return (part.startswith(".") and part not in (".", "..")) or part.lower() in _CLUTTER


def _labels(parts: list[Parts], listed: list[str | None]) -> tuple[list[int], tuple[str, ...], tuple[str, ...]]:
    """Labels [N], class names, notes: the first folder is the class, without one what is listed; numbers sort as numbers."""
    names = [p[0] if len(p) > 1 else other for p, other in zip(parts, listed, strict=True)]
    sizes = Counter(name for name in names if name is not None)
    folders = list(class_order(sizes))
    index = {name: i for i, name in enumerate(folders)}
    classes = tuple(escaped(name) for name in folders)
    labels = [-1 if name is None else index[name] for name in names]
    notes = []
    if classes and -1 in labels:
        notes.append(f"pictures outside the class folders are unlabelled: {labels.count(-1):,}")
    if single := [escaped(name) for name in folders if sizes[name] == 1]:
        notes.append(f"classes with a single picture, which is in one split only: {', '.join(single[:5])}")
    return labels, classes, tuple(notes)


def class_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names of classes in the order of their labels: numbers sort as numbers."""
    return tuple(sorted(names, key=_as_number))


def _as_number(name: str) -> tuple[bool, int, str]:
    """Numbers first, as numbers; one with more digits than any that is meant is a name."""
    number = name.isdecimal() and len(name) < 20
    return not number, int(name) if number else 0, name


def _splits(
    given: list[int | None] | None, keys: list[str], labels: list[int], options: SplitOptions, groups: list[str] | None
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
        splits = hold_out(keys, labels, *sizes[1:], rest, seed=seed, groups=groups)
        if groups is not None:
            found = " / ".join(f"{len(split):,}" for split in splits[:3])
            note = f"splits are {found}, of whole groups, as near to {how} as may be, {fixed}"
        return splits, note
    splits = [np.flatnonzero(np.array(given) == split) for split in range(3)]
    missing = [name for name, split in zip(SPLITS, splits, strict=True) if not len(split)]
    if options.split_sizes or (seed and not missing):
        folders = ", ".join(f"{name}/" for name in SPLITS if name not in missing)
        remedy = "leave --split-sizes and --split-seed out, or put all pictures into one folder"
        raise DataError(f"the splits are the folders {folders}: {remedy}")
    if not missing:
        return splits, "splits are the folders'"
    note = f"{' and '.join(missing)}: 10 % of train/ each, {fixed}; the others are the folders'"
    return fill_splits(splits, keys, labels, "train/", seed, groups), note
