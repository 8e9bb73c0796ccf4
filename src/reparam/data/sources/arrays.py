"""`array:FILE`: images that a program saved with numpy (.npy, .npz), as HDF5 or as a table (.csv). Pickles are never read.

Shapes: `N` images, `C H W` image, `D` classes. Images may be stored as [N, H, W], [N, H, W, C] or [N, C, H, W], C being 1 or 3.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reparam.data.dataset import SPLITS, Dataset, cut
from reparam.data.io.archives import GiB, ZipTree, require
from reparam.data.io.csv_pixels import read_csv
from reparam.data.io.hdf5 import SUFFIXES as HDF5
from reparam.data.io.hdf5 import open_hdf5
from reparam.data.io.npy import map_npy, read_npy
from reparam.data.io.resize import conform, manner
from reparam.data.options import ImageOptions, spelled
from reparam.data.sources.array_names import Named, Pair, by_name
from reparam.data.splitting import fill_splits
from reparam.data.values import scaling
from reparam.errors import DataError, escaped, suggest

ARRAY_FILES = (".npy", ".npz", *HDF5, ".csv")
_ARRAY_LIMIT = 64 * GiB
_CHUNK = 4096  # images checked and converted at a time
_REMEDY = "save images as uint8 0..255, or floats in [0, 1], with numpy.save or numpy.savez"

Arrays = Mapping[str, Callable[[], np.ndarray]]  # by name; each is read when it is called


def load_array(path: Path, options: ImageOptions) -> Dataset:
    """The images in a .npy, or those and optionally their labels in a .npz, a .h5 or a folder of .npy, by name (`by_name`).

    They may be those of splits: `train_images`, `x_val`, ...; a missing validation or test is a tenth of train, stratified.
    Without splits, all images are train at first. Arrays that are not needed are not read, and named in a note. Raises
    `DataError` for objects, NaN, values out of range, other shapes or types, and labels that do not fit.
    """
    require(path)
    with _opened(path) as arrays:
        return of_arrays(arrays, str(path), options)


def of_arrays(arrays: Arrays, where: str, options: ImageOptions) -> Dataset:
    """The data set in arrays of these names, as `load_array`; `where` they are is told in errors."""
    named, pairs, parts, notes = _parts(arrays, where, options)
    missing = [split for split in SPLITS if split not in parts]
    if named.whole:
        notes.append("splits are 80 / 10 / 10 %, stratified, fixed by index")
    elif missing:
        notes.append(f"{' and '.join(missing)}: 10 % of the training images each, stratified, fixed by index")
    images, labels = _joined(parts)
    bounds = np.cumsum([len(parts[split][1]) if split in parts else 0 for split in SPLITS])
    given = np.split(np.arange(len(labels)), bounds[:-1])
    splits = fill_splits(given, [str(i) for i in range(len(labels))], labels.tolist(), where)
    order = np.concatenate(splits)
    classes = tuple(str(i) for i in range(int(labels.max()) + 1))
    notes += [*named.notes(), *_label_notes(pairs, labels[splits[0]], classes)]
    return cut(images[order], labels[order], [len(part) for part in splits], classes, tuple(dict.fromkeys(notes)))


def read_arrays(path: Path, options: ImageOptions) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """All images at `path`, [N, C, H, W] as `options` say, whatever splits their names are of, their labels [N], and notes.
    Raises as `load_array`."""
    require(path)
    with _opened(path) as arrays:
        named, _, parts, notes = _parts(arrays, str(path), options, training=False)
    return *_joined(parts), tuple(dict.fromkeys((*named.notes(), *notes)))


def _parts(
    arrays: Arrays, where: str, options: ImageOptions, training: bool = True
) -> tuple[Named, dict[str, Pair], dict[str, tuple[Tensor, Tensor]], list[str]]:
    """What the arrays are called, and the images and labels of each split; all images are `train`."""
    notes: list[str] = []
    named = by_name(arrays)
    pairs = _chosen(named, where, arrays, training)
    parts = {split: _part(arrays, pair, where, options, notes) for split, pair in pairs.items()}
    if len({x.shape[1:] for x, _ in parts.values()}) > 1:
        raise DataError(f"{where}: splits differ in image shape: give one, or --size and --colour")
    return named, pairs, parts, notes


def _joined(parts: Mapping[str, tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Images and labels of all splits, one after the other."""
    images, labels = (torch.cat([parts[split][i] for split in SPLITS if split in parts]) for i in (0, 1))
    return images, labels


@contextmanager
def _opened(path: Path) -> Iterator[Arrays]:
    """The arrays at `path`, none of which is read yet. Raises `DataError` where there can be none."""
    if path.is_dir():
        files = sorted(path.glob("*.npy"))
        yield {file.stem: partial(map_npy, file, _REMEDY) for file in files}
    elif path.suffix == ".npy":
        yield {"images": partial(map_npy, path, _REMEDY)}
    elif path.suffix == ".npz":
        with ZipTree(path, member_limit=_ARRAY_LIMIT) as tree:
            names = [name for name in tree.names if name.endswith(".npy")]
            yield {name.removesuffix(".npy"): partial(_member, tree, name) for name in names}
    elif path.suffix.lower() in HDF5:
        with open_hdf5(path) as arrays:
            yield arrays
    elif path.suffix.lower() == ".csv":
        yield {name: partial(np.asarray, array) for name, array in read_csv(path).items()}
    else:
        raise DataError(f"{path} is neither .npy nor .npz, .h5 nor .csv: {_REMEDY}")


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


def _part(arrays: Arrays, pair: Pair, where: str, options: ImageOptions, notes: list[str]) -> tuple[Tensor, Tensor]:
    """Images uint8 [N, C, H, W] as `options` say, and labels [N]."""
    stored = as_pixels(arrays[pair.images](), f"{where}: '{escaped(pair.images)}'", notes)
    labels = arrays[pair.labels]() if pair.labels else None
    read = _labels(labels, len(stored), f"{where}: '{escaped(pair.labels or '')}'")
    images = conform(stored, options)
    if images.shape[2:] != stored.shape[2:]:
        before, after = (spelled((height, width)) for *_, height, width in (stored.shape, images.shape))
        how = manner(options.crop, (images.shape[2], images.shape[3]))
        notes.append(f"images of {before} pixels (height x width) are {how} to {after}")
    return images, read


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
    low, high = int(labels.min()), int(labels.max())
    if low < -1 or high >= max(n, 2):
        raise DataError(f"{where} run from {low} to {high} for {n:,} images: give 0 to D - 1, and -1 for unlabelled")
    return torch.from_numpy(labels.reshape(n).astype(np.int64))


def _one_hot(labels: np.ndarray) -> bool:
    """Whether each row [D] has a single 1 and is 0 elsewhere."""
    return labels.dtype.kind in "biuf" and bool(((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all())


def as_pixels(array: np.ndarray, where: str, notes: list[str]) -> Tensor:
    """uint8 [N, C, H, W] from any layout and type that is accepted."""
    if not array.size:
        raise DataError(f"{where} is empty (shape {array.shape}): {_REMEDY}")
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[-1] in (1, 3) and array.shape[1] not in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        remedy = "give [N, H, W], [N, H, W, C] or [N, C, H, W], C being 1 or 3"
        raise DataError(f"{where} has shape {array.shape}: {remedy} (flat rows: images.reshape(-1, height, width))")
    _check_type(array, where)
    out = np.empty(array.shape, np.uint8)
    for start in range(0, len(array), _CHUNK):
        part = slice(start, start + _CHUNK)
        out[part] = _levels(array, part, where)
    if np.issubdtype(array.dtype, np.floating):
        notes.append("floats in [0, 1] are rounded to 256 levels")
    elif out.max() == 1:
        out *= 255
        notes.append("values are 0 and 1 only: read as black and white")
    return torch.from_numpy(out)


def _check_type(array: np.ndarray, where: str) -> None:
    """Raises DataError for what is neither uint8 nor truth values nor floats."""
    if array.dtype in (np.uint8, np.bool_) or np.issubdtype(array.dtype, np.floating):
        return
    if array.dtype.kind not in "iu":  # for issubdtype, spans of time are integers too
        raise DataError(f"{where} are {array.dtype}: {_REMEDY}")
    low, high = int(array.min()), int(array.max())
    advice = scaling(low, high) or "images.astype('float32')"
    raise DataError(
        f"{where} are {array.dtype} from {low} to {high}, and should be uint8 or floats in [0, 1]: use {advice}"
    )


def _levels(array: np.ndarray, part: slice, where: str) -> np.ndarray:
    """Part of the images in 0..255. Raises DataError for NaN and values out of range, with advice by the range of all."""
    values = array[part]
    if not np.issubdtype(array.dtype, np.floating):
        return values
    low, high = float(values.min()), float(values.max())  # NaN where there is one
    if not -np.inf < low <= high < np.inf or scaling(low, high):
        low, high = float(array.min()), float(array.max())
        if not -np.inf < low <= high < np.inf:  # first, since nothing can be scaled by infinity
            raise DataError(
                f"{where} holds NaN or infinite pixels: drop those images, or use numpy.nan_to_num(images, nan=0, posinf=1, "
                "neginf=0)"
            )
        raise DataError(
            f"{where} run from {low:.6g} to {high:.6g} but floats must lie in [0, 1]: use {scaling(low, high)}"
        )
    return np.rint(values.clip(0, 1) * 255)
