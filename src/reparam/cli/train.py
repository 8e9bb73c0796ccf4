"""Models, data sets, `train` and `resume`."""

import dataclasses
import json
import shlex
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click

from reparam.cli.common import INTERRUPTED, comma_list, example, is_first, json_option, progress, run_argument
from reparam.errors import ConfigError

if TYPE_CHECKING:
    from reparam.models import Family
    from reparam.run.folder import RunFolder
    from reparam.training import Outcome

# -- what there is ----------------------------------------------------------------------------------------------------


@click.command(epilog=example("reparam models"))
@json_option
def models(as_json: bool) -> None:
    """List the models and their recipes."""
    from reparam.models import MODELS

    if as_json:
        click.echo(
            json.dumps(
                {
                    name: {
                        "summary": family.summary,
                        "citation": family.citation,
                        "recipes": {key: recipe.doc for key, recipe in family.recipes.items()},
                    }
                    for name, family in MODELS.items()
                },
                indent=2,
            )
        )
        return
    rows = [(name, recipe, doc.doc) for name, family in MODELS.items() for recipe, doc in family.recipes.items()]
    for name, family in MODELS.items():
        click.echo(f"{click.style(name, bold=True)}: {family.summary}\n  {family.citation}")
        for _, recipe, doc in (row for row in rows if row[0] == name):
            click.echo(f"    --recipe {recipe:10} {doc}")


@click.group()
def data() -> None:
    """List data sets, fetch one, or pack pictures for training on more than memory holds."""


@data.command(name="list", epilog=example("reparam data list"))
@json_option
def list_data(as_json: bool) -> None:
    """List what --data can name."""
    from reparam.data import DATASETS

    if as_json:
        rows = {
            name: {"summary": s.summary, "licence": s.licence, "images": s.n, "downloads": s.downloads}
            for name, s in DATASETS.items()
        }
        click.echo(json.dumps(rows, indent=2))
        return
    for name, source in DATASETS.items():
        counts = " / ".join(f"{n:,}" for n in source.n) if source.n else "as many as there are"
        how = "downloaded at first use" if source.downloads else "local"
        click.echo(f"{click.style(name, bold=True):24} {source.summary}\n    {counts} images; {how}; {source.licence}")


@data.command(epilog=example("reparam data get mnist"))
@click.argument("name")
@click.option("--data-root", default=None, help="Folder to keep it in (default: $REPARAM_DATA, else the cache folder).")
@json_option
def get(name: str, data_root: str | None, as_json: bool) -> None:
    """Fetch a data set and say where it lies."""
    from reparam.data import DataOptions
    from reparam.data import get as fetch

    path = fetch(name, DataOptions(data_root=data_root))
    click.echo(json.dumps({"path": str(path)}) if as_json else str(path))


@data.command(
    epilog=example(
        "reparam data shard photos --size 64 --out shards", "reparam train vae --data shards:shards --out runs/vae"
    )
)
@click.argument("source")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A folder that is not there yet.")
@click.option("--size", type=int, default=None, help="Side of the square images (default: chosen from the pictures).")
@click.option("--crop", default="centre", show_default=True, type=click.Choice(["centre", "none"]), help="Or squeeze.")
@click.option("--colour", default="auto", show_default=True, type=click.Choice(["auto", "grey", "rgb"]))
@click.option(
    "--split-sizes", default=None, metavar="A,B,C", help="Training, validation, test (default: 80 / 10 / 10 %)."
)
@click.option("--split-seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option("--mebibytes", default=256, show_default=True, type=click.IntRange(1, 65536), help="Of a file, about.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(0, 64), help="Processes that decode.")
@click.option(
    "--damaged",
    default="stop",
    show_default=True,
    type=click.Choice(["stop", "skip"]),
    help="Pictures that cannot be read.",
)
@json_option
def shard(
    source: str,
    out: Path,
    split_sizes: str | None,
    mebibytes: int,
    workers: int,
    damaged: Any,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Pack pictures into a few large files, for training on more than memory holds.

    SOURCE is a folder or zip of pictures (one subfolder a class), or anything else that --data can name; its pictures are read
    one by one.
    """
    from reparam.data import DataOptions, load
    from reparam.data.sources.shard_writing import write_shards

    bar = progress()
    if not Path(source).exists() and "/" in source.partition(":")[0]:
        raise click.UsageError(f"there is no {source}: name a folder or zip of pictures, or what --data can name")
    spec = f"folder:{source}" if Path(source).exists() else source
    if spec.startswith("folder:"):
        chosen |= {"stream": True, "damaged": damaged}
    try:
        sizes = tuple(int(part) for part in comma_list("split-sizes", split_sizes))
    except ValueError:
        raise click.UsageError(f"--split-sizes {split_sizes} are no whole numbers: write A,B,C") from None
    dataset = load(spec, DataOptions(**chosen, split_sizes=sizes), bar.note)
    skipped = write_shards(dataset, out, workers, damaged, mebibytes, bar.track)
    made = load(f"shards:{out}")
    counts = [len(made.split(split)) for split in ("train", "validation", "test")]
    if as_json:
        click.echo(json.dumps({"path": str(out), "images": counts, "skipped": skipped, "notes": made.notes}))
        return
    for line in (*dataset.notes, *(f"left out: {line}" for line in skipped)):
        bar.note(line)
    click.echo(f"shards: {out} ({sum(counts):,} images); train with --data shards:{out}")


# -- train ------------------------------------------------------------------------------------------------------------


class Training(click.Group):
    """`train MODEL`: one command a family, its options read off the family's dataclasses."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from reparam.models import MODELS

        return list(MODELS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command:
        from reparam.run.config import find_family

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
    ]
    defaults = resolve(name)
    for section, option, kind in fields(family):
        parameters.append(_option(section, option, kind, getattr(getattr(defaults, section), option)))

    def run(recipe: str | None, out: str | None, dry_run: bool, as_json: bool, **options: Any) -> None:
        chosen = {key: value for key, value in options.items() if value is not None}
        config = resolve(name, recipe, **chosen)
        if not config.data.data:
            raise ConfigError(
                "which images? give --data NAME, folder:PATH or array:FILE ('reparam data list' lists the names)"
            )
        if dry_run:
            click.echo(json.dumps(config.to_json(), indent=2))
            return
        from reparam.session import start

        _finish(*start(config, out, progress()), as_json)

    return _TrainCommand(
        name,
        params=parameters,
        callback=run,
        help=f"{family.summary[0].upper()}{family.summary[1:]}.\n\n{family.citation}.",
        short_help=family.summary,
        epilog=example(f"reparam train {name} --data mnist --epochs 10 --out runs/{name.rsplit(':', 1)[-1]}"),
    )


def _option(section: str, name: str, kind: Any, default: Any) -> click.Option:
    """An option without a default of its own (None: not given), so that only what was typed overrides the recipe.

    Values stay strings: `config.resolve` converts and checks them, here as everywhere.
    """
    description = name.replace("_", " ")
    if hasattr(kind, "__metadata__"):
        description = next((m.description for m in kind.__metadata__ if getattr(m, "description", None)), description)
        kind = get_args(kind)[0]
    flag = f"--{name.replace('_', '-')}"
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
    text = f"{description}  [{shown}]" if shown not in (None, "") else description
    if kind is bool:
        option = _Option([f"{flag}/--no-{flag[2:]}", name], default=None, help=text)
    else:
        option = _Option([flag, name], default=None, type=str, metavar=_metavar(kind), help=text)
    option.heading = "Basic" if name in BASIC else HEADINGS[section]
    option.section = section
    return option


def _metavar(kind: Any) -> str:
    if get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(part for part in get_args(kind) if part is not types.NoneType)
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return "A,B,..."
    return {int: "INTEGER", float: "NUMBER", str: "TEXT"}.get(kind, "VALUE")


def _finish(folder: "RunFolder", outcome: "Outcome", as_json: bool) -> None:
    facts = {"run": str(folder.path), **dataclasses.asdict(outcome)}
    if as_json and is_first():
        click.echo(json.dumps(facts))
    elif is_first():
        _, weights = folder.weights() if folder.weights_path.exists() else ({}, None)
        which = f"; kept weights: {weights['kept']}, of epoch {weights['epoch']:.2f}" if weights else ""
        click.echo(f"{outcome.state} at epoch {outcome.epoch:.2f} after {outcome.seconds:.0f} s{which}")
        path = shlex.quote(str(folder.path))
        click.echo(f"run: {folder.path}")
        if outcome.state == "interrupted":
            click.echo(f"continue with: reparam resume {path}")
        else:
            click.echo(f"next: reparam evaluate {path}; reparam report {path}")
    if outcome.state == "interrupted":
        raise SystemExit(INTERRUPTED)


@click.command(epilog=example("reparam resume runs/vae"))
@run_argument
@click.option(
    "--damaged",
    type=click.Choice(["stop", "skip"]),
    help="From here on: images on disk that cannot be read stop it, or others stand in (default: as it began).",
)
@json_option
def resume(run: Path, damaged: Any, as_json: bool) -> None:
    """Continue a run exactly from its last checkpoint."""
    from reparam.run.folder import RunFolder
    from reparam.session import continue_run

    _finish(*continue_run(RunFolder(run), progress(), damaged), as_json)


COMMANDS = (train, resume, models, data)
