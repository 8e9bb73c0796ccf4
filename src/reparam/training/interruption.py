"""Ctrl-C and SIGTERM, taken as a wish to stop and not as a loss."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType


class InterruptListener:
    """While entered, the first Ctrl-C or SIGTERM sets `asked`; a second one raises KeyboardInterrupt at once, but not in a
    finaliser, which would print it and go on: that is how reading processes are ended.

    Signals reach Python's main thread only: elsewhere it never hears anything.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self.asked = False
        self._note = note
        self._before: dict[int, object] = {}

    def __enter__(self) -> "InterruptListener":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            if not _in_finaliser(frame):
                raise KeyboardInterrupt
            return
        self.asked = True
        self._note("stopping after this step and writing a checkpoint; once more to stop at once")


def _in_finaliser(frame: FrameType | None) -> bool:
    while frame:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
