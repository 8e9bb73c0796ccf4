"""Reparam: latent-variable image models. Train, measure honestly, look, and use.

`reparam.train(...)` trains, `reparam.load(run)` opens what was trained; models are plain `torch.nn.Module`s. Names are imported
when they are first used, so that `reparam --help` answers before torch is loaded.
"""

import random
from importlib import import_module
from typing import TYPE_CHECKING, Any

from reparam.version import __version__

_HOMES = {
    "metrics": "reparam.metrics",  # a module, the others are names in one
    "train": "reparam.api",
    "resume": "reparam.api",
    "load": "reparam.api",
    "evaluate": "reparam.api",
    "relocate": "reparam.api",
    "augment_test": "reparam.api",
    "adopt": "reparam.api",
    "Augmenter": "reparam.latent.augmentation",
    "Run": "reparam.api",
    "Decoder": "reparam.core.conditional",
    "Discriminator": "reparam.core.conditional",
    "Encoder": "reparam.core.conditional",
    "Family": "reparam.models",
    "Head": "reparam.core.conditional",
    "Prior": "reparam.core.conditional",
    "Model": "reparam.models",
    "Recipe": "reparam.models",
    "Spec": "reparam.models",
    "ReparamError": "reparam.errors",
}

__all__ = [*_HOMES, "__version__"]

if TYPE_CHECKING:
    from reparam import metrics
    from reparam.api import Run, adopt, augment_test, evaluate, load, relocate, resume, train
    from reparam.core.conditional import Decoder, Discriminator, Encoder, Head, Prior
    from reparam.errors import ReparamError
    from reparam.latent.augmentation import Augmenter
    from reparam.models import Family, Model, Recipe, Spec


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        state = random.getstate()
        try:
            home = import_module(_HOMES[name])
            return home if home.__name__ == f"{__name__}.{name}" else getattr(home, name)
        finally:
            random.setstate(state)  # importing rich draws random numbers
    raise AttributeError(f"module 'reparam' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
