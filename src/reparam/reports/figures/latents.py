"""Where test images are in latent space, and what each latent says of them.

Shapes: `N` images, `K` latent.
"""

from typing import Any

import torch

from reparam.core.abilities import Ability
from reparam.data.labels import attributes
from reparam.errors import DataError
from reparam.latent.generation import mixture_prior
from reparam.reports import charts
from reparam.reports.figures.figure import Drawing
from reparam.reports.run_view import RunView
from reparam.reports.scatter import NAMED_CLASSES, Ellipse, latent_scatter


def latents(view: RunView) -> Drawing:
    """Test images by class, and where classes are products of attributes by each of these, as in the G-VAE note's figure 6."""
    codes, labels = view.codes
    if len(codes) < 2:
        raise DataError("there is a single test image, and it takes two: train on data with more")
    classes = view.run.dataset.classes
    parts = [latent_scatter(codes, labels, classes, ellipses(view))]
    for attribute in attributes(classes):
        own = torch.tensor(attribute.of_class)[labels.clamp(min=0)].where(labels >= 0, labels)
        parts.append(latent_scatter(codes, own, attribute.values))
    note = f"{len(codes):,} test images."
    if len(parts) > 1:
        note += " Above by all attributes together, below by each."
    if not classes:
        note += " The data has no labels, so the points have one colour."
    elif len(classes) > NAMED_CLASSES:
        note += f" Of {len(classes)} classes, the first {NAMED_CLASSES} are named."
    return Drawing(tuple(parts), note)


def ellipses(view: RunView) -> list[Ellipse]:
    """The components of a mixture over two latents, one standard deviation wide; elsewhere the plane shows none."""
    if Ability.CLUSTER not in view.run.model.abilities or view.latent != 2:
        return []
    with torch.no_grad():
        p_z = mixture_prior(view.run.model)
    parts: Any = p_z.component_distribution.base_dist  # type: ignore[attr-defined]
    each = zip(parts.loc.tolist(), parts.scale.tolist(), p_z.mixture_distribution.probs.tolist(), strict=True)
    return [Ellipse((x, y), (a, b), weight) for (x, y), (a, b), weight in each]


def information(view: RunView) -> Drawing:
    """The KL of each latent to the prior, largest first."""
    values = view.kl_by_latent.sort(descending=True).values
    known = values[values.isfinite()]
    lacking = len(values) - len(known)
    note = f"{float(values.double().sum()):.3g} nats in all."
    if lacking:
        note = f"Of {lacking} of {len(values)} latents the KL is no finite number: they are left out."
    return Drawing((charts.latent_bars(known, "nats an image"),), note)
