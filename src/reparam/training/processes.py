"""Questions that a process asks about the others that train with it. One process is the case world = 1, not another code path."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from reparam.errors import ReparamError


def rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def join(device: torch.device) -> None:
    """Joins the group that torchrun's environment names; does nothing without one."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        # Random states are gathered on the CPU, whatever the device.
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of each process's `values`, in place, on every process."""
    if world() > 1:
        dist.all_reduce(values)
        values /= world()
    return values


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """The mean of each process's gradients, in place, on every process, in one message."""
    if world() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    means = mean_over_processes(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, mean in zip(gradients, means.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether `flag` holds on any process."""
    if world() == 1:
        return flag
    tensor = torch.tensor(float(flag), device=device)
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return bool(tensor.item())


def from_first(value: Any) -> Any:
    """The first process's value, on every process, so that all decide alike."""
    box = [value]
    if world() > 1:
        dist.broadcast_object_list(box, src=0)
    return box[0]


def take_first(tensors: Iterable[Tensor]) -> None:
    """The first process's values into every process's tensors, in place."""
    if world() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def lines_of_all(lines: Iterable[str]) -> list[str]:
    """The lines of every process, each once."""
    gathered: list[Any] = [list(lines)] * world()
    if world() > 1:
        dist.all_gather_object(gathered, gathered[0])
    return list(dict.fromkeys(line for part in gathered for line in part))


def gather(values: Tensor) -> list[Tensor]:
    """`values` of every process, in order of rank."""
    if world() == 1:
        return [values]
    gathered = [torch.empty_like(values) for _ in range(world())]
    dist.all_gather(gathered, values)
    return gathered


@contextlib.contextmanager
def siblings_watched() -> Iterator[None]:
    """Where another process ends, whatever this one waits for fails: that becomes a `ReparamError` with the remedy."""
    try:
        yield
    except RuntimeError as error:
        by_sibling = isinstance(error, dist.DistError) or "gloo" in str(error).lower() or "NCCL" in str(error)
        if world() == 1 or not by_sibling:
            raise
        raise ReparamError(
            f"another of the {world()} processes ended, and training with it: see to what ended it"
        ) from error
