"""What becomes of test images in latent space: reconstructions, draws of the posterior, interpolations, traversals, the grid.

Shapes: `n` images, `C H W` image, `K` latent, `T` steps of a walk.
"""

import math

import torch
from torch import Tensor

from reparam.core.abilities import Ability
from reparam.errors import ConfigError, DataError
from reparam.latent import generation
from reparam.reports.figures.figure import SPREAD_DRAWS, Drawing
from reparam.reports.options import (
    GRID_EXTENT,
    TRAVERSAL_EXTENT,
    GridOptions,
    InterpolationOptions,
    ReconstructionOptions,
    TraversalOptions,
)
from reparam.reports.pictures import Panel
from reparam.reports.run_view import RunView

SHOWN = 16  # reconstructions
PAIRS = 8  # rows of interpolations
STEPS, FRAMES = 11, 24  # of a row, and from one image to the next in a moving picture
STOPS = 4  # of a walk where nobody says through which


def reconstructions(view: RunView, options: ReconstructionOptions) -> Drawing:
    """Bands of originals, what the model was given (where that differs), and reconstructions, below each other."""
    examples = view.examples(options.n or view.number(SHOWN), options.index)
    across = min(options.across, len(examples.x))
    rows = {"original": examples.x, "given": examples.input, "rebuilt": view.run.reconstruct(examples.input)}
    if examples.input.equal(examples.x) or not options.with_input:
        del rows["given"]
    bands = zip(*(images.split(across) for images in rows.values()), strict=True)
    # A last band that is not full keeps the others' width, so that its tiles are no larger than theirs.
    panels = [Panel(torch.cat([_padded(row, across) for row in band]), across, list(rows)) for band in bands]
    return Drawing(tuple(panels), "The middle row is what the model was given." if "given" in rows else "")


def _padded(row: Tensor, across: int) -> Tensor:
    return torch.cat([row, row.new_ones((across - len(row), *row.shape[1:]))])


def posterior(view: RunView) -> Drawing:
    """A row an image: the image, the mean's decoding, decodings of z ~ q(z|x), their standard deviation a pixel."""
    examples, shown = view.examples(view.page.noisy_rows + 1), view.page.draws
    x, source = examples.x, examples.input
    draws = generation.posterior_draws(view.run.model, source, max(SPREAD_DRAWS, shown))
    spread = draws.std(1).mean(1, keepdim=True).expand_as(x)
    columns = [
        x, view.run.reconstruct(source), *draws[:, :shown].unbind(1), spread / spread.max().clamp(min=1e-6),
    ]  # fmt: skip
    names = ["input", "mean", *[""] * (shown // 2), "draws", *[""] * (shown - shown // 2 - 1), "spread"]
    return Drawing((Panel(torch.stack(columns, 1).flatten(0, 1), len(columns), columns=names),))


def interpolations(view: RunView, options: InterpolationOptions) -> Drawing:
    """A row a pair of images: the first, decodings on the line between their latents, the second. Raises ConfigError for an odd
    number of them."""
    view.run.require(Ability.RECONSTRUCT, "interpolate")
    given = len(options.index) or view.number(0)
    if given % 2:
        raise ConfigError(
            f"a sheet shows walks between images in pairs, and {given} are no pairs: give one more or "
            "less, or --out walk.gif for one walk through all"
        )
    x, steps = _at_least_two(view.examples(view.number(2 * PAIRS), options.index).x), options.steps or STEPS
    a, b = x[0 : len(x) // 2 * 2 : 2], x[1::2]
    walk = generation.interpolate(view.run.model, a, b, steps, options.line or "straight")
    images = torch.cat([a[:, None], walk, b[:, None]], 1)
    names = ["image", *[""] * steps, "image"]
    return Drawing((Panel(images.flatten(0, 1), steps + 2, columns=names),))


def walks(view: RunView, options: InterpolationOptions) -> Drawing:
    """A row a pair of random latents: what the decoder makes between them."""
    view.run.require(Ability.DECODE, "walk through the latent space")
    steps = options.steps or STEPS
    images = generation.walks(view.run.model, PAIRS, steps, options.seed, options.line or "spherical")
    return Drawing((Panel(images.flatten(0, 1), steps),))


def frames(view: RunView, options: InterpolationOptions) -> Tensor:
    """One walk through images, or through random latents of a model that cannot encode: from the first to the second, from there
    to the third and on, [T, C, H, W]."""
    run, steps = view.run, options.steps or FRAMES
    if Ability.RECONSTRUCT in run.model.abilities:
        x = _at_least_two(view.examples(view.number(STOPS), options.index).input)
        parts = generation.interpolate(run.model, x[:-1], x[1:], steps, options.line or "straight")
    else:
        run.require(Ability.DECODE, "walk through the latent space")
        z = generation.sample_latents(run.model, STOPS, options.seed).cpu()
        parts = generation.walk(run.model, z[:-1], z[1:], steps, options.line or "spherical")
    return torch.cat([parts[0], *parts[1:, 1:]])


def _at_least_two(x: Tensor) -> Tensor:
    if len(x) < 2:
        raise DataError("there is a single image, and it takes two: give more")
    return x


def traversals(view: RunView, options: TraversalOptions) -> Drawing:
    """A row a latent dimension: it runs over [-extent, extent] and all others stay at the code of one image.

    Where codes have a scale of their own, since there is no prior or they reach beyond the extent, the unit is their standard
    deviation over test images, around their mean. Under a fitted prior it is the prior's.
    """
    run, extent, steps = view.run, options.extent or TRAVERSAL_EXTENT, options.steps
    run.require(Ability.RECONSTRUCT, "traverse the latent space")
    z = run.encode(view.examples(1, () if options.index is None else (options.index,)).input)[0][0]
    for dimension in options.dimensions:
        if not 0 <= dimension < len(z):
            raise ConfigError(f"the model has no latent dimension {dimension}: choose 0 to {len(z) - 1}")
    dimensions = options.dimensions or view.most_active(options.count)
    unit = view.unit(dimensions, math.inf if options.extent else extent)
    middle, scale = (unit.middle, unit.scale) if unit else (torch.zeros_like(z), torch.ones_like(z))
    rows = []
    for d in dimensions:
        low, high = float(middle[d] - extent * scale[d]), float(middle[d] + extent * scale[d])
        rows.append(generation.traverse(run.model, z, [d], low, high, steps)[0])
    which = "all latents" if len(dimensions) == len(z) else f"the {len(dimensions)} most active of {len(z)} latents"
    note = f"Shown: {which}, most active first."
    if unit:
        note += f" The unit is the standard deviation {unit.of}, around the mean."
    names = _axis(extent, steps, " sd" if unit else "")
    return Drawing((Panel(torch.cat(rows), steps, [f"z{d}" for d in dimensions], names),), note)


def grid(view: RunView, options: GridOptions) -> Drawing:
    """Decodings over [-extent, extent]: a strip for one latent, a grid for two; of more the two most active, or without an
    encoder the first two."""
    run, latent = view.run, view.latent
    encodes = Ability.ENCODE in run.model.abilities
    if Ability.RECONSTRUCT not in run.model.abilities:
        run.require(Ability.DECODE, "draw a grid of the latent space")
    across, up = view.most_active(2) if latent > 2 and encodes else (0, 1)
    extent = options.extent or GRID_EXTENT
    unit = view.unit((across, up)[:latent], math.inf if options.extent else extent)
    reach = (unit.middle, unit.scale) if unit else None
    tiles = generation.latent_grid(run.model, latent, extent, options.steps, (across, up), reach)
    names = _axis(extent, options.steps, " sd" if unit else "")
    panel = Panel(tiles.flatten(0, 1), options.steps, names[::-1] if latent > 1 else (), names)
    note = "The model has one latent, z0." if latent == 1 else f"z{across} grows to the right, z{up} upwards."
    if latent > 2:
        chosen, rest = "two most active" if encodes else "first two", "at their means" if unit else "0"
        note += f" They are the {chosen} of {latent} latents, the others are {rest}."
    if unit:
        note += f" The unit is the standard deviation {unit.of}, around the mean."
    elif Ability.STANDARD_NORMAL in run.model.abilities:
        note += " Nearly all latents of the prior N(0, I) are between -3 and 3: the rim shows what is rarely sampled."
    return Drawing((panel,), note)


def _axis(extent: float, steps: int, unit: str = "") -> list[str]:
    """Names of the ends and, where a step falls on it, of the middle; the rest would not fit."""
    names = [""] * steps
    names[0], names[-1] = f"-{extent:g}{unit}", f"{extent:g}{unit}"
    if steps % 2 and steps > 1:
        names[steps // 2] = "mean" if unit else "0"
    return names
