"""`METRICS`: everything that can be measured, subject by subject, and which of it applies to a model."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

from reparam.errors import ConfigError, suggest
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.metrics.classes import CLASSES
from reparam.evaluation.metrics.clusters import CLUSTERS
from reparam.evaluation.metrics.latent_moves import MOVES
from reparam.evaluation.metrics.likelihood import LIKELIHOOD
from reparam.evaluation.metrics.metric import Measure, Metric, NoValueError
from reparam.evaluation.metrics.predictions import PREDICTIONS
from reparam.evaluation.metrics.rates import RATES
from reparam.evaluation.metrics.reconstruction import RECONSTRUCTION
from reparam.evaluation.metrics.representation import REPRESENTATION
from reparam.evaluation.metrics.samples import SAMPLES
from reparam.progress import watching

# In the order of output.
METRICS: dict[str, Metric] = {
    **LIKELIHOOD,
    **RECONSTRUCTION,
    **SAMPLES,
    **PREDICTIONS,
    **MOVES,
    **CLUSTERS,
    **REPRESENTATION,
    **RATES,
    **CLASSES,
}

NOTICED = 0.1  # seconds
ALL = "all"  # in place of names: the expensive ones too


def check_known(names: Sequence[str]) -> None:
    """Raises ConfigError for a name that is no metric's, nor `all`."""
    for name in names:
        if name not in METRICS and name != ALL:
            raise ConfigError(
                f"unknown metric '{name}'{suggest(name, METRICS)} (known: {', '.join(METRICS)}, or {ALL})"
            )


def choose(context: EvaluationContext, names: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """(metrics to measure, why each other one is left out). Raises ConfigError for a name that is unknown or does not apply."""
    check_known(names)
    left_out = {name: reason for name, metric in METRICS.items() if (reason := metric.refuses(context))}
    if any(name in left_out for name in names):
        _refuse(names, left_out)
    for name, metric in METRICS.items() if not names else ():
        if name not in left_out and (reason := metric.waits(context)):
            left_out[name] = f"{reason}: request it by name, or with --metrics all"
    chosen = names if names and ALL not in names else METRICS
    return [name for name in METRICS if name not in left_out and name in chosen], left_out


def _refuse(names: Sequence[str], obstacles: Mapping[str, str]) -> NoReturn:
    """Raises ConfigError that says why some of the names do not apply, and which do: of these or, where none does, of all."""
    bad = [name for name in names if name in obstacles]
    why = "; ".join(f"metric '{name}' does not apply here: {obstacles[name]}" for name in bad)
    fit = [name for name in names if name not in obstacles] or [name for name in METRICS if name not in obstacles]
    raise ConfigError(f"{why}; leave {'it' if len(bad) == 1 else 'them'} out; what applies: {','.join(fit) or 'none'}")


def evaluate(context: EvaluationContext, names: Sequence[str]) -> Iterator[tuple[str, Measure | NoValueError]]:
    """The named metrics one by one, or why one has no value on these images."""
    for number, name in enumerate(names, 1):
        context.say(f"[{number}/{len(names)}] {name}: {METRICS[name].doc}")
        began, found = time.monotonic(), _measured(context, name)
        if (seconds := time.monotonic() - began) >= NOTICED:
            context.say(f"  {name}: {seconds:.1f} s")
        yield name, found


def _measured(context: EvaluationContext, name: str) -> Measure | NoValueError:
    with watching(context.progress, name):
        try:
            found = METRICS[name].measure(context)
        except NoValueError as why:
            return why
    if share := context.options.occlusion:
        hidden = f"a box of {share:g} of the sides of the input hidden"
        return replace(found, note="; ".join(filter(None, (hidden, found.note))))
    return found
