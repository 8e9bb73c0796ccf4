"""The chart of a latent space: points by class, components of a mixture.

Shapes: `N` points, `K` latent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reparam.reports.charts import INK, PALETTE, PAPER, Chart, Entry, styled_canvas, to_chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHAPES = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼"}  # beyond ten classes colours repeat with another shape
NAMED_CLASSES = len(PALETTE) * len(SHAPES)
SHORT_NAME = 10  # characters up to which a class name fits into a chart


@dataclass(frozen=True)
class Ellipse:
    """A component of a mixture in the plane: its mean, its standard deviations, its weight."""

    middle: tuple[float, float]
    radii: tuple[float, float]
    weight: float


def latent_scatter(codes: Tensor, labels: Tensor, classes: Sequence[str], ellipses: Sequence[Ellipse] = ()) -> Chart:
    """Posterior means [N, K] in the plane, coloured by class: as they are for K <= 2, else their first two principal
    components. One latent is spread over a row for each class. `ellipses`: outlined, the heavier the darker."""
    from matplotlib.patches import Ellipse as Outline

    with styled_canvas(920, 640 if codes.shape[1] > 1 else 380) as canvas:
        axes = canvas.subplots()
        points, names = _plane(codes, labels)
        axes.set(xlabel=names[0], ylabel=names[1])
        axes.tick_params(length=0)
        if codes.shape[1] == 1:
            axes.set_yticks([])
        else:
            axes.set_aspect("equal", adjustable="datalim")
        legend = [_scatter_class(axes, points, labels, label, classes) for label in labels.unique().tolist()]
        heaviest = max((one.weight for one in ellipses), default=1.0)
        for one in ellipses:
            width, height = (2 * radius for radius in one.radii)
            faint = 0.15 + 0.85 * one.weight / heaviest
            axes.add_patch(Outline(one.middle, width, height, fill=False, edgecolor=INK, linewidth=1, alpha=faint))
        if len(classes) <= 2 * len(PALETTE):
            _name_classes(axes, points, labels, classes)
        return to_chart(canvas, [entry for entry in legend if entry])


def _plane(codes: Tensor, labels: Tensor) -> tuple[Tensor, tuple[str, str]]:
    """Points [N, 2] and what the axes are."""
    if codes.shape[1] == 1:
        jitter = torch.rand(len(codes), generator=torch.Generator().manual_seed(0)) - 0.5
        return torch.stack([codes[:, 0], 0.7 * jitter - labels], 1), ("z0", "class" if labels.max() >= 0 else "")
    if codes.shape[1] == 2:
        return codes, ("z0", "z1")
    centred = (codes - codes.mean(0)).double()
    _, singular, directions = torch.linalg.svd(centred, full_matrices=False)
    # The sign of a principal component is arbitrary; its largest weight is made positive.
    signs = directions.gather(1, directions.abs().argmax(1, keepdim=True)).sign()
    share = singular**2 / (singular**2).sum().clamp(min=1e-12)
    first, second = (f"principal component {i + 1} ({share[i]:.0%} of the variance)" for i in range(2))
    return (centred @ (directions * signs)[:2].T).float(), (first, second)


def _scatter_class(axes: "Axes", points: Tensor, labels: Tensor, label: int, classes: Sequence[str]) -> Entry | None:
    own = points[labels == label].numpy()
    labelled = 0 <= label < NAMED_CLASSES
    colour = PALETTE[label % len(PALETTE)] if label >= 0 else PALETTE[0] if not classes else PALETTE[8]
    marker = list(SHAPES)[label // len(PALETTE)] if labelled else "o"
    size = 20 if len(points) <= 500 else 13 if len(points) <= 3000 else 6
    # Points are one embedded picture: thousands of vector marks would be a heavy page.
    axes.scatter(own[:, 0], own[:, 1], s=size, c=colour, marker=marker, alpha=0.7, linewidths=0, rasterized=True)
    if not labelled:
        return Entry("●", colour, "unlabelled") if classes and label < 0 else None
    return Entry(SHAPES[marker], colour, classes[label])


def _name_classes(axes: "Axes", points: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    """Short class names at the middle of their points, where they do not cover each other: no look at the legend needed."""
    span = (points.amax(0) - points.amin(0)).clamp(min=1e-6)
    box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "boxstyle": "round,pad=0.2"}
    placed: list[Tensor] = []
    for label, name in enumerate(classes):
        own = points[labels == label]
        if not len(own) or len(name) > SHORT_NAME:
            continue
        middle = own.mean(0)
        if all(
            (((middle - other) / span) / torch.tensor([0.01 * len(name) + 0.02, 0.04])).norm() > 1 for other in placed
        ):
            placed.append(middle)
            axes.text(float(middle[0]), float(middle[1]), name, ha="center", va="center", weight="bold", bbox=box)
