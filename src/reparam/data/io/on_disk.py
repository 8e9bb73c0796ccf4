"""Images that stay on disk and are read as they are needed, where `Images` would hold a tensor.

Shapes: `N` images, `n` of them, `C H W` image.
"""

import atexit
import logging
import multiprocessing
import multiprocessing.util
import os
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from reparam.data.options import Damaged
from reparam.errors import ConfigError, DataError, ImageError

IN_A_ROW = 100  # damaged records one after another: more are not an accident
LOGGED = 20  # damaged records that are logged one by one


GUARD = "put the calls of the script below if __name__ == '__main__':"


def refuse_while_importing() -> None:
    """Raises ConfigError in a process that another started and that still imports the script of that one: a script without a
    guard does its work again in each process that it starts, where the system starts them anew."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself asks
        raise ConfigError(f"a process that the script started imports it, and so trains again: {GUARD}")


@contextmanager
def readers_watched() -> Iterator[None]:
    """Turns torch's error of a reading process that died, which interrupts anything, into a `DataError` with the remedy."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        reason = str(error).splitlines()[0].rstrip(". ")
        guard = "" if multiprocessing.get_start_method() == "fork" else f"; or {GUARD}"
        raise DataError(
            f"a process that reads images ended ({reason}): free memory, or take fewer --workers{guard}"
        ) from error


class ReadAhead:
    """The items of `dataset` at `places`, in order, read by `workers` processes (0: by this one), each at most `ahead`
    items ahead. Draws nothing from the default generator, which is training's. Items should be arrays: a tensor's memory
    is fetched from the worker, and if that has died, the error is one that `readers_watched` does not know.

    `close` ends the processes, as the end of a `with` does; those that do not end by themselves are killed.
    """

    def __init__(self, dataset: TorchDataset, places: Iterable[Any], workers: int, ahead: int | None = None) -> None:
        before = set(multiprocessing.active_children())
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings(
                    "ignore", "This DataLoader will create"
                )  # more workers than cores: as requested
                self._items: Iterator[Any] = iter(
                    DataLoader(
                        dataset,
                        batch_size=None,
                        sampler=places,
                        num_workers=workers,
                        prefetch_factor=ahead if workers else None,
                        collate_fn=_unchanged,
                        worker_init_fn=_start_worker,
                        generator=torch.Generator(),
                    )
                )
        finally:  # a signal may come while they start
            self._workers = set(multiprocessing.active_children()) - before
            _WORKERS.update(dict.fromkeys(self._workers, os.getpid()))

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._items)

    def close(self) -> None:
        self._items = iter(())  # DataLoader's own waits for each of them, some seconds at most
        _kill(self._workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


_WORKERS: dict[BaseProcess, int] = {}  # those that may run, and the process that started them


def _kill(workers: set[BaseProcess]) -> None:
    """They ignore the signal by which `multiprocessing` ends what is left at the end, and then waits for them for ever."""
    for worker in workers & set(multiprocessing.active_children()):
        if _WORKERS.pop(worker, 0) == os.getpid():  # not in a fork of that process
            worker.kill()
    for worker in workers:
        _WORKERS.pop(worker, None)


atexit.register(lambda: _kill(set(_WORKERS)))  # before that of `multiprocessing`, which has been imported above


def _unchanged(item: Any) -> Any:
    return item


def _start_worker(worker: int) -> None:
    """Workers ignore a terminal's signals, since the parent ends them when its work is done. If it is killed they end at
    once, since they hold its lock on the run."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os._exit(1)  # an ordinary end would wait for a pipe to be read


class Reader(Protocol):
    """Random access to images of one shape and type, uint8 or float32 in [0, 1]; copies of it live in other processes. Equal
    `identity`, equal images."""

    shape: tuple[int, int, int]
    dtype: type[np.uint8 | np.float32]
    identity: str

    def __len__(self) -> int: ...

    def read(self, place: int) -> np.ndarray:
        """[C, H, W]. Raises `DataError`, naming it, for one that cannot be read."""
        ...


@dataclass(frozen=True, eq=False)
class OnDiskImages:
    """What `Images` needs of a tensor [N, C, H, W], read by `reader`.

    places: int64 [N], which of the reader's images these are. damaged: under "skip", an image that cannot be read is
    replaced by the next one, which is logged and kept in `skipped` (shared by all views). workers: processes that read
    ahead in training.
    """

    reader: Reader
    places: Tensor
    damaged: Damaged = "stop"
    workers: int = 2
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    skipped: dict[str, None] = field(default_factory=dict)

    @property
    def dtype(self) -> torch.dtype:
        return torch.uint8 if self.reader.dtype == np.uint8 else torch.float32

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.places), *self.reader.shape))

    def to(self, device: torch.device) -> "OnDiskImages":
        """The same, to be read onto `device`."""
        return replace(self, device=device)

    def choose(self, index: Tensor) -> "OnDiskImages":
        """Those of the given places, still on disk."""
        return replace(self, places=self.places[index.cpu()])

    def split(self, sizes: list[int]) -> list["OnDiskImages"]:
        """Parts of these sizes that follow each other, as of a tensor."""
        return [replace(self, places=part) for part in self.places.split(sizes)]

    def join(self, other: "OnDiskImages") -> "OnDiskImages":
        """These and those of another split of the same files."""
        return replace(self, places=torch.cat([self.places, other.places]))

    def __getitem__(self, rows: slice) -> Tensor:
        """[n, C, H, W]."""
        return self.read(torch.arange(len(self.places))[rows])[0]

    def read(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """[n, C, H, W], and their indices, int64 [n]: `index`, except where another was read. Raises `DataError`."""
        pixels, used, lines = self.read_rows(index.tolist())
        self.tell(lines)
        return torch.from_numpy(pixels).to(self.device), torch.tensor(used, device=self.device)

    def tell(self, lines: Sequence[str]) -> None:
        """Logs what was skipped, each once: the first `LOGGED` of them, and then the 100th, the 1000th, ..."""
        for line in lines:
            if line not in self.skipped:
                self.skipped[line] = None
                count = len(self.skipped)
                if count <= LOGGED or str(count).strip("0") == "1":  # 100, 1000, ...
                    more = "; further ones are counted, and reported now and then" if count == LOGGED else ""
                    logging.getLogger("reparam").warning("skipped (%d so far): %s%s", count, line, more)

    def read_rows(self, rows: Sequence[int]) -> tuple[np.ndarray, list[int], list[str]]:
        """As `read`, for any process, with the lines on what was skipped."""
        pixels = np.empty((len(rows), *self.reader.shape), self.reader.dtype)
        used, lines = list(rows), list[str]()
        for row, first in enumerate(rows):
            for tried in range(min(IN_A_ROW, len(self.places))):
                used[row] = (first + tried) % len(self.places)
                try:
                    pixels[row] = self.reader.read(int(self.places[used[row]]))
                except DataError as error:
                    if self.damaged == "stop":
                        raise ImageError(f"{error} (or go on without such images: --damaged skip)") from error
                    lines.append(str(error))
                else:
                    break
            else:
                raise DataError(
                    f"{tried + 1} images one after another cannot be read, the last for this: {lines[-1]}; see whether their "
                    "disk is there, and restore them"
                )
        return pixels, used, lines
