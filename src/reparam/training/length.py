"""How long a training is: enough steps where data are few, or as many as fit into the minutes that were asked for; and how large
its batches are.

Both lengths change `epochs` before training begins, and with it every other length in epochs that was not asked for, by the same
factor: a schedule keeps its shape, and a run as many validations.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

from reparam.core.options import lengths
from reparam.errors import ConfigError
from reparam.run.config import LEAST_APART, RunConfig
from reparam.training import processes
from reparam.training.loop import Loop

WARM_UP = 2  # cycles that do not count: the first ones allocate memory, and compile
MEASURED_SHARE, MEASURED_SECONDS = 0.02, 10.0  # of the minutes asked for, and at most, that the measurement takes
FEWEST_CYCLES = 3
PATIENT_STEPS = 300  # without a better validation, before a training stops
VALIDATION_SHARE = 0.1  # of the time, at most, for validations


def stretched(config: RunConfig, epochs: float) -> RunConfig:
    """`config` with this many epochs, its other lengths grown or shrunk alike, apart from those that were asked for."""
    factor = epochs / config.training.epochs
    parts = {}
    for section in ("options", "training"):
        options = getattr(config, section)
        names = [name for name in lengths(type(options)) if name not in config.chosen]
        parts[section] = dataclasses.replace(options, **{name: getattr(options, name) * factor for name in names})
    apart = max(parts["training"].validate_every, LEAST_APART)
    training = dataclasses.replace(parts["training"], epochs=epochs, validate_every=apart)
    return dataclasses.replace(config, options=parts["options"], training=training)


def fitting_batch(config: RunConfig, count: int, note: Callable[[str], None]) -> RunConfig:
    """`config`, with batches no larger than the number of images."""
    size = config.training.batch_size
    if size <= count:
        return config
    parts = config.training.accumulate * processes.world()
    fitting = max(count // parts * parts, parts)
    note(f"batches of {fitting}, not {size}: there are {count} images to train on")
    return _with(config, batch_size=fitting)


def enough_steps(config: RunConfig, images: int, note: Callable[[str], None]) -> RunConfig:
    """`config`, with more epochs where so few images give fewer than `least_steps` steps."""
    training = config.training
    epochs = _epochs(training.least_steps, images / training.batch_size)
    if training.minutes or epochs <= training.epochs:
        return config
    stops = f", or until validation has not improved {training.patience} times" if training.patience else ""
    note(
        f"{epochs:,.0f} epochs, not {training.epochs:g}: {images:,} images make {images / training.batch_size:,.3g} steps of "
        f"each, and this recipe takes {training.least_steps:,} steps{stops}; --epochs or --minutes sets another length"
    )
    return stretched(config, epochs)


def fitted_to_minutes(
    config: RunConfig, make_loop: Callable[[RunConfig], Loop], note: Callable[[str], None]
) -> RunConfig:
    """`config` with as many steps as fit into its `minutes` at the rate that a loop of it has here, which is then forgotten:
    what is trained depends on the number of steps alone. Raises ConfigError where there is no time for a single one."""
    training = config.training
    if training.minutes is None:
        return config
    seconds = 60 * training.minutes
    began = time.monotonic()
    loop = make_loop(dataclasses.replace(config, training=dataclasses.replace(training, minutes=None)))
    a_step, a_validation = processes.from_first(rates(loop, min(MEASURED_SHARE * seconds, MEASURED_SECONDS)))
    left = seconds - (time.monotonic() - began)
    validations = training.epochs / training.validate_every if loop.validate else 0
    share = min(validations * a_validation, VALIDATION_SHARE * left)
    steps = int(processes.from_first((left - share) / a_step))
    if steps < 1:
        raise ConfigError(
            f"a step takes {a_step:.2g} s here: {training.minutes:g} minutes are too few, give more --minutes"
        )
    epochs = _epochs(steps, loop.steps_per_epoch)
    found = stretched(config, epochs)
    every = epochs * a_validation / share if share else 0.0
    if "validate_every" not in config.chosen and every > found.training.validate_every:
        found = _with(found, validate_every=every)
    note(
        f"{steps:,} steps ({epochs:,.3g} epochs) in {training.minutes:g} minutes: a step takes {1000 * a_step:,.3g} ms here, and "
        f"a validation {a_validation:.2g} s"
    )
    return _with(found, minutes=None)


def patient(config: RunConfig, images: int) -> RunConfig:
    """`config`, with patience of at least `PATIENT_STEPS` steps: of few images, validations are a step or two apart."""
    training = config.training
    apart = training.validate_every * images / training.batch_size
    if not training.patience or "patience" in config.chosen or training.patience * apart >= PATIENT_STEPS:
        return config
    return _with(config, patience=math.ceil(PATIENT_STEPS / apart))


def _epochs(steps: int, steps_per_epoch: float) -> float:
    """Epochs that are exactly so many steps: half a step less, since the last one is rounded up."""
    return (steps - 0.5) / steps_per_epoch


def _with(config: RunConfig, **changed: Any) -> RunConfig:
    return dataclasses.replace(config, training=dataclasses.replace(config.training, **changed))


def rates(loop: Loop, seconds: float) -> tuple[float, float]:
    """Seconds that a step and a validation take."""
    try:
        for _ in range(WARM_UP):
            loop.cycle()
        began, cycles = _now(loop), 0
        # The first process decides, so that all take part in as many.
        while processes.from_first(cycles < FEWEST_CYCLES or _now(loop) - began < seconds):
            loop.cycle()
            cycles += 1
        a_step = (_now(loop) - began) / cycles
    finally:
        loop.cycle.stop_reading()
    began = _now(loop)
    if loop.validate:
        with loop.state.kept() as model:
            loop.validate(model)
    return a_step, _now(loop) - began


def _now(loop: Loop) -> float:
    """The time, once the device is done."""
    int(loop.state.clock)
    return time.monotonic()
