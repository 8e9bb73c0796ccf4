"""Pictures, of a `PagedTree` of channels those whose channels are the pages of a file: each page is read as a grey picture.

Shapes: `N` pictures, `C H W` image.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from reparam.data.io.archives import Tree
from reparam.data.io.pages import PagedTree
from reparam.data.io.pictures import Decoded, Measured, channels_of, decode_measured, decode_one, measure, place
from reparam.data.options import MOST_CHANNELS, DepthOptions, ImageOptions, Sides
from reparam.errors import DataError


def measure_files(tree: Tree, names: Sequence[str]) -> Measured:
    """As `measure`, by the names of files; `deep` is by those of pages. Raises `DataError` where files that can be read differ in
    their number of pages, or have too many to be channels."""
    if not (isinstance(tree, PagedTree) and tree.pages == "channels"):
        return measure(tree, names)
    parts = {name: tree.parts(name) for name in names}
    found = measure(tree, [page for own in parts.values() for page in own])
    files = Measured({}, {}, {}, found.deep)
    for name, own in parts.items():
        if wrong := [found.unreadable[page] for page in own if page in found.unreadable]:
            files.unreadable[name] = wrong[0]
        elif len({found.sizes[page] for page in own}) > 1:
            files.unreadable[name] = (
                f"{place(tree, name)} has pages of several sizes, which are no channels: use --pages images"
            )
        else:
            files.sizes[name] = found.sizes[own[0]]
    by_number = {len(parts[name]): name for name in files.sizes}
    if len(by_number) > 1:
        (few, one), *_, (many, other) = sorted(by_number.items())
        both = f"{place(tree, one)} has {few} page{'s' * (few > 1)} and '{other}' {many}"
        raise DataError(f"{both}: as channels all files have equally many; or use --pages images")
    if by_number and max(by_number) > MOST_CHANNELS:
        number, name = max(by_number.items())
        raise DataError(f"{place(tree, name)} has {number} pages, more than {MOST_CHANNELS}: use --pages images")
    return files


def channel_count(tree: Tree, name: str, options: ImageOptions) -> int:
    """How many channels `read_file` gives."""
    count = len(_parts(tree, name))
    return count if count > 1 else channels_of(options.colour)


def decode_files(tree: Tree, names: Sequence[str], measured: Measured, sides: Sides, options: DepthOptions) -> Decoded:
    """As `decode_measured`, of what `measure_files` found."""
    pages = [_parts(tree, name) for name in names]
    if len(pages[0]) == 1:
        return decode_measured(tree, names, measured, sides, options)
    flat = [page for own in pages for page in own]
    found = decode_measured(tree, flat, measured, sides, replace(options, colour="grey"))
    unreadable = {
        name: next(found.unreadable[page] for page in own if page in found.unreadable)
        for name, own in zip(names, pages, strict=True)
        if not found.unreadable.keys().isdisjoint(own)
    }
    return Decoded(found.pixels.view(len(names), -1, *sides), found.notes, unreadable)


def read_file(tree: Tree, name: str, sides: Sides, options: ImageOptions) -> np.ndarray:
    """As `decode_one`."""
    pages = _parts(tree, name)
    if len(pages) == 1:
        return decode_one(tree, name, sides, options)
    return np.concatenate([decode_one(tree, page, sides, replace(options, colour="grey")) for page in pages])


def _parts(tree: Tree, name: str) -> tuple[str, ...]:
    """The pictures that are the channels of one; itself, where it has its own."""
    return tree.parts(name) if isinstance(tree, PagedTree) and tree.pages == "channels" else (name,)
