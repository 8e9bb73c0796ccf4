"""Bounds of numbers that are options. Free of pydantic, so that the command's help is quick."""

from typing import Any

from reparam.errors import ConfigError, short

# The upper bounds where a `Field` states none. The largest float32 is 3.4e38, and the square of a number has to be below it.
LARGEST_INTEGER, LARGEST_NUMBER = 10**9, 1e18


def bounds_of(kind: Any) -> dict[str, Any]:
    """The bounds that an annotated type states, by `ge`, `gt`, `le` and `lt`."""
    parts = [part for field in getattr(kind, "__metadata__", ()) for part in getattr(field, "metadata", ())]
    return {
        name: getattr(part, name)
        for part in parts
        for name in ("ge", "gt", "le", "lt")
        if getattr(part, name, None) is not None
    }


def check_size(name: str, kind: Any, value: Any) -> None:
    """Raises ConfigError for a number, or one in a tuple, with which nothing can be computed."""
    numbers = [one for one in (value if isinstance(value, tuple) else (value,)) if isinstance(one, int | float)]
    if bounds_of(kind).keys() & {"le", "lt"}:
        return
    for number in numbers:
        largest = LARGEST_NUMBER if isinstance(number, float) else LARGEST_INTEGER
        if abs(number) > largest:
            raise ConfigError(f"option '{name}' is too large: {short(number)} is above {largest:,.0f}")
