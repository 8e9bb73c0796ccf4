"""Putting a trained model to use: samples, reconstructions, walks through latent space.

Everything is computed in blocks of `BLOCK` images whose random numbers are keyed by (seed, purpose, block), so that image i
does not depend on how many are asked for or on the batch size.

Shapes: `n` images, `C H W` image, `K` latent, `L` draws of one image, `M` components of a mixture, `T` steps of a walk.
"""

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily, MultivariateNormal

from reparam.core.blocks import BLOCK, full_block, in_blocks
from reparam.core.model import ConditionedModel
from reparam.distributions import keyed_generator, prediction, rsample, with_parameters
from reparam.distributions import responsibilities as responsibilities_of
from reparam.models import Model
from reparam.progress import watched

REACH_DRAWS = 1000
SMALLEST_ANGLE = 1e-4  # between latents, or between one and the opposite of the other

Line = Literal["straight", "spherical"]


def device_of(model: Model) -> torch.device:
    return next(model.parameters()).device


def block_condition(model: Model, c: Tensor | None, number: int) -> Model | ConditionedModel:
    """The model at the conditions of block `number`, padded to a full block: see `full_block`."""
    if c is None:
        return model.given(None)
    return model.given(full_block(c[number * BLOCK : (number + 1) * BLOCK]).to(device_of(model)))


def mixture_prior(model: Model) -> MixtureSameFamily:
    """p(z) of a model whose prior is a mixture."""
    p_z = model.prior()
    assert isinstance(p_z, MixtureSameFamily)
    return p_z


@torch.no_grad()
def sample_latents(model: Model, n: int, seed: int, c: Tensor | None = None, component: int | None = None) -> Tensor:
    """z ~ p(z), [n, K]; of a conditional model z ~ p(z|c) for each of c [n, ...]; of one component of a mixture z ~ p_m(z)."""
    device = device_of(model)
    draws = []
    for number in range(-(-n // BLOCK)):
        shape = () if c is not None else (BLOCK,)
        p_z: Any = block_condition(model, c, number).prior()
        if component is not None:
            p_z = with_parameters(p_z.component_distribution, lambda parameter: parameter[component])
        draws.append(rsample(p_z, shape, keyed_generator(device, seed, "latents", number)))
    return torch.cat(draws)[:n]


@torch.no_grad()
def decode(model: Model, z: Tensor, seed: int | None = None, c: Tensor | None = None) -> Tensor:
    """The mean of p(x|z), [n, C, H, W]; with a seed, a draw from it instead. Of a conditional model p(x|z, c) for each of c."""
    device = device_of(model)

    def block(part: Tensor, number: int) -> Tensor:
        if seed is None and c is None:
            return model.decoder(part.to(device)).mean
        p_x: Distribution = block_condition(model, c, number).decoder(full_block(part).to(device))
        if seed is None:
            return prediction(p_x)[: len(part)]
        return rsample(p_x, (), keyed_generator(device, seed, "pixels", number))[: len(part)].clamp(0, 1)

    return in_blocks(block, z)


def sample(
    model: Model, n: int, seed: int = 0, draw: bool = False, c: Tensor | None = None, component: int | None = None
) -> Tensor:
    """z ~ p(z), then the mean of p(x|z), or with `draw` a sample x ~ p(x|z); [n, C, H, W] in [0, 1]. A model whose condition
    is a class takes the classes c [n], by default all of them in turn; one with a mixture prior may take one component of it."""
    if c is None and model.has("context"):
        c = torch.arange(n) % model.context.classes
    return decode(model, sample_latents(model, n, seed, c, component), seed if draw else None, c)


def conditioned(model: Model, c: Tensor) -> ConditionedModel:
    """The conditional model at c [n, ...], on its own device."""
    found = model.given(c.to(device_of(model)))
    assert isinstance(found, ConditionedModel)
    return found


@torch.no_grad()
def predict(model: Model, c: Tensor) -> Tensor:
    """The prediction at z* = E[z|c] (Sohn et al. 2015, section 4.1), [n, C, H, W]: the mean of p(x|z*, c), of label maps the
    probabilities [n, D, H, W]. A model without a latent has p(x|c), its first guess."""

    def block(part: Tensor, number: int) -> Tensor:
        model_c = conditioned(model, part)
        return prediction(model_c.decoder(model_c.prior().mean) if model.has("prior") else model_c.first_guess())

    return in_blocks(block, c)


@torch.no_grad()
def first_guess(model: Model, c: Tensor) -> Tensor | None:
    """What the model predicts from c alone, as `predict`; None where it makes no first guess."""
    if model.context.guess is None:
        return None
    return in_blocks(lambda part, _: prediction(conditioned(model, part).first_guess()), c)


def predict_average(model: Model, c: Tensor, draws: int, seed: int = 0) -> Tensor:
    """The average of `draws` predictions, an estimate of E[x|c], shaped as `predict`; exact in a model without a latent."""
    return predict_draws(model, c, draws, seed).mean(1) if model.has("prior") else predict(model, c)


@torch.no_grad()
def predict_draws(model: Model, c: Tensor, draws: int, seed: int = 0) -> Tensor:
    """`draws` predictions for each c: at each z ~ p(z|c), [n, L, C, H, W], of label maps probabilities [n, L, D, H, W].

    A model without a latent makes one prediction only, and its draws are of p(x|c), pixel by pixel: [n, L, C, H, W], of label
    maps the drawn values as one-hot planes [n, L, D, H, W]. Those for c number i do not depend on how many others there are.
    """

    def block(part: Tensor, number: int) -> Tensor:
        model_c = conditioned(model, part)
        drawn = model_c.prior() if model.has("prior") else model_c.first_guess()
        whole = with_parameters(drawn, full_block)  # noise for whole blocks, networks for what is there
        values = 0 if model.has("prior") else prediction(drawn).shape[1]
        found = []
        for draw in range(draws):
            generator = keyed_generator(device_of(model), seed, "answers", number, draw)
            one = rsample(whole, (), generator)[: len(part)]
            if model.has("prior"):
                one = prediction(model_c.decoder(one))
            elif not one.is_floating_point():
                one = F.one_hot(one.squeeze(1), values).movedim(-1, 1).float()
            found.append(one.clamp(0, 1))
        return torch.stack(found, 1)

    return in_blocks(block, c)


@torch.no_grad()
def encode(model: Model, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of q(z|x), each [n, K] (zero deviation for an autoencoder's point); of a conditional model
    q(z|x, c) for each of c."""
    device = device_of(model)
    means, scales = [], []
    for number, part in enumerate(watched(x.split(BLOCK))):
        known = None if c is None else c[number * BLOCK :][: len(part)].to(device)
        q_z = model.given(known).encoder(part.to(device))
        means.append(q_z.mean.cpu())
        scales.append(q_z.variance.sqrt().cpu())
    return torch.cat(means), torch.cat(scales)


@torch.no_grad()
def responsibilities(model: Model, x: Tensor) -> Tensor:
    """q(m|x), the responsibility of each component of the mixture prior for each image, [n, M]: proportional to
    pi_m exp(-KL(q(z|x) || p_m)), as `distributions.responsibilities`."""
    device = device_of(model)
    p_z = mixture_prior(model)

    def block(part: Tensor, number: int) -> Tensor:
        q_z: Any = model.encoder(part.to(device))
        return responsibilities_of(q_z, p_z)

    return in_blocks(block, x)


@torch.no_grad()
def class_probabilities(model: Model, x: Tensor) -> Tensor:
    """p(y|x) of each image, as the model's head reads it, [n, D]."""
    device = device_of(model)
    return in_blocks(lambda part, _: model.classify(part.to(device)).probs, x)


def classify(model: Model, x: Tensor) -> Tensor:
    """The most probable class of each image, [n]."""
    return class_probabilities(model, x).argmax(-1)


def reconstruct(model: Model, x: Tensor) -> Tensor:
    """The mean of p(x|z) at z = E[z|x], [n, C, H, W]."""
    return decode(model, encode(model, x)[0])


def posterior_draws(model: Model, x: Tensor, draws: int, seed: int = 0) -> Tensor:
    """`draws` decodings of z ~ q(z|x) for each image, [n, L, C, H, W]."""
    mean, scale = encode(model, x)
    eps = torch.stack(
        [torch.randn(draws, mean.shape[1], generator=keyed_generator("cpu", seed, i)) for i in range(len(x))]
    )
    z = mean[:, None] + scale[:, None] * eps
    return decode(model, z.flatten(0, 1)).unflatten(0, (len(x), draws))


def interpolate(model: Model, start: Tensor, end: Tensor, steps: int, line: Line = "straight") -> Tensor:
    """Decodings between the posterior means of two batches of images, [n, T, C, H, W]."""
    return walk(model, encode(model, start)[0], encode(model, end)[0], steps, line)


def walks(model: Model, n: int, steps: int, seed: int = 0, line: Line = "spherical") -> Tensor:
    """Decodings between n pairs of random latents, [n, T, C, H, W]."""
    a, b = sample_latents(model, 2 * n, seed).cpu().chunk(2)
    return walk(model, a, b, steps, line)


@torch.no_grad()
def walk(model: Model, a: Tensor, b: Tensor, steps: int, line: Line) -> Tensor:
    """Decodings from latents a [n, K] to b, [n, T, C, H, W], on a `straight` line or a `spherical` one.

    That is the great circle around 0: all of N(0, I) but a sliver lies at one distance from 0, where a straight line does not
    stay (White 2016, section 2.1). Of a full Gaussian N(m, R R^T) it is that of u, z = m + R u. Of a mixture or a flow, where no
    circle is known, it is the straight line; without a prior it is around 0."""
    t = torch.linspace(0, 1, steps)[:, None]
    p_z = model.prior() if model.has("prior") else None
    if line == "spherical" and isinstance(p_z, MultivariateNormal):
        loc, root = p_z.loc.cpu(), p_z.scale_tril.cpu()
        ends = torch.linalg.solve_triangular(root.mT, torch.cat([a, b]) - loc, upper=True, left=False)
        z = loc + _great_circle(ends, t) @ root.mT
    elif line == "spherical" and (p_z is None or model.prior.factorises):
        z = _great_circle(torch.cat([a, b]), t)
    else:
        z = (1 - t) * a[:, None] + t * b[:, None]
    return decode(model, z.flatten(0, 1)).unflatten(0, (len(a), steps))


def _great_circle(ends: Tensor, t: Tensor) -> Tensor:
    """From the first half of the ends [2 n, K] to the second, at the shares t [T, 1] of the angle between them, [n, T, K]; where
    they are opposite, of all great circles one that is nearly the straight line."""
    a, b = ends.chunk(2)
    cosine = torch.nn.functional.cosine_similarity(a, b)[:, None, None].clamp(-1, 1)
    angle = cosine.acos().clamp(SMALLEST_ANGLE, math.pi - SMALLEST_ANGLE)
    return (((1 - t) * angle).sin() * a[:, None] + (t * angle).sin() * b[:, None]) / angle.sin()


def reach(model: Model) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each latent over `REACH_DRAWS` draws of the prior, [K] each."""
    z = sample_latents(model, REACH_DRAWS, 0).cpu()
    return z.mean(0), z.std(0)


def traverse(model: Model, z: Tensor, dimensions: list[int], low: float, high: float, steps: int) -> Tensor:
    """One latent z [K] with each of `dimensions` in turn set to `steps` values from low to high, [dimensions, T, C, H, W]."""
    values = torch.linspace(low, high, steps)
    walks = z.cpu().repeat(len(dimensions), steps, 1)
    for row, dimension in enumerate(dimensions):
        walks[row, :, dimension] = values
    return decode(model, walks.flatten(0, 1)).unflatten(0, (len(dimensions), steps))


def latent_grid(
    model: Model,
    latent: int,
    extent: float,
    steps: int,
    dimensions: tuple[int, int] = (0, 1),
    unit: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """The VAE report's figure 4: decodings over [-extent, extent], a strip [1, T, ...] for one latent, else a grid [T, T, ...].

    Rows run from the top, +extent of the second dimension, to -extent; other latents are at 0. `unit`: the place of 0 and the
    length of 1 of each latent, [K] each (None: 0 and 1).
    """
    middle, scale = unit or (torch.zeros(latent), torch.ones(latent))
    values = torch.linspace(-extent, extent, steps)
    if latent == 1:
        return decode(model, middle + scale * values[:, None])[None]
    z = torch.zeros(steps, steps, latent)
    z[:, :, dimensions[0]] = values[None, :]
    z[:, :, dimensions[1]] = values.flip(0)[:, None]
    return decode(model, (middle + scale * z).flatten(0, 1)).unflatten(0, (steps, steps))
