"""Perturbations of the latent that should keep the class (the G-VAE note, figures 2 to 5).

Shapes: `n` images, `C H W` image, `D` classes, `K` latent, `R` rows.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from reparam.core.abilities import Ability
from reparam.distributions import keyed_generator
from reparam.evaluation.metrics.latent_moves import CHANGES
from reparam.evaluation.options import parse_stored_name
from reparam.latent.directions import DEFAULT, Code, effects, top
from reparam.latent.generation import decode, encode
from reparam.reports import charts
from reparam.reports.figures.figure import Drawing
from reparam.reports.options import TraversalOptions
from reparam.reports.pictures import Panel
from reparam.reports.run_view import RunView
from reparam.run.loaded import LoadedRun

SHORT = 8  # letters of a class that fit under a tile
SHARE = 0.1  # of a class's scales: the note's lambda_clip
STEP, STEPS = 0.5, 6  # of a sigma, to each side: as far as 3
PAGE_ROWS = 6


def page_figure(view: RunView) -> Drawing:
    """Several images, one image along several directions, and what `evaluate` has measured."""
    above = latent_moves(view, TraversalOptions(images=PAGE_ROWS))
    below = latent_moves(view, TraversalOptions(index=None, directions=PAGE_ROWS))
    found = _measured_flips(view.run)
    note = ""
    if view.judge:
        accuracy = view.judge.about.partition(", ")[2]
        note = f"The judge is a classifier trained with a seed that no model uses, {accuracy} on test images."
    return Drawing((*above.parts, *below.parts, *([flips_chart(found)] if found else [])), note)


def latent_moves(view: RunView, options: TraversalOptions) -> Drawing:
    """A row for each direction, by the options' mode: of one image, its `directions`; of several `images`, one of each; of one
    image, two for each of the `classes`."""
    run = view.run
    run.require(Ability.AUGMENT, "move images")
    index = () if options.index is None or options.images else (options.index,)
    examples = view.examples(options.images or 1, index)
    x, y = examples.x, examples.y
    if options.classes:
        rows, names = class_directions(run, int(y[0]))
    else:
        rows, names = _directions(run, x, y, options)
    if not options.images:
        x, y = x.expand(len(rows), -1, -1, -1), y.expand(len(rows))
    return Drawing((_walks(view, x, y, rows, names),))


def _condition(run: LoadedRun, y: Tensor) -> Tensor | None:
    """The classes, where the model is given them."""
    return y if Ability.SAMPLE_BY_CLASS in run.model.abilities else None


def _directions(run: LoadedRun, x: Tensor, y: Tensor, options: TraversalOptions) -> tuple[Tensor, list[str]]:
    """[R, K] and their names. Of several images the top share of each one's scales together (the note's figures 2 to 4); of one
    image single latents, the first by effect (sigma times the decoder's slope) or sigma; or draws of the posterior."""
    by = options.by or ("largest" if options.images else "effect")
    c = _condition(run, y)
    mean, scale = encode(run.model, x, c)
    count = len(x) if options.images else min(options.directions or 0, scale.shape[1])
    if by == "posterior":
        return scale * torch.randn(count, scale.shape[1], generator=keyed_generator("cpu", 0, "directions")), [
            ""
        ] * count
    ranks = scale
    if by == "effect":
        decoder = run.model.given(None if c is None else c.to(run.device)).decoder
        with torch.no_grad():
            ranks = effects(Code(mean.to(run.device), scale.to(run.device), y, decoder)).cpu()
    if options.images:
        return scale * top(ranks, options.share), [""] * count
    places = ranks[0].argsort(descending=True, stable=True)[:count].tolist()
    rows = torch.zeros(count, scale.shape[1])
    rows[range(count), places] = scale[0, places]
    return rows, [f"z{place}" for place in places]


def class_directions(run: LoadedRun, label: int) -> tuple[Tensor, list[str]]:
    """Two directions for each class (the note's figure 5), [2 D, K], and their names: the top share of the class's mean scales;
    and a third of the way to its mean latent from that of the class `label` (-1: from the mean of all classes). A pass over the
    training images."""
    classes, latents = run.dataset.classes, run.class_latents()
    mean, scale = latents.mean.cpu(), latents.scale.cpu()
    towards = (mean - (mean[label] if label >= 0 else mean.mean(0))) / (STEP * STEPS)
    rows = torch.stack([scale * top(scale, SHARE), towards], 1).flatten(0, 1)
    names = [f"{kind} {name}" for name in classes for kind in ("scales of", "mean of")]
    return rows, names


def _walks(view: RunView, x: Tensor, y: Tensor, directions: Tensor, names: list[str]) -> Panel:
    """A row for each direction [R, K] from the image [R, C, H, W] of the same row: decodings at -3 to 3 sigma in steps of a
    half, the image itself in the middle, and last a draw of noise in z. Under each what the judge reads, if there is one, and its
    distance (L2) from the reconstruction."""
    run, judge, classes = view.run, view.judge, view.run.dataset.classes
    c = _condition(run, y)
    mean = encode(run.model, x, c)[0]
    offsets = [STEP * (number + 1) for number in range(STEPS)]
    eps = torch.randn(mean.shape, generator=keyed_generator("cpu", 0, "noise in z"))
    latents = [
        *(mean - s * directions for s in reversed(offsets)),
        mean,
        *(mean + s * directions for s in offsets),
        mean + eps,
    ]
    known = None if c is None else c.repeat_interleave(len(latents))
    decoded = decode(run.model, torch.stack(latents, 1).flatten(0, 1), c=known).unflatten(0, (len(x), len(latents)))
    rebuilt = decoded[:, STEPS]
    names_read = [short(classes[i]) for i in judge.classes(decoded.flatten(0, 1)).tolist()] if judge else []
    change = (decoded - rebuilt[:, None]).flatten(2).norm(dim=2).tolist()
    captions: list[str] = []
    for row, label in enumerate(y.tolist()):
        read = names_read[row * len(latents) :][: len(latents)] or [""] * len(latents)
        moved = [f"{name}  {far:.1f}".strip() for name, far in zip(read, change[row], strict=True)]
        own = short(classes[label]) if label >= 0 else ""
        captions += [*moved[: STEPS + 1], own, *moved[STEPS + 1 :]]
    tiles = torch.cat([decoded[:, : STEPS + 1], x[:, None], decoded[:, STEPS + 1 :]], 1)
    heads = [*(f"-{s:g}" for s in reversed(offsets)), "rebuilt", "image", *(f"+{s:g}" for s in offsets), "noise"]
    return Panel(tiles.flatten(0, 1), tiles.shape[1], names, heads, captions)


def short(name: str) -> str:
    """A class's name as it fits under a tile; of attributes each: "not Male+Smiling" is -Mal+Smi."""
    if len(name) <= SHORT:
        return name
    if "+" in name:
        parts = name.split("+")
        return "".join(("-" if p.startswith("not ") else "+") + p.removeprefix("not ")[:3] for p in parts)
    return name[: SHORT - 1] + "."


def flips_chart(series: Mapping[str, Sequence[tuple[float, float]]]) -> charts.Chart:
    """Named series of (change, share of flips)."""
    return charts.lines(series, "change, L2 on 28 x 28", "share of flips")


def _measured_flips(run: LoadedRun) -> dict[str, list[tuple[float, float]]]:
    """(change, share of flips) on test images, by directions, of what was measured."""
    found: dict[str, list[tuple[float, float]]] = {}
    for name, figure in run.folder.evaluation().metrics.items():
        stored = parse_stored_name(name)
        if stored.metric in CHANGES and not stored.validation:
            found.setdefault(stored.directions or DEFAULT, []).append((CHANGES[stored.metric], figure.value))
    return {directions: sorted(points) for directions, points in found.items()}
