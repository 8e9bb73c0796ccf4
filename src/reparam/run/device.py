"""Where a model runs."""

import os
import platform
from pathlib import Path

import torch

from reparam.errors import ConfigError, short

KINDS = ("cpu", "cuda", "mps")


def choose_device(name: str) -> torch.device:
    """`auto` takes a GPU where there is one. Raises ConfigError for a device that is not there, or of another kind."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"  # of several processes, each takes its own GPU
    remedy = "choose cpu, cuda, cuda:N, mps or auto"
    try:
        device = torch.device(name)
        if device.type not in KINDS:
            raise ConfigError(f"models do not run on device '{name}': {remedy}")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(". ")
        raise ConfigError(f"device {short(name)} cannot be used ({reason}): {remedy}") from None
    return device


def memory_of(device: torch.device) -> int | None:
    """Bytes of memory of the GPU, or of the machine, used or free; None where that is not known."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # as on Windows
        return None


def processor() -> str:
    """The name of the machine's processor, as far as the system tells, and the vector instructions that torch uses on it, which
    a name in a virtual machine does not tell: "AMD EPYC (AVX2)"."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return f"{names[0] if names else platform.machine()} ({torch.backends.cpu.get_cpu_capability()})"
