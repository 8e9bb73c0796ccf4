"""From what `--data` names to the data set, fetched first where it is missing."""

import inspect
import os
import shlex
from collections.abc import Callable
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

from reparam.data.dataset import Dataset
from reparam.data.io.archives import ARRAY_FILES
from reparam.data.io.download import Say, differing, fetch
from reparam.data.options import ArrayOptions, DataOptions, ImageOptions
from reparam.data.registry import DATASETS, Source
from reparam.data.sources.in_python import EXPECTED, IN_PYTHON, as_dataset, is_images
from reparam.data.sources.pairs import has_pairs
from reparam.errors import DataError, escaped, flag, suggest
from reparam.files import cache_folder, user_path, why_not_read
from reparam.importing import TYPED, Origin, import_object, is_import_path


def load(
    spec: str,
    options: DataOptions = DataOptions(),  # noqa: B008
    say: Say = lambda line: None,
    origin: Origin = TYPED,
) -> Dataset:
    """The data set that `spec` names, fetched first where it is missing and can be fetched.

    `spec` is a name in `DATASETS`, `NAME:PATH` for a local copy, or `package.module:NAME` for a function of the user's,
    (options) -> Dataset, also found from the current folder. A name in the table wins over a module. `say` is given
    lines on what is being done. What a run names (`origin`) is not fetched, and its code runs only where it may. Raises
    `DataError`, in one line; RunError for code that may not run.
    """
    if spec == IN_PYTHON:
        raise DataError(
            "these images were given in Python: give them again, with data= of reparam.load or reparam.resume"
        )
    name, colon, rest = spec.partition(":")
    source = DATASETS.get(name)
    try:
        if source is None:
            return replace(_import(spec, options, origin), name=spec)
        _check(name, source, rest if colon else None, options)
        if source.path == "none":
            return replace(source.load(Path(), options), name=name)
        if colon:
            path = user_path(rest).absolute()
            return replace(source.load(path, options), name=f"{name}:{path}")
        if origin.run is not None and _is_missing(source, folder := _root(options) / name):
            where = f" --data-root {shlex.quote(str(_root(options)))}" if options.data_root else ""
            raise DataError(
                f"{name} is not at {folder}, and what a run names is not downloaded unasked: 'reparam data get {name}{where}' "
                "does it"
            )
        return replace(source.load(_locate(name, source, options, say), options), name=name)
    except OSError as error:
        raise DataError(why_not_read(error.filename or spec, error)) from error


def as_read(spec: str, options: DataOptions) -> DataOptions:
    """`options` without those that what `spec` names does not read: a run's options for other data than its own, of which nobody
    has typed them."""
    source = DATASETS.get(spec.partition(":")[0])
    foreign = _foreign(source.options if source else ArrayOptions, options)  # a function gives images in memory
    defaults: dict[str, Any] = {option.name: option.default for option in foreign}
    return replace(options, **defaults)


def get(name: str, options: DataOptions = DataOptions(), say: Say = lambda line: None) -> Path:  # noqa: B008
    """The folder of the named set, fetched if it is not there and verified if it is.

    Raises `DataError` where it cannot be fetched, or where files of the official names hold something else.
    """
    source = DATASETS.get(name)
    if source is None:
        raise DataError(_unknown(name))
    if source.download is None:
        raise DataError(f"{name} is not downloaded: {source.obtain}{_where_to_put(name, source, options)}")
    folder = _locate(name, source, options, say)
    there = [file for file in source.download.files if (folder / file.name).is_file()]
    if wrong := differing(there, folder):
        raise DataError(f"{folder / wrong[0]} differs from the published file: delete it and download again")
    return folder


def _locate(name: str, source: Source, options: DataOptions, say: Say) -> Path:
    """ROOT/NAME, filled if need be."""
    folder = _root(options) / name
    if source.download and _is_missing(source, folder):
        remedy = (
            f"put {', '.join(file.name for file in source.download.files)} into a folder DIR and give --data {name}:DIR, "
            f"or set REPARAM_DATA or --data-root to the folder that holds {name}/"
        )
        fetch(name, source.download, folder, say, remedy)
    elif not folder.exists():
        raise DataError(f"{name} is not at {folder}: {source.obtain}{_where_to_put(name, source, options)}")
    return folder


def _is_missing(source: Source, folder: Path) -> bool:
    """Whether a set that can be fetched is not there."""
    return bool(source.download and source.present and not source.present(folder))


def _root(options: DataOptions) -> Path:
    """The folder that holds the named sets."""
    chosen = options.data_root or os.environ.get("REPARAM_DATA")
    return user_path(chosen).absolute() if chosen else cache_folder() / "data"


def _where_to_put(name: str, source: Source, options: DataOptions) -> str:
    if source.path != "named":
        return f"; use it with --data {name}{':PATH' * (source.path == 'given')}"
    return f", put it into {_root(options) / name} or give --data {name}:DIR"


def _check(name: str, source: Source, path: str | None, options: DataOptions) -> None:
    """Refuses specs and options that do not make sense together."""
    if source.path == "given" and not path:
        raise DataError(f"'{name}' needs a path: --data {name}:{'FILE' if name == 'array' else 'PATH'}")
    if source.path == "none" and path is not None:
        raise DataError(f"'{name}' has no files: --data {name}")
    if path == "":
        raise DataError(f"no path after '{name}:': --data {name}, or {name}:DIR for a local copy")
    for option in _foreign(source.options, options):
        readers = ", ".join(_readers(option.name))
        raise DataError(f"{flag(option.name)} is for {readers}: leave it out for {name}")
    if source.reads("stream") and not options.stream and options.workers != DataOptions.workers:
        raise DataError("--workers is for images on disk: add --stream, or leave it out")


def _readers(option: str) -> list[str]:
    """The sources for which it means something; none for the folder of all named sets."""
    return [name for name, source in DATASETS.items() if source.reads(option)]


def _foreign(read: type[ImageOptions], options: DataOptions) -> list[Field[Any]]:
    """The options that are chosen and not among those that are `read`, but that some source reads."""
    own = {option.name for option in fields(read)}
    chosen = (option for option in fields(DataOptions) if getattr(options, option.name) != option.default)
    return [option for option in chosen if option.name not in own and _readers(option.name)]


def _import(spec: str, options: DataOptions, origin: Origin) -> Dataset:
    """What `package.module:NAME` returns."""
    if not is_import_path(spec):
        raise DataError(_unknown(spec))
    try:
        function = import_object(spec, "data set", DataError, origin)
    except DataError as error:
        misspelt = suggest(spec.partition(":")[0], DATASETS)
        raise (DataError(_unknown(spec)) if misspelt else error) from error.__cause__
    if is_images(function):  # no function, but what it would return
        return as_dataset(function, options, spec)
    if not callable(function):
        raise DataError(f"'{spec}' is no callable: it must be a function that returns a data set, or one itself")
    try:
        dataset = function(options) if _takes_options(function) else function()
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"'{spec}' failed ({type(error).__name__}: {error}): it is called with DataOptions, or with nothing where it takes "
            "nothing"
        ) from error
    if not is_images(dataset):
        raise DataError(f"{spec} returned {type(dataset).__name__}: {EXPECTED}")
    return as_dataset(dataset, options, spec)


def _takes_options(function: Callable[..., Any]) -> bool:
    """Whether it can be called with one argument."""
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # it does not say
        return True
    return True


def _unknown(spec: str) -> str:
    name = spec.partition(":")[0]
    if spec and (path := user_path(spec)).exists():
        kind = "array" if path.suffix.lower() in ARRAY_FILES else "pairs" if has_pairs(path) else "folder"
        return f"'{spec}' is not a data set: for your own files, --data {kind}:{spec}"
    known = ", ".join(name + ":PATH" * (source.path == "given") for name, source in DATASETS.items())
    name = escaped(name)
    near = suggest(name, DATASETS) or f", nor a file or folder of that name; known are {known}, and package.module:NAME"
    return f"no data set '{name}'{near}"
