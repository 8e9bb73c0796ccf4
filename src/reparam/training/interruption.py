"""Ctrl-C and SIGTERM, taken as a request to stop."""

import signal
import threading
from collections.abc import Callable
from types import FrameType


class InterruptListener:
    """While entered, the first Ctrl-C or SIGTERM sets `asked`; a second one raises KeyboardInterrupt at once, but not in a
    finaliser (such as end reading processes), where Python would print it and go on.

    Signals reach Python's main thread only: elsewhere it hears none.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self.asked = False
        self._note = note
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> "InterruptListener":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not None:  # one that is not Python's could not be put back
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if not self.asked:
            self.asked = True
            self._note("stopping after this step and writing a checkpoint; once more to stop at once")
        elif not _in_finaliser(frame):
            raise KeyboardInterrupt


def _in_finaliser(frame: FrameType | None) -> bool:
    while frame:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
