"""One player's step as a module: what is wrapped for data parallelism, compiled and captured.

Its forward is the objective for one player, because objectives call submodules and wrapping the model itself would bypass
the gradient reduction. Nothing in it synchronises with the host.

Shapes: `B` batch, `T` logged terms.
"""

import contextlib

import torch
from torch import Tensor, nn

from reparam.core.batch import Batch
from reparam.errors import ConfigError
from reparam.objectives import Objective, Player, Terms


class Step(nn.Module):
    """forward(batch, step) -> (mean total, means of total and terms [1 + T]); `names` are theirs."""

    def __init__(self, model: nn.Module, objective: Objective, player: Player, precision: str = "float32") -> None:
        super().__init__()
        self.model, self.objective, self.player, self.precision = model, objective, player, precision
        self.names: tuple[str, ...] = ()

    def forward(self, batch: Batch, step: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        low = self.precision == "bfloat16"
        with torch.autocast(batch.x.device.type, torch.bfloat16) if low else contextlib.nullcontext():
            terms = self.objective(self.player.name, self.model, batch, step, generator)
        if not isinstance(terms, Terms):
            raise ConfigError(f"the objective returns {type(terms).__name__}: return Terms(total, {{...}})")
        values = terms.by_name()
        for name, value in values.items():
            if value.shape != batch.x.shape[:1]:
                raise ConfigError(
                    f"'{name}' of the objective has shape {list(value.shape)} for {len(batch.x)} images: return a number for "
                    "each, and no mean over them"
                )
        self.names = tuple(values)
        total = terms.total.mean()
        means = [total.detach(), *(term.value.detach().mean() for term in terms.named.values())]
        return total, torch.stack(means)
