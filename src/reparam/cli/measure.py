"""Measuring and looking: `evaluate`, `report`, `encode`."""

import dataclasses
import io
import sys
from pathlib import Path
from typing import Any

import click

from reparam.cli.common import (
    answer,
    comma_list,
    device_option,
    example,
    json_option,
    new_images_options,
    new_pictures,
    no_data_option,
    open_run,
    progress,
    run_command,
    show_json,
    trust_option,
)
from reparam.cli.options import OptionsCommand, UserPath
from reparam.core.abilities import Ability
from reparam.errors import ConfigError
from reparam.terminal import output, say


@run_command(
    "reparam evaluate runs/vae",
    "reparam evaluate runs/vae --metrics elbo,nll --nll-images 10000",
    "reparam evaluate runs/vae --metrics all",
    "reparam evaluate runs/vae holiday/ --quick",
    cls=OptionsCommand,
    options="reparam.evaluation.options:EvaluationOptions",
)
@click.option(
    "--metrics",
    default=None,
    metavar="A,B,...",
    help="Which figures (default: what the model allows in reasonable time, and a diagnosis; all: the expensive ones too).",
)
@new_images_options
def evaluate(
    run: Path,
    pictures: tuple[Path, ...],
    spec: str | None,
    metrics: str | None,
    device: str,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Measure a run: on its test images, and write RUN/evaluation.json; or on new pictures, and write nothing."""
    from rich.console import Console

    from reparam.evaluation import EvaluationOptions, left_out
    from reparam.reports.tables import diagnosis_lines, evaluation_table

    options = EvaluationOptions(**chosen)
    opened = open_run(run, device)
    names, new = comma_list("metrics", metrics), new_pictures(opened, pictures, spec)
    measures = opened.evaluate(names or None, new=new, progress=progress(), say=say, **chosen)
    own = new is None
    findings = opened.folder.evaluation().diagnosis if own and (not names or "all" in names) else ()
    if as_json:
        figures = {name: dataclasses.asdict(measure) for name, measure in measures.items()}
        diagnosis = [dataclasses.asdict(finding) for finding in findings]
        why = left_out(opened, names, options) if own else {}
        show_json({"metrics": figures, "left_out": why, "diagnosis": diagnosis}, indent=2)
    else:
        # A file or pipe has no width of its own: lines are left whole there.
        terminal, text = sys.stdout.isatty(), io.StringIO()
        console = Console(width=None if terminal else 200, file=text, force_terminal=terminal)
        console.print(evaluation_table(measures))
        output(text.getvalue().rstrip("\n"), styled=True)
        for line in diagnosis_lines(findings):
            output(line)
        if opened.kept.prior:
            output(f"prior: {opened.kept.prior}")
        output(f"written: {opened.folder.evaluation_path}" if own else "of new pictures: nothing is written")


@run_command("reparam report runs/vae")
@no_data_option
def report(run: Path, device: str, as_json: bool) -> None:
    """Make RUN/report.html: pictures and numbers in one self-contained file."""
    path = open_run(run, device).report(say)
    answer(as_json, {"report": str(path)}, f"report: {path}")


@run_command(
    "reparam encode runs/vae --split validation --out latents.npz", "reparam encode runs/vae holiday/ --out latents.npz"
)
@new_images_options
@click.option(
    "--split", default=None, help="Of the run's own images: train, validation, test (default) or all (without test)."
)
@click.option("--out", required=True, type=UserPath(), help="An .npz file.")
def encode(
    run: Path, pictures: tuple[Path, ...], spec: str | None, split: str | None, out: Path, device: str, as_json: bool
) -> None:
    """Write the latents of images, the run's own or new ones: arrays mean, scale [n, K], labels [n], names [n] (of files) and
    classes; of a mixture prior responsibilities [n, M]."""
    import numpy as np

    from reparam.data.selection import task_images
    from reparam.files import write_atomically

    if out.suffix != ".npz":
        raise ConfigError(f"--out {out} must end in .npz")
    opened = open_run(run, device)
    opened.require(Ability.ENCODE, "encode images")
    if split not in (None, "all") and (pictures or spec):
        raise ConfigError("--split is of the run's own images: leave it out for new ones, which are encoded all")
    new = new_pictures(opened, pictures, spec)
    source = new.images if new else opened.dataset.split(split or "test")
    batch = task_images(source, opened.config.task)
    shown = batch.x if new else batch.input  # of a denoising model, no noise is added to new pictures
    mean, scale = opened.encode(shown)
    classes = new.classes if new else opened.document.data.classes
    arrays: dict[str, Any] = {
        "mean": mean.numpy(),
        "scale": scale.numpy(),
        "labels": batch.y.numpy(),
        "classes": np.array(classes, dtype=str),
    }
    arrays["names"] = new.names if new else [opened.dataset.source(split or "test", i) for i in range(len(source))]
    if Ability.CLUSTER in opened.model.abilities:
        arrays["responsibilities"] = opened.responsibilities(shown).numpy()

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, **{key: np.asarray(value) for key, value in arrays.items()})  # type: ignore[arg-type]

    write_atomically(out, write)
    facts = {"out": str(out), "images": len(mean), "latent": mean.shape[1]}
    which = f"{split or 'test'} images"
    if new:
        which = "new pictures"
    elif split == "all":
        which = f"train and validation images, without the {len(opened.dataset.test):,} of test"
    answer(as_json, facts, f"{len(mean)} latents of size {mean.shape[1]}, of {which}: {out}")


@click.command(epilog=example("reparam compare runs/vae runs/gmvae runs/gan --out comparison.html"))
@click.argument("runs", nargs=-1, required=True, type=UserPath(), metavar="RUN RUN...")
@click.option("--out", required=True, type=UserPath(), help="An .html file.")
@click.option(
    "--metrics",
    default=None,
    metavar="A,B,...",
    help="Which figures to measure where they are missing (default: what each model allows in reasonable time).",
)
@device_option
@json_option
@trust_option
def compare(runs: tuple[Path, ...], out: Path, metrics: str | None, device: str, as_json: bool) -> None:
    """Runs on the same data side by side: one table of all that was measured, and pictures of each, in one file. Measures what is
    still missing."""
    from reparam.reports.compare import write_comparison

    if out.suffix.lower() != ".html":
        raise ConfigError(f"--out {out} must end in .html")
    opened = [open_run(run, device) for run in runs]
    names = comma_list("metrics", metrics)
    write_comparison(opened, out, progress(), say, names)
    answer(as_json, {"out": str(out)}, f"comparison: {out}")


COMMANDS = (evaluate, report, compare, encode)
