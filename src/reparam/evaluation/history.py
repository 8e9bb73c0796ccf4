"""What is known of how a model was trained, for a diagnosis that names the commands that help."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reparam.data.sources.in_python import IN_PYTHON
from reparam.errors import RunError
from reparam.models.adopted import ADOPTED
from reparam.run.command import training_command
from reparam.run.loaded import LoadedRun

ENOUGH_STEPS = 3000
STILL_FALLING = 0.05  # of all that the loss fell, in the second half of the training
LONGER = 4  # times as long, at least
LATE = 0.9  # of the training


@dataclass(frozen=True)
class History:
    """How a run was trained. steps: of the optimiser; seconds: that they took; losses: the validation loss, each time it was
    computed."""

    run: LoadedRun
    steps: int
    seconds: float
    losses: tuple[float, ...]

    @property
    def second_half(self) -> float:
        """As `share_of_second_half`, of the validation loss."""
        return share_of_second_half(self.losses)

    @property
    def too_short(self) -> bool:
        """Whether it was few steps, and more would have helped."""
        return self.steps < ENOUGH_STEPS and self.second_half > STILL_FALLING

    @property
    def rose(self) -> bool:
        """Whether the validation loss was lowest before the last tenth of the training: to stop there changes something."""
        return bool(self.losses) and not lowest_late(self.losses)

    def retrain(self, **changed: Any) -> str:
        """The command that trains the same model anew with other options, as far as it has them."""
        return training_command(self.run.config, self.run.path, **changed)

    @property
    def longer(self) -> str:
        """How long it takes to train it long enough, at the rate that it had, and the command."""
        training = self.run.config.training
        factor = max(LONGER, ENOUGH_STEPS / max(self.steps, 1))
        command = self.retrain(epochs=math.ceil(training.epochs * factor))
        return f"about {max(1, round(self.seconds * factor / 60)):,} min: {command}"

    @property
    def fit_prior(self) -> str:
        """The command, or with images that Python gives the call, that fits a prior to its latents."""
        if self.run.config.data.data == IN_PYTHON:
            return "run.fit_prior()"
        return f"reparam fit-prior {shlex.quote(str(self.run.path))}"


def lowest_late(losses: Sequence[float]) -> bool:
    """Whether the lowest of the losses is among the last tenth. Of equal ones the first counts."""
    return losses.index(min(losses)) >= LATE * (len(losses) - 1)


def share_of_second_half(losses: Sequence[float]) -> float:
    """The part of all that losses fell that they fell in the second half; 0 where the lowest is not among the last tenth, and of
    fewer than four."""
    n = len(losses)
    if n < 4:
        return 0.0
    lowest = min(losses)
    fell = losses[0] - lowest
    if fell <= 0 or not lowest_late(losses):
        return 0.0
    return (min(losses[: n // 2]) - lowest) / fell


def history_of(run: LoadedRun) -> History | None:
    """None where its records cannot be read, and for a model that was not trained here."""
    try:
        status, lines = run.folder.status(), run.folder.metrics()
    except RunError:
        return None
    if status.state == ADOPTED:
        return None
    losses = (line.terms.get("total", math.nan) for line in lines if line.phase == "validation")
    return History(run, status.step, status.seconds, tuple(loss for loss in losses if math.isfinite(loss)))
