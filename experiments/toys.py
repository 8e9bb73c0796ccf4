"""A GAN on densities that are known: figure 1.2 of document 004 in one dimension, a ring and a grid of normals in two.

The same loop and the same objective as for images. Each batch of it is replaced by draws of the density.

Shapes: `B` batch, `N` draws, `K` latent, `X` dimensions of the data.
"""

import copy
import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.conditionals import StandardNormal
from reparam.core.conditional import Decoder
from reparam.data import Images
from reparam.data.tasks import TaskOptions
from reparam.distributions import Delta, keyed_generator, mixture, rsample
from reparam.models import Model
from reparam.models.gan import Adversarial, NetworkDiscriminator
from reparam.networks import MLP
from reparam.run.config import TrainingOptions
from reparam.training import Loop

BATCH, WIDTH = 256, 64
DRAWN = 20_000  # of each density, for its histogram
BINS = 80


class Points(Decoder):
    """z [..., K] -> a point [..., X]."""

    def __init__(self, latent: int, dimensions: int) -> None:
        super().__init__()
        self.network = MLP((latent, WIDTH, WIDTH, dimensions), "leaky-relu")

    def forward(self, z: Tensor) -> Delta:
        return Delta(self.network(z), event_dim=1)


class Toy(NamedTuple):
    """A density, the latents of its generator, at which steps one looks, the discriminator's steps for each, and weight of R1."""

    target: Distribution
    latent: int
    steps: tuple[int, ...]
    discriminator_steps: int = 1
    r1: float = 0.1


def ring(modes: int = 8, radius: float = 2.0, scale: float = 0.1) -> Distribution:
    """Equal normals on a circle."""
    angle = 2 * math.pi * torch.arange(modes) / modes
    return mixture(
        torch.zeros(modes), radius * torch.stack([angle.cos(), angle.sin()], 1), torch.full((modes, 2), scale)
    )


def grid(side: int = 5, apart: float = 1.0, scale: float = 0.1) -> Distribution:
    """Equal normals on a square."""
    places = apart * (torch.arange(side) - (side - 1) / 2)
    middles = torch.cartesian_prod(places, places)
    return mixture(torch.zeros(side**2), middles, torch.full((side**2, 2), scale))


def bimodal() -> Distribution:
    """Two normals of one dimension, one wider."""
    return mixture(torch.tensor([0.6, 0.4]).log(), torch.tensor([[-1.0], [1.5]]), torch.tensor([[0.4], [0.7]]))


TOYS = {
    # What a discriminator reads nears p / (p + p_G) where it keeps up with the generator and nothing flattens it.
    "density": Toy(bimodal(), 1, (40, 200, 1000), discriminator_steps=10, r1=0.0),
    "ring": Toy(ring(), 2, (200, 1000, 6000)),
    "grid": Toy(grid(), 2, (200, 1000, 6000)),
}


def play(toy: Toy, seed: int = 0) -> list[tuple[int, Model]]:
    """(step, model) at each of the toy's steps: non-saturating loss, Adam."""
    dimensions, found = toy.target.event_shape[0], []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Model(
            prior=StandardNormal(toy.latent),
            decoder=Points(toy.latent, dimensions),
            discriminator=NetworkDiscriminator(MLP((dimensions, WIDTH, WIDTH, 1), "leaky-relu")),
        )
        options = TrainingOptions(
            batch_size=BATCH, learning_rate=2e-3, adam_beta1=0.5, keep="ema", schedule="constant", pictures=0
        )
        blank = Images(torch.zeros(BATCH, 1, 8, 8, dtype=torch.uint8), torch.full((BATCH,), -1))
        loop = Loop(
            model,
            Adversarial("non-saturating", toy.discriminator_steps, toy.r1),
            blank,
            TaskOptions(),
            options,
            torch.device("cpu"),
            augment=lambda x, y: rsample(toy.target, (len(x),)),
        )
        for step in toy.steps:
            while loop.state.step < step:
                loop.cycle()
            with loop.state.kept() as kept:
                assert isinstance(kept, Model)
                found.append((step, copy.deepcopy(kept)))
    return found


@torch.no_grad()
def made(model: Model, n: int = DRAWN) -> Tensor:
    """Draws of the generator, [N, X]."""
    return model.decoder(rsample(model.prior(), (n,), keyed_generator("cpu", "made"))).mean


class Densities(NamedTuple):
    """On a line x: the density, that of the generator (a histogram), D(x), and p / (p + p_G)."""

    x: Tensor
    real: Tensor
    made: Tensor
    reading: Tensor
    best: Tensor

    @property
    def apart(self) -> float:
        """Mean of |D - p / (p + p_G)| where there is anything to read: over (p + p_G) / 2."""
        weight = self.real + self.made
        return float(((self.reading - self.best).abs() * weight).sum() / weight.sum())


@torch.no_grad()
def densities(toy: Toy, model: Model, low: float = -3.0, high: float = 4.0) -> Densities:
    edges = torch.linspace(low, high, BINS + 1)
    x = (edges[1:] + edges[:-1]) / 2
    counts = torch.histc(made(model), BINS, low, high)
    p, q = toy.target.log_prob(x[:, None]).exp(), counts / DRAWN / float(edges[1] - edges[0])
    return Densities(x, p, q, model.discriminator(x[:, None]).probs, p / (p + q))


def modes_found(target: Distribution, points: Tensor, within: float = 4.0) -> tuple[int, float]:
    """How many of a mixture's components have points within so many deviations, at least a tenth of their share; and the share
    of all points that lie so near to one."""
    parts = target.component_distribution.base_dist  # type: ignore[attr-defined]
    distance = ((points[:, None] - parts.loc) / parts.scale).norm(dim=-1)
    nearest, which = distance.min(1)
    near = nearest <= within
    counts = which[near].bincount(minlength=len(parts.loc))
    return int((counts >= 0.1 * len(points) / len(parts.loc)).sum()), float(near.float().mean())
