"""What a trained model can be asked to show, as labelled panels; and the same as plain pictures for the command.

Shapes: `n` images, `C H W` image, `K` latent, `T` steps of a walk.
"""

import math
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from reparam.errors import ConfigError
from reparam.latent import generation
from reparam.reports.pictures import Panel, panel, to_picture
from reparam.reports.run_view import RunView
from reparam.run.loaded import LoadedRun

ACROSS = 10
TRAVERSED = 8
COMPONENTS = 20  # rows of them, at most
SPREAD_DRAWS = 20  # behind each map of standard deviations; the first ten are shown


def samples(
    run: LoadedRun,
    n: int,
    seed: int,
    draw: bool,
    columns: int,
    label: int | str | None = None,
    component: int | None = None,
) -> Panel:
    return panel(run.sample(n, seed, draw, label, component), columns)


def components(run: LoadedRun, shown: int, columns: int, seed: int = 0, draw: bool = False) -> Panel:
    """A row for each of the `shown` heaviest components: samples of it, named by its number and weight. Raises ConfigError where
    there are none."""
    run.require("cluster", "draw samples of components")
    with torch.no_grad():
        weights = generation.mixture_prior(run.model).mixture_distribution.probs.cpu()
    order = weights.argsort(descending=True, stable=True)[:shown].tolist()
    rows = torch.cat([run.sample(columns, seed, draw, component=m) for m in order])
    return panel(rows, columns, [f"{m}: {float(weights[m]):.0%}" for m in order])


def reconstructions(run: LoadedRun, x: Tensor, given: Tensor | None = None, columns: int = ACROSS) -> list[Panel]:
    """Bands of originals, what the model was given (where that differs), and reconstructions, below each other."""
    rows = {"original": x, "given": x if given is None else given}
    rows["rebuilt"] = run.reconstruct(rows["given"])
    if rows["given"].equal(x):
        del rows["given"]
    bands = zip(*(images.split(columns) for images in rows.values()), strict=True)
    # A last band that is not full keeps the others' width, so that its tiles are no larger than theirs.
    return [panel(torch.cat([_padded(row, columns) for row in band]), columns, list(rows)) for band in bands]


def _padded(row: Tensor, columns: int) -> Tensor:
    return torch.cat([row, row.new_ones((columns - len(row), *row.shape[1:]))])


def posterior(run: LoadedRun, x: Tensor, given: Tensor, shown: int) -> Panel:
    """A row an image: the image, the mean's decoding, `shown` decodings of z ~ q(z|x), their standard deviation a pixel."""
    draws = generation.posterior_draws(run.model, given, max(SPREAD_DRAWS, shown))
    spread = draws.std(1).mean(1, keepdim=True).expand_as(x)
    columns = [x, run.reconstruct(given), *draws[:, :shown].unbind(1), spread / spread.max().clamp(min=1e-6)]
    names = ["input", "mean", *[""] * (shown // 2), "draws", *[""] * (shown - shown // 2 - 1), "spread"]
    return panel(torch.stack(columns, 1).flatten(0, 1), len(columns), column_names=names)


def interpolations(run: LoadedRun, a: Tensor, b: Tensor, steps: int) -> Panel:
    """A row a pair: the first image, decodings on the line between their latents, the second image."""
    run.require("reconstruct", "interpolate")
    walk = generation.interpolate(run.model, a, b, steps)
    images = torch.cat([a[:, None], walk, b[:, None]], 1)
    return panel(images.flatten(0, 1), steps + 2, column_names=["image", *[""] * steps, "image"])


def walks(run: LoadedRun, n: int, steps: int, seed: int) -> Panel:
    """A row a pair of random latents: what the decoder makes between them."""
    run.require("decode", "walk through the latent space")
    return panel(generation.walks(run.model, n, steps, seed).flatten(0, 1), steps)


def traversals(subject: RunView, x: Tensor, dimensions: Sequence[int], extent: float, steps: int) -> Panel:
    """A row a latent dimension: it runs over [-extent, extent] and all others stay at the code of x [1, C, H, W].

    Codes of a model without a prior have a scale of their own: there the unit is their standard deviation over test
    images, around their mean.
    """
    run = subject.run
    run.require("reconstruct", "traverse the latent space")
    z = run.encode(x)[0][0]
    for dimension in dimensions:
        if not 0 <= dimension < len(z):
            raise ConfigError(f"no latent dimension {dimension}: the model has 0 to {len(z) - 1}")
    middle, scale, unit = torch.zeros_like(z), torch.ones_like(z), ""
    if "decode" not in run.model.abilities:
        codes, _ = subject.codes
        middle, scale, unit = codes.mean(0), codes.std(0, correction=0), " sd"
    rows = []
    for d in dimensions:
        low, high = float(middle[d] - extent * scale[d]), float(middle[d] + extent * scale[d])
        rows.append(generation.traverse(run.model, z, [d], low, high, steps)[0])
    return panel(torch.cat(rows), steps, [f"z{d}" for d in dimensions], _axis(extent, steps, unit))


def grid(run: LoadedRun, extent: float, steps: int, latent: int, dimensions: tuple[int, int]) -> Panel:
    """Decodings over [-extent, extent]: a strip for one latent, else two dimensions, the second one upwards."""
    tiles = generation.latent_grid(run.model, latent, extent, steps, dimensions)
    down = _axis(extent, steps)[::-1] if latent > 1 else ()
    return panel(tiles.flatten(0, 1), steps, down, _axis(extent, steps))


def _axis(extent: float, steps: int, unit: str = "") -> list[str]:
    """Names of the ends and, where a step falls on it, of the middle; the rest would not fit."""
    names = [""] * steps
    names[0], names[-1] = f"-{extent:g}{unit}", f"{extent:g}{unit}"
    if steps % 2 and steps > 1:
        names[steps // 2] = "mean" if unit else "0"
    return names


def grid_dimensions(subject: RunView) -> tuple[int, int]:
    """The two dimensions that a grid shows: the only two, the two most active, or without an encoder the first two."""
    if subject.latent <= 2 or "encode" not in subject.run.model.abilities:
        return 0, 1
    first, second = subject.most_active(2)
    return first, second


def samples_picture(
    run: LoadedRun,
    n: int,
    seed: int = 0,
    draw: bool = False,
    label: int | str | None = None,
    component: int | None = None,
) -> Image.Image:
    """Means of p(x|z) at z ~ p(z), or with `draw` samples of p(x|z), on a sheet as square as n allows; of one class, or of one
    component of a mixture prior, if asked."""
    return to_picture([samples(run, n, seed, draw, math.ceil(math.sqrt(n)), label, component)])


def components_picture(run: LoadedRun, shown: int, columns: int, seed: int = 0, draw: bool = False) -> Image.Image:
    """`components` as a picture."""
    return to_picture([components(run, shown, columns, seed, draw)])


def reconstructions_picture(run: LoadedRun, x: Tensor, given: Tensor | None = None) -> Image.Image:
    """Images x [n, C, H, W] above their reconstructions; `given`, where the model is given something else (noisy images)."""
    return to_picture(reconstructions(run, x, given, min(ACROSS, len(x))))


def interpolations_picture(run: LoadedRun, a: Tensor, b: Tensor, steps: int = 8) -> Image.Image:
    """A row for each pair of images a, b [n, C, H, W], with the images themselves at the ends."""
    return to_picture([interpolations(run, a, b, steps)])


def traversals_picture(
    run: LoadedRun,
    x: Tensor,
    dimensions: Sequence[int] | None = None,
    count: int = TRAVERSED,
    extent: float = 3.0,
    steps: int = 11,
) -> Image.Image:
    """A row for each of `dimensions` (None: the `count` most active) around the code of one image [C, H, W]."""
    run.require("reconstruct", "traverse the latent space")
    subject = RunView(run)
    return to_picture([traversals(subject, x[None], dimensions or subject.most_active(count), extent, steps)])


def grid_picture(run: LoadedRun, extent: float = 5.0, steps: int = 21) -> Image.Image:
    """Decodings over [-extent, extent]: a strip for one latent, a grid for two, and of more the two most active."""
    if "reconstruct" not in run.model.abilities:
        run.require("decode", "draw a grid of the latent space")
    subject = RunView(run)
    return to_picture([grid(run, extent, steps, subject.latent, grid_dimensions(subject))])


def example_images(run: LoadedRun, n: int) -> tuple[Tensor, Tensor]:
    """(x, what the model is given) for n test images that take the classes in turn: the ones that reports show."""
    examples = RunView(run).examples(n)
    return examples.x, examples.shown
