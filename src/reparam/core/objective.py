"""The contract between an objective and the training loop.

Shapes: `B` batch.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from reparam.core.batch import Batch


class Term(NamedTuple):
    """One named quantity per example [B], lower is better, with its unit (likelihood terms: "nats/image")."""

    value: Tensor
    unit: str


@dataclass(frozen=True)
class Terms:
    """`total` [B] is what the player minimises (its mean over the batch); `named` is what is logged beside it."""

    total: Tensor
    named: dict[str, Term]

    def by_name(self) -> dict[str, Tensor]:
        """The total and the named terms, [B] each."""
        return {"total": self.total, **{name: term.value for name, term in self.named.items()}}


@dataclass(frozen=True)
class Player:
    """Someone who minimises: a name, the parameters that are theirs, and how many steps they take a cycle.

    `fields` are the names of the model's fields whose parameters the player owns; empty means all of the model.
    """

    name: str
    fields: tuple[str, ...] = ()
    steps: int = 1

    def parameters(self, model: nn.Module) -> Iterable[nn.Parameter]:
        if not self.fields:
            return model.parameters()
        return (p for field in self.fields for p in getattr(model, field).parameters())


class Objective(ABC):
    """`objective(player, model, batch, step, generator) -> Terms`, where `model` has the fields of `reparam.models.Model`.

    It never reduces over the batch, never calls backward and never steps an optimiser (`autograd.grad` is allowed).
    `step` is an int64 scalar on the device; weights that change with time are functions of it, never of a host number.
    `neighbours`: among how many nearest images `Batch.near` is drawn in training (0: there is none).
    """

    players: tuple[Player, ...] = (Player("model"),)
    neighbours: int = 0

    @abstractmethod
    def __call__(
        self, player: str, model: Any, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms: ...
