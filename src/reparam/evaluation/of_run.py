"""Measuring a run: each metric goes into its evaluation.json at once, so that an interruption loses none."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from reparam.core.abilities import Ability
from reparam.data import Images
from reparam.data.new_pictures import NewPictures
from reparam.errors import ConfigError, DataError, RunError
from reparam.evaluation.budget import Budget
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.diagnosis import diagnose
from reparam.evaluation.history import history_of
from reparam.evaluation.metrics.metric import Measure, NoValueError
from reparam.evaluation.metrics.table import ALL, METRICS, choose, evaluate
from reparam.evaluation.options import EvaluationOptions, stored_name
from reparam.files import write_json
from reparam.progress import Progress, silent, watching
from reparam.run.data import check_fingerprint
from reparam.run.loaded import LoadedRun

DIAGNOSIS = "diagnosis"  # its entry, beside those of metrics


def run_context(
    run: LoadedRun,
    options: EvaluationOptions,
    progress: Progress | None = None,
    say: Callable[[str], None] = silent,
    new: Images | None = None,
) -> EvaluationContext:
    """The run's model with the images that it is measured on: the run's own, or `new` ones in place of its test images."""
    trained_on = run.config.training_images(run.dataset)
    seconds = 0.0
    with contextlib.suppress(RunError):  # a damaged status hinders no evaluation
        seconds = run.folder.status().seconds
    budget, history = Budget.of(seconds, options.quick), history_of(run)
    return EvaluationContext(
        run.model, run.dataset, run.config.task, options, trained_on, progress, say, budget, history, new
    )


def evaluate_new(
    run: LoadedRun,
    new: NewPictures,
    metrics: str | Sequence[str] | None = None,
    options: EvaluationOptions | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = silent,
) -> dict[str, Measure]:
    """Measures a run on pictures that are not its own, beside plain baselines of its training images. Nothing is written: figures
    of a run are those of its test images. Raises as `evaluate_run`; DataError for other classes than the run's."""
    options = options or EvaluationOptions()
    _check(run, options)
    if options.split != "test":
        raise ConfigError(f"split '{options.split}' is of the run's own images: leave it out for new pictures")
    run.labelled_as_here(new.classes, new.images.labels)
    known = run.document.data.classes
    if new.classes != known and bool((new.images.labels >= 0).any()):
        raise DataError(
            f"the new pictures have classes {', '.join(new.classes)} and the run {', '.join(known) or '(none)'}: put them "
            "into folders that are called as the run's classes, or all into one folder; in Python give labels of the run's "
            "classes, or none"
        )
    if run.spec.map_values and new.images.maps is None:
        raise DataError("the new pictures have no label maps, which the model's are compared with: give pairs:PATH")
    context = run_context(run, options, progress, say, run.of_its_shape(new.images))
    names, _ = choose(context, _named(metrics))
    measures = {}
    for name, measure in evaluate(context, names):
        if isinstance(measure, NoValueError):
            say(f"left out: {name}: {measure}")
        else:
            measures[name] = measure
    return measures


def _named(metrics: str | Sequence[str] | None) -> Sequence[str]:
    """Raises ConfigError for an empty list, since none means all."""
    if metrics is not None and not metrics:
        raise ConfigError("metrics names nothing: name some, or leave it out (None) for what the model allows")
    return [metrics] if isinstance(metrics, str) else metrics or ()


def evaluate_run(
    run: LoadedRun,
    metrics: str | Sequence[str] | None = None,
    options: EvaluationOptions | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = silent,
) -> dict[str, Measure]:
    """Measures a run on its test images and adds each metric to RUN/evaluation.json.

    Without `metrics`: all that the model allows in reasonable time ("all": the expensive ones too), and a diagnosis. A metric
    that has no value on these images is left out, and `left_out` of the file says why. Raises ConfigError for metrics and options
    that do not apply to the run, and for an empty list; DataError where its data has changed.
    """
    run.folder.stored_evaluation()  # a damaged one is refused before the work
    metrics = _named(metrics)
    options = options or EvaluationOptions()
    _check(run, options)
    context = run_context(run, options, progress, say)
    names, not_chosen = choose(context, metrics)
    # What a model cannot do at all needs no mention.
    able = {} if metrics else {k: why for k, why in not_chosen.items() if METRICS[k].needs in run.model.abilities}
    for why in dict.fromkeys(able.values()):
        say(f"left out: {', '.join(name for name in able if able[name] == why)}: {why}")
    stamp = list(run.kept.stamp)
    keys = {name: stored_name(name, METRICS[name].reads, options) for name in (*names, *able)}
    diagnosed = (not metrics or ALL in metrics) and options.split == "test"
    begun = [*(keys[name] for name in names), *([DIAGNOSIS] if diagnosed else [])]
    # What is to be measured is written before, so that an evaluation that does not end leaves word of what is missing.
    with _amended(run, stamp) as document:
        for name, why in able.items():
            _leave_out(document, keys[name], why)
        _set_pending(document, dict.fromkeys([*document.get("pending", []), *begun]))
    measures = {}
    for name, measure in evaluate(context, names):
        key = keys[name]
        if isinstance(measure, NoValueError):
            say(f"left out: {name}: {measure}")
            with _amended(run, stamp, key) as document:
                _leave_out(document, key, str(measure), options)
            continue
        measures[name] = measure
        with _amended(run, stamp, key) as document:
            document.setdefault("metrics", {})[key] = asdict(measure)
            document.setdefault("options", {})[key] = asdict(options)
            document.get("left_out", {}).pop(key, None)
    if diagnosed:
        with watching(context.progress, DIAGNOSIS):
            findings = [asdict(finding) for finding in diagnose(context)]
        with _amended(run, stamp, DIAGNOSIS) as document:
            if not options.quick or DIAGNOSIS not in document:  # one of all images stays
                document[DIAGNOSIS] = findings
    return measures


def _set_pending(document: dict[str, Any], pending: Iterable[str]) -> None:
    """What is still to be measured; no entry where that is nothing."""
    document.pop("pending", None)
    if left := list(pending):
        document["pending"] = left


def left_out(run: LoadedRun, metrics: Sequence[str], options: EvaluationOptions) -> dict[str, str]:
    """Why metrics (none named: any) have no value under these options, by name, as the last evaluation wrote it."""
    written = run.folder.evaluation().left_out
    keys = {name: stored_name(name, metric.reads, options) for name, metric in METRICS.items()}
    asked = METRICS if not metrics or ALL in metrics else metrics
    return {name: written[key] for name, key in keys.items() if name in asked and key in written}


def without_value(run: LoadedRun, options: EvaluationOptions) -> dict[str, str]:
    """Why metrics have no value, by name: those that were tried, on the kept weights and with these options."""
    found = run.folder.evaluation()
    if found.weights != run.kept.stamp:
        return {}
    keys = {name: stored_name(name, metric.reads, options) for name, metric in METRICS.items()}
    tried = {name: key for name, key in keys.items() if found.options.get(key) == asdict(options)}
    return {name: found.left_out[key] for name, key in tried.items() if key in found.left_out}


def _leave_out(document: dict[str, Any], key: str, why: str, tried: EvaluationOptions | None = None) -> None:
    """Why a metric has no value, if it has none from before; of one that was tried, with which options."""
    if key in document.get("metrics", {}):
        return
    document.setdefault("left_out", {})[key] = why
    document.setdefault("options", {}).pop(key, None)
    if tried:
        document["options"][key] = asdict(tried)


@contextlib.contextmanager
def _amended(run: LoadedRun, stamp: list[Any], done: str = "") -> Iterator[dict[str, Any]]:
    """evaluation.json, to add metrics of the weights of `stamp` to; what is `done` is no longer pending. It is read anew, since
    another evaluation of the run may have written meanwhile."""
    with run.folder.writing_evaluation():
        document = run.folder.stored_evaluation()
        if document.get("weights") != stamp:
            document = {"weights": stamp}  # metrics of other weights may not stand beside these
        yield document
        _set_pending(document, [key for key in document.get("pending", []) if key != done])
        write_json(run.folder.evaluation_path, document)


def _check(run: LoadedRun, options: EvaluationOptions) -> None:
    if options.occlusion and Ability.COMPLETE not in run.model.abilities:
        raise ConfigError(
            f"occlusion hides a part of the model's input image, and task '{run.config.task.task}' has none: "
            "leave --occlusion out"
        )
    if options.split == "validation" and run.config.data.train_on == "all":
        raise ConfigError("this run was trained on validation images too (train-on 'all'): evaluate it on test images")
    check_fingerprint(run.path, run.document, run.config, run.dataset)
