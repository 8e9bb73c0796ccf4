"""Weights and checkpoints that are lost or damaged: what can be had back, and what helps where nothing can."""

import contextlib
import os

from reparam.errors import RunError
from reparam.run.command import training_command
from reparam.run.config import RunConfig
from reparam.run.folder import RunFolder
from reparam.run.weights import check_weights
from reparam.training.checkpoint import kept_weights


def has_weights(folder: RunFolder) -> bool:
    """Whether there are any that can be read, and are the run's."""
    own = folder.untrained_model().state_dict()
    try:
        folder.weights(own)
    except RunError:
        if folder.weights_path.exists() and not os.access(folder.weights_path, os.R_OK):
            raise  # they are not lost
        return False
    return True


def write_again(folder: RunFolder) -> None:
    """The kept weights of a run that has ended, from its checkpoint. Raises RunError where that does not hold them."""
    status, own = folder.status(), folder.untrained_model().state_dict()
    if not folder.checkpoint_holds_weights(status):
        folder.weights(own)  # says what helps
    facts = folder.checkpoint_facts()
    weights = kept_weights(folder.checkpoint_path, status.kept)
    check_weights(own, weights, folder.checkpoint_path)
    epoch = status.epoch if facts.epoch is None else facts.epoch
    folder.write_weights(weights, status.kept, facts.step, epoch, folder.id)


def remedy_for_checkpoint(folder: RunFolder, config: RunConfig, lost: bool) -> str:
    """What helps where the checkpoint of a run that has not ended is gone, damaged or another run's."""
    names = [] if lost else [folder.weights_path.name]
    names += [folder.checkpoint_path.name] if os.path.lexists(folder.checkpoint_path) else []
    begin = f"delete {' and '.join(names)}, and 'reparam resume {folder.typed}' begins again"
    if lost:
        return f"restore it from a copy, or {begin}"
    new = training_command(config, folder.path, init_from=str(folder.path.absolute()))
    return f"restore it from a copy; or train on from the kept weights in a new run with: {new}; or {begin}"


def check_checkpoint(folder: RunFolder, lost: bool, remedy: str) -> None:
    """Raises RunError where a checkpoint is gone: training would begin again, over the weights that there are."""
    if folder.checkpoint_path.exists() or lost:
        return
    with contextlib.suppress(RunError):
        if folder.status().state != "not started" and folder.status().step == 0:
            return  # killed before the first
    raise RunError(
        f"{folder.checkpoint_path} is gone, and training would begin again, over the weights of step "
        f"{folder.weights_facts().step:,}: {remedy}"
    )
