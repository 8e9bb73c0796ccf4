"""The family that a name stands for: a registered one, one at an import path, or one around modules that were adopted."""

import copy
import sys
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


def name_of(family: Family) -> str:
    """By which a run finds a family again: the name of a registered one, else the import path of a module that holds it, the
    session's own first. Raises ConfigError where none does."""
    for name, own in MODELS.items():
        if own is family:
            return name
    for module in dict.fromkeys(("__main__", *sys.modules)):
        for name, value in list(getattr(sys.modules.get(module), "__dict__", {}).items()):
            if value is family and not name.startswith("_"):
                return f"{module}:{name}"
    raise ConfigError(
        f"no module holds this Family, '{family.name}': give it a name there, MODEL = ..., and train(MODEL)"
    )


def is_made(found: object) -> bool:
    """Whether it is modules, or nothing that makes them."""
    return isinstance(found, nn.Module | tuple | list) or not callable(found)


def called(found: object, name: str) -> str:
    """What a factory is called, in words: its own name, or the import path `name`."""
    return name if is_import_path(name) else getattr(found, "__name__", name)


def maker(found: object, name: str) -> Callable[[], object]:
    """What makes modules anew: a factory, which is called without arguments, or copies of modules that are there."""

    def call() -> object:
        factory: Any = found
        try:
            return factory()
        except Exception as error:
            why = f"{type(error).__name__}: {error}".partition("\n")[0]
            remedy = "give a function without arguments" if isinstance(error, TypeError) else "mend it"
            raise ConfigError(f"calling {called(found, name)}() failed ({why}): {remedy}") from error

    return (lambda: copy.deepcopy(found)) if is_made(found) else call


def _in_memory(model: str) -> Family:
    if model not in IN_MEMORY:
        raise RunError(
            f"the model '{model}' was adopted from the memory of another process, and is gone with it: reparam.adopt it again "
            "with the same out, or by the import path of a function that makes it"
        )
    return adopted_family(model, maker(IN_MEMORY[model], model))
