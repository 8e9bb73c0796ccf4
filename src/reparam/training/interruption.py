"""Ctrl-C, SIGTERM and SIGHUP, taken as a request to stop."""

import math
import signal
import time
from collections.abc import Callable

from reparam.terminal import REST, end_signals_taken, ending


class InterruptListener:
    """While entered, the first of `END_SIGNALS` sets `asked`, and is `number`; a second one raises KeyboardInterrupt or `Ended`
    at once, or when an import or a finaliser (such as end reading processes) is over. Those that come within the next `REST`
    seconds are part of it, so that what has to be written then can be.

    In another thread than Python's main one it hears none. `keeps`: whether a checkpoint is written then, as the note says.
    """

    def __init__(self, note: Callable[[str], None], keeps: bool = True) -> None:
        self.asked = False
        self.number: int = signal.SIGINT  # also where another process was asked
        self._end = "stopping after this step" + " and writing a checkpoint" * keeps
        self._raised = -math.inf
        self._note = note
        self._taken = end_signals_taken(self._act)

    def __enter__(self) -> "InterruptListener":
        self._taken.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._taken.__exit__(None, None, None)

    def _act(self, number: int) -> None:
        if not self.asked:
            self.asked, self.number = True, number
            self._note(f"{self._end}; once more to stop at once")
        elif time.monotonic() - self._raised > REST:
            self._raised = time.monotonic()
            raise ending(number)
