"""Errors that a person can act on.

Everything that is the user's to mend (an option, a file, a run folder) raises `ReparamError` with one line: what is wrong,
where, and what to do about it. The command prints that line and ends with exit code 2; anything else is a bug of ours.
"""

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator

LONGEST = 80  # characters of a value that a message quotes


class ReparamError(Exception):
    """Base of every error with a remedy. `str(error)` is one line."""


class ConfigError(ReparamError):
    """An option that does not exist, has the wrong type, or contradicts another."""


class StepError(ConfigError):
    """A step that cannot be compiled or captured, as it was asked to be: the run has hardly begun, and cannot go on."""


class DataError(ReparamError):
    """Data that is missing, malformed, or does not fit the request."""


class ImageError(DataError):
    """An image on disk that cannot be read while a model trains; it can go on without that image."""


class RunError(ReparamError):
    """A run folder that is missing, damaged, or of another version."""


class MemoryShortError(ReparamError):
    """Memory ran out."""


OUT_OF_MEMORY = re.compile("out of memory|allocate memory|not enough memory")  # how torch says it, on each device
ASKED = re.compile(r"(?:allocate|allocated) ([\d.]+ ?\w+)")


@contextlib.contextmanager
def memory_watched(purpose: str, remedy: str) -> Iterator[None]:
    """Turns the errors by which Python, NumPy and torch say that memory ran out into a `MemoryShortError`, with the purpose and
    the remedy."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not OUT_OF_MEMORY.search(str(error)):
            raise
        asked = ASKED.search(str(error))
        amount = f" ({asked[1]} at once)" if asked else ""
        raise MemoryShortError(f"not enough memory {purpose}{amount}: {remedy}") from error


def flag(option: str) -> str:
    """How the command writes an option: `--batch-size`."""
    return "--" + option.replace("_", "-")


def short(value: object) -> str:
    """`repr`, of a long value the beginning alone, and of an array its shape: a message is one line that can be read."""
    if isinstance(shape := getattr(value, "shape", None), tuple) and shape and hasattr(value, "dtype"):
        return f"{type(value).__name__} of shape {tuple(shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def escaped(text: str, kept: str = "") -> str:
    """Text in which line breaks, control characters and bytes that are no UTF-8 stand as Python writes them, but those `kept`."""
    return "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text)


def suggest(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'latent'?"` for the nearest known name, or the empty string."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
