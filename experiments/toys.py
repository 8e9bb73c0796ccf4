"""A GAN on known densities: figure 1.2 of the GAN and autoencoder note in one dimension, a ring and a grid of normals in two.

The training loop and the objective are those for images; each batch is replaced by draws of the density.

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
TRAINING = TrainingOptions(
    batch_size=BATCH, learning_rate=2e-3, adam_beta1=0.5, keep="ema", schedule="constant", pictures=0
)
DRAWN = 20_000  # points of a generator, for its histogram
LOW, HIGH, BINS = -3.0, 4.0, 80  # of the histogram
MODE_RADIUS = 4.0  # in standard deviations: a point within it is near a mode
MODE_SHARE = 0.1  # of an equal share of the points: a mode with fewer points near it is missed


class Points(Decoder):
    """z [..., K] -> a point [..., X]."""

    def __init__(self, latent: int, dimensions: int) -> None:
        super().__init__()
        self.network = MLP((latent, WIDTH, WIDTH, dimensions), "leaky-relu")

    def forward(self, z: Tensor) -> Delta:
        return Delta(self.network(z), event_dim=1)


class Toy(NamedTuple):
    """A density, the size of its generator's latent, the steps at which a picture is drawn, and the discriminator's settings."""

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
    # D approaches p / (p + p_G) where it keeps up with the generator and no penalty flattens it.
    "density": Toy(bimodal(), 1, (40, 200, 1000), discriminator_steps=10, r1=0.0),
    "ring": Toy(ring(), 2, (200, 1000, 6000)),
    "grid": Toy(grid(), 2, (200, 1000, 6000)),
}


def play(toy: Toy, seed: int = 0) -> list[tuple[int, Model]]:
    """Trains with the non-saturating loss; (step, model) at each of the toy's steps."""
    dimensions, found = toy.target.event_shape[0], []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Model(
            prior=StandardNormal(toy.latent),
            decoder=Points(toy.latent, dimensions),
            discriminator=NetworkDiscriminator(MLP((dimensions, WIDTH, WIDTH, 1), "leaky-relu")),
        )
        blank = Images(torch.zeros(BATCH, 1, 8, 8, dtype=torch.uint8), torch.full((BATCH,), -1))
        loop = Loop(
            model,
            Adversarial("non-saturating", toy.discriminator_steps, toy.r1),
            blank,
            TaskOptions(),
            TRAINING,
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
def generated(model: Model, n: int = DRAWN) -> Tensor:
    """Points of the generator [N, X]."""
    return model.decoder(rsample(model.prior(), (n,), keyed_generator("cpu", "made"))).mean


class Densities(NamedTuple):
    """On a line x: the density, that of the generator (a histogram), D(x), and the best D, p / (p + p_G)."""

    x: Tensor
    real: Tensor
    generated: Tensor
    output: Tensor
    best: Tensor

    @property
    def error(self) -> float:
        """Mean of |D - p / (p + p_G)| over (p + p_G) / 2."""
        weight = self.real + self.generated
        return float(((self.output - self.best).abs() * weight).sum() / weight.sum())


@torch.no_grad()
def densities(toy: Toy, model: Model) -> Densities:
    edges = torch.linspace(LOW, HIGH, BINS + 1)
    x = (edges[1:] + edges[:-1]) / 2
    counts = torch.histc(generated(model), BINS, LOW, HIGH)
    p, q = toy.target.log_prob(x[:, None]).exp(), counts / DRAWN / float(edges[1] - edges[0])
    return Densities(x, p, q, model.discriminator(x[:, None]).probs, p / (p + q))


def modes_found(target: Distribution, points: Tensor) -> tuple[int, float]:
    """How many of a mixture's components have enough points near them, and the share of all points that are near one."""
    parts = target.component_distribution.base_dist  # type: ignore[attr-defined]
    distance = ((points[:, None] - parts.loc) / parts.scale).norm(dim=-1)
    nearest, which = distance.min(1)
    near = nearest <= MODE_RADIUS
    counts = which[near].bincount(minlength=len(parts.loc))
    return int((counts >= MODE_SHARE * len(points) / len(parts.loc)).sum()), float(near.float().mean())
