"""Pictures that a run has not seen, read as its own were: all of what is given, in its order, and no split of it.

Shapes: `N` pictures, `C H W` image.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch
from torch import Tensor

from reparam.data.dataset import SPLITS, Dataset, Images
from reparam.data.depth import settle_pictures
from reparam.data.io.archives import ARRAY_FILES, FolderTree, Tree, open_tree, require
from reparam.data.io.channels import decode_files, measure_files
from reparam.data.io.pages import PagedTree, with_pages
from reparam.data.io.pictures import refuse_all
from reparam.data.io.resize import manner
from reparam.data.loading import as_read, load
from reparam.data.options import DataOptions, DepthOptions, spelled
from reparam.data.registry import DATASETS
from reparam.data.sources.arrays import read_arrays
from reparam.data.sources.in_python import IN_PYTHON, all_images
from reparam.data.sources.layout import class_order, find_pictures, without_common
from reparam.data.sources.split_folders import split_of
from reparam.data.tasks import to_float
from reparam.errors import DataError, escaped, short
from reparam.files import user_path
from reparam.importing import is_import_path

FILES = ("folder", "array")  # kinds of data that are files, read here without being divided


class NewPictures(NamedTuple):
    """images: of the run's shape, with labels; classes: their names; names: of each its file, or its place in an array or a split
    (`images.npz/17`, in Python `python/17`); notes: what was done to them."""

    images: Images
    classes: tuple[str, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...]


class _Part(NamedTuple):
    """What one path or name gives. classes: of each image, None where it has none. fitted: how many were of another size."""

    pixels: Tensor
    classes: list[str | None]
    names: list[str]
    notes: tuple[str, ...]
    maps: Tensor | None = None
    fitted: int = 0


def read_new(given: Any, options: DataOptions, classes: Sequence[str] = ()) -> NewPictures:
    """Pictures in the size, crop and colour of `options`. given: names of picture files, of folders and zips of them, of arrays
    (`ARRAY_FILES`), or of whatever else `--data` can name, one or several, which follow each other; or the images themselves, as
    `reparam.data.sources.in_python.as_dataset` takes them.

    The class of a picture in a folder is that of `classes` which the folder is called after, else its first folder that is no
    split. A label in Python is a place in `classes`, unless the data set names its classes. If any class is not in `classes`, the
    pictures have classes of their own. Raises `DataError` for what cannot be read, naming all such pictures, and where nothing is
    given.
    """
    if isinstance(given, str | Path):
        given = [given]
    if isinstance(given, list | tuple) and all(isinstance(one, str | Path) for one in given):
        if not given:
            raise DataError("no pictures are given: name files, folders or data")
        if nul := next((one for one in given if "\0" in str(one)), None):
            raise DataError(f"text without the character NUL is expected, got {short(nul)}")
        parts = [_read(one, options, classes) for one in given]
    else:
        parts = [_in_python(given, options, classes)]
    names = [name for part in parts for name in part.classes]
    notes = list(dict.fromkeys(note for part in parts for note in part.notes))
    found = class_order({name for name in names if name is not None})
    known = tuple(classes) if set(found) <= set(classes) else found
    index = {name: label for label, name in enumerate(known)}
    labels = torch.tensor([-1 if name is None else index[name] for name in names])
    if others := sum(part.fitted for part in parts):
        assert options.sides
        done = f"{manner(options.crop, options.sides)} to {spelled(options.sides)}, as the run's were"
        notes.append(f"{others:,} of {len(names):,} pictures are {done}")
    maps = [part.maps for part in parts if part.maps is not None]
    labelled = torch.cat(maps) if len(maps) == len(parts) else None
    pixels = [part.pixels for part in parts]
    if len(shapes := sorted({tuple(each.shape[1:]) for each in pixels})) > 1:
        raise DataError(
            f"these images have shapes {shapes[0]} and {shapes[-1]} (channels, height, width): give those of one"
        )
    if any(each.is_floating_point() for each in pixels):
        pixels = [to_float(each) for each in pixels]
    images = Images(torch.cat(pixels), labels, labelled)
    return NewPictures(images, known, tuple(name for part in parts for name in part.names), tuple(notes))


def _read(one: str | Path, options: DataOptions, classes: Sequence[str]) -> _Part:
    kind, _, rest = str(one).partition(":")
    if isinstance(one, Path) or not (kind in DATASETS or is_import_path(one)):
        path = user_path(one)
    elif kind in FILES and rest:
        path = user_path(rest)
    else:
        return _data_set(load(one, as_read(one, options)))
    require(path)
    if kind == "array" or path.suffix.lower() in ARRAY_FILES:
        pixels, labels, notes = read_arrays(path, options)
        known = [None if label < 0 else str(label) for label in labels.tolist()]
        return _Part(pixels, known, [f"{path.name}/{i}" for i in range(len(known))], notes)
    if path.is_dir() or path.suffix.lower() == ".zip":
        with open_tree(path) as plain:
            tree = with_pages(plain, options.pages)
            names, notes = find_pictures(tree, fewest=1)
            return _pictures(tree, names, notes, options, classes)
    tree = with_pages(FolderTree(path.parent, [path.name]), options.pages)
    return _pictures(tree, tree.names, (), options, classes)


def _in_python(given: Any, options: DataOptions, classes: Sequence[str]) -> _Part:
    if isinstance(given, Dataset):
        return _data_set(given)
    shape = tuple(getattr(given, "shape", ()))
    if options.colour in ("rgb", "rgba") and len(shape) == 3 and {shape[0], shape[2]} & {3, 4}:
        remedy = "of one picture give images[None], of grey ones images[:, None]"
        raise DataError(f"images of shape {list(shape)} may be one picture in colour, or grey ones: {remedy}")
    pixels, labels, names, notes = all_images(given, options)
    most = int(labels.max())
    names = names or (tuple(classes) if most < len(classes) else tuple(map(str, range(most + 1))))
    known = [None if label < 0 else names[label] for label in labels.tolist()]
    return _Part(pixels, known, [f"{IN_PYTHON}/{i}" for i in range(len(known))], notes)


def _pictures(
    tree: Tree, names: Sequence[str], notes: tuple[str, ...], options: DepthOptions, classes: Sequence[str]
) -> _Part:
    assert options.sides
    rows, columns = options.sides
    measured = measure_files(tree, names)
    refuse_all(tree, names, measured.unreadable)
    read, depth_notes = decode_files(tree, names, measured, options.sides, options).required(tree)
    pixels, _, scale_notes = settle_pictures(read, [len(names)], options, tree.where)
    notes = (*notes, *(tree.note() if isinstance(tree, PagedTree) else ()), *depth_notes, *scale_notes)
    fitted = sum(size != (columns, rows) for size in measured.sizes.values())
    known: list[str | None] = []
    for name, parts in zip(names, without_common(names), strict=True):
        called = [part for part in map(escaped, PurePosixPath(name).parts[:-1]) if part in classes]
        others = [part for part in parts[:-1] if split_of(part) is None]
        known.append(called[-1] if called else escaped(others[0]) if others else None)
    return _Part(pixels, known, list(map(escaped, names)), (*notes, *measured.page_notes()), fitted=fitted)


def _data_set(data: Dataset) -> _Part:
    """All splits of a data set, one after the other."""
    splits = [data.split(name) for name in SPLITS]
    whole = [split.take(torch.arange(len(split))) for split in splits]
    maps = [part.maps for part in whole if part.maps is not None]
    table: list[str | None] = [*data.classes, None]  # -1, no label, is the last place
    return _Part(
        torch.cat([part.pixels for part in whole]),
        [table[label] for part in whole for label in part.labels.tolist()],
        [data.source(name, i) for name, split in zip(SPLITS, splits, strict=True) for i in range(len(split))],
        data.notes,
        torch.cat(maps) if maps else None,
    )
