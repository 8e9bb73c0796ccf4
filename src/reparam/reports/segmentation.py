"""Pictures of one's own, segmented.

Shapes: `C H W` image, `D` values of a label map, `L` predictions.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from reparam.core.abilities import Ability
from reparam.core.batch import Batch
from reparam.data.io.archives import FolderTree, Tree
from reparam.data.io.single_picture import read_whole, read_windows
from reparam.distributions import IGNORED
from reparam.errors import escaped
from reparam.files import file_names
from reparam.metrics import structured
from reparam.reports.figures.predictions import label_colours, label_names, legend, predictions, spread_image
from reparam.reports.options import PredictionOptions, SegmentationOptions
from reparam.reports.pictures import Panel, sheet, shown, to_picture, write_png
from reparam.reports.run_view import RunView
from reparam.run.data import fitting
from reparam.run.loaded import LoadedRun

KINDS = ("labels", "overlay", "colours", "confidence", "entropy", "predictions", "spread")
SHEET = "sheet.png"
SHOWN = 8  # images of one picture whose predictions are shown
_COLUMNS = ("picture", "labels", "overlay", "confidence", "entropy")
_TILE, _ROWS, _NAME = 160, 100, 40  # of the sheet: longer side of a tile, pictures, characters of a name
_COVER = 0.5  # how much of the picture a label's colour hides


class Source(NamedTuple):
    """A picture to segment: a file of a tree."""

    tree: Tree
    file: str

    @classmethod
    def of_path(cls, path: Path) -> "Source":
        return cls(FolderTree(path.parent, [path.name]), path.name)

    @property
    def name(self) -> str:
        """What its results are called: its path below what was given, without the suffix, with `-` for `/`."""
        path = PurePosixPath(self.file)
        (name,) = file_names(["-".join((*path.parts[:-1], path.stem))])
        return name


def segmentation_paths(run: LoadedRun, source: Source, folder: Path) -> dict[str, Path]:
    """Where `write_segmentation` puts what it makes of a picture; a model with a single prediction has no spread."""
    kinds = KINDS if run.model.has("prior") else KINDS[:-1]
    return {kind: folder / f"{source.name}-{kind}.png" for kind in kinds}


def write_segmentation(
    run: LoadedRun, source: Source, folder: Path, options: SegmentationOptions
) -> tuple[list[Path], Tensor]:
    """What the model makes of a picture, into FOLDER; all but the predictions at the picture's own pixels.

    Of the average prediction p [D]: NAME-labels.png, the most probable label (two: 0 and 255, else 0 to D - 1); NAME-colours.png,
    the same in colours; NAME-overlay.png, these half over the picture, but for a black one; NAME-confidence.png, max p;
    NAME-entropy.png, -sum p log p / log D; both with 0 black and 1 white. NAME-predictions.png, the predictions;
    NAME-spread.png, where they differ.

    A picture of another shape than the model's is covered by several images (`Windows`), each with predictions of its own.
    Returns the files, and a row of the sheet [5, 3, side, side]."""
    run.require(Ability.SEGMENT, "segment pictures")
    reading = fitting(run.config, run.spec)
    picture = read_windows(source.tree, source.file, run.spec.image_shape, reading)
    c = run.condition(picture.pixels)
    generates = run.model.has("prior")
    samples = run.predictions(c, options.samples, options.seed) if generates else run.predict(c)[:, None]
    probs = picture.enlarged(samples.mean(1))
    values = probs.argmax(0)
    label_map = Image.fromarray((values * (255 if run.spec.map_values == 2 else 1)).byte().numpy())
    palette = label_colours(run.spec.map_values, run.document.data.map_colours)
    colours = palette[values].movedim(-1, 0)
    whole = shown(read_whole(source.tree, source.file, run.spec.image_shape[0], reading))[0].expand(3, -1, -1)
    overlay = torch.where((palette.sum(1) > 0)[values], torch.lerp(whole, colours, _COVER), whole)
    confidence, entropy = probs.amax(0, keepdim=True), structured.entropy(probs[None])[0]
    shown_of = torch.linspace(0, len(c) - 1, min(len(c), SHOWN)).round().long()
    unknown = torch.full((len(shown_of), 1, *run.spec.image_shape[1:]), IGNORED)
    batch = Batch(x=unknown, c=c[shown_of], y=torch.full((len(shown_of),), -1), index=shown_of)
    wanted = PredictionOptions(samples=options.samples, seed=options.seed, truth=False)
    found = {
        "labels": label_map,
        "overlay": sheet(overlay[None], 1),
        "colours": sheet(colours[None], 1),
        "confidence": sheet(confidence[None], 1),
        "entropy": sheet(entropy[None], 1),
        "predictions": predictions(RunView(run, batch=batch), wanted).picture(),
    }
    if generates:
        found["spread"] = sheet(picture.enlarged(spread_image(samples))[None], 1)
    paths = segmentation_paths(run, source, folder)
    for kind, image in found.items():
        write_png(paths[kind], image)
    row = torch.stack([_tile(one) for one in (whole, colours, overlay, confidence, entropy)])
    return list(paths.values()), row


def write_sheet(run: LoadedRun, sources: Sequence[Source], rows: Sequence[Tensor], folder: Path) -> Path:
    """FOLDER/sheet.png, a row a picture (the first 100), with the labels' colours by name below."""
    names = [_short(escaped(source.file)) for source in sources[: len(rows)]]
    palette = label_colours(run.spec.map_values, run.document.data.map_colours)
    panels = [
        Panel(torch.cat(list(rows)), len(_COLUMNS), names, _COLUMNS),
        legend(palette, [_short(name) for name in label_names(run)]),
    ]
    write_png(folder / SHEET, to_picture(panels))
    return folder / SHEET


def sheet_rows(count: int) -> int:
    """How many of so many pictures the sheet shows."""
    return min(count, _ROWS)


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"…{name[1 - _NAME :]}"


def _tile(image: Tensor) -> Tensor:
    """An image [1 or 3, H, W] in the middle of a white square, [3, side, side]."""
    height, width = image.shape[1:]
    scale = _TILE / max(height, width)
    sides = max(1, round(height * scale)), max(1, round(width * scale))
    small = F.interpolate(image[None], sides, mode="area" if scale < 1 else "nearest")[0].expand(3, -1, -1)
    top, left = (_TILE - sides[0]) // 2, (_TILE - sides[1]) // 2
    return F.pad(small, (left, _TILE - sides[1] - left, top, _TILE - sides[0] - top), value=1.0)
