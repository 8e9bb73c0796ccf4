"""The family that a name stands for: a registered one, one at an import path, or one around modules that were adopted."""

import copy
from collections.abc import Callable
from typing import Any

from torch import nn

from reparam.errors import ConfigError, RunError, short, suggest
from reparam.importing import TYPED, Origin, import_object, is_import_path
from reparam.models import MODELS, Family
from reparam.models.adopted import adopted_family

IN_MEMORY: dict[str, object] = {}  # modules that this process has adopted, by the name that their run carries


def find_family(model: str, origin: Origin = TYPED, adopted: bool = False) -> Family:
    """A registered name, or `package.module:NAME` of a `Family` of one's own (typed, the current folder counts as a package
    path). `adopted`: or of modules, or a name of modules in this process's memory.

    Raises ConfigError with the nearest name, RunError where `origin` does not allow its code.
    """
    if not isinstance(model, str):
        raise ConfigError(f"a model is named by text, 'vae' or 'package.module:NAME', not by {short(model)}")
    if model in MODELS:
        return MODELS[model]
    if adopted and not is_import_path(model):
        return _in_memory(model)
    if not is_import_path(model):
        raise ConfigError(
            f"unknown model '{model}'{suggest(model, MODELS)} (known: {', '.join(MODELS)}; or package.module:NAME)"
        )
    found = import_object(model, "model", ConfigError, origin)
    if isinstance(found, Family):
        return found
    if not adopted:
        raise ConfigError(
            f"model '{model}' is a {type(found).__name__}, not a reparam.models.Family: derive one (docs/extending.md), or "
            "measure a model that is trained already with reparam.adopt"
        )
    return adopted_family(model, maker(found, model))


def maker(found: object, name: str) -> Callable[[], object]:
    """What makes modules anew: a factory, which is called without arguments, or copies of modules that are there."""

    def call() -> object:
        factory: Any = found
        try:
            return factory()
        except Exception as error:
            why = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise ConfigError(f"calling {name}() failed ({why}): give a function without arguments") from error

    modules = isinstance(found, nn.Module | tuple | list) or not callable(found)
    return (lambda: copy.deepcopy(found)) if modules else call


def _in_memory(model: str) -> Family:
    if model not in IN_MEMORY:
        raise RunError(
            f"the model '{model}' was adopted from the memory of another process, and is gone with it: reparam.adopt it again "
            "with the same out, or by the import path of a function that makes it"
        )
    return adopted_family(model, maker(IN_MEMORY[model], model))
