"""The contract between a family that changes its model during training and the training loop.

Shapes: `N C H W` images.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from reparam.core.model import Model

CALLBACK_IMAGES = 5_000  # training images that a callback is given, at most


@dataclass(frozen=True)
class Callback(ABC):
    """Changes a model once, just before step number `step`: an initialisation that needs data, or a trained encoder.

    A moving average of the weights starts anew afterwards. `validated`: what it makes is a model that may be the best of the run,
    and is validated at once.
    """

    step: int
    validated: ClassVar[bool] = False

    @property
    def best_from(self) -> int:
        """The first step at which a validation loss may choose the best weights, or use up patience."""
        return 0

    def check(self, steps: int, epochs: float, images: int) -> None:  # noqa: B027
        """Raises ConfigError, naming the option to change, where the callback does not fit a training of so many steps (so many
        epochs) in which it is given so many images."""

    @abstractmethod
    def act(self, model: Model, x: Tensor) -> None:
        """Changes the weights in place, given training images x [N, C, H, W]. Without gradients, in evaluation mode; random
        numbers must not come from torch's default generator, so that a resumed run is the same."""
