"""How training went: its curves, and the pictures that it left.

Shapes: `C H W` image.
"""

import re
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from reparam.errors import RunError
from reparam.reports import charts
from reparam.reports.figures.figure import Drawing
from reparam.reports.pictures import Panel, cut_sheet
from reparam.reports.run_view import RunView

PICTURE = re.compile(r"(samples|reconstructions|predictions)-(\d+\.\d+)\.png")


def curves(view: RunView) -> Drawing:
    """Every term of metrics.jsonl, and where the kept weights were taken."""
    lines = view.run.folder.metrics()
    try:
        kept = view.run.kept.epoch
    except Exception:  # whatever a model raises, as elsewhere on the page, which says why
        kept = None
    return Drawing((charts.training_curves(lines, kept),))


def samples_by_epoch(view: RunView) -> Drawing:
    """The first samples of each epoch."""
    sheets = training_pictures(view, "samples")
    rows = [tiles.flatten(0, 1)[: view.page.across] for _, tiles in sheets]
    return _by_epoch([epoch for epoch, _ in sheets], rows)


def predictions_by_epoch(view: RunView) -> Drawing:
    """The truth, what was seen of it, and a prediction of each epoch."""
    return _below_originals(view, "predictions", ["truth", "seen"])


def reconstructions_by_epoch(view: RunView) -> Drawing:
    """Originals, what the model was given (where that differs), and reconstructions of each epoch."""
    return _below_originals(view, "reconstructions", ["original", "given"])


def _below_originals(view: RunView, kind: str, names: list[str]) -> Drawing:
    """All rows of a picture but the last are the originals and, where that is something else, the input."""
    sheets = training_pictures(view, kind)
    above = [row[: view.page.across] for row in sheets[-1][1][:-1]]
    rows = [tiles[-1, : view.page.across] for _, tiles in sheets]
    return _by_epoch([epoch for epoch, _ in sheets], rows, names[: len(above)], above)


def _by_epoch(
    epochs: list[float], rows: list[Tensor], names: Sequence[str] = (), above: Sequence[Tensor] = ()
) -> Drawing:
    labels = [*names, *(f"epoch {epoch:.3g}" for epoch in epochs)]
    return Drawing((Panel(torch.cat([*above, *rows]), len(rows[0]), labels),))


def training_pictures(view: RunView, kind: str) -> list[tuple[float, Tensor]]:
    """(epoch, tiles [rows, columns, C, H, W]) of the pictures that training left, in order; damaged ones are left out, and of
    many some between the first and the last."""
    found = []
    folder = view.run.folder.pictures
    for path in sorted(folder.glob("*.png")) if folder.is_dir() else []:
        match = PICTURE.fullmatch(path.name)
        if match and match[1] == kind:
            try:
                with Image.open(path, formats=("PNG",)) as image:
                    channels = 3 if image.mode == "RGB" else 1
                    found.append((float(match[2]), cut_sheet(image, (channels, *view.shape[1:]))))
            except (OSError, ValueError, SyntaxError):  # Pillow raises SyntaxError for some broken PNG files
                continue
    if not found:
        raise RunError("training left no pictures (they were switched off with --pictures 0, or are no longer there)")
    shape = found[-1][1].shape
    alike = [(epoch, tiles) for epoch, tiles in found if tiles.shape == shape]
    chosen = torch.linspace(0, len(alike) - 1, min(len(alike), view.page.epochs)).round().long()
    return [alike[i] for i in chosen.tolist()]
