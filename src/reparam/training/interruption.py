"""Ctrl-C, SIGTERM and SIGHUP, taken as a request to stop."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from reparam.terminal import END_SIGNALS, REST, in_finaliser


class InterruptListener:
    """While entered, the first of `END_SIGNALS` sets `asked`; a second one raises KeyboardInterrupt at once, but not in a
    finaliser (such as end reading processes), where Python would print it and go on. Those that come within the next `REST`
    seconds are part of it, so that what has to be written then can be.

    Signals reach Python's main thread only: elsewhere it hears none. A signal that is ignored (by nohup) stays so. `keeps`:
    whether a checkpoint is written then, as the note says.
    """

    def __init__(self, note: Callable[[str], None], keeps: bool = True) -> None:
        self.asked = False
        self._end = "stopping after this step" + " and writing a checkpoint" * keeps
        self._raised = -REST
        self._note, self._process = note, os.getpid()
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> "InterruptListener":
        if threading.current_thread() is threading.main_thread():
            for number in END_SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # in a reading process that begins: this one ends it
            return
        if not self.asked:
            self.asked = True
            self._note(f"{self._end}; once more to stop at once")
        elif time.monotonic() - self._raised > REST and not in_finaliser(frame):
            self._raised = time.monotonic()
            raise KeyboardInterrupt
