"""`pairs:PATH`: the user's own pictures with label maps, images/ and masks/ in a folder or a zip.

Shapes: `N` pairs, `C H W` image, `D` values of a label map.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from reparam.data.dataset import Dataset, cut
from reparam.data.depth import settle_pictures
from reparam.data.io.archives import Tree, open_tree
from reparam.data.io.pictures import decode_maps, decode_measured, measure, place, refuse, refuse_all
from reparam.data.io.resize import choose_sides, fit
from reparam.data.options import DepthOptions, PairsOptions, spelled, value_code
from reparam.data.sources.class_names import class_files, read_class_names
from reparam.data.sources.layout import arrange, find_pictures, require_enough
from reparam.data.sources.mask_values import StoredMasks, read_meaning
from reparam.data.sources.split_folders import beside_splits
from reparam.distributions import IGNORED
from reparam.errors import DataError, escaped

_SIDES = ("images", "masks")


class Pairs(NamedTuple):
    """N pictures with their label maps: `images` [N, C, H, W] as `decode_measured` gives them, `maps` uint8
    [N, 1, H, W], which values each file `held` anywhere, bool [N, 256], notes, and of padded pictures where they are, bool
    [N, 1, H, W]."""

    images: Tensor
    maps: Tensor
    held: np.ndarray
    notes: tuple[str, ...]
    within: Tensor | None = None

    def counted(self, maps: Tensor) -> Tensor:
        """Label maps of these pictures, the first so many, in which what lies beside a picture does not count."""
        return maps if self.within is None else torch.where(self.within[: len(maps)], maps, IGNORED).byte()


def load_pairs(path: Path, options: PairsOptions) -> Dataset:
    """Every picture below images/ with the mask of the same name, except for the suffix, below masks/.

    Splits and classes are as for `folder:`, with images/ and masks/ left out of the paths, so that train/images/ and
    images/train/ are both the training pictures. What the values of masks mean: `read_meaning`; classes.csv may name them.
    Raises `DataError` where a picture lacks its partner or is of another size, where masks hold other values, and as `folder:`
    does.
    """
    with open_tree(path) as tree:
        images, masks, paths, notes = _match(tree)
        inside, strays = beside_splits(paths)
        images, masks, paths = ([each[i] for i in inside] for each in (images, masks, paths))
        found = arrange(paths, options)
        images, masks = [images[i] for i in found.order], [masks[i] for i in found.order]
        stored = StoredMasks([value_code(level) for level in options.mask_levels])
        pairs = read_pairs(tree, images, masks, options, stored)
        meaning = read_meaning(tree, masks, stored, pairs.held, options, read_class_names(tree))
    notes = (*notes, *strays, *found.notes, *pairs.notes, *meaning.notes)
    table = np.array([meaning.labels[code] for code in stored.codes], np.uint8)
    maps = pairs.counted(torch.from_numpy(table[pairs.maps[: found.kept].numpy()]))
    kept, scale, more = settle_pictures(pairs.images[: found.kept], found.counts, options, tree.where)
    files = tuple(escaped(name) for name in images[: found.kept])
    data = cut(kept, found.labels, found.counts, found.classes, (*notes, *more), maps, meaning.names, files, scale)
    return replace(data, map_colours=meaning.colours, remap=meaning.remap)


def has_pairs(path: Path) -> bool:
    """Whether the folder at `path` is laid out for `load_pairs`."""
    return all((path / side).is_dir() for side in _SIDES)


def read_pairs(
    tree: Tree,
    images: Sequence[str],
    masks: Sequence[str],
    options: DepthOptions,
    read: Callable[[Image.Image, str], np.ndarray],
) -> Pairs:
    """Pictures and their label maps, cut and resized alike; `read` is that of `decode_maps`.

    Raises `DataError` where a mask is not of its image's size, and one that names all files that cannot be read.
    """
    of_images, of_masks = (measure(tree, names) for names in (images, masks))
    refuse_all(tree, [*images, *masks], of_images.unreadable | of_masks.unreadable)
    for image, mask in zip(images, masks, strict=True):
        if of_masks.sizes[mask] != of_images.sizes[image]:
            found, expected = (spelled(size[::-1]) for size in (of_masks.sizes[mask], of_images.sizes[image]))
            has = f"has {found} pixels (height x width) and its image, {image!r}, {expected}"
            raise DataError(f"{place(tree, mask)} {has}: make the mask as large as the image")
    sizes = [of_images.sizes[name] for name in images]
    sides, size_notes = choose_sides(sizes, options)
    decoded = decode_measured(tree, images, of_images, sides, options)
    maps, held, unreadable = decode_maps(tree, masks, sides, options, read)
    refuse(tree, decoded.unreadable | unreadable)
    within = torch.zeros(maps.shape, dtype=torch.bool) if options.crop == "pad" else None
    for number, size in enumerate(sizes if within is not None else ()):
        left, top, right, bottom = fit(size, sides, options.crop).place
        within[number, :, top:bottom, left:right] = True  # type: ignore[index]
    return Pairs(decoded.pixels, maps, held, (*of_images.page_notes(), *size_notes, *decoded.notes), within)


def _match(tree: Tree) -> tuple[list[str], list[str], list[str], tuple[str, ...]]:
    """Names of images and of their masks, the images' paths without images/, and notes."""
    names, notes = find_pictures(tree, class_files(tree))
    sides: dict[str, dict[tuple[str, ...], str]] = {side: {} for side in _SIDES}
    for name in names:
        parts = PurePosixPath(name).parts
        at = next((i for i, part in enumerate(parts[:-1]) if part.lower() in sides), None)
        if at is None:
            continue
        known, key = sides[parts[at].lower()], (*parts[:at], *parts[at + 1 : -1], PurePosixPath(name).stem)
        if key in known:
            raise DataError(f"{place(tree, name)} has the name of {known[key]!r} but another suffix: remove one")
        known[key] = name
    for side, found in sides.items():
        if not found:
            remedy = "put the pictures into images/ and their masks, named alike, into masks/"
            raise DataError(f"{tree.where} has no pictures in {side}/: {remedy}")
    images, masks = sides["images"], sides["masks"]
    single = [
        f"{len(alone):,} {of} without {partner} (first {alone[0]!r})"
        for of, partner, alone in (
            ("images", "a mask", [name for key, name in images.items() if key not in masks]),
            ("masks", "an image", [name for key, name in masks.items() if key not in images]),
        )
        if alone
    ]
    if single:
        remedy = "name both alike below images/ and masks/, or remove them"
        raise DataError(f"{tree.where} holds {' and '.join(single)}: {remedy}")
    require_enough(tree, len(images), "pair")
    if strays := len(names) - len(images) - len(masks):
        notes = (*notes, f"pictures outside images/ and masks/ ignored: {strays:,}")
    paths = ["/".join((*key[:-1], PurePosixPath(name).name)) for key, name in images.items()]
    return list(images.values()), [masks[key] for key in images], paths, notes
