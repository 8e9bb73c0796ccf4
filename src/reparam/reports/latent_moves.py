"""Moves through latent space that are to keep the class, as pictures (document 000, figures 2 to 5).

Shapes: `n` images, `C H W` image, `K` latent, `R` rows.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from reparam.distributions import keyed_generator
from reparam.errors import ConfigError
from reparam.evaluation.networks.features import FeatureNetwork
from reparam.latent.directions import Code, effects, top
from reparam.latent.generation import decode, encode
from reparam.reports import charts
from reparam.reports.pictures import Panel, captioned
from reparam.run.loaded import LoadedRun

SHORT = 8  # letters of a class that fit under a tile
SHARE = 0.1  # the document's lambda_clip
STEP, STEPS = 0.5, 6  # of a sigma, to each side: as far as 3
RANKED = ("effect", "largest", "posterior")


def _told(run: LoadedRun, y: Tensor) -> Tensor | None:
    """The condition of a model that is told the class."""
    return y if "sample by class" in run.model.abilities else None


def _ranks(run: LoadedRun, x: Tensor, y: Tensor, by: str) -> tuple[Tensor, Tensor]:
    """The scales of images, and by what their latents are ranked, [n, K] both: their effect (sigma times the decoder's slope), or
    sigma itself."""
    c = _told(run, y)
    mean, scale = encode(run.model, x, c)
    if by == "largest":
        return scale, scale
    decoder = run.model.given(None if c is None else c.to(run.device)).decoder
    code = Code(mean.to(run.device), scale.to(run.device), y, decoder)
    with torch.no_grad():
        return scale, effects(code).cpu()


def _drawn(scale: Tensor, n: int) -> Tensor:
    """Within the posterior, [n, K]."""
    return scale * torch.randn(n, scale.shape[1], generator=keyed_generator("cpu", 0, "directions"))


def ranked_directions(run: LoadedRun, x: Tensor, y: Tensor, count: int, by: str = "effect") -> tuple[Tensor, list[str]]:
    """`count` directions [R, K] for one image [1, C, H, W], and their names: single latents of most effect or of the largest
    sigma, one a row; or draws within the posterior. Raises ConfigError for others than `RANKED`."""
    if _known(by) == "posterior":
        scale = encode(run.model, x, _told(run, y))[1]
        count = min(count, scale.shape[1])
        return _drawn(scale, count), [""] * count
    scale, ranked = _ranks(run, x, y, by)
    places = ranked[0].argsort(descending=True, stable=True)[:count].tolist()
    rows = torch.zeros(len(places), scale.shape[1])
    rows[range(len(places)), places] = scale[0, places]
    return rows, [f"z{place}" for place in places]


def together(run: LoadedRun, x: Tensor, y: Tensor, share: float, by: str = "largest") -> Tensor:
    """For each image [n, C, H, W] the top share of its scales together, [n, K] (the document's figures 2 to 4), or those of most
    effect, or a draw within its posterior."""
    if _known(by) == "posterior":
        return _drawn(encode(run.model, x, _told(run, y))[1], len(x))
    scale, ranked = _ranks(run, x, y, by)
    return scale * top(ranked, share)


def _known(by: str) -> str:
    if by not in RANKED:
        raise ConfigError(f"directions are ranked by {', '.join(RANKED)}, not '{by}'")
    return by


def walks(
    run: LoadedRun,
    x: Tensor,
    y: Tensor,
    directions: Tensor,
    names: list[str],
    judge: FeatureNetwork | None,
    classes: tuple[str, ...],
) -> Panel:
    """A row for each direction [R, K] from the image [R, C, H, W] of the same row: decodings at -3 to 3 sigma in steps of a
    half, the image itself in the middle, and last a draw of noise in z. Under each what the judge reads, if there is one, and its
    distance (L2) from the reconstruction."""
    c = _told(run, y)
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
    shown = torch.cat([decoded[:, : STEPS + 1], x[:, None], decoded[:, STEPS + 1 :]], 1)
    columns = shown.shape[1]
    heads = [*(f"-{s:g}" for s in reversed(offsets)), "rebuilt", "image", *(f"+{s:g}" for s in offsets), "noise"]
    return captioned(shown.flatten(0, 1), columns, captions, names, heads)


def short(name: str) -> str:
    """A class's name as it fits under a tile; of attributes each: "not Male+Smiling" is -Mal+Smi."""
    if len(name) <= SHORT:
        return name
    if "+" in name:
        parts = (part.removeprefix("not ") for part in name.split("+"))
        signs = ("-" if part.startswith("not ") else "+" for part in name.split("+"))
        return "".join(sign + part[:3] for sign, part in zip(signs, parts, strict=True))
    return name[: SHORT - 1] + "."


def together_panel(
    run: LoadedRun, x: Tensor, y: Tensor, share: float, judge: FeatureNetwork | None, by: str = "largest"
) -> Panel:
    """Each image along one direction of its own."""
    run.require("augment", "move images")
    return walks(run, x, y, together(run, x, y, share, by), [""] * len(x), judge, run.dataset.classes)


def class_directions(run: LoadedRun, label: int) -> tuple[Tensor, list[str]]:
    """Two directions for each class (the document's figure 5), [2 D, K], and their names: the top share of the class's mean
    scales; and a third of the way to its mean latent from that of the class `label` (-1: from the mean of all classes). A pass
    over the training images."""
    classes, latents = run.dataset.classes, run.class_latents()
    mean, scale = latents.mean.cpu(), latents.scale.cpu()
    towards = (mean - (mean[label] if label >= 0 else mean.mean(0))) / (STEP * STEPS)
    rows = torch.stack([scale * top(scale, SHARE), towards], 1).flatten(0, 1)
    names = [f"{kind} {name}" for name in classes for kind in ("scales of", "mean of")]
    return rows, names


def directions_panel(
    run: LoadedRun, x: Tensor, y: Tensor, count: int, judge: FeatureNetwork | None, by: str = "effect"
) -> Panel:
    """One image x [1, C, H, W] along `count` directions, a row each."""
    run.require("augment", "move images")
    return _one_image(run, x, y, *ranked_directions(run, x, y, count, by), judge)


def classes_panel(run: LoadedRun, x: Tensor, y: Tensor, judge: FeatureNetwork | None) -> Panel:
    """One image x [1, C, H, W] along the scales and towards the mean of every class."""
    run.require("augment", "move images")
    return _one_image(run, x, y, *class_directions(run, int(y[0])), judge)


def flips_chart(series: Mapping[str, Sequence[tuple[float, float]]]) -> charts.Chart:
    """Named series of (change, share of flips)."""
    return charts.lines(series, "change, L2 on 28 x 28", "share of flips")


def _one_image(
    run: LoadedRun, x: Tensor, y: Tensor, rows: Tensor, names: list[str], judge: FeatureNetwork | None
) -> Panel:
    n = len(rows)
    return walks(run, x.expand(n, -1, -1, -1), y.expand(n), rows, names, judge, run.dataset.classes)
