"""`package.module:NAME` wherever a registered name works, and whose word it takes to run that code."""

import importlib
import importlib.machinery
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reparam.errors import ReparamError, RunError, suggest


def is_import_path(text: str) -> bool:
    """Whether `text` has the form `package.module:NAME`."""
    return re.fullmatch(r"\w+(\.\w+)*:\w+", text) is not None


@dataclass(frozen=True)
class Origin:
    """Who names import paths, which decides whether their code may run and where modules are looked for, after all that is
    installed.

    run: the run that names them, None: the user, who has typed them. known: of a run that this user trained here, its import
    paths and the folder of each ("": installed). trust: the user answers for the run.
    """

    run: str | None = None
    known: Mapping[str, str] = field(default_factory=dict)
    trust: bool = False

    def folder(self, path: str, what: str) -> str:
        """The folder that is searched last ("": none). Raises RunError where the code may not run."""
        if self.run is None:
            return str(Path.cwd())
        if path not in self.known and not self.trust:
            raise RunError(
                f"{self.run} names code: {what} '{path}'. The run was not trained here by you (or its run.json has changed "
                "since), and such code can do all that you can: read, change and delete your files, use the network. If you know "
                "it and want it to run, add --trust (in Python trust=True): it is then imported from installed packages and "
                "PYTHONPATH, never from the run's folder or the current one"
            )
        return self.known.get(path, "")


TYPED = Origin()
_seen: dict[str, tuple[float, Any]] = {}  # typed paths: when the file was changed last, and what was at the path then


def import_object(path: str, what: str, error: Callable[[str], ReparamError], origin: Origin = TYPED) -> Any:
    """The object at `package.module:NAME`. Raises RunError where `origin` does not allow it, else `error` with the cause and
    the remedy."""
    module_name, _, name = path.partition(":")
    folder = origin.folder(path, what)
    try:
        with _path(folder, origin):
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as missing:
        if missing.name and module_name.startswith(missing.name):
            place = "is its folder the current one, or installed?"
            if origin.run is not None:
                place = f"it is not in {folder}" if folder else "the current folder and the run's are not searched"
                place += "; install it, or set PYTHONPATH to its folder"
            raise error(f"no module '{module_name}' for {what} '{path}': {place}") from None
        raise error(
            f"importing '{module_name}' for {what} '{path}' failed ({missing}): install what it needs"
        ) from missing
    except Exception as broken:
        raise error(
            f"importing '{module_name}' for {what} '{path}' failed: {type(broken).__name__}: {broken}"
        ) from broken
    found = folder_of(path)
    if origin.run is not None and found and _holds(folder, module_name) and not Path(found).samefile(folder):
        raise error(
            f"{what} '{path}' is meant from {folder}, and a module of that name is loaded from {found}: use such runs in "
            "processes of their own, or rename one of the modules"
        )
    if not hasattr(module, name):
        raise error(f"module '{module_name}' has no '{name}'{suggest(name, vars(module))}")
    found_object = getattr(module, name)
    if origin.run is None and _is_stale(path, module, found_object):
        raise error(
            f"{module.__file__} was changed after this session imported it, and {what} '{path}' is still the old one: "
            f"importlib.reload(sys.modules['{module_name}']), or restart the session"
        )
    return found_object


def _is_stale(path: str, module: Any, found: object) -> bool:
    """Whether the module's file is another one than when `found` was found at the path first."""
    try:
        changed = Path(module.__file__).stat().st_mtime
    except (AttributeError, TypeError, OSError):  # of no file, or gone
        return False
    before, known = _seen.setdefault(path, (changed, found))
    if known is found:
        return changed != before
    _seen[path] = changed, found  # reloaded
    return False


def folder_of(path: str) -> str:
    """The folder in which the module of an import path was found; empty for one that is installed, or of no file."""
    top = sys.modules.get(path.partition(":")[0].partition(".")[0])
    place = next(iter(getattr(top, "__path__", ())), None) or getattr(top, "__file__", None)
    folder = Path(place).absolute().parent if place else None
    installed = (
        folder is None or folder == Path(os.__file__).parent or {"site-packages", "dist-packages"} & set(folder.parts)
    )
    return "" if installed else str(folder)


def _holds(folder: str, module_name: str) -> bool:
    return (
        bool(folder) and importlib.machinery.PathFinder.find_spec(module_name.partition(".")[0], [folder]) is not None
    )


@contextmanager
def _path(folder: str, origin: Origin) -> Iterator[None]:
    """`sys.path` with `folder` last (nothing there shall hide a library), where it stays for imports inside functions. For a run
    the current folder is left out while its modules are imported, unless PYTHONPATH names it."""
    here = os.path.realpath(Path.cwd())
    named = {os.path.realpath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry}
    current = [
        (place, entry)
        for place, entry in enumerate(sys.path)
        if origin.run is not None and here not in named and os.path.realpath(entry or ".") == here
    ]
    for _, entry in current:
        sys.path.remove(entry)
    if folder and os.path.realpath(folder) not in map(os.path.realpath, sys.path):
        sys.path.append(folder)
    try:
        yield
    finally:
        for place, entry in current:
            sys.path.insert(place, entry)
