"""CelebA: aligned faces, 178 x 218, with binary attributes, in the official layout.

Source: Z. Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015. There is no mirror without an account.

Shapes: `N` pictures.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from reparam.data.dataset import SPLITS, Dataset, cut
from reparam.data.io.archives import FolderTree, Tree, open_tree, require
from reparam.data.io.pictures import decode
from reparam.data.io.resize import manner
from reparam.data.io.text import read_lines
from reparam.data.options import CelebaOptions, spelled
from reparam.errors import DataError, suggest

OBTAIN = (
    "get img_align_celeba.zip, list_attr_celeba.txt and list_eval_partition.txt from "
    "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
)
_ATTRIBUTES, _PARTITION = "list_attr_celeba.txt", "list_eval_partition.txt"
_FOLDERS = ("", "Img", "Anno", "Eval")  # of the official download
_DEFAULT = ("Male", "Smiling")
_SIZE = 64
_MOST = 6  # attributes in a product: 64 classes


def load_celeba(path: Path, options: CelebaOptions) -> Dataset:
    """The splits of list_eval_partition.txt; the central 178 x 178 of each face resized to 64 x 64, or `options.size`.

    The label is the product of the chosen attributes, the first the most significant: of (Male, Smiling), class 1 is
    "not Male+Smiling". Raises `DataError` where files are missing or disagree, or an attribute is unknown.
    """
    require(path)
    pictures = _find(path, "img_align_celeba.zip", "img_align_celeba")
    listing = _find(path, _ATTRIBUTES)
    splits = _read_partition(_find(path, _PARTITION))
    names = sorted(splits, key=lambda name: splits[name])  # stable: the listed order within a split
    labels, chosen = _read_labels(listing, names, options.attributes)
    sides = options.sides or (_SIZE, _SIZE)
    with open_tree(pictures) as tree:
        images, _ = decode(tree, _members(tree, names), sides, options.as_colour()).required(tree)
    how = f"faces are {manner(options.crop, sides)} to {spelled(sides)} (height x width)"
    notes = [how, f"splits are those of {_PARTITION}"]
    if not chosen:
        notes.append(f"no labels: {_ATTRIBUTES} lacks {' or '.join(_DEFAULT)}; choose with --attributes")
    counts = np.bincount(list(splits.values())).tolist()
    return cut(images, labels, counts, _classes(chosen), tuple(notes), files=tuple(names))


def _find(path: Path, *names: str) -> Path:
    """The first of `names` that is there."""
    places = [path / folder / name for name in names for folder in _FOLDERS]
    if found := next(filter(Path.exists, places), None):
        return found
    raise DataError(f"{path} lacks {names[0]}: {OBTAIN}, and put them there")


def _read_partition(path: Path) -> dict[str, int]:
    """Split 0, 1, 2 by file name."""
    splits: dict[str, int] = {}
    for number, line in enumerate(_lines(path), 1):
        name, _, digit = line.rpartition(" ")
        if digit not in ("0", "1", "2") or not name:
            raise DataError(f"{path} line {number} is not 'NAME 0|1|2' ({line[:40]!r}): fetch the file again")
        if splits.setdefault(name.strip(), int(digit)) != int(digit):
            raise DataError(f"{path} puts {name.strip()!r} into two splits: fetch the file again")
    for split, title in enumerate(SPLITS):
        if split not in splits.values():
            raise DataError(f"{path} puts no picture into {title} ({split}): give each of 0, 1 and 2 at least one")
    return splits


def _read_labels(path: Path, names: Sequence[str], requested: tuple[str, ...]) -> tuple[Tensor, tuple[str, ...]]:
    """Labels [N] of the pictures `names`, and the attributes whose product they are."""
    lines = _lines(path)
    if len(lines) < 2 or lines[0] != str(len(lines) - 2):
        raise DataError(f"{path} does not list as many pictures as its first line says: fetch it again")
    known = lines[1].split()
    for attribute in requested:
        if attribute not in known:
            near = suggest(attribute, known) or ": choose from its second line"
            raise DataError(f"no attribute '{attribute}' in {path}{near}")
    if len(set(requested)) < len(requested) or len(requested) > _MOST:
        raise DataError(f"attributes {', '.join(requested)}: name each once, {_MOST} at most")
    chosen = requested or (_DEFAULT if set(_DEFAULT) <= set(known) else ())
    columns = [known.index(attribute) + 1 for attribute in chosen]
    label: dict[str, int] = {}
    for number, line in enumerate(lines[2:], 3):
        words = line.split()
        values = [words[column] for column in columns] if len(words) == len(known) + 1 else [""]
        if not set(values) <= {"1", "-1"}:
            raise DataError(f"{path} line {number} is not a name and {len(known)} values 1 or -1: fetch the file again")
        own = sum(1 << i for i, value in enumerate(reversed(values)) if value == "1") if chosen else -1
        if label.setdefault(words[0], own) != own:
            raise DataError(f"{path} gives {words[0]!r} two different labels: fetch the file again")
    if absent := [name for name in names if name not in label]:
        raise DataError(f"{path} lacks {len(absent):,} pictures of {_PARTITION} (first {absent[0]}): fetch it again")
    return torch.tensor([label[name] for name in names]), chosen


def _members(tree: Tree, names: Sequence[str]) -> list[str]:
    """Where in the folder or zip each picture is."""
    there = {PurePosixPath(name).name: name for name in tree.names}
    if absent := [name for name in names if name not in there]:
        found = f"{len(absent):,} of the {len(names):,} pictures in {_PARTITION} (first {absent[0]})"
        raise DataError(f"{tree.where} lacks {found}: fetch it again, or cut the list to what is there")
    return [there[name] for name in names]


def _classes(attributes: tuple[str, ...]) -> tuple[str, ...]:
    """Names of all combinations, in the order of their labels: "not Male+not Smiling", "not Male+Smiling", ..."""
    values = [(f"not {attribute}", attribute) for attribute in attributes]
    return tuple("+".join(combination) for combination in itertools.product(*values)) if attributes else ()


def _lines(path: Path) -> list[str]:
    with FolderTree(path.parent, [path.name]).open(path.name) as file:
        return read_lines(file.read(), path)
