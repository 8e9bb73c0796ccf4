"""What is decided before training begins: whether its options hold, and at which steps something happens."""

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


def validation_steps(every: float, steps: int) -> set[int]:
    """Every so many steps, and the last."""
    return {max(1, round(every * i)) for i in range(1, int(steps / every) + 1)} | {steps}


def picture_steps(count: int, steps: int, steps_per_epoch: float) -> set[int]:
    """The first, the last, and between them ever further apart; of one picture, the last."""
    if count < 2:
        return {steps} if count else set()
    between = count - 2
    first = min(steps_per_epoch / 4, steps / 8)
    return {0, steps} | {round(first * (steps / first) ** (i / between)) for i in range(between)}
