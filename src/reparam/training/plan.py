"""What is decided before training begins: whether its options hold, and at which steps something happens."""

import sys
from bisect import bisect_left
from collections.abc import Callable

import torch

from reparam.errors import ConfigError
from reparam.run.config import TrainingOptions
from reparam.training import processes
from reparam.training.compiled import check_compiler


def check_options(options: TrainingOptions, device: torch.device, validated: bool) -> None:
    """Raises ConfigError for options that do not hold on this device, for so many processes, or without a validation loss."""
    parts = options.accumulate * processes.world()
    if options.keep == "best" and not validated:
        raise ConfigError("keep 'best' needs a validation loss, and there is none here: use keep 'last' or 'ema'")
    if options.patience and not validated:
        raise ConfigError("patience needs a validation loss, and there is none here: leave it out")
    if options.batch_size % parts:
        raise ConfigError(
            f"batch-size {options.batch_size} does not divide over {processes.world()} processes and "
            f"accumulate = {options.accumulate}: take a multiple of {parts}"
        )
    if options.precision == "tf32" and device.type != "cuda":
        raise ConfigError(f"precision 'tf32' is of CUDA GPUs, and this is '{device.type}': use float32 or bfloat16")
    if options.compile:
        check_compiler(device)


NEVER = sys.maxsize


class Moments:
    """Steps at which something happens: those of `fixed`, and `at(i)`, which must not fall, for i in `places`. None is computed
    before it is asked for: a million of them cost nothing."""

    def __init__(self, fixed: set[int], at: Callable[[int], int] = int, places: range = range(0)) -> None:
        self._fixed, self._at, self._places = sorted(fixed), at, places
        self._known = (1, 0)  # the step that was asked of last, and the moment that follows it

    def next_from(self, step: int) -> int:
        """The first moment that is not before `step`; `NEVER` where there is none."""
        since, found = self._known
        if not since <= step <= found:
            place = bisect_left(self._places, step, key=self._at)
            computed = self._at(self._places[place]) if place < len(self._places) else NEVER
            found = min(computed, next((one for one in self._fixed if one >= step), NEVER))
            self._known = (step, found)
        return found

    def __contains__(self, step: int) -> bool:
        return self.next_from(step) == step


def validation_steps(every: float, steps: int) -> Moments:
    """Every so many steps, and the last."""
    return Moments({steps}, lambda i: max(1, round(every * i)), range(1, int(steps / every) + 1))


def picture_steps(count: int, steps: int, steps_per_epoch: float) -> Moments:
    """The first, the last, and between them ever further apart; of one picture, the last."""
    if count < 2:
        return Moments({steps} if count else set())
    between = count - 2
    first = min(steps_per_epoch / 4, steps / 8)
    return Moments({0, steps}, lambda i: round(first * (steps / first) ** (i / between)), range(between))
