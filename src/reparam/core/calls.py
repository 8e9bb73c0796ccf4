"""Calls from Python: arguments of their annotated types and within their bounds, or a line that says which is not.

What the command refuses as an option, a call refuses as an argument. Tensors are left to `reparam.data.values`, which knows more
of them.
"""

import functools
import inspect
import operator
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeVar, Union

import torch
from pydantic import Field, InstanceOf, TypeAdapter, ValidationError

from reparam.core.limits import check_size
from reparam.errors import ConfigError, short, suggest

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Count = Annotated[int, Field(ge=1)]


class Remedy(NamedTuple):
    """Marks an argument: what a refusal of its value advises."""

    text: str


_instance: Any = InstanceOf
_PLAIN = (Any, int, float, str, bool, bytes, types.NoneType)


def checked(function: F) -> F:
    """A function that raises ConfigError for an argument of another type than it states, or out of bounds; for one that is
    missing or unknown; and where torch's default dtype or device is not that of models."""
    signature = inspect.signature(function)
    name = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]

    @functools.cache
    def kinds() -> dict[str, tuple[Any, TypeAdapter[Any]]]:
        hints = typing.get_type_hints(function, include_extras=True)
        own = {
            key: hints[key] for key in signature.parameters if key in hints and torch.Tensor not in _members(hints[key])
        }
        return {key: (hint, TypeAdapter(_kind(hint))) for key, hint in own.items()}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        _check_defaults()
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            unknown = [key for key in kwargs if key not in signature.parameters]
            if unknown:
                known = [key for key in signature.parameters if key != "self"]
                raise ConfigError(f"{name} has no argument '{unknown[0]}'{suggest(unknown[0], known)}") from None
            raise ConfigError(f"{name}: {error}") from None
        for key, (hint, adapter) in kinds().items():
            if key in given and signature.parameters[key].kind is not inspect.Parameter.VAR_KEYWORD:
                _check(f"{key}' of '{name}", hint, adapter, given[key])
        return function(*args, **kwargs)

    return typing.cast(F, call)


def checked_methods(cls: C) -> C:
    """The class with its public methods, and how it is made, `checked`."""
    for name, method in list(vars(cls).items()):
        if inspect.isfunction(method) and (name == "__init__" or not name.startswith("_")):
            setattr(cls, name, checked(method))
    return cls


def _check(name: str, hint: Any, adapter: TypeAdapter[Any], value: Any) -> None:
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError as refusal:
        first, *others = dict.fromkeys(error["msg"] for error in refusal.errors())
        expected = " or ".join([first, *(other.removeprefix("Input should be ") for other in others)])
        remedies = [f"; {mark.text}" for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Remedy)]
        raise ConfigError(f"option '{name}': {expected}, got {short(value)}{''.join(remedies)}") from None
    if isinstance(value, str) and "\0" in value:
        raise ConfigError(f"option '{name}': text without the character NUL is expected, got {short(value)}")
    check_size(name, hint, value)


def _check_defaults() -> None:
    """Numbers are made without a dtype and a device in many places, of ours and of people's models."""
    if torch.get_default_dtype() != torch.float32:
        raise ConfigError(
            f"torch's default dtype is {torch.get_default_dtype()}, and models are of float32: call "
            "torch.set_default_dtype(torch.float32) before"
        )
    if torch.get_default_device().type != "cpu":
        raise ConfigError(
            f"torch's default device is {torch.get_default_device()}: call torch.set_default_device(None), and give device="
        )


def _members(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    return typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)


def _kind(hint: Any) -> Any:
    """A type as pydantic is to check it: of classes that are not Python's own, whether a value is an instance."""
    members = _members(hint)
    if len(members) > 1:
        return functools.reduce(operator.or_, map(_kind, members))
    plain = hint in _PLAIN or not isinstance(hint, type) or typing.get_origin(hint) is not None
    return hint if plain else _instance[hint]
