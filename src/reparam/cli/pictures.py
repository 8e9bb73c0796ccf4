"""Pictures: `sample`, `reconstruct`, `interpolate`, `traverse`, `grid`, each a figure of a run with its options."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from reparam.cli.common import (
    answer,
    index_option,
    new_images_options,
    new_pictures,
    open_run,
    progress,
    run_command,
)
from reparam.cli.options import OptionsCommand, UserPath
from reparam.core.abilities import Ability
from reparam.errors import ConfigError
from reparam.terminal import say

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.api import Run
    from reparam.reports import options as chosen
    from reparam.reports.figures import Drawing
    from reparam.reports.run_view import RunView


def picture_command(
    options: str, *examples: str, moving: bool = False
) -> Callable[[Callable[..., "Drawing | Tensor"]], click.Command]:
    """A command that writes what its function draws of a run with an instance of the class `options` of
    `reparam.reports.options`; other options of the command are the function's own. One that can be `moving` is told whether it
    shall, and then gives frames."""

    def decorate(function: Callable[..., "Drawing | Tensor"]) -> click.Command:
        @functools.wraps(function)
        def command(run: Path, out: Path, device: str, as_json: bool, **typed: Any) -> None:
            from reparam.reports import options as known
            from reparam.reports.animation import SUFFIXES, write_animation
            from reparam.reports.pictures import write_png

            suffixes = (".png", *(SUFFIXES if moving else ()))
            if out.suffix.lower() not in suffixes:
                raise ConfigError(f"--out {out} must end in {' or '.join(suffixes)}")
            moves = out.suffix.lower() in SUFFIXES
            cls = getattr(known, options)
            own = {field.name: typed.pop(field.name) for field in dataclasses.fields(cls) if field.name in typed}
            told = {"moving": moves} if moving else {}
            drawn: Any = function(open_run(run, device), cls(**own), **typed, **told)
            if moves:
                write_animation(out, drawn)
            else:
                write_png(out, drawn.picture())
            answer(as_json, {"out": str(out)}, f"picture: {out}")

        kinds = "A .png, .gif or .mp4 file." if moving else "A .png file."
        out = click.option("--out", required=True, type=UserPath(), help=kinds)
        return run_command(*examples, cls=OptionsCommand, options=f"reparam.reports.options:{options}")(out(command))

    return decorate


def view_of(run: "Run", pictures: Sequence[Path] = (), spec: str | None = None) -> "RunView":
    """The run with new pictures (none given: its own test images)."""
    from reparam.reports.run_view import RunView

    new = new_pictures(run, pictures, spec)
    return RunView(run, new and new.images, progress=progress(), say=say)


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


@picture_command(
    "ReconstructionOptions",
    "reparam reconstruct runs/vae --out reconstructions.png",
    "reparam reconstruct runs/vae one.jpg two.jpg holiday/ --out reconstructions.png",
)
@index_option("Images by number, from 0; repeat for several.")
@new_images_options
def reconstruct(
    run: "Run", options: "chosen.ReconstructionOptions", pictures: tuple[Path, ...], spec: str | None
) -> "Drawing":
    """Originals above their reconstructions: of test images, or of new pictures (files, folders, zips, arrays)."""
    from reparam.reports.figures.reconstructions import reconstructions

    return reconstructions(view_of(run, pictures, spec), options)


@picture_command(
    "InterpolationOptions",
    "reparam interpolate runs/vae --index 3 --index 8 --out between.png",
    "reparam interpolate runs/vae one.jpg two.jpg three.jpg --out walk.gif",
    moving=True,
)
@index_option("Images by number: of a .png pairs (default: eight), else one after the other (default: four).")
@new_images_options
def interpolate(
    run: "Run", options: "chosen.InterpolationOptions", pictures: tuple[Path, ...], spec: str | None, moving: bool
) -> "Drawing | Tensor":
    """Walks from one image to another through latent space: .png, a row a pair; .gif or .mp4, one walk through all of them, there
    and back. Of a model without an encoder (a GAN) from one random latent to another."""
    from reparam.reports.figures.reconstructions import frames, interpolations, walks

    abilities = run.model.abilities
    encodes = Ability.RECONSTRUCT in abilities or Ability.DECODE not in abilities
    if not encodes and (options.index or pictures or spec):
        raise ConfigError(
            "this model cannot encode images: leave IMAGE, --index and --data out for walks between random latents"
        )
    draw = frames if moving else interpolations if encodes else walks
    return draw(view_of(run, pictures, spec), options)


@picture_command(
    "TraversalOptions",
    "reparam traverse runs/vae --index 3 --dimensions 0,4,7 --out traversal.png",
    "reparam traverse runs/gvae --directions 12 --out directions.png",
    "reparam traverse runs/gvae --images 10 --out together.png",
    "reparam traverse runs/gvae --classes --out classes.png",
)
@new_images_options
def traverse(run: "Run", options: "chosen.TraversalOptions", pictures: tuple[Path, ...], spec: str | None) -> "Drawing":
    """One latent at a time from -extent to +extent around an image's own, a row a latent."""
    from reparam.reports.figures.latent_moves import latent_moves
    from reparam.reports.figures.reconstructions import traversals

    draw = traversals if options.mode == "dimensions" else latent_moves
    view = view_of(run, pictures, spec)
    chosen = click.get_current_context().get_parameter_source("index") is ParameterSource.COMMANDLINE
    if options.mode in ("dimensions", "directions") and view.number(1) > 1 and not chosen:
        raise ConfigError(f"this walk begins at one image, and there are {view.number(1):,}: give one, or --index")
    return draw(view, options)


@picture_command("GridOptions", "reparam grid runs/vae --out grid.png")
def grid(run: "Run", options: "chosen.GridOptions") -> "Drawing":
    """Decodings over [-extent, extent]: a strip for one latent, a grid for two."""
    from reparam.reports.figures.reconstructions import grid as draw

    return draw(view_of(run), options)


COMMANDS = (sample, reconstruct, interpolate, traverse, grid)
