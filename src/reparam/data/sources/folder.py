"""`folder:PATH`: the user's own pictures in a folder or a zip, one class a subfolder.

Shapes: `C H W` image.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reparam.data.dataset import Dataset, cut
from reparam.data.depth import settle_pictures
from reparam.data.io.archives import Tree, open_tree
from reparam.data.io.channels import channel_count, decode_files, measure_files, read_file
from reparam.data.io.on_disk import OnDiskImages
from reparam.data.io.pages import SUFFIXES as TIFFS
from reparam.data.io.pages import PagedTree, with_pages
from reparam.data.io.pictures import place, refuse_all
from reparam.data.io.resize import choose_sides
from reparam.data.options import FolderOptions, ImageOptions, Sides
from reparam.data.scale import EIGHT_BITS
from reparam.data.sources.layout import arrange, find_pictures, listed_classes, require_enough
from reparam.data.sources.split_folders import beside_splits
from reparam.errors import DataError, escaped

_SKIP = " (or leave such pictures out: --damaged skip)"


def load_folder(path: Path, options: FolderOptions) -> Dataset:
    """Every picture below `path`, a folder or .zip.

    Folders that hold everything are skipped; then `train/`, `validation/`, `test/`, under these or the other usual names, are the
    splits where there are some; then the first subfolder is the class, and pictures outside of one have label -1. Other splits
    are stratified and fixed by the files' names: 80 / 10 / 10 % of all or the sizes requested, or 10 % of `train/` each.
    Under `stream` the pictures stay on disk. Pictures that cannot be read are all named by one `DataError`, or left out as if
    they were not there (`damaged`). Raises `DataError` also where nothing or too little is found.
    """
    skips = options.damaged == "skip"
    if options.stream and options.range:
        raise DataError("pictures on disk are read as 8 bits: leave --range out, or --stream")
    if options.pages == "channels" and options.colour != "auto":
        raise DataError("--pages channels makes as many channels as there are pages: leave --colour out")
    with open_tree(path) as plain:
        tree = with_pages(plain, options.pages)
        in_lists, lists = listed_classes(tree)
        found_names, notes = find_pictures(tree, lists)
        inside, strays = beside_splits(found_names)
        names, notes = [found_names[i] for i in inside], (*notes, *strays)
        measured = measure_files(tree, names)
        sizes, unreadable = measured.sizes, measured.unreadable
        if not skips:
            refuse_all(tree, names, unreadable, _SKIP)
        if options.stream and (floats := [name for name, of_floats in measured.deep.items() if of_floats]):
            remedy = "leave --stream out, or pack them with 'reparam data shard PATH --range A,B --out OUT'"
            raise DataError(f"{place(tree, floats[0])} holds floats, and pictures on disk are read as 8 bits: {remedy}")
        while True:
            names = list(sizes)
            require_enough(tree, len(names), "readable picture")
            found = arrange(names, options, in_lists)
            sides, size_notes = choose_sides(list(sizes.values()), options)
            in_order = [names[i] for i in found.order]
            images: Tensor | OnDiskImages
            if options.stream:
                reader = FolderReader(tree, in_order[: found.kept], sides, options)
                images = OnDiskImages(reader, torch.arange(found.kept), options.damaged, options.workers)
                more: tuple[str, ...] = ()
                if options.colour == "auto" and options.pages != "channels":
                    more = ("pictures on disk are read as RGB: --colour grey for grey ones",)
                if measured.deep:
                    kept = "reparam data shard --range A,B keeps them"
                    more = (*more, f"pictures of more than 8 bits are read as 8 bits from disk ({kept})")
                scale = EIGHT_BITS
                break
            decoded = decode_files(tree, in_order, measured, sides, options)
            if not skips or not decoded.unreadable:
                pixels, more = decoded.required(tree, _SKIP)
                images, scale, scale_notes = settle_pictures(pixels[: found.kept], found.counts, options, tree.where)
                more = (*more, *scale_notes)
                break
            unreadable |= decoded.unreadable  # and all is settled anew, as if they had never been there
            sizes = {name: sizes[name] for name in sizes if name not in unreadable}
    notes = (*notes, *(tree.note() if isinstance(tree, PagedTree) else ()), *measured.page_notes())
    if any(name.lower().endswith(TIFFS) for name in measured.further_pages):
        notes = (*notes, "pages of TIFFs: --pages images reads each as an image, --pages channels all as one")
    if unreadable:
        listed = "; ".join(list(unreadable.values())[:10])
        notes = (*notes, f"pictures that cannot be read are left out: {len(unreadable):,} ({listed})")
    notes = (*notes, *found.notes, *size_notes, *more)
    files = tuple(escaped(name) for name in in_order[: found.kept])
    return cut(images, found.labels, found.counts, found.classes, notes, files=files, scale=scale)


class FolderReader:
    """Pictures of a folder or zip, decoded as they are needed. Raises `DataError` for a file that is no picture now."""

    dtype: type[np.uint8 | np.float32] = np.uint8

    def __init__(self, tree: Tree, names: Sequence[str], sides: Sides, options: ImageOptions) -> None:
        self.tree, self.names, self.sides, self.options = tree, tuple(names), sides, options
        self.shape = (channel_count(tree, names[0], options), *sides)
        digest = hashlib.sha256(f"{self.shape} {options.crop}".encode())
        for name in self.names:
            digest.update(f"{name}\0{tree.size(name)}\0".encode("utf-8", "surrogateescape"))
        self.identity = f"files {digest.hexdigest()}"

    def __len__(self) -> int:
        return len(self.names)

    def read(self, place: int) -> np.ndarray:
        return read_file(self.tree, self.names[place], self.sides, self.options)
