"""Everything that `resume` needs, in one file that appears in one instant.

Not in it is what follows from the configuration and the step: the order of images, learning rates, weights of terms.
"""

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from reparam.distributions import default_generators
from reparam.errors import RunError
from reparam.run.documents import FORMAT, CheckpointFacts
from reparam.run.folder import RunFolder
from reparam.run.weights import check_weights, load_weights
from reparam.tensor_files import read_tensors, write_tensors
from reparam.training import processes
from reparam.training.optimisers import state_of
from reparam.training.player_state import PlayerState
from reparam.training.state import TrainingState


def write(path: Path, state: TrainingState, epoch: float, skipped: dict[str, None], run: str) -> None:
    """The state, random states of all processes, which images on disk were skipped, and the `id` of the run. All processes call
    it, rank 0 writes."""
    device = state.clock.device
    with default_generators():
        own = {"cpu": torch.get_rng_state()}
        if device.type == "cuda":
            own["cuda"] = torch.cuda.get_rng_state(device)
    random = {kind: processes.gather(values) for kind, values in own.items()}
    if processes.rank():
        return
    tensors = {f"model.{name}": tensor for name, tensor in state.weights().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in state.average.items()}
    tensors |= {f"random.{kind}.{rank}": value for kind, values in random.items() for rank, value in enumerate(values)}
    for player in state.players:
        for index, values in state_of(player.optimiser).items():
            tensors |= {f"optimiser.{player.name}.{index}.{key}": value for key, value in values.items()}
    metadata = {
        "format": FORMAT,
        "run": run,
        "step": state.step,
        "epoch": epoch,
        "best": state.best if math.isfinite(state.best) else None,
        "stale": state.stale,
        "seconds": state.seconds,
        "stateful": {player.name: sorted(state_of(player.optimiser)) for player in state.players},
        "metrics_bytes": state.metrics_bytes,
        "skipped": list(skipped),
    }
    write_tensors(path, tensors, metadata)


def read(folder: RunFolder, state: TrainingState, skipped: dict[str, None], remedy: str) -> None:
    """Puts a training where it was when the checkpoint was written. Raises RunError, with the remedy, for a damaged or foreign
    one."""
    device, path = state.clock.device, folder.checkpoint_path
    tensors, metadata = read_tensors(path, remedy=remedy)
    facts = folder.own_facts(CheckpointFacts, metadata, path, remedy)
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "random": {}, "optimiser": {}}
    try:
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            groups[kind][rest] = tensor
        check_weights(state.average, groups["average"], path, remedy)
        load_weights(state.model, groups["model"], path, remedy)
        for name, tensor in state.average.items():
            tensor.copy_(groups["average"][name])
        for player in state.players:
            _read_optimiser(player, groups["optimiser"], facts.stateful[player.name])
        with default_generators():
            torch.set_rng_state(groups["random"][f"cpu.{processes.rank()}"])
            if device.type == "cuda" and (name := f"cuda.{processes.rank()}") in groups["random"]:
                torch.cuda.set_rng_state(groups["random"][name], device)
    except KeyError as error:
        raise RunError(f"{path} lacks {error}: it is damaged; {remedy}") from None
    except (
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:  # a generator's state that is none, states of other parameters
        why = str(error).partition("\n")[0]
        raise RunError(f"{path} does not fit the run ({why}): {remedy}") from error
    state.step = facts.step
    state.clock.fill_(state.step)
    state.best = math.inf if facts.best is None else facts.best
    state.stale, state.seconds, state.metrics_bytes = facts.stale, facts.seconds, facts.metrics_bytes
    skipped.update(dict.fromkeys(facts.skipped))


def _read_optimiser(player: PlayerState, saved: dict[str, Tensor], stateful: Iterable[int]) -> None:
    """The state of every parameter that had one (one without a gradient has none); a KeyError names what is missing."""
    states = {}
    for index in stateful:
        if index >= len(player.own):
            raise ValueError(f"there is no parameter {index} of player '{player.name}'")
        prefix = f"{player.name}.{index}."
        states[index] = {
            name.removeprefix(prefix): _checked(name, player.own[index], tensor)
            for name, tensor in saved.items()
            if name.startswith(prefix)
        }
        for key in player.kept_state:
            if key not in states[index]:
                raise KeyError(f"optimiser.{prefix}{key}")
    rate = player.optimiser.param_groups[0]["lr"]
    player.optimiser.load_state_dict({**player.optimiser.state_dict(), "state": states})
    player.optimiser.param_groups[0]["lr"] = rate


def _checked(name: str, parameter: Tensor, state: Tensor) -> Tensor:
    """A moment of a parameter, laid out like it, or a count of steps. Raises ValueError for what is neither, or not finite."""
    if state.dtype != parameter.dtype or not state.isfinite().all():
        raise ValueError(f"'optimiser.{name}' is {state.dtype}, not {parameter.dtype}, or not finite")
    if state.shape == parameter.shape:
        # A file has no strides, and fused kernels pair a weight with its moments by their places in memory.
        return torch.empty_like(parameter, dtype=state.dtype).copy_(state)
    if state.dim():
        raise ValueError(f"'optimiser.{name}' has shape {tuple(state.shape)}, not {tuple(parameter.shape)}")
    return state


def kept_weights(path: Path, kept: str) -> dict[str, Tensor]:
    """Of a checkpoint that `CheckpointFacts.holds` them: the weights that a run keeps."""
    prefix = "average." if kept == "ema" else "model."
    tensors, _ = read_tensors(path)
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
