"""Small loops. The two-player toy: a maker that shifts noise onto data and a critic that tells them apart."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reparam.core.batch import Batch
from reparam.core.callback import Callback
from reparam.data import Images
from reparam.data.tasks import TaskOptions, with_condition
from reparam.distributions import keyed_generator
from reparam.models import MODELS, Schedule, Spec
from reparam.objectives import Objective, Player, Term, Terms
from reparam.run.config import TrainingOptions, resolve
from reparam.run.folder import RunFolder
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


@dataclass(frozen=True)
class CallAt(Callback):
    """Calls a function; validations after it may choose weights."""

    function: Callable[[Any, Tensor], object]

    @property
    def best_from(self) -> int:
        return self.step + 1

    def act(self, model: Any, x: Tensor) -> None:
        self.function(model, x)


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


def family_loop(
    name: str,
    shape: tuple[int, int, int] = (1, 8, 8),
    folder: Path | None = None,
    device: torch.device | None = None,
    **options: Any,
) -> Loop:
    """A small network of a family on 64 random images of three classes; the same initial weights every time."""
    fields = MODELS[name].options.__dataclass_fields__
    small = {"hidden": (16,), "latent": 3, "components": 3, "features": 8}
    small = {key: value for key, value in small.items() if key in fields}
    if name in ("gan", "vaegan") and "network" not in options:
        options["network"] = "mlp"
    if options.get("network", "mlp") != "mlp":
        small.pop("hidden", None)
    settings = {"batch_size": 16, "keep": "last", "patience": 0, "pictures": 0, "device": "cpu"}
    config = resolve(name, **{**small, **settings, **options})
    torch.manual_seed(0)
    model = config.family.build(config.options, with_condition(Spec(shape, 3), config.task))
    objective = config.family.objective(config.options, Schedule(4, 40))
    split = Images(torch.randint(0, 256, (64, *shape), dtype=torch.uint8), torch.arange(64) % 3)
    where = RunFolder(folder) if folder else None
    return Loop(model, objective, split, config.task, config.training, device or torch.device("cpu"), folder=where)


def as_traced(graph: Any, inputs: Any, options: Any) -> Any:
    """In the compiler's place: the graph as it was traced."""
    return graph
