"""Settings that torch and the C library have only once in a process."""

import contextlib
import ctypes
import os
import platform
import random
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from reparam.data.io.on_disk import refuse_while_importing
from reparam.distributions import default_generators

# Of glibc's malloc.h: above these sizes, freed memory goes back to the system.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 2**31 - 1
_ITS_OWN_LARGEST = 2**25  # bytes: as far as glibc raises the second by itself; the first is then twice as much

_TRAINING = threading.RLock()


def _renew_after_fork() -> None:
    """The thread that was training is not in the new process, unless it is the one that forked."""
    global _TRAINING
    if _TRAINING.acquire(blocking=False):
        _TRAINING.release()
    else:
        _TRAINING = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_after_fork)


@contextlib.contextmanager
def training_alone(say: Callable[[str], None]) -> Iterator[None]:
    """One training at a time in a process: while another thread trains, this one waits, and says so. Afterwards the process has
    the settings of before: random states of torch, numpy and Python, denormal numbers, TF32; gradients are on meanwhile, and
    torch.autocast is off, since a run has a precision of its own.

    What is drawn and how numbers are rounded is common to all threads, so that two trainings would change each other's weights.
    """
    refuse_while_importing()
    if not _TRAINING.acquire(blocking=False):
        say("waiting for another thread of this process, which is training")
        _TRAINING.acquire()
    kept = contextlib.ExitStack()
    try:
        with default_generators():
            kept.enter_context(torch.random.fork_rng(list(range(torch.cuda.device_count()))))
        kept.callback(np.random.set_state, np.random.get_state())
        kept.callback(random.setstate, random.getstate())
        kept.callback(torch.set_flush_denormal, sys.float_info.min / 2 == 0)
        kept.callback(_set_allocator, 2 * _ITS_OWN_LARGEST, _ITS_OWN_LARGEST)
        _keep_precision(kept)
        for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
            kept.enter_context(torch.autocast(device, enabled=False))
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        with default_generators():
            kept.close()
        _TRAINING.release()


def settle_process() -> None:
    """Denormal numbers become 0, and the process keeps the memory that a step frees for the next one.

    Moments of rarely used weights decay into denormals, on which a CPU is many times slower. Threads take that setting from the
    one that starts them: call this before the first parallel operation. glibc gives large freed blocks back to the system, and
    each page is faulted in and zeroed anew a step later: 10 to 20 percent of a convolutional network's step.
    """
    torch.set_flush_denormal(True)
    _set_allocator(_LARGEST, _LARGEST)


def give_back_memory() -> None:
    """Unused memory goes back to the system."""
    if allocator := _glibc():
        allocator.malloc_trim(0)


def set_precision(precision: str, device: torch.device, note: Callable[[str], None]) -> None:
    """Under tf32 alone, CUDA GPUs round float32 to 10 bits behind the point; torch by default lets them in convolutions.
    Says where products in bfloat16 are slow."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    if precision == "bfloat16" and device.type == "cpu" and not multiplies_bfloat16():
        note("this processor has no products in bfloat16: they take several times as long as in float32")


def multiplies_bfloat16() -> bool:
    """Whether torch has fast products in bfloat16 for this processor."""
    return not torch.backends.mkldnn.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _keep_precision(kept: contextlib.ExitStack) -> None:
    """Puts back the old switch of TF32 and the new one, which torch has side by side."""
    for part in (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn):  # type: ignore[attr-defined]
        kept.callback(setattr, part, "fp32_precision", part.fp32_precision)
    for old in (torch.backends.cuda.matmul, torch.backends.cudnn):
        with contextlib.suppress(RuntimeError):  # it cannot be read after the new one was set, which then counts
            kept.callback(setattr, old, "allow_tf32", old.allow_tf32)


def _set_allocator(trim: int, mmap: int) -> None:
    if allocator := _glibc():
        allocator.mallopt(_TRIM_THRESHOLD, trim)
        allocator.mallopt(_MMAP_THRESHOLD, mmap)


def _glibc() -> Any:
    """The C library where it is glibc, else None."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
