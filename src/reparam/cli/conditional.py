"""What conditional models are for: `complete`, `segment`."""

import json
from pathlib import Path

import click

from reparam.cli.common import data_option, device_option, example, json_option, open_run, run_argument, seed_option
from reparam.cli.pictures import chosen_images, deliver, picture_command
from reparam.errors import ConfigError

samples_option = click.option(
    "--samples", default=10, show_default=True, type=click.IntRange(1, 100), help="Answers for each image."
)


@click.command(
    epilog=example(
        "reparam complete runs/cvae --samples 10 --out completed.png",
        "reparam complete runs/boxes --image face.jpg --mask seen.png --out completed.png",
    )
)
@click.option("--image", default=None, type=click.Path(path_type=Path), help="A picture of your own to complete.")
@click.option(
    "--mask",
    default=None,
    type=click.Path(path_type=Path),
    help="White where the picture is seen; for a model trained on boxes (others have their own mask).",
)
@data_option
@click.option("--index", multiple=True, type=int, help="Test images by number; repeat for several.")
@click.option("--n", default=8, show_default=True, type=click.IntRange(1, 100), help="How many, without --index.")
@samples_option
@seed_option
@picture_command
def complete(
    run: Path,
    out: Path,
    image: Path | None,
    mask: Path | None,
    spec: str | None,
    index: tuple[int, ...],
    n: int,
    samples: int,
    seed: int,
    device: str,
    as_json: bool,
) -> None:
    """Fill in what is missing: what was seen, the answer at z*, several answers, where they differ."""
    import torch

    from reparam.core.batch import Batch
    from reparam.data.io.single_picture import read_mask, read_picture
    from reparam.reports.predictions import answers_picture

    opened = open_run(run, device)
    opened.require("complete", "complete images")
    if "segment" in opened.model.abilities:
        raise ConfigError("this model segments: use 'reparam segment RUN IMAGE...'")
    if mask and not image:
        raise ConfigError("--mask says what is seen of --image: give both")
    if image and (spec or index):
        raise ConfigError("--image is a picture of your own: leave --data and --index out")
    if out.resolve() in {path.resolve() for path in (image, mask) if path}:
        raise ConfigError(f"--out {out} would overwrite what is read: choose another")
    if image:
        picture = read_picture(image, opened.spec.image_shape, opened.config.data)
        seen = read_mask(mask, picture, opened.spec.image_shape, opened.config.data) if mask else None
        pixels = picture.pixels
        c = opened.condition(pixels, seen)
        batch = Batch(x=pixels, c=c, y=torch.tensor([-1]), index=torch.tensor([0]))
    else:
        batch = chosen_images(opened, spec, index, n)
    deliver(answers_picture(opened, batch, samples, seed), out, as_json)


@click.command(epilog=example("reparam segment runs/horses horse.jpg --samples 10 --out segmented"))
@run_argument
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE...")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A folder.")
@samples_option
@seed_option
@device_option
@json_option
def segment(
    run: Path, images: tuple[Path, ...], out: Path, samples: int, seed: int, device: str, as_json: bool
) -> None:
    """Label the pixels of pictures: NAME-labels.png, NAME-answers.png several answers, NAME-spread.png where they differ."""
    from reparam.reports.predictions import segmentation_paths, write_segmentation

    opened = open_run(run, device)
    opened.require("segment", "segment pictures")
    targets = [path for image in images for path in segmentation_paths(opened, image, out).values()]
    if len(set(targets)) < len(targets):
        raise ConfigError("the results of two pictures would have the same name and overwrite each other: rename one")
    if {path.resolve() for path in targets} & {path.resolve() for path in images}:
        raise ConfigError(f"results in {out} would overwrite pictures that are to be segmented: choose another --out")
    written = [path for image in images for path in write_segmentation(opened, image, out, samples, seed)]
    if opened.config.data.crop == "centre":
        click.echo("only the central square of a picture is read: labels outside of it are 0", err=True)
    click.echo(json.dumps({"out": [str(path) for path in written]}) if as_json else "\n".join(map(str, written)))


COMMANDS = (complete, segment)
