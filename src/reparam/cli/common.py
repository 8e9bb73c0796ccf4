"""What several commands share: options, examples, opening a run."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reparam.cli.options import UserPath, WholeRange
from reparam.errors import ConfigError
from reparam.files import user_path
from reparam.terminal import output, say

if TYPE_CHECKING:
    from reparam.api import Run
    from reparam.data.new_pictures import NewPictures
    from reparam.training import Progress


T = TypeVar("T")


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
_TRUST = "reparam.trust"  # in a context: whether the user answers for the run


def _keep_trust(context: click.Context, option: click.Parameter, trust: bool) -> None:
    context.meta[_TRUST] = trust


def trusted() -> bool:
    """Whether --trust was typed."""
    return bool(click.get_current_context().meta.get(_TRUST))


TRUST: dict[str, Any] = {
    "is_flag": True,
    "expose_value": False,
    "callback": _keep_trust,
    "help": "Let code run that a run from elsewhere names by import path, from installed packages and PYTHONPATH. It can "
    "do all that you can.",
}
trust_option = click.option("--trust", **TRUST)
run_argument = click.argument("run", type=UserPath())


def new_images_options(command: Callable[..., T]) -> Callable[..., T]:
    """IMAGE... and --data: `new_pictures`."""
    images = click.argument("pictures", nargs=-1, type=UserPath(), metavar="[IMAGE...]")
    data = click.option(
        "--data", "spec", default=None, help="In place of IMAGE...: what train takes as --data, all of it."
    )
    return images(data(command))


def _refuse_data(context: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.UsageError(
            f"'{context.info_name}' takes the run's own images; where they lie elsewhere now, say so with 'reparam relocate "
            "RUN PATH', and to train on others, start a new run"
        )


# For commands that measure a run: what many try there, with what helps instead.
no_data_option = click.option("--data", hidden=True, expose_value=False, callback=_refuse_data)


def run_command(*examples: str, **attributes: Any) -> Callable[[Callable[..., None]], click.Command]:
    """A command on a run: it takes RUN, --trust, --device and --json, and shows examples."""

    def decorate(function: Callable[..., None]) -> click.Command:
        command = click.command(epilog=example(*examples), **attributes)(run_argument(function))
        return trust_option(json_option(device_option(command)))  # last in the help

    return decorate


def show_json(document: Any, indent: int | None = None) -> None:
    """Prints a document as the JSON that `--json` promises."""
    from reparam.files import json_text

    output(json_text(document, indent=indent))


def answer(as_json: bool, document: Any, text: str) -> None:
    """What a command has to say, in words or, under --json, as a document."""
    if as_json:
        show_json(document)
    else:
        output(text)


def index_option(text: str) -> Any:
    return click.option("--index", multiple=True, type=WholeRange(0), help=text)


def comma_list(option: str, text: str | None) -> list[str]:
    """`A,B`; not given is none. Given and empty (a shell variable that is not set) is an error, since none means all."""
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    if text is not None and not parts:
        raise click.UsageError(f"--{option} names nothing: write A,B or leave it out")
    return parts


def refuse_overwriting(written: Iterable[Path], read: Iterable[Path], out: Path) -> None:
    """Raises ConfigError where a file is both, under whatever names, or is written over one in a folder that is read."""
    targets, sources = ({os.path.realpath(path) for path in paths} for paths in (written, read))
    both = targets & sources | {
        path for path in targets for folder in sources if Path(folder) in Path(path).parents and Path(path).exists()
    }
    if both:
        raise ConfigError(f"--out {out} would overwrite {min(both)}, which is read: choose another")


def progress() -> "Progress":
    """`reparam.progress.usual_progress`, whose module takes long to import."""
    from reparam.progress import usual_progress

    return usual_progress()


def open_run(run: Path, device: str) -> "Run":
    from reparam.api import load

    opened = load(run, device, trusted())
    for note in opened.notes:
        say(note)
    return opened


def new_pictures(run: "Run", pictures: Sequence[Path], spec: str | None) -> "NewPictures | None":
    """The pictures IMAGE..., or those of --data; None where neither is given, which means the run's own images. Raises
    ConfigError where the command's --out would overwrite one of them."""
    from reparam.run.data import path_of

    if pictures and spec:
        raise ConfigError("IMAGE... and --data both name new pictures: give one of them")
    if not pictures and spec is None:
        return None
    if spec is not None and not spec.strip():  # a shell variable that is not set
        raise click.UsageError("--data names nothing: write what train takes, or leave it out for the run's own images")
    out: Path | None = click.get_current_context().params.get("out")
    if out is not None:
        named = [user_path(path) for path in (spec, path_of(spec)) if path] if spec else []
        refuse_overwriting([out], pictures or named, out)
    found = run.read(list(pictures) or str(spec))
    for note in found.notes:
        say(note)
    return found
