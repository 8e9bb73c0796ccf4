"""What a refusal of the command looks like, and following what it advises."""

import re
import shlex
from collections.abc import Callable


def refused(done: object, *words: str) -> None:
    """One line on stderr after any notes, exit code 2, every word in it."""
    assert done.code == 2, done  # type: ignore[attr-defined]
    lines = [line for line in done.err.splitlines() if line.strip()]  # type: ignore[attr-defined]
    assert "Traceback" not in done.err  # type: ignore[attr-defined]
    assert lines
    assert lines[-1].startswith("error: ")
    assert sum(line.startswith("error: ") for line in lines) == 1
    for word in words:
        assert word in lines[-1], f"'{word}' is not in: {lines[-1]}"


def advised(error: str, follow: Callable) -> object:
    """Runs the last command `reparam ...` that an error names."""
    found = re.findall(r"(?:'reparam ((?:[^']|'[^']*')+?)'(?=[\s;,.]|$)|(?:: )reparam (.+?)(?:; or|$))", error.strip())
    assert found, error
    quoted, plain = found[-1]
    return follow(*shlex.split(quoted or plain))
