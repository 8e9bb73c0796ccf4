"""Pictures of one's own, segmented.

Shapes: `C H W` image, `D` values of a label map, `L` predictions.
"""

from pathlib import Path

import torch
from PIL import Image

from reparam.core.abilities import Ability
from reparam.core.batch import Batch
from reparam.data.io.single_picture import read_windows
from reparam.distributions import IGNORED
from reparam.files import file_names
from reparam.reports.figures.predictions import predictions, spread_image
from reparam.reports.options import PredictionOptions, SegmentationOptions
from reparam.reports.pictures import legible, sheet, write_png
from reparam.reports.run_view import RunView
from reparam.run.data import fitting
from reparam.run.loaded import LoadedRun

KINDS = ("labels", "predictions", "spread")
SHOWN = 8  # images of one picture whose predictions are shown


def segmentation_paths(run: LoadedRun, path: Path, folder: Path) -> dict[str, Path]:
    """Where `write_segmentation` puts what it makes of a picture; a model with a single prediction has no spread."""
    kinds = KINDS if run.model.has("prior") else KINDS[:2]
    (name,) = file_names([path.stem])
    return {kind: folder / f"{name}-{kind}.png" for kind in kinds}


def write_segmentation(run: LoadedRun, path: Path, folder: Path, options: SegmentationOptions) -> list[Path]:
    """What the model makes of a picture, into FOLDER: NAME-labels.png, the most probable label at each of the picture's own
    pixels (two values: 0 and 255, else 0 to D - 1) after the average of the predictions; NAME-predictions.png, the predictions;
    NAME-spread.png, where they differ. A picture of another shape than the model's is covered by several images (`Windows`), each
    with predictions of its own."""
    run.require(Ability.SEGMENT, "segment pictures")
    picture = read_windows(path, run.spec.image_shape, fitting(run.config, run.spec))
    c = run.condition(picture.pixels)
    generates = run.model.has("prior")
    samples = run.predictions(c, options.samples, options.seed) if generates else run.predict(c)[:, None]
    values = picture.labels(samples.mean(1))
    label_map = Image.fromarray((values * (255 if run.spec.map_values == 2 else 1)).byte().numpy())
    shown_of = torch.linspace(0, len(c) - 1, min(len(c), SHOWN)).round().long()
    unknown = torch.full((len(shown_of), 1, *run.spec.image_shape[1:]), IGNORED)
    batch = Batch(x=unknown, c=c[shown_of], y=torch.full((len(shown_of),), -1), index=shown_of)
    shown = PredictionOptions(samples=options.samples, seed=options.seed, truth=False)
    found = {"labels": label_map, "predictions": predictions(RunView(run, batch=batch), shown).picture()}
    if generates:
        found["spread"] = sheet(legible(picture.joined(spread_image(samples))[None], 1), 1)
    paths = segmentation_paths(run, path, folder)
    for kind, image in found.items():
        write_png(paths[kind], image)
    return list(paths.values())
