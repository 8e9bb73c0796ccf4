"""What a family of models declares: its options, how it is built and trained, its recipes, its source."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from reparam.core.model import Model
from reparam.core.spec import Schedule, Spec
from reparam.objectives import Objective


class Interlude(NamedTuple):
    """What is done to the model once, before the step of that number, with up to `INTERLUDE_IMAGES` training images [N, C, H, W]:
    an initialisation that wants to see data, or an encoder that has learnt something. `option`: the one that says when, in
    epochs; `fewest`: how many images it takes at least."""

    option: str
    epochs: float
    step: int
    act: Callable[[Model, Tensor], None]
    fewest: int = 1


INTERLUDE_IMAGES = 5_000


@dataclass(frozen=True)
class Recipe:
    """A named, documented set of options, laid over the defaults."""

    doc: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """One row of `MODELS`. `options` is a frozen dataclass type; `build` and `objective` unpack it into plain arguments.
    `task_recipes`: for tasks that want another recipe than the default one where none is named. `interlude`: of options and
    schedule, None where there is none."""

    name: str
    summary: str
    citation: str
    options: type
    build: Callable[[Any, Spec], Model]
    objective: Callable[[Any, Schedule], Objective]
    recipes: Mapping[str, Recipe]
    tasks: tuple[str, ...] = ("unconditional",)
    task_recipes: Mapping[str, str] = field(default_factory=dict)
    interlude: Callable[[Any, Schedule], Interlude | None] = lambda options, schedule: None
