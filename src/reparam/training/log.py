"""Every term by name, to metrics.jsonl and TensorBoard."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from tensorboardX import SummaryWriter

from reparam.errors import ReparamError, RunError
from reparam.files import append_to, json_text, why_not_written
from reparam.run.folder import RunFolder


class MetricsLog:
    """Appends lines. A checkpoint holds the file's `size`; a resumed run cuts off what came after it."""

    def __init__(self, folder: RunFolder, size: int, step: int) -> None:
        folder.path.mkdir(parents=True, exist_ok=True)
        self.path = folder.metrics_path
        # After a power cut the file may be shorter than the checkpoint knew it; it is kept to its last whole line.
        with append_to(self.path) as file:
            self.size = self.path.read_bytes()[:size].rfind(b"\n") + 1
            file.truncate(self.size)
        self.board = SummaryWriter(str(folder.tensorboard), purge_step=step + 1)

    def write(self, step: int, epoch: float, phase: str, terms: dict[str, float], **facts: Any) -> None:
        entry = {"step": step, "epoch": round(epoch, 4), "phase": phase, "terms": terms, **facts}
        line = f"{json_text(entry)}\n".encode()
        with self._opened() as file:
            file.write(line)
        self.size += len(line)
        for name, value in {**terms, **facts}.items():
            self.board.add_scalar(f"{phase}/{name}", value, step)

    def sync(self) -> None:
        """To the disk, before a checkpoint says how long the file is."""
        with self._opened() as file:
            os.fsync(file.fileno())

    @property
    def gone(self) -> bool:
        """Whether the run was deleted or moved meanwhile: what is written then would begin a folder that is no run."""
        return not self.path.exists()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """Raises RunError where the run is gone, ReparamError where the disk is full."""
        if self.gone:
            raise RunError(
                f"{self.path.parent} was deleted or moved while it trained: if it was moved, continue it with "
                "'reparam resume' where it is now"
            )
        try:
            with append_to(self.path) as file:
                yield file
        except OSError as error:
            raise ReparamError(why_not_written(self.path, error)) from error

    def close(self) -> None:
        self.board.close()
