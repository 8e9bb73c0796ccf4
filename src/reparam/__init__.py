"""Reparam: latent-variable image models. Train, measure honestly, look, and use.

`reparam.train(...)` trains, `reparam.load(run)` opens what was trained; models are plain `torch.nn.Module`s. Names are imported
when they are first used, so that `reparam --help` answers before torch is loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "train": "reparam.api",
    "resume": "reparam.api",
    "load": "reparam.run.loaded",
    "evaluate": "reparam.api",
    "Augmenter": "reparam.latent.augmentation",
    "Run": "reparam.run.loaded",
    "Family": "reparam.models",
    "Model": "reparam.models",
    "Recipe": "reparam.models",
    "Spec": "reparam.models",
    "ReparamError": "reparam.errors",
}

__all__ = [*_HOMES, "__version__"]

if TYPE_CHECKING:
    from reparam.api import evaluate, resume, train
    from reparam.errors import ReparamError
    from reparam.latent.augmentation import Augmenter
    from reparam.models import Family, Model, Recipe, Spec
    from reparam.run.loaded import Run, load


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'reparam' has no attribute '{name}'")
