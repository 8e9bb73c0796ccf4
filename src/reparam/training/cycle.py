"""A cycle: `steps` steps of each player in turn, each on a fresh batch, while the other players are frozen.

Everything that a cycle touches is on the device, and the host does not wait for it.

Shapes: `n` images of a part of a batch, `T` logged terms.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from reparam.core.batch import Batch
from reparam.data import Images
from reparam.data.io.on_disk import OnDiskImages
from reparam.data.neighbours import mutual_neighbours
from reparam.data.tasks import TaskOptions, make_batch, mirrored
from reparam.data.warp import random_warp
from reparam.run.config import TrainingOptions
from reparam.training import processes
from reparam.training.data_order import DataOrder
from reparam.training.optimisers import learning_rate
from reparam.training.player_state import PlayerState
from reparam.training.reader import BatchReader
from reparam.training.state import TrainingState

Augment = Callable[[Tensor, Tensor], Tensor]  # images and labels -> images
OFTEN = 5  # epochs


class Cycle:
    """`cycle()` takes the state one cycle further."""

    def __init__(
        self,
        state: TrainingState,
        split: Images,
        task: TaskOptions,
        options: TrainingOptions,
        device: torch.device,
        augment: Augment | None = None,
        neighbours: int = 0,
    ) -> None:
        self.state, self.split, self.task, self.options = state, split, task, options
        self.device, self.augment = device, augment
        self.images_per_cycle = options.batch_size * sum(player.steps_per_cycle for player in state.players)
        self.steps_per_epoch = len(split) / self.images_per_cycle
        self.steps = max(1, math.ceil(options.epochs * self.steps_per_epoch))
        on_disk = isinstance(split.images, OnDiskImages)  # other processes read them, without the device
        self.order = DataOrder(len(split), options.seed, torch.device("cpu") if on_disk else device)
        self.omitted = (0.0, task.omission_noise) if task.omission_noise else None  # noise: in training alone
        # What is seen a few times only is not overfitted, and a moved image is not quite as sharp.
        self.moves = task.moves if options.epochs >= OFTEN else 0.0
        # Of images on disk there are none: they would be read out of turn.
        self.near = mutual_neighbours(split.pixels, neighbours) if neighbours and not on_disk else None
        self._reader: BatchReader | None = None

    def __call__(self) -> None:
        if self._reader is None:
            self._reader = BatchReader(self.split, self._indices())
        self.train_players(self._reader, *self.rates(self.state.step))
        self.state.step += 1

    def rates(self, step: int) -> tuple[float, float]:
        """What the host decides for a cycle: the learning rate, and the share of the new weights in their average."""
        decay = min(self.options.ema, (1 + step) / (10 + step))
        return learning_rate(step, self.steps, self.steps_per_epoch, self.options), 1 - decay

    def train_players(
        self, batches: Iterator[tuple[Tensor, Images]], rate: float | Tensor, share: float | Tensor
    ) -> None:
        """The work of a cycle on the device, a function of its arguments and of what is on the device: what a CUDA graph records.
        `batches`: indices and images of each part of a batch; `rate`, `share`: see `rates`."""
        players = self.state.players
        for player in players:
            if len(players) > 1:
                player.freeze_others()
            player.optimiser.param_groups[0]["lr"].fill_(rate)
            for _ in range(player.steps_per_cycle):
                self.player_step(player, batches)
        self.state.update_average(share)
        self.state.clock += 1

    def player_step(self, player: PlayerState, batches: Iterator[tuple[Tensor, Images]]) -> None:
        """One step of an optimiser, with the gradient of a whole batch."""
        parts = self.options.accumulate
        total = None
        for number in range(parts):
            index, images = next(batches)
            batch = self._batch(images, index)
            if self.moves:
                batch = dataclasses.replace(batch, x=random_warp(batch.x)(self.moves))
            if self.augment:
                batch = dataclasses.replace(batch, x=self.augment(batch.x, batch.y))
            if self.near is not None:
                batch = dataclasses.replace(batch, near=self._near(self.near, index))
            means = player.differentiate(batch, self.state.clock, last=number == parts - 1)
            total = means if total is None else total + means
        assert total is not None
        if self.options.clip:
            torch.nn.utils.clip_grad_norm_(player.own, self.options.clip)
        player.optimiser.step()
        for parameter in player.own:
            parameter.grad = None
        player.remember(total / parts if parts > 1 else total)

    def _near(self, places: Tensor, index: Tensor) -> Tensor:
        """For each image one of its neighbours, at random, or the image itself: as the encoder is given images."""
        column = torch.randint(places.shape[1], index.shape, device=index.device)
        chosen = places[index, column]
        return self._batch(self.split.take(chosen), chosen).input

    def _batch(self, images: Images, index: Tensor) -> Batch:
        """The task's, of images some of which are mirrored where that is asked for."""
        return make_batch(mirrored(images) if self.task.flip else images, index, self.task, omitted=self.omitted)

    def stop_reading(self) -> None:
        """Ends the processes that read images; the next cycle reads from where the state then is."""
        if self._reader:
            self._reader.close()
        self._reader = None

    def _indices(self) -> Iterator[Tensor]:
        """Of the images [n] of every part of every batch from here on, those of this process."""
        position, parts = self.state.step * self.images_per_cycle, self.options.accumulate
        first, size = processes.rank() * parts, self.options.batch_size
        while True:
            yield from self.order(position, size).chunk(processes.world() * parts)[first : first + parts]
            position += size
