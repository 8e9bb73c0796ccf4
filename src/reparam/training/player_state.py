"""One player in training.

Shapes: `T` logged terms, `R` of the player's steps between log points.
"""

import contextlib
import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from reparam.core.batch import Batch
from reparam.objectives import Objective, Player
from reparam.run.config import TrainingOptions
from reparam.training import processes
from reparam.training.compiled import Compiled
from reparam.training.optimisers import kept_state, make_optimiser
from reparam.training.step import Step

# Until torch 2.12 under another name.
_BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in inspect.signature(DistributedDataParallel).parameters
)


class PlayerState:
    """A player's parameters, step, optimiser, and the history of its terms [R, 1 + T] since the last log point."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        player: Player,
        trainable: set[int],
        options: TrainingOptions,
        device: torch.device,
    ) -> None:
        self.name, self.steps_per_cycle = player.name, player.steps
        # What a model has frozen itself belongs to nobody.
        self.own = [parameter for parameter in player.parameters(model) if id(parameter) in trainable]
        owned = {id(parameter) for parameter in self.own}
        self.others = [p for p in model.parameters() if id(p) in trainable and id(p) not in owned]
        self.freeze_others()
        self.optimiser, self.kept_state = make_optimiser(self.own, options, device), kept_state(options)
        self.step = Step(model, objective, player, options.precision)
        self.parts = options.accumulate
        self.compiled = Compiled(self.step, self.own, self.parts) if options.compile else None
        self.call: nn.Module = self.step
        if processes.world() > 1 and not self.compiled:
            buffers: dict[str, Any] = {_BUFFERS: False}  # they begin alike, and the first process's are kept
            self.call = DistributedDataParallel(self.step, **buffers)
        self.rows = options.log_every * player.steps
        self.history = torch.empty(0)
        self.row = torch.zeros(1, dtype=torch.int64, device=device)  # counted on the device: nothing is baked in

    def differentiate(self, batch: Batch, clock: Tensor, last: bool) -> Tensor:
        """Adds the gradient of one of `parts` parts of a batch to the player's; returns the means of its terms [1 + T].
        Processes average gradients at the last part. Raises StepError where the compiler fails."""
        if self.compiled:
            means = self.compiled(batch, clock)
            if last:
                processes.average_gradients(self.own)
            return means
        with contextlib.ExitStack() as stack:
            if isinstance(self.call, DistributedDataParallel) and not last:
                stack.enter_context(self.call.no_sync())
            total, means = self.call(batch, clock)
            (total / self.parts if self.parts > 1 else total).backward()
        return means

    def freeze_others(self) -> None:
        for parameter in self.others:
            parameter.requires_grad_(False)
        for parameter in self.own:
            parameter.requires_grad_(True)

    def remember(self, means: Tensor) -> None:
        """Appends a step's means [1 + T] to the history, on the device."""
        if not self.history.numel():
            self.history = torch.zeros(self.rows, means.numel(), device=means.device)
        self.history.index_copy_(0, self.row, means.view(1, -1))
        self.row.add_(1).remainder_(self.rows)

    def recall(self, steps: int) -> Tensor:
        """The history's `steps` rows [steps, 1 + T], on the CPU; the next step starts it anew."""
        self.row.zero_()
        return processes.mean_over_processes(self.history[:steps].clone()).cpu()
