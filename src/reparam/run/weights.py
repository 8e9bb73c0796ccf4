"""Whether the weights of a file are those of a model."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from reparam.errors import RunError
from reparam.files import LOST


def load_weights(model: nn.Module, tensors: dict[str, Tensor], source: Path, remedy: str = LOST) -> None:
    """Strictly, see `check_weights`."""
    check_weights(model.state_dict(), tensors, source, remedy)
    model.load_state_dict(tensors)


def check_weights(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], source: Path, remedy: str = LOST) -> None:
    """Raises RunError, with the remedy, naming the first of a file's tensors that does not fit a model's `own`: one that is
    missing, unknown, of another shape or type, or not finite."""
    for name in own:
        if name not in tensors:
            raise RunError(f"{source} lacks the weight '{name}' (it is damaged, or of another model): {remedy}")
        if tensors[name].shape != own[name].shape:
            raise RunError(
                f"{source} holds '{name}' of shape {tuple(tensors[name].shape)} where the model has {tuple(own[name].shape)}: "
                f"it is of a model with other options; {remedy}"
            )
        if tensors[name].dtype != own[name].dtype:
            raise RunError(
                f"{source} holds '{name}' as {tensors[name].dtype} where the model has {own[name].dtype}: {remedy}"
            )
    for name in tensors:
        if name not in own:
            raise RunError(
                f"{source} holds a weight '{name}' that the model has not (it is of another model): {remedy}"
            )
        if not tensors[name].isfinite().all():
            raise RunError(f"{source} holds '{name}' with a value that is not finite: {remedy}")
