"""The terminal, or what stands in its place: its lines, which may hold anything and may go nowhere, and its signals."""

import codecs
import contextlib
import errno
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, TextIO

from reparam.errors import ReparamError, escaped

# What ends a program: Ctrl-C, a request, a terminal that is closed. Windows has no SIGHUP.
END_SIGNALS = tuple(
    signal.Signals(getattr(signal, name)) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
PLAIN = {"±": "+-", "–": "-", "—": "-", "…": "...", "×": "x", "÷": "/", "≤": "<=", "≥": ">=", "−": "-"}


REST = 1.0  # seconds: signals that come closer together are one


class Ended(BaseException):
    """One of `END_SIGNALS` but Ctrl-C; no KeyboardInterrupt, of which click would make something else."""

    def __init__(self, number: int) -> None:
        self.number = number


def _plainly(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    part = error.object[error.start : error.end]
    return "".join(PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in part), error.end


codecs.register_error("reparam", _plainly)


def printable(text: str, encoding: str | None = None, styled: bool = False) -> str:
    """The text without what the encoding lacks, and unless `styled` without control characters, which steer a terminal."""
    encoding = encoding or "utf-8"
    if not styled:
        text = escaped(text, kept="\n\t")
    return text.encode(encoding, "reparam").decode(encoding)


def say(text: str) -> None:
    """A line on stderr. Where it cannot be written it is left out: work goes on."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: of a closed file
            print(printable(text, sys.stderr.encoding), file=sys.stderr, flush=True)


def output(text: str, styled: bool = False) -> None:
    """Lines on stdout; `styled`: with control characters for a terminal. Where nobody reads them any more they are left out;
    raises ReparamError where they cannot be written, as into a file on a full disk."""
    if sys.stdout is None:
        return
    try:
        print(printable(text, sys.stdout.encoding, styled), file=sys.stdout, flush=True)
    except OSError as error:
        _mute("stdout")
        if error.errno not in (errno.EPIPE, errno.EIO):  # the reader has gone, or the terminal
            raise ReparamError(
                f"the output cannot be written ({error.strerror}): what the command has made is kept, but not this text"
            ) from error


def _mute(name: str) -> None:
    """What is left in the stream's buffer would fail again at the program's end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, getattr(sys, name).fileno())
        os.close(nowhere)


def open_streams() -> None:
    """Opens stdin, stdout and stderr on nothing where they are closed: a file that is opened later would take their place, and
    get what is meant for them."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        stream: TextIO | None = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def flush_streams() -> None:
    """Writes what others have printed, and forgets what cannot be written: the program's end would complain of it."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except (OSError, ValueError):
            _mute(name)


def in_finaliser(frame: FrameType | None) -> bool:
    """Whether Python would print an exception, and go on: in `__del__`, and where importlib drops a module's lock."""
    while frame:
        code = frame.f_code
        if code.co_name == "__del__" or (code.co_name == "cb" and code.co_filename == "<frozen importlib._bootstrap>"):
            return True
        frame = frame.f_back
    return False


@contextlib.contextmanager
def end_signals_raised() -> Iterator[None]:
    """SIGTERM and SIGHUP raise `Ended`, so that what was begun is cleaned up; those that come within the next `REST` seconds are
    part of it. After one, more of them are ignored: the program ends. A signal that is ignored (by nohup) stays so."""
    process, raised = os.getpid(), -math.inf
    before: dict[signal.Signals, Any] = {}

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal raised
        if os.getpid() != process:  # in a reading process that begins: this one ends it
            return
        if in_finaliser(frame):  # once more, a little later
            threading.Timer(0.1, os.kill, (process, number)).start()
        elif time.monotonic() - raised > REST:
            raised = time.monotonic()
            raise Ended(number)

    if threading.current_thread() is threading.main_thread():
        for number in END_SIGNALS:
            if number != signal.SIGINT and signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if raised == -math.inf else signal.SIG_IGN)
