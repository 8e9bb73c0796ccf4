"""The few questions a process asks about its siblings. One process is the case world = 1, not another code path."""

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


def rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def join(device: torch.device) -> None:
    """Joins the group that torchrun's environment names; does nothing without one."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        # Random states are gathered on the CPU whatever the device.
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of each process's `values`, in place, on every process."""
    if world() > 1:
        dist.all_reduce(values)
        values /= world()
    return values


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether `flag` holds on any process."""
    if world() == 1:
        return flag
    tensor = torch.tensor(float(flag), device=device)
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return bool(tensor.item())


def from_first(values: dict[str, float]) -> dict[str, float]:
    """The first process's numbers on every process, so that all decide alike."""
    if world() == 1:
        return values
    box = [values]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def take_first(tensors: Iterable[Tensor]) -> None:
    """The first process's values into every process's tensors, in place."""
    if world() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def tells_of_loss(error: RuntimeError) -> bool:
    """Whether an error says that another process has gone, as each backend words it."""
    return world() > 1 and (isinstance(error, dist.DistError) or "gloo" in str(error).lower() or "NCCL" in str(error))


def gather(values: Tensor) -> list[Tensor]:
    """`values` of every process, in order of rank."""
    if world() == 1:
        return [values]
    gathered = [torch.empty_like(values) for _ in range(world())]
    dist.all_gather(gathered, values)
    return gathered
