"""`fit-prior`."""

import dataclasses
from pathlib import Path
from typing import Any

import click

from reparam.cli.common import answer, no_data_option, open_run, progress, run_command
from reparam.cli.options import IntegerList, WholeRange


@run_command("reparam fit-prior runs/vae", "reparam fit-prior runs/ae --kind mixture --components 10,40")
@click.option(
    "--kind",
    type=click.Choice(["auto", "gaussian", "mixture", "flow", "own"]),
    default="auto",
    show_default=True,
    help="Auto: the densest of a full Gaussian, mixtures and the model's own; flow: a normalising flow (extra 'flow'); own: back "
    "to the model's own.",
)
@click.option(
    "--components",
    type=IntegerList(),
    default=(),
    metavar="A,B,...",
    help="Of the mixtures (default: 5, 10 and 20, where there are 20 images for each).",
)
@click.option("--seed", type=WholeRange(0, 2**63 - 1), default=0, show_default=True, help="Of draws and starts.")
@no_data_option
def fit_prior(run: Path, kind: Any, components: tuple[int, ...], seed: int, device: str, as_json: bool) -> None:
    """Fit p(z) to the latents of the training images, chosen by validation images, and keep it as the run's prior. By it an
    autoencoder can make images."""
    from reparam.run.fitted_prior import prior_path
    from reparam.run.prior_fit import candidate_lines

    opened = open_run(run, device)
    facts = opened.fit_prior(kind, components, seed, progress())
    lines = [*candidate_lines(facts), f"written: {prior_path(opened.path)}"]
    if facts.kind == "own":
        lines.insert(
            -1, "the model keeps its own prior" if opened.model.has("prior") else "the model has no prior again"
        )
    answer(as_json, dataclasses.asdict(facts), "\n".join(lines))


COMMANDS = (fit_prior,)
