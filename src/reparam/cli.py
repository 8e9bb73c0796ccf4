"""The command. A thin layer over `reparam.api`; options of `train` are read off the families' dataclasses.

Only click is imported before a command runs, so that `reparam --help` answers at once.
"""

import dataclasses
import json
import os
import sys
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click

from reparam.errors import ConfigError, ReparamError

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.api import Run
    from reparam.models import Family
    from reparam.training import Outcome, Progress

USER_ERROR, INTERRUPTED = 2, 130


def main() -> None:
    """Runs the command; every error of the user's is one line on stderr and exit code 2, an interruption 130."""
    try:
        code = cli.main(prog_name="reparam", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        code = USER_ERROR
    except click.UsageError as error:
        hint = f" (see '{error.ctx.command_path} --help')" if error.ctx else ""
        code = _fail(error.format_message().rstrip(".") + hint)
    except (ReparamError, click.ClickException) as error:
        code = _fail(error.format_message() if isinstance(error, click.ClickException) else str(error))
    except (KeyboardInterrupt, click.Abort):
        code = INTERRUPTED
        click.echo("interrupted", err=True)
    except BrokenPipeError:
        # The reader of our output has gone; it knows why.
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        code = 0
    raise SystemExit(code or 0)


def _fail(message: str) -> int:
    click.echo(f"error: {' '.join(message.split())}", err=True)
    return USER_ERROR


def _example(*lines: str) -> str:
    """An epilog that click leaves as it is."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="reparam")
def cli() -> None:
    """Latent-variable image models: train, measure honestly, look, and use."""


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
device_option = click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:N, mps or auto.")
seed_option = click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
run_argument = click.argument("run", type=click.Path(path_type=Path))


# -- what there is ----------------------------------------------------------------------------------------------------


@cli.command(epilog=_example("reparam models"))
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


@cli.group()
def data() -> None:
    """List data sets, or fetch one."""


@data.command(name="list", epilog=_example("reparam data list"))
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


@data.command(epilog=_example("reparam data get mnist"))
@click.argument("name")
@click.option("--data-root", default=None, help="Folder to keep it in (default: $REPARAM_DATA, else the cache folder).")
@json_option
def get(name: str, data_root: str | None, as_json: bool) -> None:
    """Fetch a data set and say where it lies."""
    from reparam.data import DataOptions
    from reparam.data import get as fetch

    path = fetch(name, DataOptions(data_root=data_root))
    click.echo(json.dumps({"path": str(path)}) if as_json else str(path))


# -- train ------------------------------------------------------------------------------------------------------------


class Training(click.Group):
    """`train MODEL`: one command a family, its options read off the family's dataclasses."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from reparam.models import MODELS

        return list(MODELS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command:
        from reparam.config import find_family

        return _train_command(name, find_family(name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from reparam.models import MODELS

        with formatter.section("Models"):
            formatter.write_dl([(name, family.summary) for name, family in MODELS.items()])


@cli.command(
    cls=Training,
    subcommand_metavar="MODEL [OPTIONS]",
    epilog=_example("reparam train vae --data mnist --recipe notes --epochs 10", "reparam train vae --help"),
)
def train() -> None:
    """Train a model: a name below, or package.module:NAME for one of your own."""


class _Option(click.Option):
    """Knows which section of the configuration it belongs to."""

    section = "Run"


class _TrainCommand(click.Command):
    """Help with one heading a section."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        by_section: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record:
                by_section.setdefault(getattr(parameter, "section", "Run"), []).append(record)
        for section, records in by_section.items():
            with formatter.section(section):
                formatter.write_dl(records)


def _train_command(name: str, family: "Family") -> click.Command:
    from reparam.config import fields, resolve

    recipes = "; ".join(f"{key}: {recipe.doc}" for key, recipe in family.recipes.items())
    parameters: list[click.Parameter] = [
        _Option(["--recipe"], default="default", metavar="NAME", help=recipes),
        _Option(["--out"], default=None, metavar="RUN", help="folder of the run (default: runs/MODEL-DATA-TIME)"),
        _Option(["--dry-run"], is_flag=True, help="print the resolved configuration and stop"),
        _Option(["--json", "as_json"], is_flag=True, help="print the outcome as JSON"),
    ]
    defaults = resolve(name)
    for section, field in fields(family):
        parameters.append(_option(section, field, getattr(getattr(defaults, section), field.name)))

    def run(recipe: str, out: str | None, dry_run: bool, as_json: bool, **options: Any) -> None:
        chosen = {key: value for key, value in options.items() if value is not None}
        config = resolve(name, recipe, **chosen)
        if not config.data.data:
            raise ConfigError(
                "which images? give --data NAME, folder:PATH or array:FILE ('reparam data list' lists the names)"
            )
        if dry_run:
            click.echo(json.dumps(config.to_json(), indent=2))
            return
        from reparam.api import start

        trained, outcome = start(config, out, _progress())
        _finish(trained, outcome, as_json)

    return _TrainCommand(
        name,
        params=parameters,
        callback=run,
        help=f"{family.summary[0].upper()}{family.summary[1:]}.\n\n{family.citation}.",
        short_help=family.summary,
        epilog=_example(f"reparam train {name} --data mnist --epochs 10 --out runs/{name.rsplit(':', 1)[-1]}"),
    )


_HEADINGS = {"data": "Data", "task": "Task", "options": "Model and objective", "training": "Training"}


def _option(section: str, field: dataclasses.Field, default: Any) -> click.Option:
    """An option without a default of its own (None: not given), so that only what was typed overrides the recipe.

    Values stay strings: `config.resolve` converts and checks them, here as everywhere.
    """
    kind, description = _described(field)
    flag = f"--{field.name.replace('_', '-')}"
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
    text = f"{description}  [{shown}]" if shown not in (None, "") else description
    if kind is bool:
        option = _Option([f"{flag}/--no-{flag[2:]}", field.name], default=None, help=text)
    else:
        option = _Option([flag, field.name], default=None, type=str, metavar=_metavar(kind), help=text)
    option.section = _HEADINGS[section]
    return option


def _described(field: dataclasses.Field) -> tuple[Any, str]:
    """(type, description) of a dataclass field written `Annotated[type, Field(description=...)]`."""
    kind, description = field.type, field.name.replace("_", " ")
    if hasattr(kind, "__metadata__"):
        description = next((m.description for m in kind.__metadata__ if getattr(m, "description", None)), description)
        kind = get_args(kind)[0]
    return kind, description


def _metavar(kind: Any) -> str:
    if get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(part for part in get_args(kind) if part is not types.NoneType)
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return "A,B,..."
    return {int: "INTEGER", float: "NUMBER", str: "TEXT"}.get(kind, "VALUE")


def _progress() -> "Progress":
    from reparam.training import LineProgress, RichProgress

    return RichProgress() if sys.stderr.isatty() else LineProgress()


def _finish(run: "Run", outcome: "Outcome", as_json: bool) -> None:
    facts = {"run": str(run.path), **dataclasses.asdict(outcome)}
    if as_json:
        click.echo(json.dumps(facts))
    else:
        _, weights = run.folder.weights() if run.folder.weights_path.exists() else ({}, None)
        which = f"; kept weights: {weights['kept']}, of epoch {weights['epoch']:.2f}" if weights else ""
        click.echo(f"{outcome.state} at epoch {outcome.epoch:.2f} after {outcome.seconds:.0f} s{which}")
        click.echo(f"run: {run.path}")
        if outcome.state == "interrupted":
            click.echo(f"continue with: reparam resume {run.path}")
        else:
            click.echo(f"next: reparam evaluate {run.path}; reparam report {run.path}")
    if outcome.state == "interrupted":
        raise SystemExit(INTERRUPTED)


@cli.command(epilog=_example("reparam resume runs/vae"))
@run_argument
@json_option
def resume(run: Path, as_json: bool) -> None:
    """Continue a run exactly from its last checkpoint."""
    from reparam.api import proceed
    from reparam.runs import RunFolder

    _finish(*proceed(RunFolder(run), _progress()), as_json)


# -- measure and look -------------------------------------------------------------------------------------------------


def _open(run: Path, device: str) -> "Run":
    from reparam.api import load

    return load(run, device)


@cli.command(
    epilog=_example("reparam evaluate runs/vae", "reparam evaluate runs/vae --metrics elbo,nll --samples 5000")
)
@run_argument
@click.option("--metrics", default="", metavar="A,B,...", help="Which figures (default: all that the model allows).")
@click.option(
    "--samples", default=500, show_default=True, type=click.IntRange(min=1), help="Importance samples of nll."
)
@click.option("--nll-images", default=1000, show_default=True, type=click.IntRange(min=1), help="Test images for nll.")
@click.option(
    "--images", default=10_000, show_default=True, type=click.IntRange(min=2), help="Test images for the rest."
)
@seed_option
@device_option
@json_option
def evaluate(
    run: Path, metrics: str, samples: int, nll_images: int, images: int, seed: int, device: str, as_json: bool
) -> None:
    """Measure a run on its test images; writes RUN/evaluation.json."""
    from rich.console import Console

    from reparam.evaluation import EvaluationOptions
    from reparam.reports.tables import evaluation_table

    options = EvaluationOptions(seed=seed, samples=samples, nll_images=nll_images, images=images)
    opened = _open(run, device)
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    measures = opened.evaluate(names, options, _progress(), lambda text: click.echo(text, err=True))
    if as_json:
        click.echo(json.dumps({"metrics": {name: dataclasses.asdict(m) for name, m in measures.items()}}, indent=2))
    else:
        Console().print(evaluation_table(measures))
        click.echo(f"written: {opened.folder.evaluation_path}")


@cli.command(epilog=_example("reparam report runs/vae"))
@run_argument
@device_option
@json_option
def report(run: Path, device: str, as_json: bool) -> None:
    """Make RUN/report.html: pictures and numbers in one self-contained file."""
    path = _open(run, device).report()
    click.echo(json.dumps({"report": str(path)}) if as_json else f"report: {path}")


@cli.command(epilog=_example("reparam encode runs/vae --data mnist --out latents.npz"))
@run_argument
@click.option("--data", "spec", default=None, help="Images to encode (default: the run's own data).")
@click.option(
    "--split", default="test", show_default=True, help="train, validation, test or all (train and validation)."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="An .npz file.")
@device_option
@json_option
def encode(run: Path, spec: str | None, split: str, out: Path, device: str, as_json: bool) -> None:
    """Write the latents of images: arrays mean, scale [n, K], labels [n] and classes."""
    import numpy as np

    from reparam.data.tasks import to_float
    from reparam.files import write_atomically

    opened = _open(run, device)
    opened.require("encode", "encode images")
    dataset = _images(opened, spec)
    images = dataset.split(split)
    mean, scale = opened.encode(to_float(images.images))
    arrays = {"mean": mean.numpy(), "scale": scale.numpy(), "labels": images.labels.numpy(), "classes": dataset.classes}

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, **{key: np.asarray(value) for key, value in arrays.items()})  # type: ignore[arg-type]

    write_atomically(out, write)
    facts = {"out": str(out), "images": len(mean), "latent": mean.shape[1]}
    click.echo(json.dumps(facts) if as_json else f"{len(mean)} latents of size {mean.shape[1]}: {out}")


def _images(run: "Run", spec: str | None) -> Any:
    from reparam.api import open_data

    return run.dataset if spec is None else open_data(spec, run.config, run.spec)


def _chosen(run: "Run", spec: str | None, indices: Sequence[int], default: int) -> "Tensor":
    """Test images [n, C, H, W] by index, else the first `default`, as the run's task reads grey values."""
    import torch

    from reparam.data.tasks import to_float

    images = _images(run, spec).test.images
    for index in indices:
        if not 0 <= index < len(images):
            raise ConfigError(f"index {index} is outside the {len(images)} test images: choose 0 to {len(images) - 1}")
    return to_float(images[torch.tensor(list(indices) or list(range(min(default, len(images)))))])


def _picture_command(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every command which draws a picture has."""
    for option in (
        json_option,
        device_option,
        click.option("--out", required=True, type=click.Path(path_type=Path), help="A .png file."),
        run_argument,
    ):
        function = option(function)
    return function


data_option = click.option("--data", "spec", default=None, help="Images to take (default: the run's own test images).")


def _deliver(picture: Any, out: Path, as_json: bool) -> None:
    from reparam.reports.pictures import write_png

    if out.suffix.lower() != ".png":
        raise ConfigError(f"--out {out} must end in .png")
    write_png(out, picture)
    click.echo(json.dumps({"out": str(out)}) if as_json else f"picture: {out}")


@cli.command(epilog=_example("reparam sample runs/vae --n 64 --out samples.png"))
@click.option("--n", default=64, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--draw", is_flag=True, help="Draw from p(x|z) instead of showing its mean.")
@seed_option
@_picture_command
def sample(run: Path, out: Path, n: int, draw: bool, seed: int, device: str, as_json: bool) -> None:
    """New images: z from the prior, then the mean of p(x|z) or a draw from it."""
    from reparam.reports.figures import samples_picture

    _deliver(samples_picture(_open(run, device), n, seed, draw), out, as_json)


@cli.command(epilog=_example("reparam reconstruct runs/vae --out reconstructions.png"))
@data_option
@click.option("--index", multiple=True, type=int, help="Test images by number; repeat for several.")
@click.option("--n", default=16, show_default=True, type=click.IntRange(1, 1000), help="How many, without --index.")
@_picture_command
def reconstruct(
    run: Path, out: Path, spec: str | None, index: tuple[int, ...], n: int, device: str, as_json: bool
) -> None:
    """Originals above their reconstructions."""
    from reparam.reports.figures import reconstructions_picture

    opened = _open(run, device)
    _deliver(reconstructions_picture(opened, _chosen(opened, spec, index, n)), out, as_json)


@cli.command(epilog=_example("reparam interpolate runs/vae --index 3 --index 8 --out between.png"))
@data_option
@click.option("--index", multiple=True, type=int, help="Test images by number, taken in pairs (default: eight pairs).")
@click.option("--steps", default=11, show_default=True, type=click.IntRange(2, 100))
@_picture_command
def interpolate(
    run: Path, out: Path, spec: str | None, index: tuple[int, ...], steps: int, device: str, as_json: bool
) -> None:
    """Walks from one image to another through latent space, a row a pair."""
    from reparam.reports.figures import interpolations_picture

    opened = _open(run, device)
    images = _chosen(opened, spec, index, 16)
    if len(images) % 2 or len(images) < 2:
        raise ConfigError(
            f"interpolation takes images in pairs, and {len(images)} are no pairs: give --index an even number of times"
        )
    _deliver(interpolations_picture(opened, images[0::2], images[1::2], steps), out, as_json)


@cli.command(epilog=_example("reparam traverse runs/vae --index 3 --dimensions 0,4,7 --out traversal.png"))
@data_option
@click.option("--index", default=0, show_default=True, type=int, help="The test image to start from.")
@click.option("--dimensions", default="", metavar="A,B,...", help="Latents to move (default: the most active ones).")
@click.option(
    "--count", default=10, show_default=True, type=click.IntRange(1, 1000), help="How many, without --dimensions."
)
@click.option("--extent", default=3.0, show_default=True, type=click.FloatRange(min=0, min_open=True))
@click.option("--steps", default=11, show_default=True, type=click.IntRange(2, 100))
@_picture_command
def traverse(
    run: Path,
    out: Path,
    spec: str | None,
    index: int,
    dimensions: str,
    count: int,
    extent: float,
    steps: int,
    device: str,
    as_json: bool,
) -> None:
    """One latent at a time from -extent to +extent around an image's own, a row a latent."""
    from reparam.reports.figures import traversals_picture

    opened = _open(run, device)
    try:
        chosen = [int(part) for part in dimensions.split(",") if part.strip()]
    except ValueError:
        raise ConfigError(f"--dimensions '{dimensions}' is no list of numbers: write for example 0,4,7") from None
    image = _chosen(opened, spec, [index], 1)[0]
    _deliver(traversals_picture(opened, image, chosen or None, count, extent, steps), out, as_json)


@cli.command(epilog=_example("reparam grid runs/vae --out grid.png"))
@click.option("--extent", default=5.0, show_default=True, type=click.FloatRange(min=0, min_open=True))
@click.option("--steps", default=20, show_default=True, type=click.IntRange(2, 100))
@_picture_command
def grid(run: Path, out: Path, extent: float, steps: int, device: str, as_json: bool) -> None:
    """What the decoder makes over [-extent, extent]: a strip for one latent, a grid for two."""
    from reparam.reports.figures import grid_picture

    _deliver(grid_picture(_open(run, device), extent, steps), out, as_json)
