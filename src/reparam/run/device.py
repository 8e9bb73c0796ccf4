"""Where a model runs."""

import os

import torch

from reparam.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """`auto` takes a GPU where there is one. Raises ConfigError for a device that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"  # of several processes, each takes its own GPU
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device '{name}' cannot be used ({reason}): choose cpu, cuda, cuda:N, mps or auto") from None
    return device
