"""Writes docs/generated/*.md, the tables that follow the code: options, recipes, models, metrics, data, commands.

    python docs/generate.py            # rewrites docs/generated
    python docs/generate.py FOLDER     # writes elsewhere, as the test does that holds them up to date

Pages include what stands below the line `<!-- table -->` of these files.
"""

import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

import reparam
from reparam.cli.group import cli
from reparam.conditionals import LIKELIHOODS
from reparam.core.options import fields_of
from reparam.data import DATASETS
from reparam.data.tasks import TaskOptions, with_condition
from reparam.evaluation import METRICS
from reparam.latent.directions import DEFAULT, DIRECTIONS
from reparam.models import MODELS, Family, Spec
from reparam.reports.figures import FIGURES
from reparam.run.config import DataSection, TrainingOptions, resolve

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where the experiments are

from experiments.command import reproduce

MARK = "<!-- table -->"
HERE = Path(__file__).resolve().parent / "generated"


def main(folder: Path) -> None:
    """Writes every table into `folder` and removes tables that are no longer made."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = tables()
    for old in folder.glob("*.md"):
        if old.stem not in pages:
            old.unlink()
    for name, (title, body) in pages.items():
        note = "This table is made from the code by `docs/generate.py`; do not edit it."
        (folder / f"{name}.md").write_text(f"# {title}\n\n{note}\n\n{MARK}\n\n{body}\n", encoding="utf-8")


def tables() -> dict[str, tuple[str, str]]:
    """Title and Markdown of each table, by file name without suffix."""
    found = {
        "models": ("Models", models()),
        "metrics": ("Metrics", metrics()),
        "datasets": ("Data sets", datasets()),
        "likelihoods": ("Likelihoods", likelihoods()),
        "directions": ("Directions of moves in latent space", directions()),
        "figures": ("Figures of the report", figures()),
        "commands": ("Commands and their options", commands()),
        "api": ("Python reference", api()),
        "options-run": ("Options of every `reparam train MODEL`: the run", run_options()),
        "options-data": ("Options: data", options(DataSection)),
        "options-task": ("Options: task", options(TaskOptions)),
        "options-training": ("Options: training", options(TrainingOptions)),
    }
    for name, family in MODELS.items():
        found[f"options-{name}"] = (f"Options: model and objective of `{name}`", options(family.options))
        found[f"recipes-{name}"] = (f"Recipes of `{name}`", recipes(family))
    return found


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; bars inside cells are escaped."""
    lines = [
        [cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in (head, ["---"] * len(head), *rows)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def directions() -> str:
    needs = {"": "nothing", "head": "a head", "latents": "a pass over the training images"}
    rows = [
        (f"`{name}`" + (" (default)" if name == DEFAULT else ""), row.doc, needs[row.needs])
        for name, row in DIRECTIONS.items()
    ]
    return table(("`--directions`", "d", "needs"), rows)


def options(cls: type) -> str:
    """A row an option of a dataclass: flag, what it takes, default, description."""
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}
    rows = []
    for name, kind in fields_of(cls).items():
        extras: Sequence[Any] = ()
        if hasattr(kind, "__metadata__"):
            kind, extras = get_args(kind)[0], kind.__metadata__
        description = next((extra.description for extra in extras if getattr(extra, "description", None)), "")
        rows.append((f"`{flag(name, kind)}`", takes(kind, extras), shown(defaults[name]), description))
    return table(("option", "takes", "default", "what it is"), rows)


def flag(name: str, kind: Any) -> str:
    dashed = name.replace("_", "-")
    return f"--{dashed} / --no-{dashed}" if kind is bool else f"--{dashed}"


def takes(kind: Any, extras: Sequence[Any]) -> str:
    """`number > 0`, `a or b`, `integers A,B,...`: the type in words, with its bounds."""
    if get_origin(kind) in (typing.Union, types.UnionType):
        kinds = [part for part in get_args(kind) if part is not types.NoneType]
        if len(kinds) > 1:
            return " or ".join(takes(part, ()) for part in kinds)
        kind = kinds[0]
    if hasattr(kind, "__metadata__"):
        return takes(get_args(kind)[0], extras)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    if get_origin(kind) is tuple:
        several = {str: "names", float: "numbers"}.get(get_args(kind)[0], "integers")
        return f"{several} `A,B,...`"
    if kind is bool:
        return ""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    limits = [
        f"{sign} {bound if bound != 2**63 else '2^63'}"
        for extra in extras
        for part in getattr(extra, "metadata", ())
        for name, sign in signs.items()
        if (bound := getattr(part, name, None)) is not None
    ]
    return " ".join([{int: "integer", float: "number", str: "text"}[kind], ", ".join(limits)]).strip()


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    return "" if value in (None, "") else f"`{value}`"


def recipes(family: Family) -> str:
    """A row a recipe: name, what it is, the options that it sets."""
    return table(
        ("recipe", "what it is", "options that it sets"),
        [
            (
                f"`{name}`",
                recipe.doc,
                " ".join(f"`--{k.replace('_', '-')} {_plain(v)}`" for k, v in recipe.options.items()),
            )
            for name, recipe in family.recipes.items()
        ],
    )


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def models() -> str:
    rows = []
    for name, family in MODELS.items():
        config = resolve(name)
        abilities = family.build(config.options, with_condition(Spec((1, 28, 28), 10), config.task)).abilities
        rows.append(
            (
                f"[`{name}`](../models/{name}.md)",
                family.summary,
                ", ".join(sorted(abilities)),
                ", ".join(f"`{recipe}`" for recipe in family.recipes),
                family.citation,
            )
        )
    return table(("model", "what it is", "it can", "recipes", "source"), rows)


def metrics() -> str:
    rows = [(f"`{name}`", metric.doc, metric.meaning, f"`{metric.needs}`") for name, metric in METRICS.items()]
    return table(("metric", "what it is", "what it means", "ability that it needs"), rows)


def datasets() -> str:
    rows = []
    for name, source in DATASETS.items():
        counts = " / ".join(f"{n:,}" for n in source.n) if source.n else "as many as there are"
        how = "downloaded at first use" if source.downloads else source.obtain
        rows.append((f"`{name}`", source.summary, counts, how, source.licence))
    return table(("name", "what it is", "train / validation / test", "how to get it", "licence"), rows)


def likelihoods() -> str:
    rows = []
    for name, cls in LIKELIHOODS.items():
        doc = " ".join((cls.__doc__ or "").split("\n\n")[0].split())
        rows.append((f"`{name}`", doc, str(cls.parameters_per_pixel), cls.density))
    return table(("likelihood", "what it is", "outputs a pixel", "its log_prob is"), rows)


def figures() -> str:
    rows = [(figure.title, figure.caption, f"`{figure.needs}`" if figure.needs else "") for figure in FIGURES.values()]
    return table(("figure", "what to look for", "ability that it needs"), rows)


def run_options() -> str:
    train = cli.commands["train"]
    assert isinstance(train, click.Group)
    command = train.get_command(click.Context(train), next(iter(MODELS)))
    assert command
    rows = [_row(p) for p in command.params if getattr(p, "section", "") == "run"]
    return table(
        ("option", "default", "what it is"), [row if row[0] != "`--recipe`" else _recipe_row() for row in rows]
    )


def _recipe_row() -> tuple[str, str, str]:
    return "`--recipe`", "`default`", "a named set of options of the model; options that are typed win over it"


def api() -> str:
    """What `reparam` and `reparam.metrics` offer, from signatures and docstrings."""
    parts = []
    for module, what in ((reparam, "reparam"), (reparam.metrics, "reparam.metrics")):
        parts.append(f"## `{what}`\n\n{_as_text(module.__doc__)}")
        for name in sorted(module.__all__):
            found = getattr(module, name)
            if isinstance(found, types.ModuleType | str):
                continue
            parts.append(f"### `{what}.{name}`\n\n{_documented(name, found)}")
            if inspect.isclass(found):
                parts += [f"#### `{name}.{key}`\n\n{_documented(key, one)}" for key, one in _methods(found)]
    return "\n\n".join(parts)


def _methods(cls: type) -> list[tuple[str, Any]]:
    """Public methods and properties with a docstring of their own, by name; those of torch and of tuples left out."""
    found = {}
    for base in reversed([base for base in cls.__mro__ if base.__module__.startswith("reparam")]):
        for name, one in vars(base).items():
            one = one.fget if isinstance(one, property) else getattr(one, "func", getattr(one, "__func__", one))
            if not name.startswith("_") and inspect.isfunction(one) and one.__doc__:
                found[name] = one
    return sorted(found.items())


def _documented(name: str, found: Any) -> str:
    doc = inspect.getdoc(found) or ""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return _as_text(doc)
    bare = [_bare(one) for one in parameters]
    return _as_text(f"{name}{inspect.Signature(bare)}\n\n{doc}")


class _Name(str):
    """Text that a signature shows without quotation marks."""

    __repr__ = str.__str__


def _bare(parameter: inspect.Parameter) -> inspect.Parameter:
    """Without its type; a default that is a function, by name: its text has an address."""
    named = callable(parameter.default) and parameter.default is not inspect.Parameter.empty
    default = _Name(parameter.default.__name__) if named else parameter.default
    return parameter.replace(annotation=inspect.Parameter.empty, default=default)


def _as_text(text: str | None) -> str:
    return f"```text\n{inspect.cleandoc(text or '')}\n```"


def commands() -> str:
    """A section a command, `train` excepted, whose options are in tables of their own."""
    return "\n\n".join(_command(name, command) for name, command in _leaves(cli, "reparam") if name != "reparam train")


def _leaves(group: click.Group, prefix: str) -> Iterable[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group) and command.commands:
            yield from _leaves(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", reproduce if name == "reproduce" else command  # the package has a stub of it


def _command(name: str, command: click.Command) -> str:
    context = click.Context(command)
    command.get_help(context)  # some texts are made only when help is shown
    parameters = command.get_params(context)  # the command's own, and those of a dataclass
    arguments = [p.name.upper() for p in parameters if isinstance(p, click.Argument) and p.name]
    example = (command.epilog or "").replace("\b", "").replace("Example:", "").strip()
    lines = "\n".join(line.strip() for line in example.splitlines())
    rows = [_row(p) for p in parameters if isinstance(p, click.Option) and "--help" not in p.opts]
    parts = [
        f"**{' '.join([name, *arguments])}**",
        (command.help or "").strip(),
        f"```bash\n{lines}\n```",
        table(("option", "default", "what it is"), rows),
    ]
    return "\n\n".join(parts)


def _row(parameter: click.Parameter) -> tuple[str, str, str]:
    assert isinstance(parameter, click.Option)
    default = "" if parameter.is_flag else parameter.default
    # click has a sentinel for "no default": only plain values are shown.
    plain = f"`{default}`" if isinstance(default, int | float | str) and default != "" else ""
    text = parameter.help or ""
    if parameter.required:
        text = f"{text} Required.".strip()
    return f"`{parameter.opts[0]}`", plain, text


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
