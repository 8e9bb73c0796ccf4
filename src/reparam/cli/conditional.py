"""What conditional models are for: `complete`, `segment`."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reparam.cli.common import (
    answer,
    index_option,
    new_images_options,
    open_run,
    progress,
    refuse_overwriting,
    run_command,
)
from reparam.cli.options import OptionsCommand, UserPath
from reparam.cli.pictures import picture_command, view_of
from reparam.core.abilities import Ability
from reparam.errors import ConfigError
from reparam.terminal import say

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.api import Run
    from reparam.reports.figures import Drawing
    from reparam.reports.options import PredictionOptions


@picture_command(
    "PredictionOptions",
    "reparam complete runs/cvae --samples 10 --out completed.png",
    "reparam complete runs/boxes face.jpg --mask seen.png --out completed.png",
)
@new_images_options
@click.option(
    "--mask",
    default=None,
    type=UserPath(),
    help="White where IMAGE is seen; for a model trained on boxes (others have their own mask).",
)
@index_option("Images by number, from 0; repeat for several.")
def complete(
    run: "Run", options: "PredictionOptions", pictures: tuple[Path, ...], mask: Path | None, spec: str | None
) -> "Drawing":
    """Fill in what is missing: what was seen, the prediction at z*, several predictions, where they differ."""
    import torch

    from reparam.core.batch import Batch
    from reparam.data.io.single_picture import read_mask, read_picture
    from reparam.reports.figures.predictions import predictions
    from reparam.reports.run_view import RunView
    from reparam.run.data import fitting

    run.require(Ability.COMPLETE, "complete images")
    if Ability.SEGMENT in run.model.abilities:
        raise ConfigError("this model segments: use 'reparam segment RUN IMAGE...'")
    out: Path = click.get_current_context().params["out"]
    refuse_overwriting([out], [*pictures, *([mask] if mask else [])], out)
    if not mask:
        view = view_of(run, pictures, spec)
        if pictures:
            run.condition(view.examples(1).x)  # which says where a mask is wanted
        return predictions(view, options)
    if len(pictures) != 1 or spec or pictures[0].is_dir():
        raise ConfigError("--mask says what is seen of one IMAGE: give one picture")
    shape, reading = run.spec.image_shape, fitting(run.config, run.spec)
    picture = read_picture(pictures[0], shape, reading)
    seen = read_mask(mask, picture, shape, reading)
    batch = Batch(
        x=picture.pixels, c=run.condition(picture.pixels, seen), y=torch.tensor([-1]), index=torch.tensor([0])
    )
    return predictions(RunView(run, batch=batch), options)


@run_command(
    "reparam segment runs/horses horse.jpg --samples 10 --out segmented",
    cls=OptionsCommand,
    options="reparam.reports.options:SegmentationOptions",
)
@click.argument("images", nargs=-1, required=True, type=UserPath(), metavar="IMAGE...")
@click.option("--out", required=True, type=UserPath(), help="A folder.")
def segment(run: Path, images: tuple[Path, ...], out: Path, device: str, as_json: bool, **chosen: Any) -> None:
    """Label the pixels of pictures (files, folders, zips): NAME-labels.png, -colours, -overlay; -confidence and -entropy of the
    average prediction; -predictions, several; -spread, where they differ; and sheet.png of all pictures."""
    from reparam.data.io.archives import open_tree, require
    from reparam.data.sources.layout import find_pictures
    from reparam.reports.options import SegmentationOptions
    from reparam.reports.segmentation import (
        SHEET,
        Source,
        segmentation_paths,
        sheet_rows,
        write_segmentation,
        write_sheet,
    )

    opened = open_run(run, device)
    options = SegmentationOptions(**chosen)
    opened.require(Ability.SEGMENT, "segment pictures")
    with contextlib.ExitStack() as stack:
        sources = []
        for image in images:
            require(image)
            if image.is_dir() or image.suffix.lower() == ".zip":
                tree = stack.enter_context(open_tree(image))
                names, notes = find_pictures(tree, fewest=1)
                sources += [Source(tree, name) for name in names]
                for note in notes:
                    say(note)
            else:
                sources.append(Source.of_path(image))
        targets = [path for one in sources for path in segmentation_paths(opened, one, out).values()]
        if len(set(targets)) < len(targets):
            raise ConfigError(
                "the results of two pictures would have the same name and overwrite each other: rename one"
            )
        refuse_overwriting([*targets, out / SHEET], images, out)
        written: list[Path] = []
        rows: list[Tensor] = []
        for one in progress().track(sources, "pictures"):
            paths, row = write_segmentation(opened, one, out, options)
            written += paths
            rows += [row] if len(rows) < sheet_rows(len(sources)) else []
        written.append(write_sheet(opened, sources, rows, out))
    answer(as_json, {"out": [str(path) for path in written]}, "\n".join(map(str, written)))


COMMANDS = (complete, segment)
