"""What several commands share: options, examples, opening a run."""

import dataclasses
import functools
import os
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click

from reparam.errors import ConfigError

if TYPE_CHECKING:
    from reparam.api import Run
    from reparam.training import Progress

USER_ERROR, INTERRUPTED = 2, 130


def example(*lines: str) -> str:
    """An epilog that click leaves as it is."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    help="cpu, cuda, cuda:N, mps, or auto: a CUDA GPU where there is one.",
)
seed_option = click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of random draws.")
# As in directions.DIRECTIONS, whose import takes seconds.
DIRECTIONS = "posterior, neutral, largest, largest-one, effect, effect-one, noise, class-covariance, class-means"
directions_option = click.option(
    "--directions", default="posterior", show_default=True, help=f"Along what images are moved: {DIRECTIONS}."
)
run_argument = click.argument("run", type=click.Path(path_type=Path))
data_option = click.option("--data", "spec", default=None, help="Images to take (default: the run's own).")


def run_command(*examples: str, **attributes: Any) -> Callable[[Callable[..., None]], click.Command]:
    """A command on a run: it takes RUN, --device and --json, and shows examples."""

    def decorate(function: Callable[..., None]) -> click.Command:
        command = click.command(epilog=example(*examples), **attributes)(run_argument(function))
        return json_option(device_option(command))  # last in the help

    return decorate


def index_option(text: str) -> Any:
    return click.option("--index", multiple=True, type=int, help=text)


class OptionsCommand(click.Command):
    """A command with the options of a dataclass of `reparam.reports.options` before its own. They are read when they are first
    needed: pydantic's import takes as long as the rest of `reparam --help`."""

    def __init__(self, *args: Any, options: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.options = options

    @functools.cached_property
    def of_dataclass(self) -> list[click.Option]:
        from reparam.reports import options

        return options_of(getattr(options, self.options))

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*self.of_dataclass, *super().get_params(ctx)]


def options_of(cls: type) -> list[click.Option]:
    """An option for each field of a dataclass that has a description: `Annotated[type, pydantic.Field(description=...)]`, with
    bounds (`ge`, `gt`, `le`) and another name (`alias`) if any."""
    hints = typing.get_type_hints(cls, include_extras=True)
    found = []
    for field in dataclasses.fields(cls):
        kind = hints[field.name]
        for extra in getattr(kind, "__metadata__", ()):
            if text := getattr(extra, "description", None):
                flag = "--" + (extra.alias or field.name).replace("_", "-")
                told = _typed(get_args(kind)[0], field.default, extra.metadata)
                found.append(click.Option([flag, field.name], help=text, **told))
    return found


def _typed(kind: Any, default: Any, metadata: list[Any]) -> dict[str, Any]:
    """What click is told of an option of type `kind`."""
    if get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(part for part in get_args(kind) if part is not types.NoneType)
    if kind is bool:
        return {"is_flag": True}
    bounds = {
        name: value
        for part in metadata
        for name in ("ge", "gt", "le")
        if (value := getattr(part, name, None)) is not None
    }
    told: dict[str, Any] = {"type": kind, "default": default, "show_default": default not in (None, ())}
    if get_origin(kind) is Literal:
        told["type"] = click.Choice(get_args(kind))
    elif get_origin(kind) is tuple:
        told |= {"type": IntegerList(), "metavar": "A,B,..."}
    elif bounds:
        low = bounds.get("ge", bounds.get("gt"))
        kinds = {int: click.IntRange, float: click.FloatRange}
        told["type"] = kinds[kind](low, bounds.get("le"), min_open="gt" in bounds)
    return told


class IntegerList(click.ParamType):
    """`A,B,...`"""

    name = "integers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in value.split(",") if part.strip())
        except ValueError:
            flag = param.opts[0] if param else ""
            raise ConfigError(f"{flag} '{value}' is no list of numbers: write for example 0,4,7") from None


def comma_list(option: str, text: str | None) -> list[str]:
    """`A,B`; not given is none. Given and empty (a shell variable that is not set) is an error, since none means all."""
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    if text is not None and not parts:
        raise click.UsageError(f"--{option} names nothing: write A,B or leave it out")
    return parts


def is_first() -> bool:
    """Whether this process speaks: there is no other, or it is the first of those that torchrun has started."""
    return os.environ.get("RANK", "0") == "0"


def progress() -> "Progress":
    """A bar on a terminal, else a line now and then; of several processes under torchrun the first one shows it."""
    from reparam.training import LineProgress, RichProgress, Silent

    if not is_first():
        return Silent()
    return RichProgress() if sys.stderr.isatty() else LineProgress()


def open_run(run: Path, device: str) -> "Run":
    from reparam.api import load

    return load(run, device)


def images_of(run: "Run", spec: str | None) -> Any:
    from reparam.run.data import open_data

    return run.dataset if spec is None else open_data(spec, run.config, run.spec)
