"""Data sets: labelled images in memory, cut into train, validation and test.

`load(spec, options)` gives a `Dataset`; `DATASETS` is the table of what can be named; `get(name)` only downloads.
The names below are imported when first used, so that reading the options (for `--help`) does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reparam.data.dataset import Dataset, Images
    from reparam.data.loading import get, load
    from reparam.data.options import DataOptions
    from reparam.data.registry import DATASETS, Source

__all__ = ["DATASETS", "DataOptions", "Dataset", "Images", "Source", "get", "load"]

_MODULES = {
    "DATASETS": "registry",
    "DataOptions": "options",
    "Dataset": "dataset",
    "Images": "dataset",
    "Source": "registry",
    "get": "loading",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'reparam.data' has no attribute {name!r}")
    return getattr(import_module(f"reparam.data.{_MODULES[name]}"), name)
