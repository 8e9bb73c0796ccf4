"""What data, task and length of training decide about a model and its objective."""

from dataclasses import dataclass

from reparam.core.batch import Condition


@dataclass(frozen=True)
class Spec:
    """What data and task decide about a model: image shape (C, H, W), number of classes (0: unlabelled), number of values of a
    label map (0: the data has none), and of a conditional task what c is."""

    image_shape: tuple[int, int, int]
    classes: int = 0
    map_values: int = 0
    condition: Condition | None = None


@dataclass(frozen=True)
class Schedule:
    """How long an epoch and the whole training are, for weights that change with time, in steps of one batch: an objective
    whose cycle takes several batches divides by their number."""

    steps_per_epoch: float
    steps: int

    def at(self, epochs: float) -> int:
        """The first step after so many epochs."""
        return round(epochs * self.steps_per_epoch)
