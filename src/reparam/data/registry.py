"""What `--data` can name: the table of data sets, and `load`. To add one: a function, and a line in `DATASETS`."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from reparam.data.dataset import Dataset
from reparam.data.io import download
from reparam.data.io.download import Download, Say
from reparam.data.options import DataOptions
from reparam.data.sources import celeba, cifar, mnist, parts
from reparam.data.sources.arrays import load_array
from reparam.data.sources.digits import load_digits
from reparam.data.sources.folder import load_folder
from reparam.data.sources.pairs import has_pairs, load_pairs
from reparam.data.sources.shards import load_shards
from reparam.errors import DataError, suggest
from reparam.files import cache_folder
from reparam.importing import import_object, is_import_path


@dataclass(frozen=True)
class Source:
    """One row of the table.

    `load(path, options)` reads what lies at `path`. `path` says where that is: "named" sets lie in ROOT/NAME unless
    told otherwise, "given" ones only where the spec says, "none" need no files. `download` and `present(path)` go
    together; `obtain` says how else to come by the data. `n` is train, validation, test, where it is fixed.
    """

    load: Callable[[Path, DataOptions], Dataset]
    summary: str
    licence: str
    n: tuple[int, int, int] | None = None
    path: Literal["named", "given", "none"] = "named"
    download: Download | None = None
    present: Callable[[Path], bool] | None = None
    obtain: str = ""

    @property
    def downloads(self) -> bool:
        """Whether it is fetched when it is not there."""
        return self.download is not None


DATASETS: dict[str, Source] = {
    "mnist": Source(
        mnist.load_mnist,
        "handwritten digits, 28 x 28 grey, 10 classes",
        "freely available (LeCun, Cortes, Burges)",
        (50_000, 10_000, 10_000),
        download=mnist.MNIST,
        present=mnist.has_mnist,
    ),
    "fashion-mnist": Source(
        mnist.load_fashion_mnist,
        "clothes, 28 x 28 grey, 10 classes",
        "MIT (Zalando; Xiao et al. 2017)",
        (50_000, 10_000, 10_000),
        download=mnist.FASHION_MNIST,
        present=mnist.has_mnist,
    ),
    "cifar10": Source(
        cifar.load_cifar10,
        "things and animals, 32 x 32 RGB, 10 classes",
        "none stated (Krizhevsky 2009)",
        (45_000, 5_000, 10_000),
        download=cifar.DOWNLOAD,
        present=cifar.has_cifar10,
    ),
    "celeba": Source(
        celeba.load_celeba,
        "faces, 178 x 218 RGB cut and resized to 64 x 64, classes by attribute",
        "non-commercial research (Liu et al. 2015)",
        (162_770, 19_867, 19_962),
        obtain=celeba.OBTAIN,
    ),
    "digits": Source(
        load_digits,
        "handwritten digits, 8 x 8 grey, 10 classes; comes with scikit-learn",
        "CC BY 4.0 (Alpaydin, Kaynak 1998)",
        (1_197, 300, 300),
        path="none",
        obtain="it comes with scikit-learn, there is nothing to download",
    ),
    "folder": Source(
        load_folder,
        "folder:PATH, your own pictures, a folder or .zip, one subfolder a class",
        "yours",
        path="given",
        obtain="it is yours already",
    ),
    "pairs": Source(
        load_pairs,
        "pairs:PATH, your own pictures with label maps, a folder or .zip with images/ and masks/",
        "yours",
        path="given",
        obtain="it is yours already",
    ),
    "weizmann-horses": Source(
        load_pairs,
        "horses with figure/ground masks, 328 pairs, images/ and masks/ as for pairs",
        "none stated (Borenstein and Ullman 2002)",
        obtain="get the Weizmann horse database (Borenstein and Ullman), with images/ and masks/ of the same names",
    ),
    "cub": Source(
        parts.load_cub,
        "cub:PATH, Caltech-UCSD Birds-200-2011 with its segmentations, RGB, 200 classes",
        "non-commercial research (Wah et al. 2011)",
        (5_395, 599, 5_794),
        path="given",
        obtain=parts.OBTAIN_CUB,
    ),
    "lfw-parts": Source(
        parts.load_lfw_parts,
        "lfw-parts:PATH, faces with maps of skin and hair, RGB",
        "research (Huang et al. 2007, Kae et al. 2013)",
        (1_500, 500, 927),
        path="given",
        obtain=parts.OBTAIN_LFW,
    ),
    "shards": Source(
        load_shards,
        "shards:PATH, your own pictures packed by 'reparam data shard', for more than memory holds",
        "yours",
        path="given",
        obtain="make them with 'reparam data shard'",
    ),
    "array": Source(
        load_array,
        "array:FILE, your own images in a .npy or .npz",
        "yours",
        path="given",
        obtain="it is yours already",
    ),
}

_ONLY = {  # options that mean something for these alone
    "attributes": ("celeba",),
    "ignore": ("pairs", "weizmann-horses"),
    "split_sizes": ("folder", "pairs", "weizmann-horses"),
    "split_seed": ("folder", "pairs", "weizmann-horses"),
    "stream": ("folder",),
    "workers": ("folder", "shards"),
    "damaged": ("folder", "shards"),
}


def load(spec: str, options: DataOptions = DataOptions(), say: Say = lambda line: None) -> Dataset:  # noqa: B008
    """The data set that `spec` names, fetched first where it is missing and can be fetched.

    `spec` is a name in `DATASETS`, `NAME:PATH` for a local copy (those that are never fetched need one), or
    `package.module:NAME` for a callable of one's own, (options) -> Dataset, found from the current folder too. A name
    in the table wins over a module. `say` is given lines on what is being done. Raises `DataError`, in one line.
    """
    name, colon, rest = spec.partition(":")
    source = DATASETS.get(name)
    try:
        if source is None:
            return replace(_import(spec, options), name=spec)
        _check(name, source, rest if colon else None, options)
        if source.path == "none":
            return replace(source.load(Path(), options), name=name)
        if colon:
            path = Path(rest).expanduser().absolute()
            return replace(source.load(path, options), name=f"{name}:{path}")
        return replace(source.load(_locate(name, source, options, say), options), name=name)
    except OSError as error:
        raise DataError(f"cannot read {error.filename or spec} ({error.strerror or error}): check the path") from error


def get(name: str, options: DataOptions = DataOptions(), say: Say = lambda line: None) -> Path:  # noqa: B008
    """The folder where the named set lies, after fetching it if it is not there and verifying it if it is.

    Raises `DataError` where it cannot be fetched, or where files of the official names hold something else.
    """
    source = DATASETS.get(name)
    if source is None:
        raise DataError(_unknown(name))
    if source.download is None:
        raise DataError(f"{name} is not downloaded: {source.obtain}" + _where(name, source, options))
    folder = _locate(name, source, options, say)
    there = [file for file in source.download.files if (folder / file.name).is_file()]
    if wrong := download.differing(there, folder):
        raise DataError(f"{folder / wrong[0]} differs from the published file: delete it and download again")
    return folder


def _locate(name: str, source: Source, options: DataOptions, say: Say) -> Path:
    """ROOT/NAME, filled if need be."""
    folder = _root(options) / name
    if source.download and source.present and not source.present(folder):
        remedy = (
            f"put {', '.join(file.name for file in source.download.files)} into a folder DIR and give --data {name}:DIR, "
            f"or set REPARAM_DATA or --data-root to the folder that holds {name}/"
        )
        download.fetch(name, source.download, folder, say, remedy)
    elif not folder.exists():
        raise DataError(f"{name} is not at {folder}: {source.obtain}" + _where(name, source, options))
    return folder


def _root(options: DataOptions) -> Path:
    """The folder that holds the named sets."""
    chosen = options.data_root or os.environ.get("REPARAM_DATA")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return cache_folder() / "data"


def _where(name: str, source: Source, options: DataOptions) -> str:
    if source.path != "named":
        return f"; use it with --data {name}{':PATH' * (source.path == 'given')}"
    return f", put it into {_root(options) / name} or give --data {name}:DIR"


def _check(name: str, source: Source, path: str | None, options: DataOptions) -> None:
    """What a spec and options ask for together must make sense."""
    if source.path == "given" and not path:
        raise DataError(f"'{name}' wants a path: --data {name}:{'FILE' if name == 'array' else 'PATH'}")
    if source.path == "none" and path is not None:
        raise DataError(f"'{name}' has no files of its own: --data {name}")
    if path == "":
        raise DataError(f"no path after '{name}:': --data {name}, or {name}:DIR for a local copy")
    for option, names in _ONLY.items():
        if name not in names and getattr(options, option) != getattr(DataOptions, option):
            flag = option.replace("_", "-")
            raise DataError(f"option {flag} is for {', '.join(names)}: leave --{flag} out for {name}")
    for option in ("workers", "damaged"):
        if name == "folder" and not options.stream and getattr(options, option) != getattr(DataOptions, option):
            raise DataError(f"option {option} is for pictures on disk: add --stream, or leave --{option} out")


def _import(spec: str, options: DataOptions) -> Dataset:
    """What `package.module:NAME` makes."""
    if not is_import_path(spec):
        raise DataError(_unknown(spec))
    try:
        make = import_object(spec, "data set", DataError)
    except DataError as error:
        misspelt = suggest(spec.partition(":")[0], DATASETS)
        raise (DataError(_unknown(spec)) if misspelt else error) from error.__cause__
    if not callable(make):
        raise DataError(f"'{spec}' is no callable: it must be a function (options) -> reparam.data.Dataset")
    try:
        dataset = make(options)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"'{spec}' failed ({type(error).__name__}: {error}): it is called with DataOptions") from error
    if not isinstance(dataset, Dataset):
        raise DataError(f"{spec} returned {type(dataset).__name__}: it must return a reparam.data.Dataset")
    return dataset


def _unknown(spec: str) -> str:
    name = spec.partition(":")[0]
    if spec and Path(spec).exists():
        kind = "array" if Path(spec).suffix in (".npy", ".npz") else "pairs" if has_pairs(Path(spec)) else "folder"
        return f"'{spec}' is not a data set: for your own files, --data {kind}:{spec}"
    known = ", ".join(name + ":PATH" * (source.path == "given") for name, source in DATASETS.items())
    near = suggest(name, DATASETS) or f", nor a file or folder of that name; known are {known}, and package.module:NAME"
    return f"no data set '{name}'{near}"
