"""`package.module:NAME` wherever a registered name works."""

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reparam.errors import ReparamError, suggest


def is_import_path(text: str) -> bool:
    """Whether `text` has the form `package.module:NAME`."""
    return re.fullmatch(r"\w+(\.\w+)*:\w+", text) is not None


def import_object(path: str, what: str, error: Callable[[str], ReparamError]) -> Any:
    """The object at `package.module:NAME`; the current folder is searched last. Raises `error` with the cause and the remedy."""
    module_name, _, name = path.partition(":")
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.append(str(Path.cwd()))  # last: nothing there shall hide a library
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as missing:
        if missing.name and module_name.startswith(missing.name):
            raise error(
                f"no module '{module_name}' for {what} '{path}': is its folder the current one, or installed?"
            ) from None
        raise error(
            f"importing '{module_name}' for {what} '{path}' failed ({missing}): install what it needs"
        ) from missing
    except Exception as broken:
        raise error(
            f"importing '{module_name}' for {what} '{path}' failed: {type(broken).__name__}: {broken}"
        ) from broken
    if not hasattr(module, name):
        raise error(f"module '{module_name}' has no '{name}'{suggest(name, vars(module))}")
    return getattr(module, name)
