"""What a training will be, known before it begins: a plan that does not hold leaves nothing behind."""

import math
from typing import NamedTuple

import torch

from reparam.errors import ConfigError
from reparam.models import Schedule
from reparam.models.family import INTERLUDE_IMAGES, Interlude
from reparam.objectives import Objective
from reparam.run.config import RunConfig, TrainingOptions
from reparam.training import processes
from reparam.training.compiled import check_compiler


class Plan(NamedTuple):
    """How long training is, what happens in between, what is minimised, and whether a validation loss can be had of it."""

    schedule: Schedule
    interlude: Interlude | None
    objective: Objective
    validated: bool


def plan(config: RunConfig, images: int) -> Plan:
    """Raises ConfigError where what happens in between would come after the end or takes more images than there are, and for
    options that cannot hold."""
    steps_per_epoch = images / config.training.batch_size
    schedule = Schedule(steps_per_epoch, max(1, math.ceil(steps_per_epoch * config.training.epochs)))
    interlude = config.family.interlude(config.options, schedule)
    if interlude and interlude.step >= schedule.steps:
        raise ConfigError(
            f"{interlude.option} is {interlude.epochs:g} epochs, and training ends after {config.training.epochs:g}: train "
            "longer, or take less"
        )
    if interlude and interlude.fewest > min(images, INTERLUDE_IMAGES):
        raise ConfigError(
            f"{interlude.option} takes at least {interlude.fewest:,} training images, one a component, and has "
            f"{min(images, INTERLUDE_IMAGES):,}: take fewer --components"
        )
    objective = config.family.objective(config.options, schedule)
    alone = len(objective.players) == 1  # of several players none has a loss to choose by
    validated = config.data.train_on == "train" and alone
    check_options(config.training, validated)
    return Plan(schedule, interlude, objective, validated)


def check_device(options: TrainingOptions, device: torch.device) -> None:
    """Raises ConfigError for a precision that the device has not, and where there is nothing to compile with."""
    if options.precision == "tf32" and device.type != "cuda":
        raise ConfigError(f"precision 'tf32' is of CUDA GPUs, and this is '{device.type}': use float32 or bfloat16")
    if options.compile:
        check_compiler(device)


def check_options(options: TrainingOptions, validated: bool) -> None:
    """Raises ConfigError for options that cannot hold where there is a validation loss or none."""
    if options.keep == "best" and not validated:
        raise ConfigError("keep 'best' needs a validation loss, and there is none here: use keep 'last' or 'ema'")
    if options.patience and not validated:
        raise ConfigError("patience needs a validation loss, and there is none here: leave it out")
    if options.batch_size % (options.accumulate * processes.world()):
        raise ConfigError(
            f"batch-size {options.batch_size} does not divide over {processes.world()} processes and "
            f"accumulate = {options.accumulate}: take a multiple of {options.accumulate * processes.world()}"
        )


def moments(
    options: TrainingOptions, steps: int, steps_per_epoch: float, drawn: bool, validated: bool
) -> tuple[set[int], set[int]]:
    """Steps at which pictures are drawn (the first, the last, the rest ever further apart) and validation is done."""
    validations: set[int] = set()
    if validated:
        every = options.validate_every * steps_per_epoch
        validations = {max(1, round(every * i)) for i in range(1, int(steps / every) + 1)} | {steps}
    pictures: set[int] = set()
    if drawn and options.pictures:
        count = options.pictures - 2  # besides the first and the last
        first = min(steps_per_epoch / 4, steps / 8)
        growth = steps / first
        pictures = {0, steps} | {round(first * growth ** (i / count)) for i in range(count)}
        if options.pictures == 1:
            pictures = {steps}
    return pictures, validations
