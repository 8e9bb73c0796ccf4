"""The table of a comparison: which measurements can be compared, and which are best.

Two figures are compared only where they were measured alike: on as many images, with the same options that they depend on.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reparam.core.abilities import Ability
from reparam.evaluation import METRICS, EvaluationOptions, Measure
from reparam.evaluation.metrics.metric import SURE
from reparam.evaluation.options import parse_stored_name
from reparam.reports.tables import PlainFigure, meaning, plain_figures, with_error
from reparam.run.loaded import LoadedRun


@dataclass(frozen=True)
class TableCell:
    """A figure of one run: value and error as text (empty: it has none), whether it is the best, as far as one can tell, and its
    plain baselines."""

    value: str = ""
    error: str = ""
    best: bool = False
    plain: tuple[PlainFigure, ...] = ()


@dataclass(frozen=True)
class TableRow:
    """A metric, its unit, why it is not to be compared (empty: it is), a cell for each run."""

    name: str
    unit: str
    meaning: str
    note: str
    cells: tuple[TableCell, ...]


def measured(run: LoadedRun) -> dict[str, Measure]:
    """What is known of the kept weights."""
    evaluation = run.folder.evaluation()
    return evaluation.metrics if evaluation.weights == run.kept.stamp else {}


def table_rows(runs: Sequence[LoadedRun]) -> list[TableRow]:
    """A row for each figure that any of the runs has, in the order of `METRICS`, then those that it does not know."""
    found = [measured(run) for run in runs]
    options = [run.folder.evaluation().options for run in runs]
    rows = []
    for name in dict.fromkeys([*METRICS, *(name for measures in found for name in measures)]):
        measures = [one.get(name) for one in found]
        known = [measure for measure in measures if measure]
        if not known:
            continue
        ways = [
            _way(run, name, measure, option.get(name) or {})
            for run, measure, option in zip(runs, measures, options, strict=True)
            if measure
        ]
        keys = dict.fromkeys(key for way in ways for key in way)
        values = {key: [way.get(key, "none") for way in ways] for key in keys}
        note = "; ".join(f"{key} {', '.join(each)}" for key, each in values.items() if len(set(each)) > 1)
        best = METRICS[name].best if not note and name in METRICS else ""
        cells = tuple(_cell(name, measure, known, best) for measure in measures)
        rows.append(TableRow(name, known[0].unit, meaning(name), note and f"not to be compared: {note}", cells))
    return rows


def _way(run: LoadedRun, name: str, measure: Measure, options: dict[str, Any]) -> dict[str, str]:
    """What must be the same for figures to be compared: how many images, the options that this one depends on; and for all but
    samples, which are compared with the images as they are, the task and what the density is of."""
    defaults = asdict(EvaluationOptions())
    metric = METRICS.get(parse_stored_name(name).metric)
    reads = (*(metric.reads if metric else ()), "occlusion", "split")
    chosen = {key: options.get(key, defaults[key]) for key in reads}
    way = {"n =": f"{measure.n:,}"} | {key: "by default" if one is None else str(one) for key, one in chosen.items()}
    if metric and metric.needs == Ability.SAMPLE:
        return way
    task = run.config.task
    way |= {"task": task.task, "binarise": task.binarise}
    if task.task == "denoising":
        way |= {"corruption": f"{task.corruption} {task.noise:g}"}
    if measure.unit.startswith(("nats", "bits")):
        way |= {"likelihood": likelihood_of(run)}
    return way


def likelihood_of(run: LoadedRun) -> str:
    return str(getattr(run.config.options, "likelihood", "none"))


def _cell(name: str, measure: Measure | None, known: Sequence[Measure], best: str) -> TableCell:
    if measure is None:
        return TableCell()
    value, error = with_error(measure.value, measure.stderr)
    leading = bool(best) and len(known) > 1 and leads(measure, known, best)
    return TableCell(value.replace("-", "−"), error, leading, plain_figures(name, measure))


def leads(measure: Measure, known: Sequence[Measure], best: str) -> bool:
    """Whether none of the others is better by more than `SURE` standard errors of the difference (taken as independent) and the
    bias that is left."""
    sign = 1.0 if best == "high" else -1.0
    return all(
        sign * (other.value - measure.value)
        <= SURE * math.hypot(other.stderr or 0.0, measure.stderr or 0.0) + max(other.bias or 0.0, measure.bias or 0.0)
        for other in known
    )
