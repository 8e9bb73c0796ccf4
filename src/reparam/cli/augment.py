"""New images of the same classes: `augment`."""

import json
from pathlib import Path

import click

from reparam.cli.common import (
    data_option,
    directions_option,
    images_of,
    open_run,
    progress,
    run_command,
    seed_option,
)


@run_command(
    "reparam augment runs/gvae --per-image 5 --strength 2.0 --out augmented",
    "reparam augment runs/gvae --data folder:pictures --change 3.5 --apply change --out augmented",
)
@data_option
@click.option(
    "--split",
    default="train",
    show_default=True,
    type=click.Choice(["train", "validation", "test", "all"]),
    help="Which images; all: training and validation.",
)
@click.option("--images", default=None, type=click.IntRange(1), help="The first so many of them (default: all).")
@click.option("--per-image", default=1, show_default=True, type=click.IntRange(1, 1000), help="New pictures of each.")
@click.option("--strength", default=None, type=float, help="How far, in sigmas  [2.0]")
@click.option("--change", default=None, type=float, help="Instead: how far in the image, a mean L2 distance.")
@directions_option
@click.option("--share", default=0.1, show_default=True, type=float, help="Of the latents, for directions that choose.")
@click.option(
    "--apply",
    default="decoded",
    show_default=True,
    type=click.Choice(["decoded", "change"]),
    help="The decoder's image, or its change added to the original, which keeps fine detail.",
)
@click.option("--keep-class", is_flag=True, help="Cut a move back where the model's own head would read another class.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A folder that is not there yet.")
@seed_option
def augment(
    run: Path,
    spec: str | None,
    split: str,
    images: int | None,
    per_image: int,
    strength: float | None,
    change: float | None,
    directions: str,
    share: float,
    apply: str,
    keep_class: bool,
    out: Path,
    seed: int,
    device: str,
    as_json: bool,
) -> None:
    """New pictures of a labelled set, each of its original's class: OUT/CLASS/INDEX-COPY.png and OUT/manifest.csv."""
    import torch

    from reparam.reports.augmented import write_augmented

    opened = open_run(run, device)
    dataset = images_of(opened, spec)
    opened.labelled_as_here(dataset)
    source = dataset.split(split)
    chosen = torch.arange(len(source)) if spec else opened.config.labelled_index(dataset, split)
    if len(chosen) < len(source):
        click.echo(f"the {len(chosen):,} images that had a label in training (--data: all)", err=True)
    chosen = chosen[:images]
    augmenter = opened.augmenter(
        strength, change, source.take(chosen), directions=directions, share=share, apply=apply, keep_class=keep_class
    )
    count = write_augmented(opened, augmenter, source, chosen, dataset.classes, out, per_image, seed, progress())
    outcome = {"out": str(out), "images": count, "strength": augmenter.strength}
    click.echo(json.dumps(outcome) if as_json else f"{count:,} pictures at strength {augmenter.strength:.3g}: {out}")


COMMANDS = (augment,)
