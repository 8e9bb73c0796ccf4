"""A two-player toy: a maker that shifts noise onto data and a critic that tells them apart. Deterministic given the batch."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reparam.batch import Batch
from reparam.config import TrainingOptions
from reparam.data import Images
from reparam.data.tasks import TaskOptions
from reparam.distributions import keyed_generator
from reparam.objectives import Objective, Player, Term, Terms
from reparam.runs import RunFolder
from reparam.training import Loop


class Duel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.maker = nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 64))
        self.critic = nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 1))


class Adversarial(Objective):
    """The critic (two steps a cycle) minimises its log-loss, the maker minus the critic's belief in what it made."""

    players = (Player("critic", ("critic",), steps=2), Player("maker", ("maker",)))

    def __init__(self, noise: bool = True) -> None:
        self.noise = noise

    def __call__(
        self, player: str, model: Any, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        real = batch.x.flatten(1)
        # Without noise of its own the objective is a function of the batch, so that one process and two can be compared.
        seed = torch.randn(real.shape, generator=generator) if self.noise else 1 - real.flip(1)
        made = model.maker(seed)
        if player == "critic":
            on_real, on_made = model.critic(real)[:, 0], model.critic(made.detach())[:, 0]
            total = F.softplus(-on_real) + F.softplus(on_made)
            return Terms(total, {"reads_real": Term(on_real, "logit")})
        on_made = model.critic(made)[:, 0]
        return Terms(F.softplus(-on_made), {"reads_made": Term(on_made, "logit")})


def digits(n: int = 64) -> Images:
    """Random 8 x 8 images."""
    pixels = torch.randint(0, 256, (n, 1, 8, 8), generator=keyed_generator("cpu", "toy"), dtype=torch.uint8)
    return Images(pixels, torch.full((n,), -1))


def duel_loop(folder: Path | None, noise: bool = True, **options: Any) -> Loop:
    torch.manual_seed(3)
    settings = {"epochs": 6, "batch_size": 8, "keep": "last", "pictures": 0, "log_every": 1, "checkpoint_seconds": 0.0}
    training = TrainingOptions(**{**settings, **options})
    where = RunFolder(folder) if folder else None
    return Loop(Duel(), Adversarial(noise), digits(), TaskOptions(), training, torch.device("cpu"), folder=where)


def as_traced(graph: Any, inputs: Any, options: Any) -> Any:
    """In the compiler's place: the graph as it was traced."""
    return graph
