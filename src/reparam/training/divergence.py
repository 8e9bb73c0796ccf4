"""What is not finite ends training: terms at log points, weights before they are written, validation losses.

Shapes: `T` logged terms, `R` steps between log points.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.errors import ReparamError
from reparam.run.config import TrainingOptions
from reparam.run.folder import RunFolder
from reparam.training.player_state import PlayerState


class DivergedError(ReparamError):
    """A term, a weight or a validation loss became NaN or infinite."""


@dataclass(frozen=True)
class DivergenceCheck:
    """Raises DivergedError that names what is not finite, and the step."""

    steps_per_epoch: float
    folder: RunFolder | None
    options: TrainingOptions

    def terms(self, player: PlayerState, window: Tensor, start: int) -> None:
        """A player's terms [R, T] since step `start`."""
        bad = (~window.isfinite()).nonzero()
        if not len(bad):
            return
        row, column = bad[0].tolist()
        # The total is not finite because a term is not: name the term where there is one.
        named = zip(player.step.names, window[row], strict=True)
        terms = [name for name, value in named if not math.isfinite(value) and name != "total"]
        term = terms[0] if terms else "total"
        value = float(window[row, column])
        self._fail(f"{term} of player '{player.name}' became {value}", start + row // player.steps_per_cycle)

    def weights(self, weights: dict[str, Tensor], step: int) -> None:
        """A finite loss can have a gradient that is not finite."""
        floating = {name: tensor for name, tensor in weights.items() if tensor.is_floating_point()}
        norms = torch.stack(torch._foreach_norm(list(floating.values()))).cpu()
        for name, norm in zip(floating, norms, strict=True):
            if not math.isfinite(norm):
                self._fail(f"weight '{name}' is not finite", step)

    def validation(self, terms: dict[str, float], step: int) -> None:
        bad = {name: value for name, value in terms.items() if not math.isfinite(value)}
        for name, value in sorted(bad.items(), key=lambda one: one[0] == "total"):  # the cause before the total
            self._fail(
                f"the validation loss is {value}" if name == "total" else f"{name} of validation is {value}", step
            )

    def _fail(self, what: str, step: int) -> None:
        options, where = self.options, ""
        if self.folder:
            files = {"checkpoint": self.folder.checkpoint_path, "weights": self.folder.weights_path}
            kept = " and ".join(name for name, path in files.items() if path.exists())
            where = (
                f"; '{self.folder.path}' keeps {f'its last good {kept}' if kept else 'no weights, for there were none'}"
            )
        remedies = [f"lower --learning-rate (it was {options.learning_rate:g})"]
        remedies.append(f"lower --clip (it was {options.clip:g})" if options.clip else "set --clip")
        if options.precision != "float32":
            remedies.append("use --precision float32")
        raise DivergedError(
            f"training diverged: {what} at step {step} (epoch {step / self.steps_per_epoch:.2f}){where}: in a new run, "
            f"{', or '.join(remedies)}"
        )
