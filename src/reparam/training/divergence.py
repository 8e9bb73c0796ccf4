"""What is not finite is found, named and refused: terms at log points, weights before they are written, validation losses.

Shapes: `T` logged terms, `R` steps in a window.
"""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reparam.errors import ReparamError

if TYPE_CHECKING:
    from reparam.training.loop import Loop
    from reparam.training.player_state import PlayerState


class DivergedError(ReparamError):
    """A term, a weight or a validation loss became NaN or infinite."""


def check_terms(loop: "Loop", turn: "PlayerState", window: Tensor, start: int) -> None:
    """Raises DivergedError for the first term of a player's window [R, T] that is not finite; `start`: the step it begins at."""
    bad = (~window.isfinite()).nonzero()
    if not len(bad):
        return
    row, column = bad[0].tolist()
    # The total is not finite because a term is not: name the term where there is one.
    broken = [n for n, v in zip(turn.step.names, window[row], strict=True) if not math.isfinite(v) and n != "total"]
    what = f"{broken[0] if broken else 'total'} of player '{turn.player.name}' became {float(window[row, column])}"
    raise _diverged(loop, what, start + row // turn.player.steps)


def check_weights(loop: "Loop") -> None:
    """Raises DivergedError: a finite loss can have a gradient that is not, and no weight that is not finite is ever written."""
    floating = {name: tensor for name, tensor in loop.weights().items() if tensor.is_floating_point()}
    norms = torch.stack(torch._foreach_norm(list(floating.values()))).cpu()
    for name, norm in zip(floating, norms, strict=True):
        if not math.isfinite(norm):
            raise _diverged(loop, f"weight '{name}' is not finite", loop.step)


def check_validation(loop: "Loop", total: float) -> None:
    """Raises DivergedError for a validation loss that is not finite."""
    if not math.isfinite(total):
        raise _diverged(loop, f"the validation loss is {total}", loop.step)


def _diverged(loop: "Loop", what: str, step: int) -> DivergedError:
    where = f"; '{loop.folder.path}' keeps its last good checkpoint and weights" if loop.folder else ""
    return DivergedError(
        f"training diverged: {what} at step {step} (epoch {step / loop.steps_per_epoch:.2f}){where}: "
        "lower --learning-rate, set --clip, or use --precision float32"
    )
