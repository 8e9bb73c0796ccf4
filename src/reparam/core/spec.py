"""What data, task and length of training decide about a model and its objective."""

from dataclasses import dataclass

from reparam.core.batch import Condition

BYTES = 256  # levels of images of 8 bits


@dataclass(frozen=True)
class Spec:
    """What data and task decide about a model: image shape (C, H, W), number of classes (0: unlabelled), number of values of a
    label map (0: the data has none), of a conditional task what c is, and how many equally spaced values a pixel has from 0 to 1
    (0: any)."""

    image_shape: tuple[int, int, int]
    classes: int = 0
    map_values: int = 0
    condition: Condition | None = None
    levels: int = BYTES


@dataclass(frozen=True)
class Schedule:
    """How long an epoch and the whole training are, for weights that change with time, in steps of one batch: an objective
    whose cycle takes several batches divides by their number."""

    steps_per_epoch: float
    steps: int

    def at(self, epochs: float) -> int:
        """The first step after so many epochs."""
        return round(epochs * self.steps_per_epoch)
