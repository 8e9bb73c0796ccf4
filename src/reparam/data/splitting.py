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


def hold_out(keys: Sequence[str], labels: Sequence[int], *sizes: int, seed: int = 0) -> list[np.ndarray]:
    """Index arrays of what remains and of parts of the given sizes, stratified; each is in the items' own order."""
    order = stratified_order(keys, labels, seed)
    bounds = np.cumsum([len(order) - sum(sizes), *sizes])[:-1]
    return [np.sort(part) for part in np.split(order, bounds)]


def tenth(count: int) -> int:
    """A tenth of `count`, at least one: what validation and test get by default."""
    return max(1, round(count / 10))


def fill_splits(
    splits: Sequence[np.ndarray], keys: Sequence[str], labels: Sequence[int], where: object, seed: int = 0
) -> list[np.ndarray]:
    """Index arrays of train, validation and test, of which the empty ones take a tenth of train each, stratified.

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
    parts = hold_out([keys[i] for i in train], [labels[i] for i in train], *[share] * len(missing), seed=seed)
    filled = [train[part] for part in parts]
    return [filled.pop(0) if split in (0, *missing) else splits[split] for split in range(3)]
