"""The terminal, or what stands in its place: its lines, which may hold anything and may go nowhere, and its signals."""

import _thread
import _weakrefset
import codecs
import contextlib
import errno
import math
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TextIO

from reparam.errors import ReparamError, escaped

# What ends a program: Ctrl-C, a request, a terminal that is closed. Windows has no SIGHUP.
END_SIGNALS = tuple(
    signal.Signals(getattr(signal, name)) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
PLAIN = {"±": "+-", "–": "-", "—": "-", "…": "...", "×": "x", "÷": "/", "≤": "<=", "≥": ">=", "−": "-"}
REST = 1.0  # seconds: signals that come closer together are one
SIGNALLED = 128  # and the signal's number: the exit code
WEAK = (weakref.__file__, _weakrefset.__file__)
PYDANTIC = f"{os.sep}pydantic{os.sep}"


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


def is_first() -> bool:
    """Whether this process speaks: there is no other, or it is the first of those that torchrun has started."""
    return os.environ.get("RANK", "0") == "0"


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


def _fragile(frame: FrameType | None) -> int:
    """How many of the frames are of an import, a finaliser, a callback of a weak reference or pydantic. An exception there is
    printed, caught or made another by others' code (pydantic's core is not Python), or leaves a module behind that is half made
    and cannot be imported again."""
    count = 0
    while frame:
        code = frame.f_code
        at = code.co_filename
        count += code.co_name == "__del__" or at.startswith("<frozen importlib") or at in WEAK or PYDANTIC in at
        frame = frame.f_back
    return count


def _end_at_once(number: int) -> None:
    try:
        say("interrupted")
        flush_streams()
    finally:
        os._exit(SIGNALLED + number)


@contextlib.contextmanager
def end_signals_taken(act: Callable[[int], None], hung: Callable[[int], None] | None = None) -> Iterator[None]:
    """Calls `act(number)` for each of `END_SIGNALS`, at a moment when an exception that it raises arrives: while something is
    imported or finalised, once that is over. `hung` is called with one more that comes `REST` seconds later and finds it not
    over, as an import may hang. Signals reach Python's main thread only: elsewhere this does nothing. A signal that
    is ignored (by nohup) stays so."""
    process, outside = os.getpid(), _fragile(sys._getframe())
    before: dict[signal.Signals, Any] = {}
    since: float | None = None  # when the signal came that waits
    from_here = False

    def take(number: int, frame: FrameType | None) -> None:
        nonlocal since, from_here
        if os.getpid() != process:  # in a reading process that begins: this one ends it
            return
        again, from_here = from_here, False
        if again and since is None:
            return  # another came meanwhile, and was acted on
        if _fragile(frame) <= outside:
            since = None
            act(number)
        elif again or since is None:
            since = time.monotonic() if since is None else since
            _thread.start_new_thread(send_again, (number,))  # one of `threading` takes locks that may be held just now
        elif hung and time.monotonic() - since > REST:
            hung(number)

    def send_again(number: int) -> None:
        nonlocal from_here
        time.sleep(0.05)
        now = signal.getsignal(number)
        if callable(now) and now is not signal.default_int_handler:  # else what was to be ended has ended
            from_here = now is take
            os.kill(process, number)

    if threading.current_thread() is threading.main_thread():
        for number in END_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, take)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is take:
                signal.signal(number, handler)


def ending(number: int) -> BaseException:
    """What a signal raises."""
    return KeyboardInterrupt() if number == signal.SIGINT else Ended(number)


@contextlib.contextmanager
def end_signals_raised() -> Iterator[None]:
    """`END_SIGNALS` raise KeyboardInterrupt or `Ended`, so that what was begun is cleaned up; those that come within the next
    `REST` seconds are part of it. After one, more of them are ignored: the program ends."""
    raised = -math.inf

    def end(number: int) -> None:
        nonlocal raised
        if time.monotonic() - raised > REST:
            raised = time.monotonic()
            raise ending(number)

    with end_signals_taken(end, _end_at_once):
        try:
            yield
        finally:
            if raised > -math.inf:
                for number in END_SIGNALS:
                    signal.signal(number, signal.SIG_IGN)
