"""Measuring a run: each metric goes into its evaluation.json at once, so that an interruption loses none."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from reparam.core.abilities import Ability
from reparam.errors import ConfigError, DataError
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.diagnosis import diagnose
from reparam.evaluation.metrics.metric import Measure
from reparam.evaluation.metrics.table import ALL, METRICS, choose, evaluate
from reparam.evaluation.options import EvaluationOptions, stored_name
from reparam.files import write_json
from reparam.progress import Progress
from reparam.run.loaded import LoadedRun


def run_context(
    run: LoadedRun,
    options: EvaluationOptions,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> EvaluationContext:
    """The run's model with the images that it is measured on."""
    trained_on = run.config.training_images(run.dataset)
    return EvaluationContext(run.model, run.dataset, run.config.task, options, trained_on, progress, say)


def evaluate_run(
    run: LoadedRun,
    metrics: Sequence[str] = (),
    options: EvaluationOptions | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Measure]:
    """Measures a run on its test images and adds each metric to RUN/evaluation.json.

    Without `metrics`: all that the model allows in reasonable time ("all": the expensive ones too), and a diagnosis. Raises
    ConfigError for metrics and options that do not apply to the run, DataError where its data has changed.
    """
    run.folder.stored_evaluation()  # a one is refused before the work
    metrics = [metrics] if isinstance(metrics, str) else metrics
    options = options or EvaluationOptions()
    _check(run, options)
    context = run_context(run, options, progress, say)
    names, left_out = choose(context, metrics)
    reasons: dict[str, list[str]] = {}
    for name, why in left_out.items() if not metrics else ():
        if METRICS[name].needs in run.model.abilities:  # what a model cannot do at all needs no mention
            reasons.setdefault(why, []).append(name)
    for why, which in reasons.items():
        say(f"left out: {', '.join(which)}: {why}")
    stamp = list(run.kept.stamp)
    measures = {}
    for name, measure in evaluate(context, names):
        if options.occlusion:
            hidden = f"a box of {options.occlusion:g} of the side of the input hidden"
            measure = replace(measure, note="; ".join(part for part in (hidden, measure.note) if part))
        measures[name] = measure
        key = stored_name(name, METRICS[name].reads, options)
        with _amended(run, stamp) as document:
            document.setdefault("metrics", {})[key] = asdict(measure)
            document.setdefault("options", {})[key] = asdict(options)
    if (not metrics or ALL in metrics) and options.split == "test":
        findings = [asdict(finding) for finding in diagnose(context)]
        with _amended(run, stamp) as document:
            document["diagnosis"] = findings
    return measures


@contextlib.contextmanager
def _amended(run: LoadedRun, stamp: list[Any]) -> Iterator[dict[str, Any]]:
    """evaluation.json, to add metrics of the weights of `stamp` to. It is read anew, since another evaluation of the run may have
    written meanwhile."""
    with run.folder.writing_evaluation():
        document = run.folder.stored_evaluation()
        if document.get("weights") != stamp:
            document = {"weights": stamp}  # metrics of other weights may not stand beside these
        yield document
        write_json(run.folder.evaluation_path, document)


def _check(run: LoadedRun, options: EvaluationOptions) -> None:
    if options.occlusion and Ability.COMPLETE not in run.model.abilities:
        raise ConfigError(
            f"occlusion hides a part of the model's input image, and task '{run.config.task.task}' has none"
        )
    if options.split == "validation" and run.config.data.train_on == "all":
        raise ConfigError("this run was trained on validation images too (train-on 'all'): evaluate it on test images")
    if run.dataset.fingerprint != run.document.data.fingerprint:
        raise DataError(
            f"'{run.config.data.data}' is not what {run.path} was trained on, and test images may be among those that "
            "it has seen: restore it, or train a new run"
        )
