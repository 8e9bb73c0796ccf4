"""Putting a trained model to use: samples, reconstructions, walks through latent space.

Everything is computed in blocks of `BLOCK` images whose random numbers are keyed by (seed, purpose, block), so that image i does
not depend on how many are asked for or on the batch size.

Shapes: `n` images, `C H W` image, `K` latent, `L` draws of one image, `T` steps of a walk.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.distributions import keyed_generator, rsample
from reparam.models import Model

BLOCK = 100


def device_of(model: Model) -> torch.device:
    return next(model.parameters()).device


def full_block(part: Tensor) -> Tensor:
    """`part` [b, ...] with zeros up to [BLOCK, ...]: noise is drawn for whole blocks, so that an image's own never depends on how
    many images came with it."""
    return part if len(part) == BLOCK else torch.cat([part, part.new_zeros(BLOCK - len(part), *part.shape[1:])])


def in_blocks(function: Callable[[Tensor, int], Tensor], values: Tensor) -> Tensor:
    """`function(block of values, block number)` over blocks of `BLOCK`, on the CPU, as one tensor."""
    return torch.cat([function(part, number).cpu() for number, part in enumerate(values.split(BLOCK))])


@torch.no_grad()
def sample_latents(model: Model, n: int, seed: int) -> Tensor:
    """z ~ p(z), [n, K]."""
    device = device_of(model)
    blocks = -(-n // BLOCK)
    draws = [rsample(model.prior(), (BLOCK,), keyed_generator(device, seed, "latents", b)) for b in range(blocks)]
    return torch.cat(draws)[:n]


@torch.no_grad()
def decode(model: Model, z: Tensor, seed: int | None = None) -> Tensor:
    """The mean of p(x|z), [n, C, H, W]; with a seed, a draw from it instead."""
    device = device_of(model)

    def block(part: Tensor, number: int) -> Tensor:
        if seed is None:
            return model.decoder(part.to(device)).mean
        p_x: Distribution = model.decoder(full_block(part).to(device))
        return rsample(p_x, (), keyed_generator(device, seed, "pixels", number))[: len(part)].clamp(0, 1)

    return in_blocks(block, z)


def sample(model: Model, n: int, seed: int = 0, draw: bool = False) -> Tensor:
    """z ~ p(z), then the mean of p(x|z), or with `draw` a sample x ~ p(x|z); [n, C, H, W] in [0, 1]."""
    return decode(model, sample_latents(model, n, seed), seed if draw else None)


@torch.no_grad()
def encode(model: Model, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of q(z|x), each [n, K] (zero deviation for an autoencoder's point)."""
    device = device_of(model)
    means, scales = [], []
    for part in x.split(BLOCK):
        q_z = model.encoder(part.to(device))
        means.append(q_z.mean.cpu())
        scales.append(q_z.variance.sqrt().cpu())
    return torch.cat(means), torch.cat(scales)


@torch.no_grad()
def classify(model: Model, x: Tensor) -> Tensor:
    """The most probable class of each image, as the head of a classifier reads it, [n]."""
    device = device_of(model)
    return in_blocks(lambda part, _: model.head(part.to(device)).logits.argmax(-1), x)


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


def interpolate(model: Model, start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Decodings on the straight line between the posterior means of two batches of images, [n, T, C, H, W]."""
    a, b = encode(model, start)[0], encode(model, end)[0]
    t = torch.linspace(0, 1, steps)[:, None]
    z = (1 - t) * a[:, None] + t * b[:, None]
    return decode(model, z.flatten(0, 1)).unflatten(0, (len(a), steps))


def traverse(model: Model, z: Tensor, dimensions: list[int], low: float, high: float, steps: int) -> Tensor:
    """One latent z [K] with each of `dimensions` in turn set to `steps` values from low to high, [dimensions, T, C, H, W]."""
    values = torch.linspace(low, high, steps)
    walks = z.cpu().repeat(len(dimensions), steps, 1)
    for row, dimension in enumerate(dimensions):
        walks[row, :, dimension] = values
    return decode(model, walks.flatten(0, 1)).unflatten(0, (len(dimensions), steps))


def latent_grid(model: Model, latent: int, extent: float, steps: int, dimensions: tuple[int, int] = (0, 1)) -> Tensor:
    """The VAE report's figure 4: decodings over [-extent, extent], a strip [1, T, ...] for one latent, else a grid [T, T, ...].

    Rows run from the top, +extent of the second dimension, to -extent; other latents are at 0.
    """
    values = torch.linspace(-extent, extent, steps)
    if latent == 1:
        return decode(model, values[:, None])[None]
    z = torch.zeros(steps, steps, latent)
    z[:, :, dimensions[0]] = values[None, :]
    z[:, :, dimensions[1]] = values.flip(0)[:, None]
    return decode(model, z.flatten(0, 1)).unflatten(0, (steps, steps))
