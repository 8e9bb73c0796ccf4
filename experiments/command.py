"""`python -m experiments`, which `reparam reproduce` runs in a checkout: published tables and figures by one command."""

import sys
from pathlib import Path

import click

from reparam.cli.common import comma_list, example, json_option, progress, show_json
from reparam.cli.options import UserPath
from reparam.terminal import output

ALL = "all"


class _Experiments(click.Command):
    """Help that lists what can be reproduced."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from experiments import EXPERIMENTS

        with formatter.section("Experiments"):
            listed = [(name, f"{one.title}; {one.source}") for name, one in EXPERIMENTS.items()]
            formatter.write_dl([*listed, (ALL, "each of them")])
        super().format_epilog(ctx, formatter)


@click.command(
    cls=_Experiments,
    epilog=example(
        "reparam reproduce structures",
        "reparam reproduce structures --cells 'structure-2-*'",
        "reparam reproduce iwae --dry-run",
        "reparam reproduce all --fast",
    ),
)
@click.argument("experiments", nargs=-1, required=True, metavar="EXPERIMENT...")
@click.option("--cells", default=None, metavar="A,B,...", help="Only these cells; * stands for anything.")
@click.option(
    "--fast", is_flag=True, help="Tiny versions on scikit-learn's digits: tries the machinery, figures mean nothing."
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say what is left to do and how long it will take (a few steps of each kind are timed), and stop.",
)
@click.option(
    "--out",
    default=None,
    type=UserPath(),
    help="Folder of results, runs and pictures, the page beside it (default: reproductions; --fast: reproductions-fast).",
)
@json_option
def reproduce(
    experiments: tuple[str, ...], cells: str | None, fast: bool, dry_run: bool, out: Path | None, as_json: bool
) -> None:
    """Regenerate published tables and figures, cell by cell: what was run before is not run again."""
    from rich.console import Console

    from experiments import (
        CELLS,
        EXPERIMENTS,
        ExperimentRunner,
        draw,
        estimate,
        markdown_table,
        matching,
        page_path,
        results,
        write_page,
    )
    from experiments.charts import cells_table
    from reparam.errors import ConfigError, RunError, suggest

    for name in experiments:
        if name not in (*EXPERIMENTS, ALL):
            known = ", ".join((*EXPERIMENTS, ALL))
            raise ConfigError(f"no experiment '{name}'{suggest(name, EXPERIMENTS)} (known: {known})")
    experiments = tuple(EXPERIMENTS) if ALL in experiments else tuple(dict.fromkeys(experiments))
    folder = (out or Path("reproductions-fast" if fast else "reproductions")).absolute()
    runner = ExperimentRunner(folder, CELLS, fast, progress())
    page_path(runner)  # says at once where it could not be written
    names = list(dict.fromkeys(cell for name in experiments for cell in EXPERIMENTS[name].cells(fast)))
    wanted = matching(CELLS, names, comma_list("cells", cells))
    seconds = estimate(runner, wanted)
    left = {cell.name: None if runner.result(cell) else seconds[cell.name] for cell in wanted}
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 140)
    console.print(cells_table({cell.name: (cell.command(fast), left[cell.name]) for cell in wanted}))
    if dry_run:
        if as_json:
            show_json({"seconds": seconds})
        return
    for cell in wanted:
        if runner.result(cell) is None:
            runner.progress.note(f"cell {cell.name}")
            runner.measure(cell)
            write_page(runner)
    documents = {name: results(runner, EXPERIMENTS[name]) for name in experiments}
    for name in experiments:
        if len(documents[name]) == len(EXPERIMENTS[name].cells(fast)):
            try:
                draw(runner, EXPERIMENTS[name])
            except RunError as error:  # results may be had without the runs that made them
                runner.progress.note(f"pictures of {name} are left as they are: {error}")
        if not as_json:
            output(f"{EXPERIMENTS[name].title} ({EXPERIMENTS[name].source})\n")
            output(markdown_table(EXPERIMENTS[name], documents[name]) + "\n")
    path = write_page(runner)
    if as_json:
        show_json({"page": str(path), "cells": documents})
    else:
        output(f"page: {path}")
