"""What training asks of the process that it runs in: settings that torch and the C library have only one of."""

import ctypes
import platform
from typing import Any

import torch

# Of glibc's malloc.h. What is larger than the second is mapped for itself, and unmapped when it is freed.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 2**31 - 1


def settle_process() -> None:
    """Denormal numbers become 0, and memory that a step frees stays the process's for the next one.

    Moments of rarely used weights decay into denormals, on which a CPU is many times slower; threads take that setting from the
    one that starts them, so it wants to be made before the first parallel operation. glibc hands large blocks back to the
    system as they are freed, and each of their pages is faulted in anew and zeroed a step later: 10 to 20 percent of a
    convolutional network's step.
    """
    torch.set_flush_denormal(True)
    if allocator := _glibc():
        for which in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            allocator.mallopt(which, _LARGEST)


def give_back_memory() -> None:
    """What the process holds and does not use goes back to the system."""
    if allocator := _glibc():
        allocator.malloc_trim(0)


def allow_tf32(allowed: bool) -> None:
    """Whether CUDA GPUs may round float32 to 10 bits behind the point in products and convolutions; torch, left alone, lets
    them in convolutions."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def multiplies_bfloat16() -> bool:
    """Whether torch has quick products in bfloat16 for this processor, as far as it can be asked; others are many times slower
    than those in float32."""
    return not torch.backends.mkldnn.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _glibc() -> Any:
    """The C library where it is glibc, else None."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
