"""Turns at torch's default generators, which all threads of a process share."""

import contextlib
import os
import threading
from collections.abc import Iterator

import torch


class Turns:
    """A lock that its holder may enter again. A thread that leaves it and comes back at once queues behind those who wait."""

    def __init__(self) -> None:
        self._queue, self._lock = threading.Lock(), threading.Lock()
        self._holder: int | None = None

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        if self._holder == threading.get_ident():
            yield
            return
        with self._queue:
            self._lock.acquire()
        try:
            self._holder = threading.get_ident()
            yield
        finally:
            self._holder = None
            self._lock.release()

    def renew_after_fork(self) -> None:
        """Of the threads that held it or waited, the one that forked alone is in the new process."""
        held = self._holder == threading.get_ident()
        self._queue, self._lock = threading.Lock(), threading.Lock()
        if held:  # and is in its turn there too: it will leave it
            self._lock.acquire()
        else:
            self._holder = None


_TURNS = Turns()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_TURNS.renew_after_fork)


def default_generators() -> contextlib.AbstractContextManager[None]:
    """While entered, of all threads that call the library this one alone draws from the default generators: training takes them
    for each step, and what other threads draw meanwhile waits."""
    return _TURNS.turn()


@contextlib.contextmanager
def default_generators_kept() -> Iterator[None]:
    """As `default_generators`; afterwards they have their states of before."""
    with default_generators(), torch.random.fork_rng(list(range(torch.cuda.device_count()))):
        yield
