"""Everything that `resume` needs, in one file that appears in one instant.

What is not here is a function of the configuration and the step: the order of images, learning rates, weights that change
with time.
"""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reparam.errors import RunError
from reparam.files import read_tensors, write_tensors
from reparam.run.folder import load_weights
from reparam.training import processes
from reparam.training.optimisers import kept_state, state_of

if TYPE_CHECKING:
    from reparam.training.loop import Loop
    from reparam.training.player_state import PlayerState

FORMAT = 1


def write(loop: "Loop") -> None:
    """Weights, their average, optimiser states, random states of all processes, counters. Rank 0 writes."""
    random = {"cpu": processes.gather(torch.get_rng_state())}
    if loop.device.type == "cuda":
        random["cuda"] = processes.gather(torch.cuda.get_rng_state(loop.device))
    if not loop.folder or processes.rank():
        return
    tensors = {f"model.{name}": tensor for name, tensor in loop.weights().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in loop.average.items()}
    tensors |= {f"random.{kind}.{rank}": state for kind, states in random.items() for rank, state in enumerate(states)}
    for turn in loop.turns:
        for index, state in state_of(turn.optimiser).items():
            tensors |= {f"optimiser.{turn.player.name}.{index}.{key}": value for key, value in state.items()}
    metadata = {
        "format": FORMAT,
        "step": loop.step,
        "best": loop.best if math.isfinite(loop.best) else None,
        "stale": loop.stale,
        "seconds": loop.seconds,
        "stateful": {turn.player.name: sorted(state_of(turn.optimiser)) for turn in loop.turns},
        "metrics_bytes": loop.record.size if loop.record else 0,
        "skipped": list(loop.split.skipped),
    }
    write_tensors(loop.folder.checkpoint_path, tensors, metadata)


def read(loop: "Loop") -> None:
    """Puts a loop where its folder's checkpoint was written; does nothing where there is none.

    Raises RunError for a damaged or foreign checkpoint.
    """
    assert loop.folder
    path = loop.folder.checkpoint_path
    if not path.exists():
        return
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise RunError(f"{path} has checkpoint format {metadata.get('format')!r} and this version reads {FORMAT}")
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "random": {}, "optimiser": {}}
    try:
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            groups[kind][rest] = tensor
        load_weights(loop.model, groups["model"], path)
        for name, tensor in loop.average.items():
            tensor.copy_(groups["average"][name])
        for turn in loop.turns:
            kept = kept_state(loop.options)
            _read_optimiser(turn, groups["optimiser"], metadata["stateful"][turn.player.name], kept)
        torch.set_rng_state(groups["random"][f"cpu.{processes.rank()}"])
        if loop.device.type == "cuda" and (name := f"cuda.{processes.rank()}") in groups["random"]:
            torch.cuda.set_rng_state(groups["random"][name], loop.device)
    except KeyError as error:
        raise RunError(f"{path} lacks {error}: it is damaged; restore it from a copy, or train again") from None
    loop.step = metadata["step"]
    loop.clock.fill_(loop.step)
    loop.best = math.inf if metadata["best"] is None else metadata["best"]
    loop.split.skipped.update(dict.fromkeys(metadata.get("skipped", ())))
    loop.stale, loop.seconds, loop.record_size = metadata["stale"], metadata["seconds"], metadata["metrics_bytes"]


def _read_optimiser(turn: "PlayerState", saved: dict[str, Tensor], stateful: list[int], kept: tuple[str, ...]) -> None:
    """The state of every parameter that had one (one without a gradient has none); a KeyError names what is missing."""
    states = {}
    for index in stateful:
        prefix = f"{turn.player.name}.{index}."
        states[index] = {
            name.removeprefix(prefix): _laid_out_as(turn.own[index], tensor)
            for name, tensor in saved.items()
            if name.startswith(prefix)
        }
        for key in kept:
            if key not in states[index]:
                raise KeyError(f"optimiser.{prefix}{key}")
    rate = turn.optimiser.param_groups[0]["lr"]
    turn.optimiser.load_state_dict({**turn.optimiser.state_dict(), "state": states})
    turn.optimiser.param_groups[0]["lr"] = rate


def _laid_out_as(parameter: Tensor, state: Tensor) -> Tensor:
    """A file has no strides, and fused kernels pair a weight with its moments by their places in memory."""
    return torch.empty_like(parameter, dtype=state.dtype).copy_(state) if state.shape == parameter.shape else state
