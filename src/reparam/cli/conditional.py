"""What conditional models are for: `complete`, `segment`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from reparam.cli.common import answer, data_option, index_option, open_run, refuse_overwriting, run_command
from reparam.cli.options import OptionsCommand, UserPath
from reparam.cli.pictures import picture_command, view_of
from reparam.core.abilities import Ability
from reparam.errors import ConfigError

if TYPE_CHECKING:
    from reparam.api import Run
    from reparam.reports.figures import Drawing
    from reparam.reports.options import PredictionOptions


@picture_command(
    "PredictionOptions",
    "reparam complete runs/cvae --samples 10 --out completed.png",
    "reparam complete runs/boxes --image face.jpg --mask seen.png --out completed.png",
)
@click.option("--image", default=None, type=UserPath(), help="A picture of your own to complete.")
@click.option(
    "--mask",
    default=None,
    type=UserPath(),
    help="White where the picture is seen; for a model trained on boxes (others have their own mask).",
)
@data_option
@index_option("Test images by number; repeat for several.")
def complete(
    run: "Run", options: "PredictionOptions", image: Path | None, mask: Path | None, spec: str | None
) -> "Drawing":
    """Fill in what is missing: what was seen, the prediction at z*, several predictions, where they differ."""
    import torch

    from reparam.core.batch import Batch
    from reparam.data.io.single_picture import read_mask, read_picture
    from reparam.reports.figures.predictions import predictions
    from reparam.reports.run_view import RunView

    run.require(Ability.COMPLETE, "complete images")
    if Ability.SEGMENT in run.model.abilities:
        raise ConfigError("this model segments: use 'reparam segment RUN IMAGE...'")
    if mask and not image:
        raise ConfigError("--mask says what is seen of --image: give both")
    context = click.get_current_context()
    count_given = context.get_parameter_source("n") is ParameterSource.COMMANDLINE
    if image and (spec or options.index or count_given):
        raise ConfigError("--image is one picture of your own: leave --data, --index and --n out")
    out: Path = context.params["out"]
    refuse_overwriting([out], [path for path in (image, mask) if path], out)
    if not image:
        return predictions(view_of(run, spec), options)
    picture = read_picture(image, run.spec.image_shape, run.config.data)
    seen = read_mask(mask, picture, run.spec.image_shape, run.config.data) if mask else None
    c = run.condition(picture.pixels, seen)
    batch = Batch(x=picture.pixels, c=c, y=torch.tensor([-1]), index=torch.tensor([0]))
    return predictions(RunView(run, batch=batch), options)


@run_command(
    "reparam segment runs/horses horse.jpg --samples 10 --out segmented",
    cls=OptionsCommand,
    options="reparam.reports.options:SegmentationOptions",
)
@click.argument("images", nargs=-1, required=True, type=UserPath(), metavar="IMAGE...")
@click.option("--out", required=True, type=UserPath(), help="A folder.")
def segment(run: Path, images: tuple[Path, ...], out: Path, device: str, as_json: bool, **chosen: Any) -> None:
    """Label the pixels of pictures: NAME-labels.png; NAME-predictions.png, several predictions; NAME-spread.png, where they
    differ."""
    from reparam.reports.options import SegmentationOptions
    from reparam.reports.segmentation import segmentation_paths, write_segmentation

    opened = open_run(run, device)
    options = SegmentationOptions(**chosen)
    opened.require(Ability.SEGMENT, "segment pictures")
    targets = [path for image in images for path in segmentation_paths(opened, image, out).values()]
    if len(set(targets)) < len(targets):
        raise ConfigError("the results of two pictures would have the same name and overwrite each other: rename one")
    refuse_overwriting(targets, images, out)
    written = [path for image in images for path in write_segmentation(opened, image, out, options)]
    answer(as_json, {"out": [str(path) for path in written]}, "\n".join(map(str, written)))


COMMANDS = (complete, segment)
