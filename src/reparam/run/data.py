"""A run's data, read as its configuration says."""

from reparam.core.spec import Spec
from reparam.data import Dataset
from reparam.data import load as load_data
from reparam.data.dataset import SPLITS
from reparam.errors import DataError
from reparam.importing import TYPED
from reparam.run.config import RunConfig


def open_data(config: RunConfig, shape: Spec | None = None, typed: str | None = None) -> Dataset:
    """Loads the data of `config`, or another data set that the user has `typed`, as `config` reads it; with `shape`, raises
    DataError unless its images have the run's shape."""
    spec = config.data.data if typed is None else typed
    dataset = load_data(spec, config.data, origin=config.origin if typed is None else TYPED)
    if shape and dataset.shape != shape.image_shape:
        raise DataError(
            f"'{spec}' has images of shape {dataset.shape} and the model takes {shape.image_shape}: use --size, --colour, "
            "or the data that the run was trained on"
        )
    if config.task.task == "labelled" and any(bool((dataset.split(name).labels < 0).any()) for name in SPLITS):
        raise DataError(f"'{spec}' has images without a label, and task 'labelled' goes by them: label or remove them")
    if shape and shape.map_values > len(dataset.map_values):
        raise DataError(
            f"'{spec}' has label maps of {len(dataset.map_values)} values and the model gives {shape.map_values}: use "
            "pairs:PATH, or the data that the run was trained on"
        )
    return dataset


def stored_spec(dataset: Dataset) -> Spec:
    """What the data alone decides about a model."""
    return Spec(dataset.shape, len(dataset.classes), len(dataset.map_values))
