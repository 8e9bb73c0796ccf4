"""Which code a run may run: a record, in the user's state folder, of each run that was trained here and names code.

A record is a file named by the SHA-256 of run.json, so that a run may be moved, and one whose run.json was changed by somebody
else is a stranger's. It holds the run's import paths and the folder of each, from where they are imported again.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from reparam.errors import ReparamError
from reparam.files import read_json, state_folder, write_json
from reparam.importing import folder_of


def folders_of(import_paths: Iterable[str]) -> dict[str, str]:
    """Of import paths that are loaded, the folder of each ("": installed)."""
    return {path: folder_of(path) for path in import_paths}


def remember(document: str, run: Path, known: Mapping[str, str]) -> str:
    """Records that a run whose run.json has the text `document` was trained here, with its import paths and their folders.
    Returns a note where it cannot be, else the empty string."""
    if not known:
        return ""
    try:
        write_json(_record(document), {"run": str(run.absolute()), "code": dict(known)})
    except ReparamError as error:
        return f"that this run was trained here cannot be remembered ({error}); commands on it will need --trust"
    return ""


def recall(document: str) -> dict[str, str]:
    """What `remember` was given for that text of run.json; empty where there is no record, or none that can be read."""
    try:
        code = read_json(_record(document)).get("code")
    except ReparamError:
        return {}
    return code if isinstance(code, dict) and all(isinstance(folder, str) for folder in code.values()) else {}


def _record(document: str) -> Path:
    return state_folder() / "runs" / f"{hashlib.sha256(document.encode()).hexdigest()}.json"
