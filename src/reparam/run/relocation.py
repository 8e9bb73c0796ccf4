"""Where the data of a run lies, after it was moved."""

from pathlib import Path

from reparam.errors import DataError
from reparam.files import user_path
from reparam.run.data import can_move, open_data
from reparam.run.folder import RunFolder


def relocate(folder: RunFolder, path: str | Path) -> str:
    """Changes run.json so that the run's data is read at `path`; returns the new spec, `KIND:PATH`. Raises DataError for other
    images than the run was trained on, RunError while it is being trained."""
    document, config, spec = folder.parts()
    kind = config.data.data.partition(":")[0]
    if not can_move(config.data.data):
        raise DataError(
            f"the data of {folder.path} is '{config.data.data}', which is at no path: there is nothing to change"
        )
    place = user_path(str(path).removeprefix(f"{kind}:")).absolute()
    moved = f"{kind}:{place}"
    if open_data(config, spec, moved).fingerprint != document.data.fingerprint:
        raise DataError(
            f"{place} holds other images than {folder.path} was trained on: put those back, name where they are, or "
            "train a new run"
        )
    with folder.locked():
        folder.amend_data(data=moved)
    return moved
