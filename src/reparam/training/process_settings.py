"""Settings that torch and the C library have only once in a process."""

import ctypes
import platform
from collections.abc import Callable
from typing import Any

import torch

# Of glibc's malloc.h: above these sizes, freed memory goes back to the system.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 2**31 - 1


def settle_process() -> None:
    """Denormal numbers become 0, and the process keeps the memory that a step frees for the next one.

    Moments of rarely used weights decay into denormals, on which a CPU is many times slower. Threads take that setting from the
    one that starts them: call this before the first parallel operation. glibc gives large freed blocks back to the system, and
    each page is faulted in and zeroed anew a step later: 10 to 20 percent of a convolutional network's step.
    """
    torch.set_flush_denormal(True)
    if allocator := _glibc():
        for which in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            allocator.mallopt(which, _LARGEST)


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


def _glibc() -> Any:
    """The C library where it is glibc, else None."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
