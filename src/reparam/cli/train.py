"""`train`, `resume` and `relocate`."""

import dataclasses
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reparam.cli.common import (
    TRUST,
    answer,
    example,
    json_option,
    progress,
    run_argument,
    show_json,
    trust_option,
    trusted,
)
from reparam.cli.options import UserPath, unset_option
from reparam.errors import ConfigError
from reparam.terminal import SIGNALLED, is_first, output

if TYPE_CHECKING:
    from reparam.models import Family
    from reparam.run.folder import RunFolder
    from reparam.training import Outcome


class Training(click.Group):
    """`train MODEL`: one command a family, its options read off the family's dataclasses."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from reparam.models import MODELS

        return list(MODELS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command:
        from reparam.run.family import find_family

        return _train_command(name, find_family(name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from reparam.models import MODELS

        with formatter.section("Models"):
            formatter.write_dl([(name, family.summary) for name, family in MODELS.items()])


@click.command(
    cls=Training,
    subcommand_metavar="MODEL [OPTIONS]",
    epilog=example("reparam train vae --data mnist --recipe notes --epochs 10", "reparam train vae --help"),
)
def train() -> None:
    """Train a model: a name below, or package.module:NAME for one of your own."""


# What most people set; help shows these first, and the others by section.
BASIC = (
    "data", "out", "recipe", "size", "task", "network", "hidden", "latent", "likelihood", "epochs", "batch_size", "learning_rate",
    "keep", "patience", "seed", "device",
)  # fmt: skip
HEADINGS = {"data": "Data", "task": "Task", "options": "Model and objective", "training": "Training"}


class _Option(click.Option):
    """Knows under which heading help shows it."""

    heading = "Basic"
    section = "run"


class _TrainCommand(click.Command):
    """Help with basic options first, then a heading a section."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        by_heading: dict[str, list[tuple[str, str]]] = {"Basic": []}
        order = {name: place for place, name in enumerate(BASIC)}
        for parameter in sorted(self.get_params(ctx), key=lambda one: order.get(str(one.name), len(order))):
            record = parameter.get_help_record(ctx)
            if record:
                by_heading.setdefault(getattr(parameter, "heading", "Basic"), []).append(record)
        for heading, records in by_heading.items():
            with formatter.section(heading if heading == "Basic" else f"Advanced: {heading.lower()}"):
                formatter.write_dl(records)


def _train_command(name: str, family: "Family") -> click.Command:
    from reparam.run.config import fields, resolve

    recipes = "; ".join(f"{key}: {recipe.doc}" for key, recipe in family.recipes.items())
    parameters: list[click.Parameter] = [
        _Option(["--recipe"], default=None, metavar="NAME", help=recipes),
        _Option(["--out"], default=None, metavar="RUN", help="folder of the run (default: runs/MODEL-DATA-TIME)"),
        _Option(["--dry-run"], is_flag=True, help="print the resolved configuration and stop"),
        _Option(["--json", "as_json"], is_flag=True, help="print the outcome as JSON"),
        _Option(["--trust"], **TRUST | {"help": "let code run that a run of --augment, from elsewhere, names"}),
    ]
    defaults = resolve(name)
    for section, option, kind in fields(family):
        one = unset_option(option, kind, getattr(getattr(defaults, section), option), _Option)
        one.heading, one.section = "Basic" if option in BASIC else HEADINGS[section], section
        parameters.append(one)

    def run(recipe: str | None, out: str | None, dry_run: bool, as_json: bool, **options: Any) -> None:
        chosen = {key: value for key, value in options.items() if value is not None}
        config = resolve(name, recipe, **chosen)
        if not config.data.data:
            raise ConfigError(
                "which images? give --data NAME, folder:PATH or array:FILE ('reparam data list' lists the names)"
            )
        if dry_run:
            show_json(config.to_json(), indent=2)
            return
        from reparam.session import start

        _finish(*start(config, out, progress(), trusted()), as_json)

    return _TrainCommand(
        name,
        params=parameters,
        callback=run,
        help=f"{family.summary[0].upper()}{family.summary[1:]}.\n\n{family.citation}.",
        short_help=family.summary,
        epilog=example(f"reparam train {name} --data mnist --epochs 10 --out runs/{name.rsplit(':', 1)[-1]}"),
    )


def _finish(folder: "RunFolder", outcome: "Outcome", as_json: bool) -> None:
    from reparam.progress import reached

    best = outcome.best if math.isfinite(outcome.best) else None  # of a run without validation
    facts = {"run": str(folder.path), **dataclasses.asdict(outcome), "best": best}
    del facts["signal"]  # the exit code says it
    if as_json and is_first():
        show_json(facts)
    elif is_first():
        weights = folder.weights_facts() if folder.weights_path.exists() else None
        which = f"; kept weights: {weights.kept}, of step {weights.step:,}" if weights else ""
        steps = reached(outcome.step, outcome.epoch, folder.status().steps)
        output(f"{outcome.state}: {steps} in {outcome.seconds:.0f} s{which}")
        path = shlex.quote(str(folder.path))
        output(f"run: {folder.path}")
        if outcome.state == "interrupted":
            output(f"continue with: reparam resume {path}")
        else:
            output(f"next: reparam evaluate {path}; reparam report {path}")
    if outcome.state == "interrupted":
        raise SystemExit(SIGNALLED + outcome.signal)


class _ResumeCommand(click.Command):
    """Answers options of `train` with the command that serves: a run continues as it was begun."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if advice := _of_a_new_run(error.option_name, words):
                raise ConfigError(advice) from None
            raise


def _of_a_new_run(option: str, words: list[str]) -> str:
    """What helps where an option of `train` was given to `resume`; empty for another option."""
    from reparam.run.command import training_command
    from reparam.run.config import TrainingOptions
    from reparam.run.folder import RunFolder

    name = option.lstrip("-").replace("-", "_")
    if name not in {field.name for field in dataclasses.fields(TrainingOptions)}:
        return ""
    why = f"'resume' continues a run as it was begun, without {option}: to train its weights on otherwise, start a new run with "
    path = next((Path(word) for word in words if (Path(word) / "run.json").is_file()), None)
    if path is None:
        return f"{why}'reparam train MODEL --init-from RUN {option} ...'"
    parts = [part for word in words for part in (word.split("=", 1) if word.startswith(f"{option}=") else [word])]
    value = next(iter(parts[parts.index(option) + 1 :]), "...")
    start = {"init_from": str(path.absolute())} if RunFolder(path).weights_path.exists() else {}
    return (
        why.removesuffix("with ")
        + f"with: {training_command(RunFolder(path).config(), path, **start, **{name: value})}"
    )


@click.command(cls=_ResumeCommand, epilog=example("reparam resume runs/vae"))
@run_argument
@click.option(
    "--damaged",
    type=click.Choice(["stop", "skip"]),
    help="From here on: images of folder and shards that cannot be read stop it, or are left out (default: as it began).",
)
@json_option
@trust_option
def resume(run: Path, damaged: Any, as_json: bool) -> None:
    """Continue a run exactly from its last checkpoint."""
    from reparam.run.folder import RunFolder
    from reparam.session import continue_run

    _finish(*continue_run(RunFolder(run, trusted()), progress(), damaged), as_json)


@click.command(epilog=example("reparam relocate runs/vae /mnt/photos"))
@run_argument
@click.argument("path", type=UserPath())
@json_option
@trust_option
def relocate(run: Path, path: Path, as_json: bool) -> None:
    """Say where the data of a run lies now: PATH, whose images are checked to be those that it was trained on."""
    from reparam.run import relocation
    from reparam.run.folder import RunFolder

    spec = relocation.relocate(RunFolder(run, trusted()), path)
    answer(as_json, {"run": str(run), "data": spec}, f"data of {run}: {spec}")


COMMANDS = (train, resume, relocate)
