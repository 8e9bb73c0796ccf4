"""CelebA: aligned faces, 178 x 218, with binary attributes, in the official layout.

Source: Z. Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015. There is no mirror without an account.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from reparam.data.dataset import SPLITS, Dataset, cut
from reparam.data.io.archives import Tree, open_tree, require
from reparam.data.io.pictures import decode
from reparam.data.options import DataOptions
from reparam.errors import DataError, suggest

OBTAIN = (
    "get img_align_celeba.zip, list_attr_celeba.txt and list_eval_partition.txt from "
    "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
)
_PICTURES, _ATTRIBUTES, _PARTITION = "img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"
_FOLDERS = ("", "Img", "Anno", "Eval")  # of the official download
_DEFAULT = ("Male", "Smiling")
_SIZE = 64
_MOST = 6  # attributes in a product: 64 classes


def load_celeba(path: Path, options: DataOptions) -> Dataset:
    """The splits of list_eval_partition.txt; the central 178 x 178 of each face resized to 64 x 64, or `options.size`.

    The label is the product of the attributes asked for, the first the most significant: of (Male, Smiling), class 1 is
    "not Male+Smiling". Raises `DataError` where files are missing or disagree, or an attribute is unknown.
    """
    require(path)
    archive = f"{_PICTURES}.zip"
    pictures = _place(path, archive) or _place(path, _PICTURES) or _missing(path, archive)
    listing = _place(path, _ATTRIBUTES) or _missing(path, _ATTRIBUTES)
    splits = _read_partition(_place(path, _PARTITION) or _missing(path, _PARTITION))
    names = sorted(splits, key=lambda name: splits[name])  # stable: the listed order within a split
    labels, chosen = _read_labels(listing, names, options.attributes)
    size = options.size or _SIZE
    with open_tree(pictures) as tree:
        images, _ = decode(tree, _members(tree, names), size, options.coloured())
    counts = np.bincount(list(splits.values()))
    kept = "the central square" if options.crop == "centre" else "the whole picture"
    notes = [f"{kept} is resized to {size} x {size}", f"splits are those of {_PARTITION}"]
    if not chosen:
        notes.append(f"no labels: {_ATTRIBUTES} lacks {' or '.join(_DEFAULT)}; choose with --attributes")
    return cut(images, labels, (int(counts[0]), int(counts[1]), int(counts[2])), _classes(chosen), tuple(notes))


def _place(path: Path, name: str) -> Path | None:
    return next((path / folder / name for folder in _FOLDERS if (path / folder / name).exists()), None)


def _missing(path: Path, name: str) -> Path:
    raise DataError(f"{path} lacks {name}: {OBTAIN}, and put them there")


def _read_partition(path: Path) -> dict[str, int]:
    """Split 0, 1, 2 by file name."""
    splits = {}
    for number, line in enumerate(_lines(path), 1):
        name, _, digit = line.rpartition(" ")
        if digit not in ("0", "1", "2") or not name:
            raise DataError(f"{path} line {number} is not 'NAME 0|1|2' ({line[:40]!r}): fetch the file again")
        splits[name.strip()] = int(digit)
    for split, title in enumerate(SPLITS):
        if split not in splits.values():
            raise DataError(f"{path} puts no picture into {title} ({split}): give each of 0, 1 and 2 at least one")
    return splits


def _read_labels(path: Path, names: Sequence[str], wanted: tuple[str, ...]) -> tuple[Tensor, tuple[str, ...]]:
    """Labels [N] of the pictures `names`, and the attributes whose product they are."""
    lines = _lines(path)
    if len(lines) < 2 or not lines[0].isdecimal() or int(lines[0]) != len(lines) - 2:
        raise DataError(f"{path} does not list as many pictures as its first line says: fetch it again")
    known = lines[1].split()
    for attribute in wanted:
        if attribute not in known:
            raise DataError(
                f"no attribute '{attribute}' in {path}{suggest(attribute, known) or ': choose of its second line'}"
            )
    if len(set(wanted)) < len(wanted) or len(wanted) > _MOST:
        raise DataError(f"attributes {', '.join(wanted)}: name each once, {_MOST} at most")
    chosen = wanted or (_DEFAULT if set(_DEFAULT) <= set(known) else ())
    columns = [known.index(attribute) + 1 for attribute in chosen]
    label = {}
    for number, line in enumerate(lines[2:], 3):
        words = line.split()
        values = [words[column] for column in columns] if len(words) == len(known) + 1 else [""]
        if not set(values) <= {"1", "-1"}:
            raise DataError(f"{path} line {number} is not a name and {len(known)} values 1 or -1: fetch the file again")
        label[words[0]] = sum(1 << i for i, value in enumerate(reversed(values)) if value == "1") if chosen else -1
    if absent := [name for name in names if name not in label]:
        raise DataError(f"{path} lacks {len(absent):,} pictures of {_PARTITION} (first {absent[0]}): fetch it again")
    return torch.tensor([label[name] for name in names]), chosen


def _members(tree: Tree, names: Sequence[str]) -> list[str]:
    """Where in the folder or zip each picture lies."""
    there = {PurePosixPath(name).name: name for name in tree.names}
    if absent := [name for name in names if name not in there]:
        raise DataError(
            f"{tree.where} lacks {len(absent):,} of the {len(names):,} pictures in {_PARTITION} (first {absent[0]}): "
            "fetch it again, or cut the list to what is there"
        )
    return [there[name] for name in names]


def _classes(attributes: tuple[str, ...]) -> tuple[str, ...]:
    """Names of all combinations, in the order of their labels: "not Male+not Smiling", "not Male+Smiling", ..."""
    names = [""] if attributes else []
    for attribute in attributes:
        names = [f"{name}+{value}".lstrip("+") for name in names for value in (f"not {attribute}", attribute)]
    return tuple(names)


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text ({error.reason}): fetch it again") from error
