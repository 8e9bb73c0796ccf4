"""Errors that a person can act on.

Everything that is the user's to mend (an option, a file, a run folder) raises `ReparamError` with one line: what is wrong,
where, and what to do about it. The command prints that line and ends with exit code 2; anything else is a bug of ours.
"""

import difflib
from collections.abc import Iterable


class ReparamError(Exception):
    """Base of every error with a remedy. `str(error)` is one line."""


class ConfigError(ReparamError):
    """An option that does not exist, has the wrong type, or contradicts another."""


class StepError(ConfigError):
    """A step that cannot be compiled or captured, as it was asked to be: the run has hardly begun, and cannot go on."""


class DataError(ReparamError):
    """Data that is missing, malformed, or does not fit the request."""


class RunError(ReparamError):
    """A run folder that is missing, damaged, or of another version."""


def suggest(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'latent'?"` for the nearest known name, or the empty string."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
