"""Where a training stands: all that it changes, and that a checkpoint holds."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reparam.training.player_state import PlayerState


@dataclass
class TrainingState:
    """The model, its players with their optimisers, and counters.

    `clock` is `step` on the device (int64 []), as objectives see it. `average` is the moving average of the weights by name,
    empty where it is not kept. `best` is the lowest validation total, `stale` the number of validations since.
    """

    model: nn.Module
    players: list[PlayerState]
    clock: Tensor
    average: dict[str, Tensor]
    step: int = 0
    best: float = math.inf
    stale: int = 0
    seconds: float = 0.0
    metrics_bytes: int = 0  # length of metrics.jsonl

    def weights(self) -> dict[str, Tensor]:
        """The current weights by name, not copied."""
        return weights_of(self.model)

    @contextlib.contextmanager
    def kept(self) -> Iterator[nn.Module]:
        """The model with the weights that would be kept now (the average where there is one), in evaluation mode."""
        current = {name: tensor.clone() for name, tensor in self.weights().items()} if self.average else {}
        if current:
            self.model.load_state_dict(self.average)
        self.model.eval()
        try:
            with torch.no_grad():
                yield self.model
        finally:
            if current:
                self.model.load_state_dict(current)
            self.model.train()

    def update_average(self, share: float | Tensor) -> None:
        """average += share * (weights - average); what is not floating point is copied."""
        if not self.average:
            return
        weights = self.weights()
        floating = [name for name, tensor in self.average.items() if tensor.is_floating_point()]
        if isinstance(share, Tensor):  # there is no fused kernel for a share on the device
            for name in floating:
                self.average[name].lerp_(weights[name], share)
        else:
            torch._foreach_lerp_([self.average[n] for n in floating], [weights[n] for n in floating], share)
        for name in self.average.keys() - set(floating):
            self.average[name].copy_(weights[name])

    def restart_average(self) -> None:
        """From the current weights."""
        weights = self.weights()
        for name, tensor in self.average.items():
            tensor.copy_(weights[name])


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}
