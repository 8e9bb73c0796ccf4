"""Published sets of pictures with label maps, in their official layouts: birds (CUB-200-2011), parts of faces (LFW).

Sources: C. Wah et al., The Caltech-UCSD Birds-200-2011 Dataset, 2011; G. B. Huang et al., Labeled Faces in the Wild, 2007,
with the maps of A. Kae et al., Augmenting CRFs with Boltzmann Machine Shape Priors for Image Labeling, CVPR 2013.

Shapes: `H W` picture.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image

from reparam.data.dataset import Dataset, cut
from reparam.data.io.archives import Tree, open_tree
from reparam.data.io.pictures import place
from reparam.data.io.text import read_lines
from reparam.data.options import DepthOptions
from reparam.data.sources.mask_values import TWO_VALUES, stored_values
from reparam.data.sources.pairs import read_pairs
from reparam.data.splitting import fill_splits, hold_out, tenth
from reparam.errors import DataError

OBTAIN_CUB = (
    "get CUB_200_2011.tgz and segmentations.tgz of Caltech-UCSD Birds-200-2011 from CaltechDATA and unpack both into one "
    "folder"
)
OBTAIN_LFW = (
    "get the funneled images of Labeled Faces in the Wild and the ground truth and lists of its Part Labels from the "
    "University of Massachusetts, Amherst, and unpack all into one folder"
)
_AGREED = 128  # of 255: half of the annotators of a bird count the pixel as bird
_PARTS = {"background": (0, 0, 255), "skin": (0, 255, 0), "hair": (255, 0, 0)}


def load_cub(path: Path, options: DepthOptions) -> Dataset:
    """The official test images; a tenth of the official training images, stratified and fixed by name, is validation.

    The map is foreground where at least half of the annotators agree. Raises `DataError` where files are missing or
    disagree.
    """
    with open_tree(path) as tree:
        files = _Files(tree, OBTAIN_CUB)
        listed, official = (_by_number(files, listing) for listing in ("images.txt", "train_test_split.txt"))
        if wrong := [name for number, name in listed.items() if official.get(number) not in ("0", "1")]:
            raise DataError(f"{tree.where}: train_test_split.txt has no 0 or 1 for {wrong[0]!r}: fetch it again")
        names = list(listed.values())
        folders = [PurePosixPath(name).parts[0] for name in names]
        known = [name for _, name in files.rows("classes.txt")] if "classes.txt" in files else sorted(set(folders))
        if strange := sorted(set(folders) - set(known)):
            raise DataError(f"{tree.where}: classes.txt lacks {strange[0]!r}: fetch it again")
        labels = np.array([known.index(folder) for folder in folders])
        in_train = np.array([official[number] == "1" for number in listed])
        train = np.flatnonzero(in_train)
        kept, held = hold_out([names[i] for i in train], labels[train].tolist(), tenth(len(train)))
        splits = [train[kept], train[held], np.flatnonzero(~in_train)]
        order = np.concatenate(splits)
        images = files.find([f"images/{names[i]}" for i in order])
        masks = files.find([f"segmentations/{PurePosixPath(names[i]).with_suffix('.png')}" for i in order])
        pairs = read_pairs(tree, images, masks, options.as_colour(), stored_values)
    note = "test is the official one; validation is 10 % of train, stratified, fixed by the files' names"
    counts, maps = [len(split) for split in splits], pairs.counted((pairs.maps >= _AGREED).to(torch.uint8))
    notes = (*pairs.notes, note)
    return cut(pairs.images, torch.from_numpy(labels[order]), counts, tuple(known), notes, maps, TWO_VALUES)


def load_lfw_parts(path: Path, options: DepthOptions) -> Dataset:
    """The official splits, unlabelled; without parts_validation.txt, validation is a tenth of parts_train_validation.txt.

    Raises `DataError` where files are missing or a map holds a colour that is no part.
    """
    with open_tree(path) as tree:
        files = _Files(tree, OBTAIN_LFW)
        if "parts_train.txt" in files and "parts_validation.txt" in files:
            train, validation = _people(files, "parts_train.txt"), _people(files, "parts_validation.txt")
            note = "splits are the official ones"
        else:
            train, validation = _people(files, "parts_train_validation.txt"), []
            note = "test is the official one; validation is 10 % of the others, fixed by the files' names"
        test = _people(files, "parts_test.txt")
        names = [*train, *validation, *test]
        given = np.split(np.arange(len(names)), np.cumsum([len(train), len(validation)]))
        splits = fill_splits(given, names, [-1] * len(names), tree.where)
        in_order = [names[i] for i in np.concatenate(splits)]
        images = files.find([f"lfw_funneled/{name[:-5]}/{name}.jpg" for name in in_order])
        masks = files.find([f"parts_lfw_funneled_gt_images/{name}.ppm" for name in in_order])
        pairs = read_pairs(tree, images, masks, options.as_colour(), _part_values)
    counts, labels = [len(split) for split in splits], torch.full((len(names),), -1)
    maps = pairs.counted(pairs.maps)
    return cut(pairs.images, labels, counts, (), (*pairs.notes, note), maps, tuple(_PARTS))


def _by_number(files: "_Files", listing: str) -> dict[str, str]:
    """The second words of lines by the first. Raises `DataError` where a first word comes twice."""
    rows = files.rows(listing)
    found = dict(rows)
    if len(found) != len(rows):
        raise DataError(f"{files.tree.where}: {listing} numbers two lines alike: fetch it again")
    return found


def _people(files: "_Files", listing: str) -> list[str]:
    """Names of pictures without suffix, `NAME_0001`, from lines `NAME 1`."""
    rows = files.rows(listing)
    if wrong := [number for _, number in rows if not re.fullmatch("[0-9]{1,6}", number)]:
        raise DataError(f"{files.tree.where}: {listing} has {wrong[0][:40]!r} for a number: fetch it again")
    return [f"{name}_{int(number):04d}" for name, number in rows]


def _part_values(picture: Image.Image, where: str) -> np.ndarray:
    """Value of each pixel by its colour, uint8 [H, W]."""
    pixels = np.asarray(picture.convert("RGB"))
    values = np.full(pixels.shape[:2], len(_PARTS), np.uint8)
    for value, colour in enumerate(_PARTS.values()):
        values[(pixels == colour).all(-1)] = value
    other = pixels[values == len(_PARTS)]
    if len(other):
        remedy = "give only red (hair), green (skin) and blue (background), as published"
        raise DataError(f"{where} holds the colour {tuple(other[0].tolist())}: {remedy}")
    return values


class _Files:
    """The files of `tree` by the ends of their names: archives wrap theirs in folders of differing names."""

    def __init__(self, tree: Tree, obtain: str) -> None:
        self.tree, self.obtain = tree, obtain
        deepest_first = sorted((PurePosixPath(name).parts for name in tree.names), key=len, reverse=True)
        self._names = {"/".join(parts[-n:]): "/".join(parts) for parts in deepest_first for n in (1, 2, 3)}

    def __contains__(self, end: str) -> bool:
        return end in self._names

    def find(self, ends: Sequence[str]) -> list[str]:
        """Names of the files that end so. Raises `DataError` where one is missing."""
        if absent := [end for end in ends if end not in self._names]:
            more = f" and {len(absent) - 1:,} more files" if len(absent) > 1 else ""
            raise DataError(f"{self.tree.where} lacks {absent[0]}{more}: {self.obtain}")
        return [self._names[end] for end in ends]

    def rows(self, end: str) -> list[tuple[str, str]]:
        """The two words of each line of a text. Raises `DataError` where it is missing, or another text."""
        (name,) = self.find([end])
        with self.tree.open(name) as file:
            words = [line.split() for line in read_lines(file.read(), place(self.tree, name))]
        if wrong := [line for line in words if len(line) != 2]:
            raise DataError(
                f"{place(self.tree, name)} has a line that is not two words ({' '.join(wrong[0])[:40]!r}): fetch it again"
            )
        if not words:
            raise DataError(f"{place(self.tree, name)} is empty: fetch it again")
        return [(first, second) for first, second in words]
