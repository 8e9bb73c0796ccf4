"""Splits that are fixed, stratified, and do not depend on the order in which files happen to be listed.

Shapes: `N` items.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from reparam.errors import DataError

# What people call the splits, and which they are: training, validation, test.
SPLIT_WORDS = {"training": 0, "train": 0, "validation": 1, "valid": 1, "val": 1, "dev": 1, "testing": 2, "test": 2}


def stratified_order(keys: Sequence[str], labels: Sequence[int], seed: int = 0) -> np.ndarray:
    """An order [N] of the items of which every stretch holds the classes in their overall proportions (to one item).

    Within a class, items are ordered by a hash of their key: a shuffle that needs no generator, is the same everywhere,
    and hardly changes when items are added; another `seed` is another shuffle. The item of rank i among n of its class
    then stands at (i + 1/2) / n.
    """
    salt = seed.to_bytes(hashlib.blake2b.SALT_SIZE, "little")  # all zeros are no salt
    hashes = [
        hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8, salt=salt).digest() for key in keys
    ]
    totals, seen = Counter(labels), Counter[int]()
    place = [0.0] * len(keys)
    for item in sorted(range(len(keys)), key=lambda i: (hashes[i], keys[i])):
        place[item] = (seen[labels[item]] + 0.5) / totals[labels[item]]
        seen[labels[item]] += 1
    return np.array(sorted(range(len(keys)), key=lambda i: (place[i], hashes[i], keys[i])), dtype=np.int64)


def hold_out(
    keys: Sequence[str], labels: Sequence[int], *sizes: int, seed: int = 0, groups: Sequence[str] | None = None
) -> list[np.ndarray]:
    """Index arrays of what remains and of parts of the given sizes, stratified; each is in the items' own order.

    Items of one of `groups` stay together: the parts are then as near to their sizes as whole groups allow, and have a group at
    least where their size is not 0. Raises `DataError` for fewer groups than that takes.
    """
    if groups is not None:
        return _hold_out_groups(groups, labels, [len(keys) - sum(sizes), *sizes], seed)
    order = stratified_order(keys, labels, seed)
    bounds = np.cumsum([len(order) - sum(sizes), *sizes])[:-1]
    return [np.sort(part) for part in np.split(order, bounds)]


def _hold_out_groups(groups: Sequence[str], labels: Sequence[int], sizes: Sequence[int], seed: int) -> list[np.ndarray]:
    """Parts of about these sizes, of whole groups. A group has the label of most of its items in the stratified order."""
    names, of_item = np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)
    needed = sum(size > 0 for size in sizes)
    if len(names) < needed:
        raise DataError(
            f"--group finds {len(names)} group{'s' * (len(names) > 1)}, and {needed} splits need one each: change it"
        )
    members = [np.flatnonzero(of_item == place) for place in range(len(names))]
    label = [Counter(labels[i] for i in own.tolist()).most_common(1)[0][0] for own in members]
    order = stratified_order([str(name) for name in names], label, seed)
    ends = np.cumsum([len(members[place]) for place in order])
    bounds, first = [], 0
    for part, target in enumerate(np.cumsum(sizes)[:-1]):
        after = sum(size > 0 for size in sizes[part + 1 :])  # groups that must remain
        least, most = first + (sizes[part] > 0), len(order) - after
        nearest = min(range(least, most + 1), key=lambda end: abs((ends[end - 1] if end else 0) - target))
        bounds.append(nearest)
        first = nearest
    parts = np.split(order, bounds)
    return [np.sort(np.concatenate([members[place] for place in part] or [np.array([], np.int64)])) for part in parts]


def tenth(count: int) -> int:
    """A tenth of `count`, at least one: what validation and test get by default."""
    return max(1, round(count / 10))


def fill_splits(
    splits: Sequence[np.ndarray],
    keys: Sequence[str],
    labels: Sequence[int],
    where: object,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> list[np.ndarray]:
    """Index arrays of train, validation and test, of which the empty ones take a tenth of train each, stratified, with `groups`
    as for `hold_out`.

    Raises `DataError`, naming `where`, if train is too small for that.
    """
    train = splits[0]
    missing = [split for split in (1, 2) if not len(splits[split])]
    if not missing:
        return list(splits)
    share = tenth(len(train))
    if len(train) <= share * len(missing):
        found = f"{len(train)} images to split into {1 + len(missing)}"
        raise DataError(f"{where} holds {found}: give at least that many, or all splits")
    own = None if groups is None else [groups[i] for i in train]
    parts = hold_out(
        [keys[i] for i in train], [labels[i] for i in train], *[share] * len(missing), seed=seed, groups=own
    )
    filled = [train[part] for part in parts]
    return [filled.pop(0) if split in (0, *missing) else splits[split] for split in range(3)]
