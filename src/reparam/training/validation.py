"""The validation loss.

Shapes: `n` images of a block.
"""

import contextlib

import torch
from torch import nn

from reparam.core.blocks import BLOCK
from reparam.data import Images
from reparam.data.tasks import TaskOptions, make_batch
from reparam.distributions import keyed_generator
from reparam.objectives import Objective
from reparam.training.reader import BatchReader


class Validator:
    """`validator(model)`: means of the objective's terms over the validation images, by name, `total` among them.

    Terms have the weights of the last step (so that a warm-up does not make later epochs look worse), and random numbers are
    the same every time.
    """

    def __init__(
        self, objective: Objective, images: Images, task: TaskOptions, steps: int, device: torch.device
    ) -> None:
        self.objective, self.images, self.task = objective, images.to(device), task
        self.last_step = torch.tensor(steps, device=device)

    def __call__(self, model: nn.Module) -> dict[str, float]:
        device, player = self.last_step.device, self.objective.players[0].name
        sums: dict[str, float] = {}
        blocks = torch.arange(len(self.images), device=device).split(BLOCK)
        with contextlib.closing(BatchReader(self.images, iter(blocks))) as reader:
            for number, (index, images) in enumerate(reader):
                generator = keyed_generator(device, 0, "validation", number)
                batch = make_batch(images, index, self.task, generator)
                terms = self.objective(player, model, batch, self.last_step, generator)
                for name, value in terms.by_name().items():
                    sums[name] = sums.get(name, 0.0) + float(value.sum())
        return {name: value / len(self.images) for name, value in sums.items()}
