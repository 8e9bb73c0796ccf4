"""What a person sees while long work runs: throughput, an estimate, the terms."""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from reparam.terminal import is_first, printable, say

T = TypeVar("T")
PATIENCE = 2.0  # seconds without a word


@runtime_checkable
class Progress(Protocol):
    """Training tells it at every log point, and always calls `close`, also where it ends before `start`; other long work goes
    through `track`."""

    def start(self, steps: int, step: int) -> None: ...
    def update(self, step: int, epoch: float, images_per_second: float, terms: dict[str, float]) -> None: ...
    def note(self, text: str) -> None: ...
    def close(self) -> None: ...

    def track(self, items: Sequence[T], what: str) -> Iterator[T]:
        """The items one by one, with how many are done and how long the rest will take."""
        ...


def silent(text: str) -> None:
    """Where notes may go: nowhere."""


class Silent:
    """Says nothing."""

    def start(self, steps: int, step: int) -> None: ...
    def update(self, step: int, epoch: float, images_per_second: float, terms: dict[str, float]) -> None: ...
    def note(self, text: str) -> None: ...
    def close(self) -> None: ...

    def track(self, items: Sequence[T], what: str) -> Iterator[T]:
        return iter(items)


class SaidOnce:
    """Another one, for work of many alike parts: what was noted before is not noted again."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._said = progress, set[str]()
        self.start, self.update = progress.start, progress.update
        self.close, self.track = progress.close, progress.track

    def note(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._progress.note(text)


@dataclass
class _Watcher:
    """Who shows loops, what they are part of, and whether one is shown."""

    progress: Progress
    what: str
    busy: bool = False


_watcher: ContextVar[_Watcher | None] = ContextVar("watcher", default=None)


@contextlib.contextmanager
def watching(progress: Progress | None, what: str = "") -> Iterator[None]:
    """Within it, loops over `watched` items are shown on `progress` as parts of `what`; with None they are not."""
    before = _watcher.get()
    _watcher.set(_Watcher(progress, what) if progress else None)
    try:
        yield
    finally:
        _watcher.set(before)


def watched(items: Sequence[T]) -> Iterator[T]:
    """The items one by one, shown where someone is `watching`; a loop within a loop is not."""
    watcher = _watcher.get()
    if watcher is None or watcher.busy:
        yield from items
        return
    watcher.busy = True
    try:
        yield from watcher.progress.track(items, watcher.what)
    finally:
        watcher.busy = False


def reached(step: int, epoch: float, of: int = 0) -> str:
    """How far a training has come, of so many steps (0: not known): "180 of 600 steps (9.5 epochs)". Epochs are rounded: a length
    in steps or minutes is no whole number of them."""
    steps = f"{step:,} of {of:,}" if step < of else f"{step:,}"
    return f"{steps} steps ({f'{epoch:,.0f}' if epoch >= 100 else f'{epoch:.3g}'} epochs)"


def describe(terms: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in terms.items())


class RichProgress:
    """A bar on a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.bar = Bar(
            SpinnerColumn(),
            TextColumn("epoch {task.fields[epoch]:.2f}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rate]:,.0f} images/s  {task.fields[terms]}", markup=False),
            console=console or Console(stderr=True),
        )

    def start(self, steps: int, step: int) -> None:
        self.task = self.bar.add_task("training", total=steps, completed=step, epoch=0.0, rate=0.0, terms="")
        self.bar.start()

    def update(self, step: int, epoch: float, images_per_second: float, terms: dict[str, float]) -> None:
        self.bar.update(self.task, completed=step, epoch=epoch, rate=images_per_second, terms=describe(terms))

    def note(self, text: str) -> None:
        with contextlib.suppress(OSError):  # as where the terminal is closed: work goes on
            line = printable(text, self.bar.console.encoding)  # not rich's markup, which names may look like
            self.bar.console.print(line, highlight=False, markup=False, emoji=False)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.bar.stop()

    def track(self, items: Sequence[T], what: str) -> Iterator[T]:
        text = TextColumn(printable(what, self.bar.console.encoding), markup=False)
        columns = (SpinnerColumn(), text, BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        began = time.monotonic()
        with Bar(*columns, console=self.bar.console, transient=True, disable=True) as bar:
            task = bar.add_task(what, total=len(items))
            for item in items:
                yield item
                bar.advance(task)
                if (
                    bar.disable and not bar.finished and time.monotonic() - began >= PATIENCE
                ):  # what is over by then needs no bar
                    bar.disable = False
                    bar.start()


class LineProgress:
    """A line now and then, where there is no terminal: at most one every `seconds`."""

    def __init__(self, seconds: float = 10.0) -> None:
        self.seconds = seconds

    def start(self, steps: int, step: int) -> None:
        self.steps, self.first = steps, step
        self.began = self.last = time.monotonic()

    def update(self, step: int, epoch: float, images_per_second: float, terms: dict[str, float]) -> None:
        now = time.monotonic()
        if now - self.last < self.seconds and step < self.steps:
            return
        self.last = now
        left = (now - self.began) / max(step - self.first, 1) * (self.steps - step)
        self.note(
            f"epoch {epoch:6.2f}  {step}/{self.steps} steps  {images_per_second:,.0f} images/s  "
            f"{left:.0f} s left  {describe(terms)}"
        )

    def note(self, text: str) -> None:
        say(text)

    def close(self) -> None: ...

    def track(self, items: Sequence[T], what: str) -> Iterator[T]:
        began = time.monotonic()
        last = began + PATIENCE - self.seconds  # the first line comes soon
        for done, item in enumerate(items):
            now = time.monotonic()
            if done and now - last >= self.seconds:
                last = now
                self.note(
                    f"{what}: {done} of {len(items)} parts, {(now - began) / done * (len(items) - done):.0f} s left"
                )
            yield item


def usual_progress() -> Progress:
    """A bar on a terminal, else a line now and then; of several processes under torchrun the first one shows it."""
    if not is_first():
        return Silent()
    return RichProgress() if sys.stderr is not None and sys.stderr.isatty() else LineProgress()


def chosen_progress(progress: Progress | Literal[False] | None) -> Progress:
    """What a call from Python shows: the usual where nothing was said (None), nothing for False."""
    return Silent() if progress is False else progress or usual_progress()
