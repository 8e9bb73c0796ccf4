"""Options by part: a likelihood, a network, a prior or a task states its own options, where it is written.

Options of a part are its parameters that are annotated with a `Field`:

    def __init__(self, network: nn.Module | None, scale: Annotated[float, Field(gt=0, description="...")] = 1.0) -> None: ...

A section of the configuration chooses a part by name from a table, and inherits the options of all the table's parts, flat:

    class ModelOptions(options_of(LIKELIHOODS)):
        likelihood: choice(LIKELIHOODS, "p(x|z)") = "bernoulli"

`part(options, "likelihood")` is then the chosen part with its own options filled in. So an option is written once, the command
stays flat, and what belongs to a part that is not chosen can be refused.
"""

import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from reparam.errors import ConfigError, ReparamError, short, suggest

Part = Callable[..., Any]
Section = TypeVar("Section")


@functools.cache
def _adapters(section: Any) -> dict[str, TypeAdapter[Any]]:
    return {name: TypeAdapter(hint) for name, hint in typing.get_type_hints(section, include_extras=True).items()}


def refusal(error: Mapping[str, Any]) -> str:
    """What pydantic found wrong with a value, how numbers that belong in a tuple are written, and which choice is near."""
    value, remedy = error["input"], ""
    if error["type"] == "tuple_type" and isinstance(value, int | float | list):
        remedy = f": write {short(tuple(value) if isinstance(value, list) else (value,))}"
    if error["type"] == "literal_error" and isinstance(value, str):
        remedy = suggest(value, re.findall("'([^']+)'", error["ctx"]["expected"]))
    return f"{error['msg']}, got {short(value)}{remedy}"


def check_fields(options: Any, error: type[ReparamError] = ConfigError, strict: bool = True) -> None:
    """Raises `error` for a field of a dataclass whose value is not of its annotated type, or beyond its bounds."""
    for name, adapter in _adapters(type(options)).items():  # type: ignore[arg-type]
        value = getattr(options, name)
        try:
            adapter.validate_python(value, strict=strict)
        except ValidationError as found:
            raise error(f"option '{name}': {refusal(found.errors()[0])}") from None


def by_name(section: type[Section], options: Mapping[str, Any], what: str) -> Section:
    """An instance of a dataclass of options. Raises ConfigError for an unknown one, with the nearest."""
    known = [field.name for field in dataclasses.fields(section)]  # type: ignore[arg-type]
    for name in options:
        if name not in known:
            raise ConfigError(f"{what} has no option '{name}'{suggest(name, known)} (known: {', '.join(known)})")
    return section(**options)


class InEpochs:
    """Marks a field that is a length in epochs: it grows with the training where data are few."""


def lengths(section: type) -> list[str]:
    """The fields of a section that are lengths in epochs."""
    hints = typing.get_type_hints(section, include_extras=True)
    return [name for name, kind in hints.items() if InEpochs in getattr(kind, "__metadata__", ())]


class Table(NamedTuple):
    """Marks a field of a section: it names a part of this table."""

    parts: Mapping[str, Part]


def choice(parts: Mapping[str, Part], description: str) -> Any:
    """The type of a field that names a part of a table."""
    return Annotated[Literal[*parts], Field(description=description), Table(parts)]


class Option(NamedTuple):
    """Its annotated type, and its default."""

    kind: Any
    default: Any


@functools.cache
def own_options(part: Part) -> dict[str, Option]:
    """The options that a part states, by name."""
    return {
        parameter.name: Option(parameter.annotation, parameter.default)
        for parameter in inspect.signature(part).parameters.values()
        if any(isinstance(extra, FieldInfo) for extra in getattr(parameter.annotation, "__metadata__", ()))
    }


def options_of(*tables: Mapping[str, Part]) -> Any:
    """A frozen dataclass with the options of all parts of the tables, to inherit from. Parts may share an option: it must then be
    the same in each."""
    found: dict[str, Option] = {}
    for table in tables:
        for name, part in table.items():
            for option, own in own_options(part).items():
                if found.setdefault(option, own) != own:
                    raise TypeError(f"option '{option}' of '{name}' is another one elsewhere in its table: rename it")
    fields = [(name, one.kind, dataclasses.field(default=one.default)) for name, one in found.items()]
    return dataclasses.make_dataclass("Options", fields, frozen=True)


@functools.cache
def tables_of(section: type) -> dict[str, Mapping[str, Part]]:
    """For each field of a section that names a part, the table of these parts. Raises ConfigError where an option of a part has
    the name of another option of the section."""
    hints = typing.get_type_hints(section, include_extras=True)
    marks = {
        name: [m for m in getattr(kind, "__metadata__", ()) if isinstance(m, Table)] for name, kind in hints.items()
    }
    tables = {name: found[0].parts for name, found in marks.items() if found}
    for choice, table in tables.items():
        for name, one in table.items():
            for option, own in own_options(one).items():
                if hints[option] != own.kind:
                    raise ConfigError(
                        f"option '{option}' of {choice} '{name}' is another one in {section.__name__}: rename it"
                    )
    return tables


def fields_of(section: type) -> dict[str, Any]:
    """The annotated type of each field of a section; the options of parts behind the field that chooses the part."""
    hints, tables = typing.get_type_hints(section, include_extras=True), tables_of(section)
    of_parts = {
        choice: dict.fromkeys(option for one in table.values() for option in own_options(one))
        for choice, table in tables.items()
    }
    owned = {option for options in of_parts.values() for option in options}
    own = [field.name for field in dataclasses.fields(section) if field.name not in owned]
    return {name: hints[name] for field in own for name in (field, *of_parts.get(field, ()))}


def part(options: Any, choice: str) -> Any:
    """The part that the field `choice` names, with its own options filled in."""
    chosen = tables_of(options.__class__)[choice][getattr(options, choice)]
    return functools.partial(chosen, **{name: getattr(options, name) for name in own_options(chosen)})


def owners(section: type, option: str) -> tuple[str, tuple[str, ...]] | None:
    """(the choice, names of the parts) that an option belongs to; None for one that is every part's or nobody's."""
    for choice, table in tables_of(section).items():
        names = tuple(name for name, one in table.items() if option in own_options(one))
        if names and len(names) < len(table):
            return choice, names
    return None
