"""One optimiser a player, fused, with its learning rate in a device tensor."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from reparam.config import TrainingOptions

_CLASSES = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def make_optimiser(
    parameters: Iterable[nn.Parameter], options: TrainingOptions, device: torch.device
) -> torch.optim.Optimizer:
    """Adam(W), fused where the device has a fused kernel, capturable on a GPU; the loop fills its learning-rate tensor."""
    lr = torch.zeros((), device=device)
    settings: dict = {
        "lr": lr,
        "betas": (0.9, options.adam_beta2),
        "weight_decay": options.weight_decay,
        "fused": device.type in ("cpu", "cuda", "mps"),
    }
    if device.type == "cuda":
        settings["capturable"] = True
    return _CLASSES[options.optimiser](list(parameters), **settings)


def learning_rate(step: int, steps: int, steps_per_epoch: float, options: TrainingOptions) -> float:
    """Linear warm-up from 0, then constant, or half a cosine from the peak at the warm-up's end to 0 behind the last step."""
    warmup = options.warmup * steps_per_epoch
    if step < warmup:
        return options.learning_rate * (step + 1) / (warmup + 1)
    if options.schedule == "constant":
        return options.learning_rate
    done = (step - warmup) / max(steps - warmup, 1)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
