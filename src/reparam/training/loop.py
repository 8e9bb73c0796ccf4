"""The training loop; there is no other.

A cycle (`cycle.py`) is the players' steps, which stay on the device. Between cycles come log points, where the host looks at
results, pictures, validations, checkpoints, and the callbacks of the model's family, each at its steps.
"""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from signal import SIGINT

import torch
from torch import nn

from reparam.core.callback import CALLBACK_IMAGES, Callback
from reparam.data import Images
from reparam.data.io.on_disk import readers_watched
from reparam.data.tasks import TaskOptions, make_batch
from reparam.distributions import default_generators, keyed_generator
from reparam.errors import ReparamError
from reparam.files import LOST
from reparam.objectives import Objective
from reparam.progress import Progress, Silent
from reparam.run.config import TrainingOptions
from reparam.run.folder import RunFolder
from reparam.tensor_files import has_digest
from reparam.terminal import Ended
from reparam.training import checkpoint, processes
from reparam.training.capture import CycleRunner
from reparam.training.cycle import Augment, Cycle
from reparam.training.divergence import DivergedError, DivergenceCheck
from reparam.training.interruption import InterruptListener
from reparam.training.log import MetricsLog
from reparam.training.plan import Moments, check_options, picture_steps, validation_steps
from reparam.training.player_state import PlayerState
from reparam.training.process_settings import give_back_memory, set_precision, settle_process
from reparam.training.state import TrainingState, weights_of


@dataclass(frozen=True)
class Outcome:
    """How training ended: `state` is finished, stopped early or interrupted; `best` the lowest validation total; `signal` by
    which it was interrupted."""

    state: str
    step: int
    epoch: float
    kept: str
    best: float
    seconds: float
    signal: int = SIGINT


class Loop:
    """Trains `model` on one split under an objective. Raises ConfigError for options that do not hold here.

    `folder` (None: nothing is written) receives metrics, checkpoints, status and kept weights. `validate(model)` returns
    means by name; their `total` chooses the best weights and uses up patience. `draw(model, epoch)` makes pictures. Neither may
    use torch's default random numbers. `augment(x, labels)` changes the images of a batch.
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
        validate: Callable[[nn.Module], dict[str, float]] | None = None,
        draw: Callable[[nn.Module, float], None] | None = None,
        progress: Progress | None = None,
        augment: Augment | None = None,
        callbacks: tuple[Callback, ...] = (),
    ) -> None:
        check_options(options, device, validated=validate is not None)
        settle_process()
        self.options, self.task, self.device, self.folder = options, task, device, folder
        self.validate, self.draw, self.callbacks = validate, draw, callbacks
        self.progress = progress or Silent()
        set_precision(options.precision, device, self.progress.note)

        model = model.to(device)
        trainable = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
        players = [PlayerState(model, objective, player, trainable, options, device) for player in objective.players]
        average = {name: tensor.clone() for name, tensor in weights_of(model).items()} if options.keep == "ema" else {}
        self.state = TrainingState(model, players, torch.zeros((), dtype=torch.int64, device=device), average)

        self.split = split.to(device)
        self.cycle = Cycle(self.state, self.split, task, options, device, augment, objective.neighbours)
        if objective.neighbours and self.cycle.near is None:
            self.progress.note("neighbours are not looked for among images on disk: each image stands for itself")
        self.steps, self.steps_per_epoch = self.cycle.steps, self.cycle.steps_per_epoch
        for callback in callbacks:
            callback.check(self.steps, options.epochs, min(len(split), CALLBACK_IMAGES))
        self.best_from = max((callback.best_from for callback in callbacks), default=0)
        self.check = DivergenceCheck(self.steps_per_epoch, folder, options)
        self.metrics: MetricsLog | None = None
        self._began = self._saved = 0.0  # seconds
        self._window = (0, 0.0)  # step and time of the last log point
        self._has_checkpoint = False
        self._run_id = ""  # the folder's; it is made after the loop
        self._start_clocks()

    @property
    def epoch(self) -> float:
        return self.state.step / self.steps_per_epoch

    # -- the run ------------------------------------------------------------------------------------------------------

    def restore(self, remedy: str = LOST) -> None:
        """Continues from the folder's checkpoint; without one (killed before the first) from the start, which is the same. Raises
        RunError, with the remedy, where it is damaged or of another run."""
        self.cycle.stop_reading()
        if self.folder and self.folder.checkpoint_path.exists():
            checkpoint.read(self.folder, self.state, self.split.skipped, remedy)
            self._has_checkpoint = True
            if not has_digest(self.folder.checkpoint_path):
                self.progress.note(
                    "the checkpoint is of an earlier version and has no digest: damage to it goes unnoticed"
                )

    def keep_anew(self) -> None:
        """Of weights that are lost: the best are from here on looked for anew."""
        if self.options.keep == "best" and math.isfinite(self.state.best):
            self.state.best, self.state.stale = math.inf, 0
            self.progress.note("the best weights so far are lost: those of the validations from here on are kept")

    def run(self) -> Outcome:
        """From where the loop is (`restore` moves it) to the end. Raises DivergedError, DataError for an image on disk that
        cannot be read, ReparamError where a sibling process ends."""
        state = self.state
        self._start_clocks()
        if self.folder and processes.rank() == 0:
            self._run_id = self.folder.id
            self.metrics = MetricsLog(self.folder, state.metrics_bytes, state.step)
        with InterruptListener(
            self.progress.note, self.folder is not None
        ) as listener:  # also while the end is written
            ended = self._run(listener)
        return Outcome(ended, state.step, self.epoch, self.options.keep, state.best, state.seconds, listener.number)

    def _run(self, listener: InterruptListener) -> str:
        try:
            self._write_status("running")
            with processes.siblings_watched(), readers_watched():
                ended = self._train(listener)
                self.cycle.stop_reading()  # before the last checkpoint is written
                self.save()
                self._write_status(ended)
            return ended
        except (ReparamError, KeyboardInterrupt, Ended) as error:
            ends = {DivergedError: "diverged", KeyboardInterrupt: "interrupted", Ended: "interrupted"}
            with contextlib.suppress(ReparamError):  # as on a full disk: what happened first is what counts
                self._write_status(ends.get(type(error), "failed"))
            raise
        finally:
            self.cycle.stop_reading()
            give_back_memory()
            self.progress.close()
            if self.metrics:
                self.metrics.close()

    def _train(self, listener: InterruptListener) -> str:
        """Cycle after cycle; returns how it ended."""
        state, options = self.state, self.options
        pictures = picture_steps(options.pictures if self.draw else 0, self.steps, self.steps_per_epoch)
        every = options.validate_every * self.steps_per_epoch
        validations = validation_steps(every, self.steps) if self.validate else Moments(set())
        others = Moments({self.steps} | {callback.step for callback in self.callbacks})
        runner = CycleRunner(self.cycle, (pictures, validations, others), self.progress.note)

        compiling = options.compile and not self._done()
        if compiling:
            self.progress.note("compiling the step: seconds for small networks, minutes for large ones")
        else:
            self.progress.start(self.steps, state.step)

        while not self._done():
            self._run_callbacks()
            if state.step == 0 and 0 in pictures:  # of the model as its training begins
                self._draw()
            with default_generators():
                runner.advance()
            if compiling:  # which does not count for the rate, nor for the time that is left
                self.progress.note(f"compiled after {time.monotonic() - self._window[1]:.0f} s")
                self._restart_window()
                self.progress.start(self.steps, state.step)
                compiling = False
            at_log_point = state.step % options.log_every == 0 or state.step == self.steps
            at_log_point = at_log_point or state.step in pictures or state.step in validations
            stop = self._interrupted(listener, at_log_point)
            if not (at_log_point or stop):
                continue
            self._log()
            if state.step in pictures:
                self._draw()
            if state.step in validations:
                self._validate()
            if stop and not self._done():
                return "interrupted"
            # Clocks differ between processes, and all of them take part in a checkpoint: the first one decides.
            due = time.monotonic() - self._saved >= options.checkpoint_seconds
            if processes.any_process(due and processes.rank() == 0, self.device):
                self.save()
        return "finished" if state.step >= self.steps else "stopped early"

    def _done(self) -> bool:
        out_of_patience = 0 < self.options.patience <= self.state.stale
        return self.state.step >= self.steps or out_of_patience

    def _interrupted(self, listener: InterruptListener, at_log_point: bool) -> bool:
        """Processes agree at log points, so that none waits for another's gradient for ever."""
        if processes.world() == 1:
            return listener.asked
        return at_log_point and processes.any_process(listener.asked, self.device)

    # -- between cycles -----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _run_callbacks(self) -> None:
        """Those of this step: functions of the weights and of fixed images, so that a run resumed here has the same bits."""
        model = self.state.model
        for callback in self.callbacks:
            if callback.step != self.state.step:
                continue
            self._log()
            self.check.weights(self.state.weights(), self.state.step)
            order = torch.randperm(len(self.split), generator=keyed_generator("cpu", "interlude"))
            index = order[:CALLBACK_IMAGES].to(self.device)
            batch = make_batch(self.split.take(index), index, self.task, keyed_generator(self.device, "interlude"))
            model.eval()
            callback.act(model, batch.input)  # type: ignore[arg-type]
            model.train()
            processes.take_first(model.state_dict().values())
            self.state.restart_average()
            if callback.validated and self.validate:
                self._validate()

    def _log(self) -> None:
        """Reads the terms since the last log point from the device, looks for one that is not finite, writes the means."""
        state = self.state
        start, began = self._window
        if start == state.step:
            return
        terms: dict[str, float] = {}
        for player in state.players:
            window = player.recall((state.step - start) * player.steps_per_cycle)
            self.check.terms(player, window, start)
            prefix = f"{player.name}/" if len(state.players) > 1 else ""
            terms |= {f"{prefix}{name}": float(v) for name, v in zip(player.step.names, window.mean(0), strict=True)}
        now = time.monotonic()
        state.seconds, self._window = now - self._began, (state.step, now)
        rate = (state.step - start) * self.cycle.images_per_cycle / max(now - began, 1e-9)
        if self.metrics:
            facts = {"learning_rate": self.cycle.rates(state.step - 1)[0], "images_per_second": round(rate, 1)}
            self.metrics.write(state.step, self.epoch, "train", terms, **facts)
        self.progress.update(state.step, self.epoch, rate, terms)

    def _draw(self) -> None:
        if self.draw and processes.rank() == 0:
            with self.state.kept() as model:
                self.draw(model, self.epoch)
        self._restart_window()

    def _validate(self) -> None:
        """Validates, and keeps the best weights."""
        assert self.validate
        state = self.state
        with state.kept() as model:
            terms = processes.from_first(self.validate(model))
        self.check.validation(terms, state.step)
        if self.metrics:
            self.metrics.write(state.step, self.epoch, "validation", terms)
        total = terms["total"]
        if state.step >= self.best_from:
            state.stale += 1
            if total < state.best:
                state.best, state.stale = total, 0
                if self.options.keep == "best":
                    if not self._has_checkpoint:  # weights without one would be those of a run that cannot continue
                        self.save()
                    self._write_weights()
        self._restart_window()

    def _start_clocks(self) -> None:
        now = time.monotonic()
        self._began, self._saved, self._window = now - self.state.seconds, now, (self.state.step, now)

    def _restart_window(self) -> None:
        """What was done since the last step does not count for the rate."""
        self._window = (self._window[0], time.monotonic())

    # -- what is written ----------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Writes the checkpoint, and the kept weights where they are the last or their average."""
        self._log()
        self.check.weights(self.state.weights(), self.state.step)
        if self.metrics:
            self.metrics.sync()
            self.state.metrics_bytes = self.metrics.size
        self.split.skipped.update(dict.fromkeys(processes.lines_of_all(self.split.skipped)))
        if self.folder:
            checkpoint.write(self.folder.checkpoint_path, self.state, self.epoch, self.split.skipped, self._run_id)
            self._has_checkpoint = True
        if self.options.keep != "best":  # weights without a checkpoint would be those of a run that cannot continue
            self._write_weights()
        self._write_status("running")
        self._saved = time.monotonic()

    def _write_weights(self) -> None:
        if self.folder and processes.rank() == 0:
            weights = self.state.average or self.state.weights()
            self.folder.write_weights(weights, self.options.keep, self.state.step, self.epoch, self._run_id)

    def _write_status(self, state: str) -> None:
        if self.folder and processes.rank() == 0 and not (self.metrics and self.metrics.gone):
            best = self.state.best
            skipped = {"skipped": list(self.split.skipped)} if self.split.skipped else {}
            self.folder.write_status(
                state,
                step=self.state.step,
                steps=self.steps,
                epoch=round(self.epoch, 4),
                seconds=round(self.state.seconds, 2),
                kept=self.options.keep,
                best_validation_total=best if math.isfinite(best) else None,
                **skipped,
            )
