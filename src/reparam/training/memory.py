"""Whether a model fits into memory, asked before it is built: many systems kill a process that takes more than there is."""

import math
from dataclasses import fields

import torch

from reparam.core.spec import Spec
from reparam.errors import ConfigError, flag
from reparam.models import MODELS
from reparam.run.config import RunConfig, TrainingOptions
from reparam.run.device import memory_of

GB = 10**9
LARGEST_USUAL = 3 * 128 * 128  # numbers in an image that models of usual size are for


def check_memory(config: RunConfig, spec: Spec, device: torch.device) -> None:
    """Raises ConfigError, naming the options that make the model large, where its weights and what training keeps of each are
    more than the memory. Models of one's own are not asked: they may do what can be done only once."""
    remedy = f"take a smaller {' or '.join([*larger_options(config), '--size'])}"
    usual = (
        not larger_options(config) and math.prod(spec.image_shape) <= LARGEST_USUAL
    )  # asking can take a second or two
    if usual or config.model not in MODELS or (memory := memory_of(device)) is None:
        return
    try:
        with torch.device("meta"):  # sizes alone
            model = config.family.model(config.options, spec)
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        raise ConfigError(f"the model has more weights than can be counted: {remedy}") from None
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    copies = _copies(config.training)
    if size * copies > memory:
        count = sum(parameter.numel() for parameter in model.parameters())
        raise ConfigError(
            f"the model has {count:,} weights, which take {copies * size / GB:,.0f} GB of memory with their gradients and "
            f"averages, and there are {memory / GB:,.0f} GB: {remedy}"
        )


def _copies(options: TrainingOptions) -> int:
    """Numbers that are held for each weight: itself, its gradient, the optimiser's, and its average."""
    optimiser = 2 if options.optimiser != "sgd" else 1 if options.momentum else 0
    return 2 + optimiser + (options.keep == "ema")


def larger_options(config: RunConfig) -> list[str]:
    """The model's and objective's numbers that are above their defaults: what makes a run large."""
    given = {field.name: (getattr(config.options, field.name), field.default) for field in fields(config.options)}
    return [
        flag(name)
        for name, (value, default) in given.items()
        if (isinstance(value, int) and isinstance(default, int) and value > default)
        or (isinstance(value, tuple) and isinstance(default, tuple) and sum(value) > sum(default))
    ]
