"""What a family of models declares: its options, how it is built and trained, its recipes, its source."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch.nn.parameter import UninitializedParameter

from reparam.core.callback import Callback
from reparam.core.model import Model
from reparam.core.spec import Schedule, Spec
from reparam.errors import ConfigError
from reparam.objectives import Objective


@dataclass(frozen=True)
class Recipe:
    """A named, documented set of options, laid over the defaults."""

    doc: str
    options: Mapping[str, Any] = field(default_factory=dict)


# Of recipes whose epochs are for tens of thousands of images. On 1,197 digits of 8 x 8 pixels the VAE's 30 epochs are 300 steps,
# and end at a validation loss of 26.6; 1,000, 3,000 and 6,000 steps end at 24.6, 23.8 and 23.5.
ENOUGH: Mapping[str, Any] = {"least_steps": 5000}


@dataclass(frozen=True)
class Family:
    """One row of `MODELS`. `options` is a frozen dataclass type; `build` and `objective` unpack it into plain arguments.
    `task_recipes`: the recipe of tasks that do not take the default one; `photographs`: that of colour and of large images.
    `callbacks`: how the model is changed during training,
    besides by optimisers; of options and schedule."""

    name: str
    summary: str
    citation: str
    options: type
    build: Callable[[Any, Spec], Model]
    objective: Callable[[Any, Schedule], Objective]
    recipes: Mapping[str, Recipe]
    tasks: tuple[str, ...] = ("unconditional",)
    task_recipes: Mapping[str, str] = field(default_factory=dict)
    photographs: str | None = None
    callbacks: Callable[[Any, Schedule], tuple[Callback, ...]] = lambda options, schedule: ()

    def model(self, options: Any, spec: Spec) -> Model:
        """What `build` returns. Raises ConfigError where that is no model, or has parameters without a size."""
        model = self.build(options, spec)
        if not isinstance(model, Model):
            raise ConfigError(f"build of '{self.name}' returns a {type(model).__name__}, not a reparam.Model")
        for name, value in model.named_parameters():
            if isinstance(value, UninitializedParameter):
                raise ConfigError(f"weight '{name}' of '{self.name}' has no size yet: state the layer's size")
        return model
