"""`FIGURES`: what a report shows, and what a model must be able to do for it. One function and one line add a figure.

Shapes: `n` images, `C H W` image, `K` latent.
"""

import math
from typing import Any

import torch

from reparam.data.labels import attributes
from reparam.errors import DataError
from reparam.evaluation import structured
from reparam.evaluation.metrics.latent_moves import CHANGES
from reparam.evaluation.networks.features import judge_network
from reparam.evaluation.options import VALIDATED
from reparam.latent.directions import DEFAULT
from reparam.latent.generation import mixture_prior, predict_average, sample
from reparam.reports import charts, panels
from reparam.reports import latent_moves as moving
from reparam.reports import predictions as answering
from reparam.reports.figure import Drawing, Figure, layout
from reparam.reports.pictures import panel
from reparam.reports.run_view import RunView
from reparam.reports.training_figures import TRAINING
from reparam.run.loaded import LoadedRun

CALIBRATED_ON = 200
MOVED = 6  # rows of moves


def samples(subject: RunView) -> Drawing:
    size = layout(subject.side)
    return Drawing((panels.samples(subject.run, size.across * size.rows, 0, False, size.across),))


def draws(subject: RunView) -> Drawing:
    size = layout(subject.side)
    return Drawing((panels.samples(subject.run, size.across * size.noisy_rows, 0, True, size.across),))


def reconstructions(subject: RunView) -> Drawing:
    across = layout(subject.side).across
    examples = subject.examples(2 * across)
    note = "" if examples.source is None else "The middle row is what the model was given."
    return Drawing(tuple(panels.reconstructions(subject.run, examples.x, examples.shown, across)), note)


def posterior(subject: RunView) -> Drawing:
    size = layout(subject.side)
    shown = 10 if size.across >= 10 else 5
    examples = subject.examples(size.noisy_rows + 1)
    return Drawing((panels.posterior(subject.run, examples.x, examples.shown, shown),))


def interpolations(subject: RunView) -> Drawing:
    size = layout(subject.side)
    x = subject.examples(2 * (size.noisy_rows + 1)).x
    pairs = len(x) // 2
    if not pairs:
        raise DataError("there is a single test image, and it takes two")
    return Drawing((panels.interpolations(subject.run, x[:pairs], x[pairs : 2 * pairs], size.across - 2),))


def traversals(subject: RunView) -> Drawing:
    size = layout(subject.side)
    dimensions = subject.most_active(size.walks)
    part = panels.traversals(subject, subject.examples(1).shown, dimensions, 3.0, size.walk)
    which = (
        "all latents"
        if len(dimensions) == subject.latent
        else f"the {len(dimensions)} most active of {subject.latent} latents"
    )
    unit = (
        ""
        if "decode" in subject.run.model.abilities
        else " Without a prior, the unit is the standard deviation of the codes."
    )
    return Drawing((part,), f"Shown: {which}, most active first.{unit}")


def grid(subject: RunView) -> Drawing:
    dimensions = panels.grid_dimensions(subject)
    part = panels.grid(subject.run, 5.0, layout(subject.side).grid, subject.latent, dimensions)
    if subject.latent == 1:
        return Drawing((part,), "The model has one latent: this is all it can draw.")
    across, up = dimensions
    if subject.latent == 2:
        return Drawing((part,), "z0 grows to the right, z1 upwards: this plane is all the model can draw.")
    chosen = "two most active" if "encode" in subject.run.model.abilities else "first two"
    return Drawing(
        (part,),
        f"z{across} grows to the right, z{up} upwards: the {chosen} of {subject.latent} latents, the others at 0.",
    )


def latents(subject: RunView) -> Drawing:
    codes, labels = subject.codes
    if len(codes) < 2:
        raise DataError("there is a single test image, and it takes two")
    classes = subject.run.dataset.classes
    parts = [charts.latent_scatter(codes, labels, classes, _ellipses(subject))]
    for attribute in attributes(classes):  # as in document 000's figure 6
        own = torch.tensor(attribute.of_class)[labels.clamp(min=0)].where(labels >= 0, labels)
        parts.append(charts.latent_scatter(codes, own, attribute.values))
    note = f"{len(codes):,} test images."
    if len(parts) > 1:
        note += " Above by all attributes together, below by each."
    if not classes:
        note += " The data has no labels, so the points have one colour."
    elif len(classes) > charts.NAMED_CLASSES:
        note += f" Of {len(classes)} classes, the first {charts.NAMED_CLASSES} are named."
    return Drawing(tuple(parts), note)


def _ellipses(subject: RunView) -> list[charts.Ellipse]:
    """The components of a mixture over two latents, one standard deviation wide; elsewhere the plane shows none."""
    if "cluster" not in subject.run.model.abilities or subject.latent != 2:
        return []
    with torch.no_grad():
        p_z = mixture_prior(subject.run.model)
    parts: Any = p_z.component_distribution.base_dist  # type: ignore[attr-defined]
    each = zip(parts.loc.tolist(), parts.scale.tolist(), p_z.mixture_distribution.probs.tolist(), strict=True)
    return [charts.Ellipse((x, y), (a, b), weight) for (x, y), (a, b), weight in each]


def information(subject: RunView) -> Drawing:
    values = subject.kl_by_latent.sort(descending=True).values
    return Drawing((charts.latent_bars(values, "nats an image"),), f"{float(values.sum()):.3g} nats in all.")


def answers(subject: RunView) -> Drawing:
    size = layout(subject.side)
    shown = 10 if size.across >= 10 else 4
    part = answering.answers(subject.run, subject.examples(size.across), shown)
    return Drawing((part,), f"{shown} answers each." if subject.run.model.has("prior") else "")


def reliability(subject: RunView) -> Drawing:
    run = subject.run
    batch = subject.examples(CALIBRATED_ON)
    assert batch.c is not None
    found = structured.reliability(predict_average(run.model, batch.c, 10), batch.x)
    return Drawing((charts.reliability(found),), f"{len(batch.x)} test images.")


def classes(subject: RunView) -> Drawing:
    """A column a class, a row a draw."""
    run = subject.run
    names = run.dataset.classes[: layout(subject.side).across]
    rows = layout(subject.side).rows
    c = torch.arange(len(names)).repeat(rows)
    images = sample(run.model, len(c), seed=0, c=c)
    return Drawing((panel(images, len(names), column_names=[name[:10] for name in names]),))


def components(subject: RunView) -> Drawing:
    run = subject.run
    total = run.model.prior.components
    part = panels.components(run, panels.COMPONENTS, layout(subject.side).across)
    return Drawing((part,), f"The {panels.COMPONENTS} heaviest of {total:,}." if total > panels.COMPONENTS else "")


def kept_classes(subject: RunView) -> Drawing:
    run = subject.run
    judge = judge_network(run.dataset, run.device)
    examples = subject.examples(MOVED)
    one = examples.take(torch.tensor([0]))
    parts = (
        moving.together_panel(run, examples.x, examples.y, moving.SHARE, judge),
        moving.directions_panel(run, one.x, one.y, MOVED, judge),
    )
    found = _flips(run)
    measured = [moving.flips_chart(found)] if found else []
    return Drawing(
        (*parts, *measured),
        f"The judge is a classifier of its own seed, {judge.about.partition(', ')[2]} on test images.",
    )


def _flips(run: LoadedRun) -> dict[str, list[tuple[float, float]]]:
    """What `evaluate` has measured of moves on test images: (change, share of flips), by directions."""
    found: dict[str, list[tuple[float, float]]] = {}
    for name, figure in run.folder.evaluation_document().get("metrics", {}).items():
        metric, _, directions = name.partition(" along ")
        if metric in CHANGES and not name.endswith(VALIDATED) and math.isfinite(figure["value"]):
            found.setdefault(directions or DEFAULT, []).append((CHANGES[metric], figure["value"]))
    return {directions: sorted(points) for directions, points in found.items()}


FIGURES: dict[str, Figure] = {
    "samples": Figure(
        "Samples",
        "Images that the model makes up: a random latent, decoded. Look for variety, and for images that could pass for real.",
        "sample",
        "pictures",
        samples,
    ),
    "answers": Figure(
        "Answers",
        "A row a test image: what the model was shown; its first guess from that alone; the answer at the mean latent z*; "
        "answers at random latents, which should differ where the truth is open and agree where it is not; their average; the "
        "truth; and, bright, where answers differ.",
        "predict",
        "pictures",
        answers,
    ),
    "classes": Figure(
        "Images of each class",
        "A column a class: random latents, decoded for that class.",
        "sample by class",
        "pictures",
        classes,
    ),
    "components": Figure(
        "Components of the prior",
        "A row for each of the heaviest components of the mixture, with its weight: random latents of it alone, decoded. A "
        "component that found something of its own makes rows of one kind; rows that look alike are components that share one.",
        "cluster",
        "pictures",
        components,
    ),
    "reliability": Figure(
        "Is it as sure as it may be?",
        "Pixels by the confidence of their answer, against how many of them are right. On the diagonal the two agree; below it "
        "the model is surer than it may be. Bars: the share of the pixels.",
        "segment",
        "pictures",
        reliability,
    ),
    "moves": Figure(
        "Moves that are to keep the class",
        "Above, a row a test image, moved along the top tenth of its scales together, up to 3 sigma to both sides; below, one "
        "image along the single latents of most effect. The image stands in the middle, last is noise in z. Under each: the "
        "class that a judge reads, and the change (L2). Last, once measured, how often moves of a given change break the class. "
        "Look for changes that one sees, and classes that stay.",
        "keep the class",
        "pictures",
        kept_classes,
    ),
    "reconstructions": Figure(
        "Reconstructions",
        "Test images, never trained on, above what is left of them after passing through the latent. What is lost is what "
        "the latent has no room for.",
        "reconstruct",
        "pictures",
        reconstructions,
    ),
    "latents": Figure(
        "Latent space",
        "Every point is a test image, at the mean of its latent. Classes that form islands were found by the model without "
        "being told of them.",
        "encode",
        "pictures",
        latents,
    ),
    "information": Figure(
        "What each latent carries",
        "The KL of each latent number to the prior, averaged over test images: how much it says of an image. Bars near 0 are "
        "latents that the model leaves unused.",
        "factorise",
        "pictures",
        information,
    ),
    "grid": Figure(
        "A map of the latent space",
        "Decodings of evenly spaced latents from -5 to 5. Neighbours should change into each other smoothly; under the prior "
        "nearly everything lies between -3 and 3, so the rim shows what the model has hardly seen.",
        "decode",
        "pictures",
        grid,
    ),
    "traversals": Figure(
        "One latent at a time",
        "One test image; in each row a single number of its latent moves from one end to the other. A row that hardly "
        "changes is a number that the model does not use.",
        "reconstruct",
        "pictures",
        traversals,
    ),
    "interpolations": Figure(
        "From one image to another",
        "The straight line between the latents of two test images, which stand at the ends. Good models pass through "
        "believable images, poor ones through a double exposure.",
        "reconstruct",
        "pictures",
        interpolations,
    ),
    "posterior": Figure(
        "How sure the model is of an image",
        "One input, the decoding of its mean latent, and decodings of latents drawn around it. The last column is bright "
        "where these draws differ: there the latent leaves the image open.",
        "likelihood",
        "pictures",
        posterior,
    ),
    "draws": Figure(
        "Samples with their noise",
        "The latents of the first samples again, but every pixel drawn from p(x|z) instead of its mean. Grain is noise "
        "that the model attributes to the pixels, not to what the image shows.",
        "draw",
        "pictures",
        draws,
    ),
    **TRAINING,
}
