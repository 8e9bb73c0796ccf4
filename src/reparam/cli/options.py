"""Options of commands, read off the dataclasses that state them."""

import dataclasses
import functools
import importlib
import math
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from reparam.core.limits import LARGEST_INTEGER, LARGEST_NUMBER, bounds_of
from reparam.errors import ConfigError, flag, short

Option = TypeVar("Option", bound=click.Option)


class OptionsCommand(click.Command):
    """A command with the options of a dataclass, `module:NAME`, after its own and before those that every command has. They are
    read when they are needed: the import takes longer than the rest of `reparam --help`."""

    def __init__(self, *args: Any, options: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.options = options

    @functools.cached_property
    def of_dataclass(self) -> list[click.Option]:
        module, _, name = self.options.partition(":")
        return options_of(getattr(importlib.import_module(module), name))

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        own = super().get_params(ctx)
        last = [parameter for parameter in own if parameter.name in ("device", "as_json", "trust", "help")]
        return [*(parameter for parameter in own if parameter not in last), *self.of_dataclass, *last]


def options_of(section: type) -> list[click.Option]:
    """An option for each field of a dataclass that has a description: `Annotated[type, pydantic.Field(description=...)]`, with
    bounds (`ge`, `gt`, `le`, `lt`) and another name (`alias`) if any."""
    hints = typing.get_type_hints(section, include_extras=True)
    found = []
    for field in dataclasses.fields(section):
        if described := _described(hints[field.name]):
            settings = _settings(hints[field.name], field.default)
            found.append(
                click.Option([flag(described.alias or field.name), field.name], help=described.description, **settings)
            )
    return found


def unset_option(name: str, kind: Any, default: Any, cls: type[Option]) -> Option:
    """An option without a default (None: not given), so that only what was typed overrides a recipe; help shows `default`. Values
    stay strings: `reparam.run.config.resolve` converts and checks them."""
    described = _described(kind)
    kind = _plain(kind)
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
    text = described.description if described else name.replace("_", " ")
    text = f"{text}  [{shown}]" if shown not in (None, "") else text
    if kind is bool:
        return cls([f"{flag(name)}/{flag('no_' + name)}", name], default=None, help=text)
    return cls([flag(name), name], default=None, type=str, metavar=_metavar(kind), help=text)


def _described(kind: Any) -> Any:
    """The `Field` of an annotated type that has a description; None where there is none."""
    return next((extra for extra in getattr(kind, "__metadata__", ()) if getattr(extra, "description", None)), None)


def _plain(kind: Any) -> Any:
    """The type without annotations and None; text for what can be written in several ways."""
    if hasattr(kind, "__metadata__"):
        kind = get_args(kind)[0]
    if get_origin(kind) in (typing.Union, types.UnionType):
        kinds = [part for part in get_args(kind) if part is not types.NoneType]
        return _plain(kinds[0]) if len(kinds) == 1 else str
    return kind


def _metavar(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return "A,B,..."
    return {int: "INTEGER", float: "NUMBER", str: "TEXT"}.get(kind, "VALUE")


def _settings(kind: Any, default: Any) -> dict[str, Any]:
    """What click needs to know of an option of the annotated type `kind`."""
    bounds, kind = bounds_of(kind), _plain(_plain(kind))
    if kind is bool:
        return {"is_flag": True}
    settings: dict[str, Any] = {"type": kind, "default": default, "show_default": default not in (None, ())}
    if get_origin(kind) is Literal:
        settings["type"] = click.Choice(get_args(kind))
    elif get_origin(kind) is tuple:
        settings |= {"type": IntegerList(), "metavar": _metavar(kind)}
    elif kind in (int, float):
        low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
        limited = {int: WholeRange, float: FiniteRange}[kind]
        settings["type"] = limited(low, high, min_open="gt" in bounds, max_open="lt" in bounds)
    return settings


class UserPath(click.Path):
    """A path, with `~` for home folders where the shell has left it (`--out=~/x`)."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from reparam.files import user_path

        return user_path(value)


class WholeRange(click.IntRange):
    """A whole number in a range, no larger than what can be computed with where the range has no end."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number = int(super().convert(value, param, ctx))
        if self.max is None and number > LARGEST_INTEGER:
            self.fail(f"{short(number)} is above {LARGEST_INTEGER:,}", param, ctx)
        return number

    def _describe_range(self) -> str:
        """For help, where the end of a seed's range says nothing."""
        return super()._describe_range() if self.max is None or self.max < 2**62 else f"x>={self.min}"


class FiniteRange(click.FloatRange):
    """A number in a range, finite (without it, inf and nan pass) and such that it can be computed with."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        if abs(number) > LARGEST_NUMBER:
            self.fail(f"{value} is above {LARGEST_NUMBER:,.0f}", param, ctx)
        return number


class IntegerList(click.ParamType):
    """`A,B,...`"""

    name = "integers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            found = tuple(int(part) for part in value.split(",") if part.strip())
            if not found:
                raise ValueError("none")
            return found
        except ValueError:
            flag = param.opts[0] if param else ""
            raise ConfigError(f"{flag} '{value}' is no list of numbers: write for example 0,4,7") from None
