"""The training loop: optimisers, schedules, precision, averages, logging, checkpoints, processes. There is no other.

A cycle is `player.steps` steps of each player in turn, each on a fresh batch, with the other players frozen. Everything that
steps touch lives on the device; the host looks at it at log points only, where the first non-finite term is found in the
history of the window.

Shapes: `N` images, `B` batch, `T` logged terms, `R` steps in a window.
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reparam.data import Images
from reparam.data.io.on_disk import OnDiskImages, readers_watched
from reparam.data.tasks import TaskOptions, make_batch, mirrored
from reparam.distributions import keyed_generator
from reparam.errors import ReparamError
from reparam.models.family import INTERLUDE_IMAGES, Interlude
from reparam.objectives import Objective
from reparam.progress import Progress, Silent
from reparam.run.config import TrainingOptions
from reparam.run.folder import RunFolder
from reparam.training import checkpoint, divergence, processes
from reparam.training.capture import CycleRunner
from reparam.training.data_order import DataOrder
from reparam.training.divergence import DivergedError
from reparam.training.interruption import InterruptListener
from reparam.training.log import MetricsLog
from reparam.training.optimisers import learning_rate
from reparam.training.plan import check_device, check_options, moments
from reparam.training.player_state import PlayerState
from reparam.training.process_settings import (
    allow_tf32,
    give_back_memory,
    multiplies_bfloat16,
    settle_process,
)
from reparam.training.reader import BatchReader

Validate = Callable[[nn.Module], dict[str, float]]
Draw = Callable[[nn.Module, float], None]


_ENDS = {DivergedError: "diverged", KeyboardInterrupt: "interrupted"}


@dataclass(frozen=True)
class Outcome:
    """How training ended: `state` is finished, stopped early or interrupted; `best` the lowest validation total."""

    state: str
    step: int
    epoch: float
    kept: str
    best: float
    seconds: float


class Loop:
    """Trains `model` on one split under an objective. `run()` goes to the end or to an interruption.

    `folder` (None: nothing is written) receives metrics, checkpoints, status and kept weights. `validate(model)` returns
    means by name, `total` among them, and decides `best` and patience; `draw(model, epoch)` makes pictures. Neither may draw
    from the default generator.

    Raises ConfigError for options that cannot hold here, DivergedError when a term is not finite.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        split: Images,
        task: TaskOptions,
        options: TrainingOptions,
        device: torch.device,
        folder: RunFolder | None = None,
        validate: Validate | None = None,
        draw: Draw | None = None,
        progress: Progress | None = None,
        augment: Callable[[Tensor, Tensor], Tensor] | None = None,
        interlude: Interlude | None = None,
    ) -> None:
        check_options(options, validated=validate is not None)
        settle_process()
        self.model, self.objective, self.task, self.options = model.to(device), objective, task, options
        self.device, self.folder, self.validate, self.draw = device, folder, validate, draw
        self.progress, self.augment, self.interlude = progress or Silent(), augment, interlude
        check_device(options, device)
        allow_tf32(options.precision == "tf32")
        if options.precision == "bfloat16" and device.type == "cpu" and not multiplies_bfloat16():
            self.progress.note(
                "this processor has no products in bfloat16: they take several times as long as in float32"
            )
        self.split = split.to(device)
        self.omitted = (0.0, task.omission_noise) if task.omission_noise else None  # noise: in training alone
        on_disk = isinstance(self.split.images, OnDiskImages)  # other processes read them, which know no device
        self.stream = DataOrder(len(split), options.seed, torch.device("cpu") if on_disk else device)
        trainable = {id(parameter) for parameter in self.model.parameters() if parameter.requires_grad}
        self.turns = [
            PlayerState(self.model, objective, player, trainable, options, device) for player in objective.players
        ]
        self.images_per_cycle = options.batch_size * sum(player.steps for player in objective.players)
        self.steps_per_epoch = len(split) / self.images_per_cycle
        self.steps = max(1, math.ceil(options.epochs * self.steps_per_epoch))
        self.clock = torch.zeros((), dtype=torch.int64, device=device)  # the step, as objectives see it
        self.average = (
            {name: tensor.clone() for name, tensor in self.weights().items()} if options.keep == "ema" else {}
        )
        self.step = 0
        self._feed: BatchReader | None = None
        self.best, self.stale, self.seconds = math.inf, 0, 0.0
        self.record: MetricsLog | None = None
        self.record_size = 0  # of metrics.jsonl at the checkpoint that was restored

    # -- one cycle ----------------------------------------------------------------------------------------------------

    def cycle(self) -> None:
        """Every player's steps, once. Static shapes, no host synchronisation but for the one interlude and what moves images."""
        if self.interlude and self.step == self.interlude.step:
            self._play(self.interlude)
        if self._feed is None:
            self._feed = BatchReader(self.split, self._places())
        self.work(self._feed, *self.pace(self.step))
        self.step += 1

    def rewind(self) -> None:
        """The next cycle reads where the loop stands then, not where it stood."""
        if self._feed:
            self._feed.close()
        self._feed = None

    def pace(self, step: int) -> tuple[float, float]:
        """What the host decides for a cycle: the learning rate, and the weight of the new weights in their average."""
        decay = min(self.options.ema, (1 + step) / (10 + step))
        return learning_rate(step, self.steps, self.steps_per_epoch, self.options), 1 - decay

    def work(self, batches: Iterator[tuple[Tensor, Images]], rate: float | Tensor, share: float | Tensor) -> None:
        """What happens on the device in a cycle, a function of its arguments and of what lies there: what a capture records.
        `batches`: index and images of each part of a batch; `rate`, `share`: as of `pace`."""
        for turn in self.turns:
            if len(self.turns) > 1:
                turn.freeze_others()
            turn.optimiser.param_groups[0]["lr"].fill_(rate)
            for _ in range(turn.player.steps):
                self._player_step(turn, batches)
        if self.average:
            self._update_average(share)
        self.clock += 1

    def _places(self) -> Iterator[Tensor]:
        """Of the images of every part of every batch from where the loop stands, this process's share."""
        position, parts = self.step * self.images_per_cycle, self.options.accumulate
        first, size = processes.rank() * parts, self.options.batch_size
        while True:
            yield from self.stream(position, size).chunk(processes.world() * parts)[first : first + parts]
            position += size

    def _player_step(self, turn: PlayerState, batches: Iterator[tuple[Tensor, Images]]) -> None:
        parts = self.options.accumulate
        means = None
        for number in range(parts):
            index, stored = next(batches)
            if self.task.flip:
                stored = mirrored(stored)
            batch = make_batch(stored, index, self.task, omitted=self.omitted)
            if self.augment:
                batch = dataclasses.replace(batch, x=self.augment(batch.x, batch.y))
            found = turn.differentiate(batch, self.clock, last=number == parts - 1)
            means = found if means is None else means + found
        assert means is not None
        if self.options.clip:
            torch.nn.utils.clip_grad_norm_(turn.own, self.options.clip)
        turn.optimiser.step()
        for parameter in turn.own:
            parameter.grad = None
        turn.remember(means / parts if parts > 1 else means)

    @torch.no_grad()
    def _play(self, interlude: Interlude) -> None:
        """The same whether the run was resumed here or not: a function of the weights alone. The average begins anew."""
        self._log()
        divergence.check_weights(self)
        order = torch.randperm(len(self.split), generator=keyed_generator("cpu", "interlude"))
        index = order[:INTERLUDE_IMAGES].to(self.device)
        batch = make_batch(self.split.take(index), index, self.task, keyed_generator(self.device, "interlude"))
        self.model.eval()
        interlude.act(self.model, batch.shown)  # type: ignore[arg-type]
        self.model.train()
        processes.take_first(self.model.state_dict().values())
        weights = self.weights()
        for name, tensor in self.average.items():
            tensor.copy_(weights[name])

    def _update_average(self, share: float | Tensor) -> None:
        floating = [name for name, tensor in self.average.items() if tensor.is_floating_point()]
        weights = self.weights()
        if isinstance(share, Tensor):  # there is no fused kernel for a weight that lies on the device
            for name in floating:
                self.average[name].lerp_(weights[name], share)
        else:
            torch._foreach_lerp_([self.average[n] for n in floating], [weights[n] for n in floating], share)
        for name in self.average.keys() - set(floating):
            self.average[name].copy_(weights[name])

    # -- weights ------------------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, Tensor]:
        return {name: tensor.detach() for name, tensor in self.model.state_dict().items()}

    @contextlib.contextmanager
    def kept(self) -> Iterator[nn.Module]:
        """The model with the weights that would be kept now (their average under keep=ema), in evaluation mode."""
        raw = {name: tensor.clone() for name, tensor in self.weights().items()} if self.average else {}
        if raw:
            self.model.load_state_dict(self.average)
        self.model.eval()
        try:
            with torch.no_grad():
                yield self.model
        finally:
            if raw:
                self.model.load_state_dict(raw)
            self.model.train()

    # -- the run ------------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """From where the loop stands (`restore` moves it) to the end. Raises DivergedError, DataError for an image on disk that
        cannot be read, ReparamError where a sibling process ends."""
        self._began = time.monotonic() - self.seconds
        self._window = (self.step, time.monotonic())
        self._saved = time.monotonic()
        if self.folder and processes.rank() == 0:
            self.record = MetricsLog(self.folder, self.record_size, self.step)
        drawn, validated = self.draw is not None, self.validate is not None
        pictures, validations = moments(self.options, self.steps, self.steps_per_epoch, drawn, validated)
        state = "stopped early" if self._out_of_patience() else "finished"
        pacer = CycleRunner(self, pictures | validations)
        compiling = self.options.compile and self.step < self.steps
        if compiling:
            self.progress.note("compiling the step: seconds for small networks, minutes for large ones")
        else:
            self.progress.start(self.steps, self.step)
        try:
            self._status("running")
            with (
                processes.siblings_watched(),
                readers_watched(),
                InterruptListener(self.progress.note) as self._listener,
            ):
                if self.step == 0 and 0 in pictures:
                    self._picture()
                while self.step < self.steps and not self._out_of_patience():
                    pacer.advance()
                    if compiling:  # which is no part of the rate, nor of what is left
                        self._restart_clock()
                        self.progress.start(self.steps, self.step)
                        compiling = False
                    event = self.step in validations or self.step in pictures or self.step == self.steps
                    at_window_end = self.step % self.options.log_every == 0
                    stop = self._stopping(at_window_end)
                    if not (event or at_window_end or stop):
                        continue
                    self._log()
                    if self.step in pictures:
                        self._picture()
                    if self.step in validations:
                        self._validated()
                        if self._out_of_patience() and self.step < self.steps:
                            state = "stopped early"
                            break
                    if stop and self.step < self.steps:
                        state = "interrupted"
                        break
                    # Clocks differ between processes, and all of them take part in a checkpoint: the first one decides.
                    due = time.monotonic() - self._saved >= self.options.checkpoint_seconds
                    if processes.any_process(due and processes.rank() == 0, self.device):
                        self.save()
                self.rewind()  # reading processes end before the last checkpoint is written
                self.save()
                self._status(state)
        except (ReparamError, KeyboardInterrupt) as error:
            with contextlib.suppress(ReparamError):  # as on a full disk: what happened first is what counts
                self._status(_ENDS.get(type(error), "failed"))
            raise
        finally:
            self.rewind()
            give_back_memory()
            self.progress.close()
            if self.record:
                self.record.close()
        return Outcome(state, self.step, self.epoch, self.options.keep, self.best, self.seconds)

    @property
    def epoch(self) -> float:
        return self.step / self.steps_per_epoch

    def _stopping(self, at_window_end: bool) -> bool:
        """Whether to stop here. Processes agree at window ends, so that none waits for another's gradient for ever."""
        if processes.world() == 1:
            return self._listener.asked
        return at_window_end and processes.any_process(self._listener.asked, self.device)

    def _log(self) -> None:
        """Reads the window's history from the device, looks for the first non-finite term, writes the means."""
        start, began = self._window
        if start == self.step:
            return
        terms: dict[str, float] = {}
        for turn in self.turns:
            window = turn.recall((self.step - start) * turn.player.steps)
            prefix = f"{turn.player.name}/" if len(self.turns) > 1 else ""
            divergence.check_terms(self, turn, window, start)
            terms |= {f"{prefix}{name}": float(v) for name, v in zip(turn.step.names, window.mean(0), strict=True)}
        now = time.monotonic()
        rate = (self.step - start) * self.images_per_cycle / max(now - began, 1e-9)
        self.seconds = now - self._began
        self._window = (self.step, now)
        if self.record:
            lr = learning_rate(self.step - 1, self.steps, self.steps_per_epoch, self.options)
            self.record.write(self.step, self.epoch, "train", terms, learning_rate=lr, images_per_second=round(rate, 1))
        self.progress.update(self.step, self.epoch, rate, terms)

    def _picture(self) -> None:
        if self.draw and processes.rank() == 0:
            with self.kept() as model:
                self.draw(model, self.epoch)
        self._restart_clock()

    def _restart_clock(self) -> None:
        """What was done since the last step is no part of the window's rate."""
        self._window = (self._window[0], time.monotonic())

    def _out_of_patience(self) -> bool:
        return bool(self.options.patience) and self.stale >= self.options.patience

    def _validated(self) -> None:
        """Validates and keeps the best weights."""
        assert self.validate
        with self.kept() as model:
            terms = processes.from_first(self.validate(model))
        if self.record:
            self.record.write(self.step, self.epoch, "validation", terms)
        divergence.check_validation(self, terms["total"])
        if self.interlude and self.step <= self.interlude.step:
            pass  # what is validated is the loss of the end, and it is not minimised yet: nothing is chosen by it
        elif terms["total"] < self.best:
            self.best, self.stale = terms["total"], 0
            if self.options.keep == "best":
                self._write_weights()
        else:
            self.stale += 1
        self._restart_clock()

    # -- what is written ----------------------------------------------------------------------------------------------

    def _status(self, state: str) -> None:
        if self.folder and processes.rank() == 0:
            facts: dict[str, Any] = {
                "step": self.step,
                "steps": self.steps,
                "epoch": round(self.epoch, 4),
                "seconds": round(self.seconds, 2),
                "kept": self.options.keep,
                "best_validation_total": self.best if math.isfinite(self.best) else None,
            }
            if self.split.skipped:
                facts["skipped"] = list(self.split.skipped)
            self.folder.write_status(state, **facts)

    def _write_weights(self) -> None:
        if self.folder and processes.rank() == 0:
            self.folder.write_weights(self.average or self.weights(), self.options.keep, self.step, self.epoch)

    def save(self) -> None:
        """Writes the checkpoint, and the kept weights where they are the last or their average."""
        self._log()
        divergence.check_weights(self)
        if self.record:
            self.record.sync()
        if self.options.keep != "best":
            self._write_weights()
        self.split.skipped.update(dict.fromkeys(processes.lines_of_all(self.split.skipped)))
        checkpoint.write(self)
        self._status("running")
        self._saved = time.monotonic()

    def restore(self) -> None:
        """Continues from the folder's checkpoint; without one (killed before the first) from the start, which is the same."""
        self.rewind()
        checkpoint.read(self)
