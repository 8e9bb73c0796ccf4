"""`TRAINING`: what a report shows of how training went. One function and one line add a figure.

Shapes: `n` images, `C H W` image.
"""

import re
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from reparam.errors import RunError
from reparam.reports import charts
from reparam.reports.figure import Drawing, Figure, layout
from reparam.reports.pictures import Panel, cut_sheet, panel
from reparam.reports.run_view import RunView

PICTURE = re.compile(r"(samples|reconstructions|predictions)-(\d+\.\d+)\.png")


def curves(subject: RunView) -> Drawing:
    try:
        lines = subject.run.folder.metrics()
    except ValueError as error:
        raise RunError(f"metrics.jsonl is damaged ({error})") from None
    return Drawing((charts.training_curves(lines, subject.kept_epoch),))


def samples_by_epoch(subject: RunView) -> Drawing:
    sheets = training_pictures(subject, "samples")
    across = layout(subject.side).across
    rows = [tiles.flatten(0, 1)[:across] for _, tiles in sheets]
    return Drawing((_by_epoch([epoch for epoch, _ in sheets], rows),))


def predictions_by_epoch(subject: RunView) -> Drawing:
    return _rebuilt_by_epoch(subject, "predictions", ["truth", "seen"])


def reconstructions_by_epoch(subject: RunView) -> Drawing:
    return _rebuilt_by_epoch(subject, "reconstructions", ["original", "given"])


def _rebuilt_by_epoch(subject: RunView, kind: str, above: list[str]) -> Drawing:
    sheets = training_pictures(subject, kind)
    across = layout(subject.side).across
    _, last = sheets[-1]
    # All rows but the last are what the model was shown: the originals and, where that is something else, its input.
    shown = [row[:across] for row in last[:-1]]
    names = above[: len(shown)]
    return Drawing(
        (_by_epoch([epoch for epoch, _ in sheets], [tiles[-1, :across] for _, tiles in sheets], names, shown),)
    )


def _by_epoch(
    epochs: list[float], rows: list[Tensor], names: list[str] | None = None, above: list[Tensor] | None = None
) -> Panel:
    images = [*(above or []), *rows]
    labels = [*(names or []), *(f"epoch {epoch:.3g}" for epoch in epochs)]
    return panel(torch.cat(images), len(images[0]), labels)


def training_pictures(subject: RunView, kind: str) -> list[tuple[float, Tensor]]:
    """(epoch, tiles [rows, columns, C, H, W]) of the pictures that training left, in order; damaged ones are left out.

    Of many, some between the first and the last are left out too.
    """
    found = []
    folder: Path = subject.run.folder.pictures
    for path in sorted(folder.glob("*.png")) if folder.is_dir() else []:
        match = PICTURE.fullmatch(path.name)
        if match and match[1] == kind:
            try:
                with Image.open(path) as image:
                    channels = 3 if image.mode == "RGB" else 1
                    found.append((float(match[2]), cut_sheet(image, (channels, *subject.shape[1:]))))
            except (OSError, ValueError, SyntaxError):  # Pillow raises SyntaxError for some broken PNG files
                continue
    if not found:
        raise RunError("training left no pictures (they were switched off with --pictures 0, or are no longer there)")
    shape = found[-1][1].shape
    alike = [(epoch, tiles) for epoch, tiles in found if tiles.shape == shape]
    chosen = torch.linspace(0, len(alike) - 1, min(len(alike), layout(subject.side).epochs)).round().long()
    return [alike[i] for i in chosen.tolist()]


TRAINING: dict[str, Figure] = {
    "curves": Figure(
        "Training curves",
        "Every term that was minimised; lower is better, except where terms trade off against each other. Validation that "
        "rises while training falls is overfitting.",
        None,
        "training",
        curves,
    ),
    "samples-by-epoch": Figure(
        "Samples as training went on",
        "Each column is one latent, decoded by the model of that epoch.",
        "sample",
        "training",
        samples_by_epoch,
    ),
    "predictions-by-epoch": Figure(
        "Answers as training went on",
        "The same validation images, completed by the model of each epoch: one answer each.",
        "complete",
        "training",
        predictions_by_epoch,
    ),
    "reconstructions-by-epoch": Figure(
        "Reconstructions as training went on",
        "The same validation images, rebuilt by the model of each epoch.",
        "reconstruct",
        "training",
        reconstructions_by_epoch,
    ),
}
