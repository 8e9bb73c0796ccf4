"""A run's data, read as its configuration says."""

import dataclasses
import shlex
from pathlib import Path

from reparam.core.spec import BYTES, Spec
from reparam.data import DATASETS, DataOptions, Dataset
from reparam.data import load as load_data
from reparam.data.dataset import SPLITS
from reparam.data.loading import as_read
from reparam.data.options import COLOURS
from reparam.data.scale import EIGHT_BITS, UNIT, Scale
from reparam.data.sources.in_python import IN_PYTHON
from reparam.errors import ConfigError, DataError
from reparam.importing import TYPED
from reparam.run.config import RunConfig
from reparam.run.documents import RunDocument


def open_data(
    config: RunConfig, shape: Spec | None = None, typed: str | None = None, given: Dataset | None = None
) -> Dataset:
    """Loads the data of `config`, or another data set that the user has `typed`, as `config` reads it, or takes what Python has
    `given`; with `shape`, raises DataError unless its images have the run's shape."""
    spec = config.data.data if typed is None else typed
    options = config.data if shape is None else _as_run(config, shape, spec)
    dataset = given or load_data(spec, options, origin=config.origin if typed is None else TYPED)
    if shape and dataset.shape != shape.image_shape:
        raise DataError(
            f"'{spec}' has images of shape {dataset.shape} (channels, height, width) and the model takes {shape.image_shape}: "
            "make them of that shape, or use the data that the run was trained on"
        )
    if config.task.task == "labelled" and any(bool((dataset.split(name).labels < 0).any()) for name in SPLITS):
        raise DataError(f"'{spec}' has images without a label, and task 'labelled' goes by them: label or remove them")
    if shape and shape.map_values > len(dataset.map_values):
        raise DataError(
            f"'{spec}' has label maps of {len(dataset.map_values)} values and the model gives {shape.map_values}: use "
            "pairs:PATH, or the data that the run was trained on"
        )
    return dataset


def _as_run(config: RunConfig, shape: Spec, spec: str) -> DataOptions:
    """How images come in the sides and levels that the run knows, whatever is the default of what `spec` names. Shards are
    settled, and functions of the user's do as they like."""
    kind = spec.partition(":")[0]
    if kind not in DATASETS or kind == "shards":
        return config.data
    return as_read(spec, dataclasses.replace(fitting(config, shape), colour=config.data.colour))


def fitting(config: RunConfig, shape: Spec) -> DataOptions:
    """How any images come in the run's size, colours and levels."""
    channels, *sides = shape.image_shape
    size, colour = f"{sides[0]}x{sides[1]}", COLOURS.get(channels, "auto")
    found = dataclasses.replace(config.data, size=size, colour=colour)
    # A run that knows bytes alone has read them so, whatever they were: also one of a version before there were other levels.
    return dataclasses.replace(found, depth="8") if shape.levels == BYTES and not found.range else found


def scale_of(config: RunConfig, shape: Spec) -> Scale:
    """What the numbers of the run's images were."""
    usual = EIGHT_BITS if shape.levels else UNIT
    low, high = config.data.range or (usual.low, usual.high)
    return Scale(low, high, shape.levels)


def require_task(config: RunConfig, dataset: Dataset) -> None:
    """Raises ConfigError where images have label maps, the model can learn them, and nobody has said whether it shall."""
    known, of_recipe = config.family.tasks, config.family.recipes[config.recipe].options
    stated = "task" in config.chosen or ("recipe" in config.chosen and "task" in of_recipe)
    if dataset.map_values and "segmentation" in known and config.task.task != "segmentation" and not stated:
        command = shlex.join(["reparam", "train", config.model, "--data", config.data.data, "--task", "segmentation"])
        raise ConfigError(
            f"these images have label maps, and model '{config.model}' has several tasks: '{command}' learns to predict them, "
            f"and --task {config.task.task} leaves them out"
        )


def with_found(config: RunConfig, dataset: Dataset) -> RunConfig:
    """`config` with the range of pixels and the labels of masks' values that were found, so that all images that the run is ever
    given are read alike. Bytes of 8 bits, floats in [0, 1], and masks that hold their labels are so anyway."""
    data = config.data
    if dataset.remap:
        data = dataclasses.replace(data, remap=dataset.remap)
    if dataset.scale.told or dataset.scale not in (EIGHT_BITS, UNIT):
        data = dataclasses.replace(data, range=(float(dataset.scale.low), float(dataset.scale.high)))
    return dataclasses.replace(config, data=data)


def own_data(run: Path, config: RunConfig, shape: Spec, given: Dataset | None = None) -> Dataset:
    """The data that a run was trained on, from where its run.json says, or `given`. Raises DataError where they are no longer
    there."""
    if given is None and config.data.data == IN_PYTHON:
        again = f"reparam.load({str(run)!r}, data=...), or reparam.resume({str(run)!r}, data=...)"
        raise DataError(
            f"the images of {run} were given in Python, and the run has their fingerprint alone: give them again, {again}"
        )
    try:
        return open_data(config, shape, given=given)
    except DataError as error:
        spec, place = config.data.data, path_of(config.data.data)
        elsewhere = f"say where it is with 'reparam relocate {shlex.quote(str(run))} PATH'"
        if place is not None and not place.exists():
            raise DataError(f"the data of {run} is not at {place}: put it back, or {elsewhere}") from error
        if spec in DATASETS and DATASETS[spec].path == "named":
            raise DataError(f"{error}; or {elsewhere}") from error
        raise


def check_fingerprint(run: Path, document: RunDocument, config: RunConfig, dataset: Dataset) -> None:
    """Raises DataError for other images than the run was trained on."""
    if dataset.fingerprint != document.data.fingerprint:
        elsewhere = (
            f", or name a copy with 'reparam relocate {shlex.quote(str(run))} PATH'"
            if can_move(config.data.data)
            else ""
        )
        raise DataError(
            f"'{config.data.data}' is not what {run} was trained on, and its test images may be among those that it has seen: "
            f"restore it{elsewhere}, or train a new run"
        )


def path_of(spec: str) -> Path | None:
    """The path of `KIND:PATH`; None where a spec has none."""
    kind, _, path = spec.partition(":")
    return Path(path) if kind in DATASETS and path else None


def can_move(spec: str) -> bool:
    """Whether data is at a path, which may be another one later."""
    kind = spec.partition(":")[0]
    return kind in DATASETS and DATASETS[kind].path != "none"


def stored_spec(dataset: Dataset) -> Spec:
    """What the data alone decides about a model."""
    return Spec(dataset.shape, len(dataset.classes), len(dataset.map_values), levels=dataset.scale.levels)
