"""Pictures: `sample`, `reconstruct`, `interpolate`, `traverse`, `grid`."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reparam.cli.common import (
    data_option,
    device_option,
    example,
    images_of,
    json_option,
    open_run,
    progress,
    run_argument,
    seed_option,
)
from reparam.errors import ConfigError

if TYPE_CHECKING:
    from reparam.api import Run
    from reparam.core.batch import Batch


def chosen_images(run: "Run", spec: str | None, indices: Sequence[int], default: int) -> "Batch":
    """Test images by index, else the first `default` that take the classes in turn, as the run's task gives them."""
    import torch

    from reparam.data.selection import class_balanced_indices, task_images

    dataset = images_of(run, spec)
    count = len(dataset.test)
    for index in indices:
        if not 0 <= index < count:
            raise ConfigError(f"index {index} is outside the {count} test images: choose 0 to {count - 1}")
    chosen = torch.tensor(list(indices)) if indices else class_balanced_indices(dataset.test.labels, default)
    return task_images(dataset.test, run.config.task, chosen)


def picture_command(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every command which draws a picture has."""
    for option in (
        json_option,
        device_option,
        click.option("--out", required=True, type=click.Path(path_type=Path), help="A .png file."),
        run_argument,
    ):
        function = option(function)
    return function


def deliver(picture: Any, out: Path, as_json: bool) -> None:
    from reparam.reports.pictures import write_png

    if out.suffix.lower() != ".png":
        raise ConfigError(f"--out {out} must end in .png")
    write_png(out, picture)
    click.echo(json.dumps({"out": str(out)}) if as_json else f"picture: {out}")


@click.command(
    epilog=example(
        "reparam sample runs/vae --n 64 --out samples.png",
        "reparam sample runs/clusters --components --out components.png",
    )
)
@click.option("--n", default=None, type=click.IntRange(1, 10_000), help="How many (default: 64; of each component 15).")
@click.option("--draw", is_flag=True, help="Draw from p(x|z) instead of showing its mean.")
@click.option("--class", "label", default=None, help="Of this class alone, by name or number (model trained by class).")
@click.option("--component", default=None, type=int, help="Of this component alone (model with a mixture prior).")
@click.option("--components", is_flag=True, help="A row of each of the components, the heaviest 20 at most.")
@seed_option
@picture_command
def sample(
    run: Path,
    out: Path,
    n: int | None,
    draw: bool,
    label: str | None,
    component: int | None,
    components: bool,
    seed: int,
    device: str,
    as_json: bool,
) -> None:
    """New images: z from the prior, then the mean of p(x|z) or a draw from it."""
    from reparam.reports.panels import COMPONENTS, components_picture, samples_picture

    opened = open_run(run, device)
    if draw:
        opened.require("draw", "draw pixels from p(x|z)")
    if not components:
        deliver(samples_picture(opened, n or 64, seed, draw, label, component), out, as_json)
        return
    if label is not None or component is not None:
        raise ConfigError("--components shows all of them: leave --component and --class out")
    deliver(components_picture(opened, COMPONENTS, n or 15, seed, draw), out, as_json)


@click.command(epilog=example("reparam reconstruct runs/vae --out reconstructions.png"))
@data_option
@click.option("--index", multiple=True, type=int, help="Test images by number; repeat for several.")
@click.option("--n", default=16, show_default=True, type=click.IntRange(1, 1000), help="How many, without --index.")
@picture_command
def reconstruct(
    run: Path, out: Path, spec: str | None, index: tuple[int, ...], n: int, device: str, as_json: bool
) -> None:
    """Originals above their reconstructions."""
    from reparam.reports.panels import reconstructions_picture

    opened = open_run(run, device)
    batch = chosen_images(opened, spec, index, n)
    deliver(reconstructions_picture(opened, batch.x, batch.shown), out, as_json)


@click.command(epilog=example("reparam interpolate runs/vae --index 3 --index 8 --out between.png"))
@data_option
@click.option("--index", multiple=True, type=int, help="Test images by number, taken in pairs (default: eight pairs).")
@click.option("--steps", default=11, show_default=True, type=click.IntRange(2, 100), help="Images a row.")
@seed_option
@picture_command
def interpolate(
    run: Path, out: Path, spec: str | None, index: tuple[int, ...], steps: int, seed: int, device: str, as_json: bool
) -> None:
    """Walks from one image to another through latent space, a row a pair; of a model that makes images and cannot encode them (a
    GAN) from one random latent to another."""
    from reparam.reports.panels import interpolations_picture, walks
    from reparam.reports.pictures import to_picture

    opened = open_run(run, device)
    if "reconstruct" not in opened.model.abilities and "decode" in opened.model.abilities:
        if index or spec:
            raise ConfigError(
                "this model cannot encode images: leave --index and --data out for walks between random latents"
            )
        deliver(to_picture([walks(opened, 8, steps, seed)]), out, as_json)
        return
    if len(index) % 2:
        raise ConfigError(
            f"interpolation takes images in pairs: give --index an even number of times, not {len(index)}"
        )
    images = chosen_images(opened, spec, index, 16).shown
    images = images[: len(images) // 2 * 2]
    deliver(interpolations_picture(opened, images[0::2], images[1::2], steps), out, as_json)


@click.command(
    epilog=example(
        "reparam traverse runs/vae --index 3 --dimensions 0,4,7 --out traversal.png",
        "reparam traverse runs/gvae --directions 12 --out directions.png",
        "reparam traverse runs/gvae --images 10 --out together.png",
        "reparam traverse runs/gvae --classes --out classes.png",
    )
)
@data_option
@click.option("--index", default=0, show_default=True, type=int, help="The test image to start from.")
@click.option("--dimensions", default="", metavar="A,B,...", help="Latents to move (default: the most active ones).")
@click.option(
    "--count", default=10, show_default=True, type=click.IntRange(1, 1000), help="How many, without --dimensions."
)
@click.option(
    "--extent", default=3.0, show_default=True, type=click.FloatRange(min=0, min_open=True), help="How far from 0."
)
@click.option("--steps", default=11, show_default=True, type=click.IntRange(2, 100), help="Images a row.")
@click.option(
    "--directions",
    default=None,
    type=click.IntRange(1, 200),
    help="Instead: so many directions of the image, up to 3 sigma, with what a judge reads and the change under each.",
)
@click.option(
    "--by",
    default=None,
    type=click.Choice(["effect", "largest", "posterior"]),
    help="Latents of most effect (default of --directions), of the largest scales (of --images), or draws of the posterior.",
)
@click.option(
    "--images",
    default=None,
    type=click.IntRange(1, 200),
    help="Instead: so many images, each along its top scales together (--by: along others).",
)
@click.option(
    "--share",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Of the scales, for --images.",
)
@click.option(
    "--classes",
    is_flag=True,
    help="Instead: one image along the scales and towards the mean of every class (a pass over the training images).",
)
@picture_command
def traverse(
    run: Path,
    out: Path,
    spec: str | None,
    index: int,
    dimensions: str,
    count: int,
    extent: float,
    steps: int,
    directions: int | None,
    by: str | None,
    images: int | None,
    share: float,
    classes: bool,
    device: str,
    as_json: bool,
) -> None:
    """One latent at a time from -extent to +extent around an image's own, a row a latent."""
    from reparam.reports.panels import traversals_picture

    opened = open_run(run, device)
    modes = {"dimensions": dimensions, "directions": directions, "images": images, "classes": classes}
    given = [name for name, value in modes.items() if value]
    if len(given) > 1:
        raise ConfigError("--dimensions, --directions, --images and --classes are four pictures: choose one")
    mode = given[0] if given else "dimensions"
    _only_for(mode, TRAVERSED)
    if mode != "dimensions":
        from reparam.evaluation.networks.features import judge_network
        from reparam.reports import latent_moves
        from reparam.reports.pictures import to_picture

        opened.require("augment", "move images")
        batch = chosen_images(opened, spec, [] if images else [index], images or 1)
        judge = None
        if len(opened.dataset.classes) > 1:
            judge = judge_network(opened.dataset, opened.device, progress(), lambda text: click.echo(text, err=True))
        if images:
            part = latent_moves.together_panel(opened, batch.x, batch.y, share, judge, by or "largest")
        elif directions:
            part = latent_moves.directions_panel(opened, batch.x, batch.y, directions, judge, by or "effect")
        else:
            part = latent_moves.classes_panel(opened, batch.x, batch.y, judge)
        deliver(to_picture([part]), out, as_json)
        return
    try:
        chosen = [int(part) for part in dimensions.split(",") if part.strip()]
    except ValueError:
        raise ConfigError(f"--dimensions '{dimensions}' is no list of numbers: write for example 0,4,7") from None
    image = chosen_images(opened, spec, [index], 1).shown[0]
    deliver(traversals_picture(opened, image, chosen or None, count, extent, steps), out, as_json)


@click.command(epilog=example("reparam grid runs/vae --out grid.png"))
@click.option(
    "--extent", default=5.0, show_default=True, type=click.FloatRange(min=0, min_open=True), help="How far from 0."
)
@click.option("--steps", default=21, show_default=True, type=click.IntRange(2, 100), help="Images a row.")
@picture_command
def grid(run: Path, out: Path, extent: float, steps: int, device: str, as_json: bool) -> None:
    """What the decoder makes over [-extent, extent]: a strip for one latent, a grid for two."""
    from reparam.reports.panels import grid_picture

    deliver(grid_picture(open_run(run, device), extent, steps), out, as_json)


# The options of `traverse` that mean something for some of its pictures alone.
TRAVERSED = {
    "index": ("dimensions", "directions", "classes"),
    "count": ("dimensions",),
    "extent": ("dimensions",),
    "steps": ("dimensions",),
    "by": ("directions", "images"),
    "share": ("images",),
}


def _only_for(mode: str, table: dict[str, tuple[str, ...]]) -> None:
    """Raises ConfigError for an option that was given and does nothing in this mode."""
    context = click.get_current_context()
    for option, modes in table.items():
        typed = context.get_parameter_source(option) == click.core.ParameterSource.COMMANDLINE
        if typed and mode not in modes:
            raise ConfigError(
                f"--{option} is for --{' and --'.join(modes)}, and this picture is of --{mode}: leave it out"
            )


COMMANDS = (sample, reconstruct, interpolate, traverse, grid)
