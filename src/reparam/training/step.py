"""One player's step: the unit that is wrapped for data parallelism, compiled and captured.

Its forward is the objective for one player, because objectives call submodules and wrapping the model itself would bypass
the gradient reduction. Nothing in it synchronises with the host.

Shapes: `B` batch, `T` logged terms.
"""

import torch
from torch import Tensor, nn

from reparam.core.batch import Batch
from reparam.objectives import Objective, Player


class Step(nn.Module):
    """forward(batch, step) -> (mean total, means of the terms [1 + T]); `names` says which they are."""

    def __init__(self, model: nn.Module, objective: Objective, player: Player, precision: str = "float32") -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.player = player
        self.precision = precision
        self.names: tuple[str, ...] = ()

    def forward(self, batch: Batch, step: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        if self.precision == "bfloat16":
            with torch.autocast(batch.x.device.type, torch.bfloat16):
                terms = self.objective(self.player.name, self.model, batch, step, generator)
        else:
            terms = self.objective(self.player.name, self.model, batch, step, generator)
        self.names = ("total", *terms.named)
        total = terms.total.mean()
        means = [total.detach(), *(term.value.detach().mean() for term in terms.named.values())]
        return total, torch.stack(means)
