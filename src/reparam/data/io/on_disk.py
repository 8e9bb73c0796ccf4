"""Images that stay on disk and are read as they are asked for, where `Images` would hold a tensor.

Shapes: `N` images, `n` of them, `C H W` image.
"""

import logging
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from reparam.data.options import Damaged
from reparam.errors import DataError

IN_A_ROW = 100  # damaged records behind each other: more are not an accident
TOLD = 20  # damaged records, as they are met


@contextmanager
def readers_watched() -> Iterator[None]:
    """Where a process that reads images dies, torch interrupts whatever the first one does just then: that becomes a `DataError`
    with the remedy."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DataError(
            f"a process that reads images ended ({str(error).splitlines()[0].rstrip('. ')}): free memory, or take fewer --workers"
        ) from error


def read_ahead(dataset: TorchDataset, places: Iterable[Any], workers: int, ahead: int | None = None) -> Iterator[Any]:
    """What `dataset` gives at each of `places`, in their order, by `workers` processes (0: by this one) that are at most `ahead`
    items each ahead. It draws nothing from the default generator, which training's is.

    Items are best arrays, which travel through a pipe: for a tensor's memory the first process asks the worker, which may
    have died since, and that fails in another way than `readers_watched` knows.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores: what was asked for
        return iter(
            DataLoader(
                dataset,
                batch_size=None,
                sampler=places,
                num_workers=workers,
                prefetch_factor=ahead if workers else None,
                collate_fn=_as_it_is,
                worker_init_fn=_begin,
                generator=torch.Generator(),
            )
        )


def _as_it_is(item: Any) -> Any:
    return item


def _begin(worker: int) -> None:
    """Signals reach all processes of a terminal or a job; the first one ends its work in its own time, and then the workers.
    Where it is killed they end at once: they hold what they have inherited of it, the run's lock, its siblings' connections."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os._exit(1)  # an ordinary end would wait for a pipe to be read


class Reader(Protocol):
    """Random access to images of one shape; copies of it live in other processes.

    `identity` names their content: equal identity, equal images.
    """

    shape: tuple[int, int, int]
    identity: str

    def __len__(self) -> int: ...

    def read(self, place: int) -> np.ndarray:
        """uint8 [C, H, W]. Raises `DataError`, naming it, for one that cannot be read."""
        ...


@dataclass(frozen=True, eq=False)
class OnDiskImages:
    """What `Images` asks of a uint8 tensor [N, C, H, W], answered from `reader`.

    places: int64 [N], which of the reader's images these are. damaged: what becomes of an image that cannot be read; under
    "skip" the next one stands in for it, which is logged and kept in `skipped` (shared by all views), a line for each. workers:
    processes that read ahead in training.
    """

    reader: Reader
    places: Tensor
    damaged: Damaged = "stop"
    workers: int = 2
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    skipped: dict[str, None] = field(default_factory=dict)

    dtype = torch.uint8

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.places), *self.reader.shape))

    def to(self, device: torch.device) -> "OnDiskImages":
        """The same; what is read will lie on `device`."""
        return replace(self, device=device)

    def choose(self, index: Tensor) -> "OnDiskImages":
        """Those of the given places, still on disk."""
        return replace(self, places=self.places[index.cpu()])

    def join(self, other: "OnDiskImages") -> "OnDiskImages":
        """These and those of another split of the same files."""
        return replace(self, places=torch.cat([self.places, other.places]))

    def __getitem__(self, rows: slice) -> Tensor:
        """uint8 [n, C, H, W]."""
        return self.read(torch.arange(len(self.places))[rows])[0]

    def read(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [n, C, H, W], and whose they are, int64 [n]: `index`, but where another stands in. Raises `DataError`."""
        pixels, used, lines = self.read_rows(index.tolist())
        self.tell(lines)
        return torch.from_numpy(pixels).to(self.device), torch.tensor(used, device=self.device)

    def tell(self, lines: Sequence[str]) -> None:
        """Says what was skipped, each once: the first `TOLD` of them, and then the 100th, the 1000th, ..."""
        for line in lines:
            if line not in self.skipped:
                self.skipped[line] = None
                count = len(self.skipped)
                if count <= TOLD or str(count).strip("0") == "1":  # 100, 1000, ...
                    more = "; further ones are counted, and told now and then" if count == TOLD else ""
                    logging.getLogger("reparam").warning("skipped (%d so far): %s%s", count, line, more)

    def read_rows(self, rows: Sequence[int]) -> tuple[np.ndarray, list[int], list[str]]:
        """The work of `read`, for any process; the last are the lines on what was skipped."""
        pixels = np.empty((len(rows), *self.reader.shape), np.uint8)
        used, lines = list(rows), list[str]()
        for row, first in enumerate(rows):
            for tried in range(min(IN_A_ROW, len(self.places))):
                used[row] = (first + tried) % len(self.places)
                try:
                    pixels[row] = self.reader.read(int(self.places[used[row]]))
                except DataError as error:
                    if self.damaged == "stop":
                        raise DataError(f"{error} (or go on without such images: --damaged skip)") from error
                    lines.append(str(error))
                else:
                    break
            else:
                raise DataError(f"{tried + 1} images behind each other cannot be read; the last: {lines[-1]}")
        return pixels, used, lines
