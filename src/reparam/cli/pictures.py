"""Pictures: `sample`, `reconstruct`, `interpolate`, `traverse`, `grid`, each a figure of a run with its options."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reparam.cli.common import (
    answer,
    data_option,
    images_of,
    index_option,
    open_run,
    progress,
    run_command,
)
from reparam.cli.options import OptionsCommand, UserPath
from reparam.core.abilities import Ability
from reparam.errors import ConfigError
from reparam.terminal import say

if TYPE_CHECKING:
    from reparam.api import Run
    from reparam.reports import options as chosen
    from reparam.reports.figures import Drawing
    from reparam.reports.run_view import RunView


def picture_command(options: str, *examples: str) -> Callable[[Callable[..., "Drawing"]], click.Command]:
    """A command that writes what its function draws of a run with an instance of the class `options` of
    `reparam.reports.options`; other options of the command are the function's own."""

    def decorate(function: Callable[..., "Drawing"]) -> click.Command:
        @functools.wraps(function)
        def command(run: Path, out: Path, device: str, as_json: bool, **typed: Any) -> None:
            from reparam.reports import options as known
            from reparam.reports.pictures import write_png

            if out.suffix.lower() != ".png":
                raise ConfigError(f"--out {out} must end in .png")
            cls = getattr(known, options)
            own = {field.name: typed.pop(field.name) for field in dataclasses.fields(cls) if field.name in typed}
            drawing = function(open_run(run, device), cls(**own), **typed)
            write_png(out, drawing.picture())
            answer(as_json, {"out": str(out)}, f"picture: {out}")

        out = click.option("--out", required=True, type=UserPath(), help="A .png file.")
        return run_command(*examples, cls=OptionsCommand, options=f"reparam.reports.options:{options}")(out(command))

    return decorate


def view_of(run: "Run", spec: str | None = None) -> "RunView":
    """The run with the test images of the data `spec` (None: its own)."""
    from reparam.reports.run_view import RunView

    images = None if spec is None else images_of(run, spec).test
    return RunView(run, images, progress=progress(), say=say)


@picture_command(
    "SampleOptions",
    "reparam sample runs/vae --n 64 --out samples.png",
    "reparam sample runs/clusters --components --out components.png",
)
@click.option("--components", is_flag=True, help="A row of each of the components, the heaviest 20 at most.")
def sample(run: "Run", options: "chosen.SampleOptions", components: bool) -> "Drawing":
    """New images: z from the prior, then the mean of p(x|z) or a draw from it."""
    from reparam.reports.figures import samples

    draw = samples.components if components else samples.samples
    return draw(view_of(run), options)


@picture_command("ReconstructionOptions", "reparam reconstruct runs/vae --out reconstructions.png")
@index_option("Test images by number; repeat for several.")
@data_option
def reconstruct(run: "Run", options: "chosen.ReconstructionOptions", spec: str | None) -> "Drawing":
    """Originals above their reconstructions."""
    from reparam.reports.figures.reconstructions import reconstructions

    return reconstructions(view_of(run, spec), options)


@picture_command("InterpolationOptions", "reparam interpolate runs/vae --index 3 --index 8 --out between.png")
@index_option("Test images by number, taken in pairs (default: eight pairs).")
@data_option
def interpolate(run: "Run", options: "chosen.InterpolationOptions", spec: str | None) -> "Drawing":
    """Walks from one image to another through latent space, a row a pair; of a model without an encoder (a GAN) from one
    random latent to another."""
    from reparam.reports.figures.reconstructions import interpolations, walks

    abilities = run.model.abilities
    if Ability.RECONSTRUCT in abilities or Ability.DECODE not in abilities:
        return interpolations(view_of(run, spec), options)
    if options.index or spec:
        raise ConfigError(
            "this model cannot encode images: leave --index and --data out for walks between random latents"
        )
    return walks(view_of(run), options)


@picture_command(
    "TraversalOptions",
    "reparam traverse runs/vae --index 3 --dimensions 0,4,7 --out traversal.png",
    "reparam traverse runs/gvae --directions 12 --out directions.png",
    "reparam traverse runs/gvae --images 10 --out together.png",
    "reparam traverse runs/gvae --classes --out classes.png",
)
@data_option
def traverse(run: "Run", options: "chosen.TraversalOptions", spec: str | None) -> "Drawing":
    """One latent at a time from -extent to +extent around an image's own, a row a latent."""
    from reparam.reports.figures.latent_moves import latent_moves
    from reparam.reports.figures.reconstructions import traversals

    draw = traversals if options.mode == "dimensions" else latent_moves
    return draw(view_of(run, spec), options)


@picture_command("GridOptions", "reparam grid runs/vae --out grid.png")
def grid(run: "Run", options: "chosen.GridOptions") -> "Drawing":
    """Decodings over [-extent, extent]: a strip for one latent, a grid for two."""
    from reparam.reports.figures.reconstructions import grid as draw

    return draw(view_of(run), options)


COMMANDS = (sample, reconstruct, interpolate, traverse, grid)
