"""What a model generates: samples, of each class, of each component of a mixture prior.

Shapes: `n` images, `C H W` image.
"""

import math

import torch

from reparam.core.abilities import Ability
from reparam.data.selection import random_indices
from reparam.data.tasks import to_float
from reparam.errors import ConfigError
from reparam.latent import generation
from reparam.latent.generation import mixture_prior
from reparam.reports.figures.figure import Drawing
from reparam.reports.options import SampleOptions
from reparam.reports.pictures import Panel
from reparam.reports.run_view import RunView

HEAVIEST = 20  # components that are shown, at most
SAMPLES, COMPONENT_SAMPLES = 64, 15
SEARCHED, TOGETHER = 20_000, 1000  # training images: looked through, and at one time
SHORT_NAME = 10  # letters of a class that fit above a tile


def samples(view: RunView, options: SampleOptions) -> Drawing:
    """Means of p(x|z) at z ~ p(z), or draws of p(x|z); of one class or one component, if requested."""
    if options.draw:
        view.run.require(Ability.DRAW, "draw pixels from p(x|z)")
    n = options.n or SAMPLES
    images = view.run.sample(n, options.seed, options.draw, options.label, options.component)
    return Drawing((Panel(images, options.across or math.ceil(math.sqrt(n))),))


def components(view: RunView, options: SampleOptions) -> Drawing:
    """A row of `n` samples for each of the heaviest components, named by its number and weight. Raises ConfigError where there
    are none."""
    run, across = view.run, options.n or COMPONENT_SAMPLES
    if options.label is not None or options.component is not None:
        raise ConfigError("--components shows all of them: leave --component and --class out")
    run.require(Ability.CLUSTER, "draw samples of components")
    with torch.no_grad():
        weights = mixture_prior(run.model).mixture_distribution.probs.cpu()
    order = weights.argsort(descending=True, stable=True)[:HEAVIEST].tolist()
    rows = torch.cat([run.sample(across, options.seed, options.draw, component=m) for m in order])
    panel = Panel(rows, across, [f"{m}: {float(weights[m]):.0%}" for m in order])
    return Drawing((panel,), f"The {HEAVIEST} heaviest of {len(weights):,}." if len(weights) > HEAVIEST else "")


def neighbours(view: RunView, options: SampleOptions) -> Drawing:
    """Samples above the training images that are nearest to them, by squared distance of pixels."""
    trained_on = view.run.config.training_images(view.run.dataset)
    made = view.run.sample(options.n or view.page.across, options.seed)
    flat = made.cpu().flatten(1)
    nearest = torch.full((len(made),), torch.inf)
    found = torch.zeros_like(made, device="cpu")
    searched = random_indices(trained_on, SEARCHED).sort().values
    for part in searched.split(TOGETHER):
        images = to_float(trained_on.take(part).pixels)
        distances, index = torch.cdist(flat, images.flatten(1)).min(1)
        closer = distances < nearest
        nearest[closer], found[closer] = distances[closer], images[index[closer]]
    rows = ["samples", "nearest of training"]
    of = f"Of {len(searched):,} of the {len(trained_on):,} training images." if len(searched) < len(trained_on) else ""
    return Drawing((Panel(torch.cat([made.cpu(), found]), len(made), rows),), of)


def classes(view: RunView) -> Drawing:
    """A column a class, a row a latent."""
    names = view.run.dataset.classes[: view.page.across]
    c = torch.arange(len(names)).repeat(view.page.rows)
    images = generation.sample(view.run.model, len(c), c=c)
    return Drawing((Panel(images, len(names), columns=[name[:SHORT_NAME] for name in names]),))
