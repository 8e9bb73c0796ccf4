r"""`DIRECTIONS`: along what images are moved in latent space, and what that takes. One function and one line add a row.

Shapes: `B` batch, `K` latent, `D` classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.conditionals import linear_head
from reparam.core.model import Model
from reparam.data import Images
from reparam.data.tasks import to_float
from reparam.distributions import drawn_by
from reparam.errors import ConfigError, DataError, suggest

Random = torch.Generator | None
Decoder = Callable[[Tensor], Distribution]
PART = 1000  # images that are encoded at one time


@dataclass(frozen=True)
class ClassLatents:
    """Mean [D, K], covariance [D, K, K] and mean posterior scale [D, K] of the latents of each class: a pass over the data."""

    mean: Tensor
    covariance: Tensor
    scale: Tensor


class Code(NamedTuple):
    """Where images are, and what directions may look at: q(z|x) = N(mean, diag scale^2), [B, K] each; classes y [B] (-1: not
    known); the decoder; the share of the latents that are chosen; the head and the latents of classes, where there are any."""

    mean: Tensor
    scale: Tensor
    y: Tensor
    decoder: Decoder
    share: float = 0.1
    head: nn.Linear | None = None
    latents: ClassLatents | None = None


class Direction(NamedTuple):
    """A row: what it is, the function of (code, generator) to directions [B, K], and what it needs beside the model's encoder
    and decoder."""

    doc: str
    draw: Callable[[Code, Random], Tensor]
    needs: Literal["", "head", "latents"] = ""


def _normal(like: Tensor, generator: Random) -> Tensor:
    return torch.randn(like.shape, **drawn_by(generator, like.device)).to(like.device)


def _whole(low: int, high: int, n: int, like: Tensor, generator: Random) -> Tensor:
    """[n], from low to high - 1."""
    return torch.randint(low, high, (n,), **drawn_by(generator, like.device)).to(like.device)


def _signs(like: Tensor, generator: Random) -> Tensor:
    return _whole(0, 2, len(like), like, generator)[:, None] * 2.0 - 1


def _count(share: float, latent: int) -> int:
    return max(1, round(share * latent))


def top(ranked: Tensor, share: float) -> Tensor:
    """1 at the largest `share` (at least one) of each row of [B, K], 0 elsewhere: the document's lambda_clip."""
    places = ranked.topk(_count(share, ranked.shape[1]), 1).indices
    return torch.zeros_like(ranked).scatter_(1, places, 1.0)


def effects(code: Code) -> Tensor:
    """What one sigma of each latent does to the image, [B, K]: scale_k ||d decode / d z_k||_2 at the mean, by Jacobian-vector
    products, one of the decoder for each latent."""
    rows = []
    for k in range(code.mean.shape[1]):
        tangent = torch.zeros_like(code.mean)
        tangent[:, k] = code.scale[:, k]
        change = torch.func.jvp(lambda z: code.decoder(z).mean, (code.mean,), (tangent,))[1]
        rows.append(change.flatten(1).norm(dim=1))
    return torch.stack(rows, 1)


def _posterior(code: Code, generator: Random) -> Tensor:
    return code.scale * _normal(code.scale, generator)


def _neutral(code: Code, generator: Random) -> Tensor:
    """sigma * eps' with eps' the part of eps that moves no logit: without its projection on the rows of (w_j - w_0) sigma."""
    assert code.head is not None
    weight = code.head.weight
    rows = (weight[1:] - weight[0]) * code.scale[:, None]
    basis = torch.linalg.qr(rows.mT).Q  # [B, K, D - 1]
    eps = _normal(code.scale, generator)[..., None]
    return code.scale * (eps - basis @ (basis.mT @ eps)).squeeze(-1)


def _largest(code: Code, generator: Random) -> Tensor:
    return code.scale * top(code.scale, code.share) * _signs(code.scale, generator)


def _largest_one(code: Code, generator: Random) -> Tensor:
    return _one_of(code, code.scale, generator)


def _effect(code: Code, generator: Random) -> Tensor:
    return code.scale * top(effects(code), code.share) * _normal(code.scale, generator)


def _effect_one(code: Code, generator: Random) -> Tensor:
    return _one_of(code, effects(code), generator)


def _one_of(code: Code, ranked: Tensor, generator: Random) -> Tensor:
    """One of the top share of the latents, at random."""
    places = ranked.topk(_count(code.share, ranked.shape[1]), 1).indices
    which = _whole(0, places.shape[1], len(places), places, generator)[:, None]
    one = torch.zeros_like(ranked).scatter_(1, places.gather(1, which), 1.0)
    return code.scale * one * _signs(ranked, generator)


def _noise(code: Code, generator: Random) -> Tensor:
    return _normal(code.mean, generator)


def _class_covariance(code: Code, generator: Random) -> Tensor:
    assert code.latents is not None
    latent = code.mean.shape[1]
    tiny = 1e-6 * torch.eye(latent, device=code.mean.device)
    roots = torch.linalg.cholesky(code.latents.covariance.to(code.mean.device) + tiny)
    return (roots[code.y] @ _normal(code.mean, generator)[..., None]).squeeze(-1)


def _class_means(code: Code, generator: Random) -> Tensor:
    assert code.latents is not None
    means = code.latents.mean.to(code.mean.device)
    ahead = _whole(1, len(means), len(code.y), code.y, generator)
    return means[(code.y + ahead) % len(means)] - means[code.y]


DIRECTIONS: dict[str, Direction] = {
    "posterior": Direction("sigma * eps, eps ~ N(0, I): at random along the posterior's scales", _posterior),
    "neutral": Direction("the part of sigma * eps that moves none of the head's logits", _neutral, "head"),
    "largest": Direction("the top share of the scales together, to one side or the other (the G-VAE note)", _largest),
    "largest-one": Direction("one of the top share of the scales, to one side or the other", _largest_one),
    "effect": Direction(
        "sigma * eps in the top share by effect, sigma times the decoder's slope: a pass of the decoder for each latent",
        _effect,
    ),
    "effect-one": Direction("one of the top share by effect, to one side or the other", _effect_one),
    "noise": Direction("eps, the same in every latent: noise in z", _noise),
    "class-covariance": Direction(
        "at random within the covariance of the latents of the image's class", _class_covariance, "latents"
    ),
    "class-means": Direction("towards the mean latent of another class: it changes the class", _class_means, "latents"),
}


DEFAULT = "posterior"
PIXELS = "pixels"  # beside directions, where a choice among all moves is offered: see `PixelAugmenter`


def find_direction(name: str) -> Direction:
    if not isinstance(name, str) or name not in DIRECTIONS:
        raise ConfigError(
            f"unknown directions '{name}'{suggest(str(name), DIRECTIONS)} (known: {', '.join(DIRECTIONS)})"
        )
    return DIRECTIONS[name]


@torch.no_grad()
def class_latents(model: Model, split: Images, classes: int) -> ClassLatents:
    """Of the labelled images of a split. Raises DataError for a class with fewer than two."""
    if classes < 2:
        raise DataError(
            "directions of classes take labelled images of at least two classes: give labels, or use others"
        )
    means, scales, labels = [], [], []
    device = next(model.parameters()).device
    for index in torch.arange(len(split), device=split.labels.device).split(PART):
        part = split.take(index)
        q_z = model.encoder(to_float(part.pixels.to(device)))
        means.append(q_z.mean)
        scales.append(q_z.variance.sqrt())
        labels.append(part.labels)
    mean, scale, label = torch.cat(means), torch.cat(scales), torch.cat(labels)
    own = [(label == number).nonzero().squeeze(1).to(device) for number in range(classes)]
    if short := [str(number) for number, index in enumerate(own) if len(index) < 2]:
        raise DataError(
            f"class {', '.join(short)} has fewer than two labelled images, and directions of classes take its mean and "
            "covariance: label more, or use others"
        )
    return ClassLatents(
        torch.stack([mean[index].mean(0) for index in own]),
        torch.stack([mean[index].T.cov() for index in own]),
        torch.stack([scale[index].mean(0) for index in own]),
    )


def kept_share(model: Model, code: Code, move: Tensor) -> Tensor:
    """How much of each move [B, K] leaves the head's own class the most probable, [B, 1] in [0, 1]: the head is linear, so that
    the place where another class overtakes is known in closed form."""
    linear = linear_head(model)
    at, slope = linear(code.mean), move @ linear.weight.mT
    own = at.argmax(1, keepdim=True)
    gap, closing = at.gather(1, own) - at, slope - slope.gather(1, own)
    reach = torch.where(closing > 0, gap / closing.clamp(min=1e-12), torch.inf).amin(1, keepdim=True)
    return (0.99 * reach).clamp(max=1)
