"""`array:FILE`: images that a program saved with numpy (.npy, .npz), as HDF5 or as a table (.csv). Pickles are never read.

Shapes: `N` images, `C H W` image, `D` classes. Images may be stored as [N, H, W], [N, H, W, C] or [N, C, H, W].
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reparam.data.dataset import SPLITS, Dataset, cut
from reparam.data.depth import Numbers, Settled, settle
from reparam.data.io.archives import ARRAY_FILES, GiB, ZipTree, require
from reparam.data.io.csv_pixels import read_csv
from reparam.data.io.hdf5 import SUFFIXES as HDF5
from reparam.data.io.hdf5 import open_hdf5
from reparam.data.io.npy import map_npy, read_npy
from reparam.data.io.on_disk import OnDiskImages
from reparam.data.io.resize import conform, manner
from reparam.data.options import ArrayFileOptions, ArrayOptions, spelled
from reparam.data.sources.array_layout import channels_first
from reparam.data.sources.array_names import Named, Pair, by_name
from reparam.data.sources.array_reading import ArrayReader, Stored
from reparam.data.splitting import fill_splits
from reparam.errors import DataError, escaped, suggest

_ARRAY_LIMIT = 64 * GiB
_MOST_CLASSES = 2**20  # of labels, each of which has a name
_REMEDY = "save images as integers or floats with numpy.save or numpy.savez"

Arrays = Mapping[str, Callable[[], np.ndarray]]  # by name; each is read when it is called


def load_array(path: Path, options: ArrayFileOptions) -> Dataset:
    """The images in a .npy, or those and optionally their labels in a .npz, a .h5 or a folder of .npy, by name (`by_name`).

    They may be those of splits: `train_images`, `x_val`, ...; a missing validation or test is a tenth of train, stratified.
    Without splits, all images are train at first. Arrays that are not needed are not read, and named in a note. Under `stream`
    images stay on disk. Raises `DataError` for objects, NaN, other shapes or types, and labels that do not fit.
    """
    require(path)
    if options.stream and not can_stay(path):
        raise DataError(
            f"{path} cannot be read at random places: numpy.save the images as a .npy, or leave --stream out"
        )
    with _opened(path) as arrays:
        return of_arrays(arrays, str(path), options, path if options.stream else None, options.workers)


def can_stay(path: Path) -> bool:
    """Whether images at `path` can be read one by one, where they are: in a .npy, or a folder of these."""
    return path.is_dir() or path.suffix.lower() == ".npy"


def of_arrays(
    arrays: Arrays, where: str, options: ArrayOptions, on_disk: Path | None = None, workers: int = 0
) -> Dataset:
    """The data set in arrays of these names, as `load_array`; `where` they are is told in errors. on_disk: the .npy or the folder
    of them in which the images stay, for so many `workers` to read."""
    named, pairs, parts = _parts(arrays, where, options)
    notes: list[str] = []
    missing = [split for split in SPLITS if split not in parts]
    if named.whole:
        notes.append("splits are 80 / 10 / 10 %, stratified, fixed by index")
    elif missing:
        notes.append(f"{' and '.join(missing)}: 10 % of the training images each, stratified, fixed by index")
    labels = _all_labels(parts)
    _check_range(labels, len(labels), f"labels of {where}")
    bounds = np.cumsum([len(parts[split][1]) if split in parts else 0 for split in SPLITS])
    given = np.split(np.arange(len(labels)), bounds[:-1])
    splits = fill_splits(given, [str(i) for i in range(len(labels))], labels.tolist(), where)
    stored = {name: _within(split, given, parts) for name, split in zip(SPLITS, splits, strict=True)}
    settled, order = settle(stored, options, where), np.concatenate(splits)
    if on_disk:
        reader = _reader(settled, on_disk, options, parts, pairs, notes)
        images: Tensor | OnDiskImages = OnDiskImages(reader, torch.from_numpy(order), workers=workers)
    else:
        images = _images(settled, where, options, parts, notes)[order]
    classes = tuple(str(i) for i in range(int(labels.max()) + 1))
    notes += [*settled.notes, *named.notes(), *_label_notes(pairs, labels[splits[0]], classes)]
    counts = [len(part) for part in splits]
    return cut(images, labels[order], counts, classes, tuple(dict.fromkeys(notes)), scale=settled.scale)


def read_arrays(path: Path, options: ArrayOptions) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """`all_of_arrays` of a file or folder. Raises as `load_array`."""
    require(path)
    with _opened(path) as arrays:
        return all_of_arrays(arrays, str(path), options)


def all_of_arrays(arrays: Arrays, where: str, options: ArrayOptions) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """All images in arrays of these names, [N, C, H, W] as `options` say, whatever splits the names are of, their labels [N], and
    notes."""
    named, _, parts = _parts(arrays, where, options, training=False)
    notes: list[str] = []
    settled = settle({"these images": [numbers for numbers, _ in parts.values()]}, options, where)
    images = _images(settled, where, options, parts, notes)
    return images, _all_labels(parts), tuple(dict.fromkeys((*named.notes(), *notes, *settled.notes)))


Parts = dict[str, tuple[Numbers, Tensor]]  # by split: images as they are stored, and their labels


def _parts(
    arrays: Arrays, where: str, options: ArrayOptions, training: bool = True
) -> tuple[Named, dict[str, Pair], Parts]:
    """What the arrays are called, and the images and labels of each split; all images are `train`."""
    named = by_name(arrays)
    pairs = _chosen(named, where, arrays, training)
    return named, pairs, {split: _part(arrays, pairs[split], where, options) for split in SPLITS if split in pairs}


def _all_labels(parts: Parts) -> Tensor:
    """Of all splits, one after the other."""
    return torch.cat([labels for _, labels in parts.values()])


def _images(settled: Settled, where: str, options: ArrayOptions, parts: Parts, notes: list[str]) -> Tensor:
    """Of all splits, one after the other, [N, C, H, W] as `options` say."""
    found = [_fitted(settled.images(numbers), options, settled.scale.levels, notes) for numbers, _ in parts.values()]
    _require_one_shape(found, where)
    return torch.cat(found)


def _reader(
    settled: Settled, path: Path, options: ArrayOptions, parts: Parts, pairs: Mapping[str, Pair], notes: list[str]
) -> ArrayReader:
    """What reads the same from the .npy, or the folder of them, at `path`."""
    firsts = [replace(numbers, rows=np.zeros(1, np.int64)) for numbers, _ in parts.values()]
    found = [_fitted(settled.images(first), options, settled.scale.levels, notes) for first in firsts]
    _require_one_shape(found, str(path))
    files = [path / f"{pairs[split].images}.npy" if path.is_dir() else path for split in parts]
    stored = [
        Stored(file, len(numbers), settled.of(numbers))
        for file, (numbers, _) in zip(files, parts.values(), strict=True)
    ]
    channels, height, width = found[0].shape[1:]
    return ArrayReader(stored, (channels, height, width), options, _REMEDY)


def _require_one_shape(splits: Sequence[Tensor], where: str) -> None:
    if len({images.shape[1:] for images in splits}) > 1:
        raise DataError(f"{where}: splits differ in image shape: give one, or --size and --colour")


@contextmanager
def _opened(path: Path) -> Iterator[Arrays]:
    """The arrays at `path`, none of which is read yet. Raises `DataError` where there can be none."""
    kind = path.suffix.lower()
    if path.is_dir():
        files = sorted(path.glob("*.npy"))
        yield {file.stem: partial(map_npy, file, _REMEDY) for file in files}
    elif kind == ".npy":
        yield {"images": partial(map_npy, path, _REMEDY)}
    elif kind == ".npz":
        with ZipTree(path, member_limit=_ARRAY_LIMIT) as tree:
            names = [name for name in tree.names if name.endswith(".npy")]
            yield {name.removesuffix(".npy"): partial(_member, tree, name) for name in names}
    elif kind in HDF5:
        with open_hdf5(path) as arrays:
            yield arrays
    elif kind == ".csv":
        yield {name: partial(np.asarray, array) for name, array in read_csv(path).items()}
    else:
        raise DataError(f"{path} is none of {', '.join(ARRAY_FILES)}: {_REMEDY}")


def _member(tree: ZipTree, name: str) -> np.ndarray:
    return read_npy(tree.open(name).read(), f"{tree.where}: '{escaped(name)}'", _REMEDY)


def _chosen(named: Named, where: str, arrays: Arrays, training: bool) -> dict[str, Pair]:
    """The names of the arrays by split; those of all images as `train`. Raises `DataError` where names do not tell, or of splits
    there is none for `training`."""
    if named.whole and named.by_split:
        first = next(iter(named.by_split.values())).images
        raise DataError(
            f"{where} holds both '{named.whole.images}' and '{first}', all images and a split's: keep one of the two"
        )
    if named.whole:
        return {"train": named.whole}
    if not named.by_split or (training and "train" not in named.by_split):
        known = ["images", *(f"{split}_images" for split in SPLITS)]
        near = next(filter(None, (suggest(key, known) for key in arrays)), "")
        listed = [escaped(name) for name in arrays]
        found = ", ".join(listed[:10]) + ", ..." * (len(listed) > 10) or "no arrays"
        raise DataError(f"{where} holds {found}: name the images 'images' or 'train_images'{near}")
    return named.by_split


def _part(arrays: Arrays, pair: Pair, where: str, options: ArrayOptions) -> tuple[Numbers, Tensor]:
    """Images [N, C, H, W] as they are stored, and labels [N]."""
    place, stored = f"{where}: '{escaped(pair.images)}'", arrays[pair.images]()
    if not stored.size:
        raise DataError(f"{place} is empty (shape {stored.shape}): {_REMEDY}")
    images = channels_first(stored, place, options.layout)
    labels = arrays[pair.labels]() if pair.labels else None
    return Numbers(images, place), _labels(labels, len(images), f"{where}: '{escaped(pair.labels or '')}'")


def _within(split: np.ndarray, given: Sequence[np.ndarray], parts: Parts) -> list[Numbers]:
    """The images of a final split, by the arrays that hold them; `given` are the places of each array's images."""
    found = []
    for name, places in zip(SPLITS, given, strict=True):
        rows = np.intersect1d(split, places, assume_unique=True)
        if len(rows):
            numbers = parts[name][0]
            found.append(numbers if len(rows) == len(numbers) else replace(numbers, rows=rows - places[0]))
    return found


def _fitted(images: Tensor, options: ArrayOptions, levels: int, notes: list[str]) -> Tensor:
    """[N, C', H', W'] as `options` say."""
    found = conform(images, options, levels)
    if found.shape[2:] != images.shape[2:]:
        before, after = (spelled((height, width)) for *_, height, width in (images.shape, found.shape))
        how = manner(options.crop, (found.shape[2], found.shape[3]))
        notes.append(f"images of {before} pixels (height x width) are {how} to {after}")
    return found


def _label_notes(pairs: Mapping[str, Pair], train: Tensor, classes: tuple[str, ...]) -> Iterator[str]:
    """What is odd about labels: a split without any, classes that are not in training [n], numbers from 1."""
    without = [split for split, pair in pairs.items() if pair.labels is None]
    if classes and without:
        yield f"images without labels: those of {' and '.join(without)}"
    unseen = [name for label, name in enumerate(classes) if not bool((train == label).any())]
    if unseen:
        why = " (do labels run from 1? subtract 1)" if unseen == ["0"] else ""
        yield f"classes without a training image, which no model can learn: {', '.join(unseen[:5])}{why}"


def _labels(labels: np.ndarray | None, n: int, where: str) -> Tensor:
    if labels is None:
        return torch.full((n,), -1)
    if labels.ndim == 2 and labels.shape[1] > 1 and len(labels) == n and _one_hot(labels):
        labels = labels.argmax(1)
    if labels.shape not in ((n,), (n, 1)):
        raise DataError(f"{where} has shape {labels.shape} for {n:,} images: give one label an image, shape ({n},)")
    if labels.dtype.kind not in "iu":
        raise DataError(f"{where} are {labels.dtype}: give integers 0 to D - 1, and -1 for unlabelled")
    _check_range(labels, _MOST_CLASSES, where)  # of one split of few images, perhaps, or of new ones
    return torch.from_numpy(labels.reshape(n).astype(np.int64))


def _check_range(labels: np.ndarray | Tensor, classes: int, where: str) -> None:
    """Raises `DataError` for labels that are none of so many classes, -1 aside."""
    low, high = int(labels.min()), int(labels.max())
    if low < -1 or high >= max(classes, 2):
        raise DataError(
            f"{where} run from {low} to {high} for {len(labels):,} images: give 0 to D - 1, and -1 for unlabelled"
        )


def _one_hot(labels: np.ndarray) -> bool:
    """Whether each row [D] has a single 1 and is 0 elsewhere."""
    return labels.dtype.kind in "biuf" and bool(((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all())
