"""Commands as they can be typed: the one that trains a configuration, and the one that this process runs."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reparam.data.sources.in_python import IN_PYTHON
from reparam.errors import flag
from reparam.run.config import RunConfig, resolve_family

MEASURED = ("products",)  # what a training settles by measurement: a new one measures again


def training_command(config: RunConfig, out: Path, **changed: Any) -> str:
    """`reparam train MODEL ...` with every option that is not its recipe's, some of them changed, into a folder that is not there
    yet: OUT-2, OUT-3, ... Of images that Python gives it is a call."""
    usual = _recipe(config)
    options: dict[str, Any] = {}
    for section in ("data", "task", "options", "training"):
        own, others = getattr(config, section), getattr(usual, section)
        for field in dataclasses.fields(own):
            value = changed.get(field.name, getattr(own, field.name))
            differs = value != getattr(others, field.name) and field.name not in MEASURED
            if field.name in changed or differs:
                options[field.name] = value
    return training(config.model, {"recipe": config.recipe, **options, "out": str(_free(out))})


def training(model: str, options: Mapping[str, Any]) -> str:
    """`reparam train MODEL --OPTION ...`, or `reparam.train(MODEL, data=..., OPTION=...)` where Python gives the images."""
    if options.get("data") != IN_PYTHON:
        return shlex.join(["reparam", "train", model, *(word for own in options.items() for word in _words(*own))])
    values = {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in options.items()}
    arguments = [f"{name}={value!r}" for name, value in values.items() if name != "data" and value is not None]
    return f"reparam.train({', '.join([repr(model), 'data=...', *arguments])})"


def calmer_command(config: RunConfig, out: Path) -> str:
    """`training_command` of a training that diverged: with its recipe's learning rate, where that is lower, else with a tenth."""
    rate, usual = config.training.learning_rate, _recipe(config).training.learning_rate
    return training_command(config, out, learning_rate=usual if usual < rate else rate / 10)


def _recipe(config: RunConfig) -> RunConfig:
    """The configuration that the recipe alone gives, without the options that the run sets besides."""
    return resolve_family(config.family, config.model, config.recipe, {})


def own_command(argv: Sequence[str]) -> str:
    """`sys.argv` as a line of the shell. `python -m reparam` has a file of the package there, which is no program."""
    program = Path(argv[0])
    own = program.stem == "reparam" or (program.name == "__main__.py" and program.parent.name == "reparam")
    return shlex.join(["reparam", *argv[1:]] if own else argv)


def _words(option: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [flag(option if value else f"no_{option}")]
    if value is None:  # no word for it, where a recipe says otherwise
        return []
    if isinstance(value, float):  # lengths that follow from a number of steps have any number of digits
        return [flag(option), f"{value:.6g}"]
    return [flag(option), ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]


def _free(path: Path) -> Path:
    return next(new for i in range(2, 1000) if not (new := path.with_name(f"{path.name}-{i}")).exists())
