"""Folders that are the splits, under the names that people give them, with whatever else lies beside them.

Shapes: `N` pictures.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from reparam.data.dataset import SPLITS
from reparam.data.splitting import SPLIT_WORDS
from reparam.errors import escaped

_WORD = re.compile(rf"(?<![a-z])({'|'.join(SPLIT_WORDS)})(?:[_\-. ]*(?:sets?|data|split))?(?![a-z])")
_NO_CLASSES = {"images", "imgs", "img", "image", "pictures", "photos", "jpegimages", "data"}  # names of lone folders
_LISTED = 5  # what is left out, by folder

Parts = tuple[str, ...]  # of a path


class Given(NamedTuple):
    """What folders say: the split of each of N pictures (None: it lies outside of them), and its path without the split."""

    splits: list[int | None]
    rests: list[Parts]


def split_of(folder: str) -> tuple[int, str] | None:
    """The split that a folder's name states, and the rest of the name: those that go together have the same one. None where it
    states none: `training_set` is (0, ""), `seg_test` (2, "seg"), `val2017` (1, "2017"), `latest` None."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", folder).lower()
    match = _WORD.search(name)
    if match is None:
        return None
    return SPLIT_WORDS[match[1]], re.sub(r"[^\w]|_", "", name[: match.start()] + name[match.end() :])


def given_splits(parts: Sequence[Parts]) -> Given | None:
    """The splits of pictures, where there are folders of these names: one for training with another beside it, or alone with no
    other folder beside it. They are looked for from the top down; None where there are none."""
    for depth in range(max((len(p) for p in parts), default=1) - 1):
        siblings: dict[Parts, set[str]] = {}
        for p in parts:
            if len(p) > depth + 1:
                siblings.setdefault(p[:depth], set()).add(p[depth])
        alone = len(siblings) == 1
        chosen = {
            (parent, name): split for parent, names in siblings.items() for name, split in _chosen(names, alone).items()
        }
        if chosen:
            splits = [chosen.get((p[:depth], p[depth])) if len(p) > depth + 1 else None for p in parts]
            first = depth if len({parent for parent, _ in chosen}) == 1 else 0  # of several parents, each is a class
            return Given(splits, [(*p[first:depth], *p[depth + 1 :]) for p in parts])
    return None


def _chosen(folders: set[str], alone: bool) -> dict[str, int]:
    """The split of those of sibling folders that are splits; of several sets of such, one of pictures, then the shortest name.
    `alone`: one for training suffices where it has no sibling."""
    sets: dict[str, dict[str, int]] = {}
    for folder in folders:
        if found := split_of(folder):
            sets.setdefault(found[1], {})[folder] = found[0]
    whole = [
        rest
        for rest, own in sets.items()
        if {0} < set(own.values()) or (alone and own.keys() == folders and 0 in own.values())
    ]
    return sets[min(whole, key=lambda rest: ("image" not in rest and rest != "", len(rest), rest))] if whole else {}


def beside_splits(names: Sequence[str]) -> tuple[list[int], tuple[str, ...]]:
    """Which pictures are in a split, or all where folders state none; and a note on the others."""
    parts = [PurePosixPath(name).parts for name in names]
    given = given_splits(parts)
    if given is None:
        return list(range(len(names))), ()
    inside = [i for i, split in enumerate(given.splits) if split is not None]
    outside = Counter(_outermost(parts[i], parts[inside[0]]) for i, split in enumerate(given.splits) if split is None)
    if not outside:
        return inside, ()
    listed = "; ".join(
        f"{n:,} in {escaped(name)}/" if name else f"{n:,} in no folder" for name, n in outside.most_common(_LISTED)
    )
    return inside, (f"pictures beside the folders of the splits are left out: {outside.total():,} ({listed})",)


def _outermost(path: Parts, other: Parts) -> str:
    """The folder of a picture that is not a folder of the other."""
    return next((name for name, theirs in zip(path[:-1], other, strict=False) if name != theirs), "")


def class_paths(given: Given) -> tuple[list[Parts], tuple[str, ...]]:
    """The paths of pictures [N] that begin with their class, and notes: without a folder that all pictures of a split share and
    that is no class (`test/test/`, `val/images/`, or one that is no class of training)."""
    rests = list(given.rests)
    notes = []
    for split, title in enumerate(SPLITS):  # training first: the others are held against its classes
        own = [i for i, other in enumerate(given.splits) if other == split]
        while own and all(len(rests[i]) > 1 for i in own) and len({rests[i][0] for i in own}) == 1:
            lone = rests[own[0]][0]
            training = {rests[i][0] for i, other in enumerate(given.splits) if other == 0 and len(rests[i]) > 1}
            stated = split_of(lone)
            if not ((stated and stated[0] == split) or lone.lower() in _NO_CLASSES or lone not in training):
                break
            notes.append(f"{title}: all pictures are in {escaped(lone)}/, which is no class of training")
            for i in own:
                rests[i] = rests[i][1:]
    return rests, tuple(notes)
