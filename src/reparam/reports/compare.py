"""Runs beside each other: one table of figures, one figure a question, in one HTML file that needs nothing else.

`QUESTIONS` says what is asked of them. One function and one line add a question.

Shapes: `n` images, `R` runs.
"""

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from reparam.errors import ConfigError
from reparam.evaluation import METRICS, EvaluationOptions, Measure, evaluate_run, run_context
from reparam.evaluation.metrics import table as measuring
from reparam.files import write_text
from reparam.reports import charts
from reparam.reports.charts import Chart
from reparam.reports.page import Part, embedded, page_environment, style
from reparam.reports.pictures import Panel, panel
from reparam.reports.run_view import RunView
from reparam.reports.tables import duration, meaning, with_error
from reparam.run.loaded import LoadedRun
from reparam.training import Progress
from reparam.version import __version__

ACROSS = 10
SURE = 2.0  # standard errors of a difference


@dataclass(frozen=True)
class Cell:
    """A figure of one run: value and error as text (empty: it has none), and whether it is the best, as far as one can tell."""

    value: str = ""
    error: str = ""
    best: bool = False


@dataclass(frozen=True)
class Line:
    """A row of the table: what it is, its unit, what is to be said with it, a cell for each run."""

    name: str
    unit: str
    meaning: str
    note: str
    cells: tuple[Cell, ...]


class Named(NamedTuple):
    """What is looked at: a run's subject under the name that the page gives it."""

    name: str
    subject: RunView


class Question(NamedTuple):
    """A row: the question, what to look for, the ability it takes, and the answer of the runs that have it, part by part."""

    title: str
    caption: str
    needs: str
    draw: Callable[[Sequence[Named]], list[tuple[str, Panel | Chart]]]


def samples(runs: Sequence[Named]) -> list[tuple[str, Panel | Chart]]:
    rows = torch.cat([one.subject.run.sample(2 * ACROSS) for one in runs])
    return [("", panel(rows, ACROSS, [name for one in runs for name in (one.name, "")]))]


def reconstructions(runs: Sequence[Named]) -> list[tuple[str, Panel | Chart]]:
    examples = [one.subject.examples(ACROSS) for one in runs]
    rows = [one.subject.run.reconstruct(batch.shown) for one, batch in zip(runs, examples, strict=True)]
    return [("", panel(torch.cat([examples[0].x, *rows]), ACROSS, ["original", *(one.name for one in runs)]))]


def latents(runs: Sequence[Named]) -> list[tuple[str, Panel | Chart]]:
    classes = runs[0].subject.run.dataset.classes
    return [(one.name, charts.latent_scatter(*one.subject.codes, classes)) for one in runs]


QUESTIONS: dict[str, Question] = {
    "samples": Question(
        "What do they make up?",
        "Random latents, decoded. Look for variety, and for images that could pass for real.",
        "sample",
        samples,
    ),
    "reconstructions": Question(
        "What is left of an image?",
        "The same test images, rebuilt by each.",
        "reconstruct",
        reconstructions,
    ),
    "latents": Question(
        "Where do they put images?",
        "Test images in each one's latent space (of more than two latents, the plane of most variance), by class.",
        "encode",
        latents,
    ),
}


def write_comparison(
    runs: Sequence[LoadedRun],
    out: Path,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
    metrics: Sequence[str] = (),
) -> None:
    """Writes the page of at least two runs on the same data to `out`, with every figure that is known. What was not measured yet
    is: what `evaluate` measures by default, or those of `metrics` that apply to a run. Raises ConfigError for runs that cannot
    be compared."""
    measuring.check_known(metrics)
    named = _named(runs)
    applied = [_measure(one, metrics, progress, say) for one in named]
    if nowhere := [name for name in metrics if name != measuring.ALL and not any(name in names for names in applied)]:
        say(f"left out, for they apply to none of the runs: {', '.join(nowhere)}")
    sections = []
    for key, question in QUESTIONS.items():
        able = [one for one in named if question.needs in one.subject.run.model.abilities]
        if able:
            without = [one.name for one in named if one not in able]
            parts = [(name, embedded(part)) for name, part in question.draw(able)]
            sections.append(Shown(key, question.title, question.caption, ", ".join(without), tuple(parts)))
    text = (
        page_environment()
        .get_template("compare.html.j2")
        .render(
            **style(),
            version=__version__,
            title=" · ".join(one.name for one in named),
            data=runs[0].config.data.data,
            names=[one.name for one in named],
            facts=[_facts(one.subject.run) for one in named],
            lines=lines(named),
            sections=sections,
            sure=SURE,
            written=f"{datetime.datetime.now():%Y-%m-%d %H:%M}",
        )
    )
    write_text(out, text)


@dataclass(frozen=True)
class Shown:
    """A question with its answers, and the runs that have none."""

    key: str
    title: str
    caption: str
    without: str
    parts: tuple[tuple[str, Part], ...]


def _named(runs: Sequence[LoadedRun]) -> list[Named]:
    """By the names of their folders, or by their paths where two folders have one name."""
    paths = [run.path.resolve() for run in runs]
    if len(set(paths)) < max(2, len(paths)):
        raise ConfigError("a comparison takes at least two runs, each once")
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [str(run.path) for run in runs]
    first = runs[0].folder.document()["data"]["fingerprint"]
    for run in runs:
        if run.folder.document()["data"]["fingerprint"] != first:
            raise ConfigError(
                f"{run.path} was trained on other data ({run.config.data.data}) than {runs[0].path} "
                f"({runs[0].config.data.data}): figures of different data do not compare"
            )
    return [Named(name, RunView(run)) for name, run in zip(names, runs, strict=True)]


def _measure(one: Named, metrics: Sequence[str], progress: Progress | None, say: Callable[[str], None]) -> list[str]:
    """Measures what is wanted and was not measured of these weights yet; the names of all that is wanted."""
    run = one.subject.run
    every = [measuring.ALL] if metrics else []
    apply, _ = measuring.choose(run_context(run, EvaluationOptions()), every)
    wanted = [name for name in apply if not metrics or name in metrics or measuring.ALL in metrics]
    known = _measured(run)
    missing = [name for name in wanted if name not in known]
    if missing:
        say(f"{one.name}: {len(missing)} figures to measure")
        evaluate_run(run, missing, progress=progress, say=say)
    return wanted


def _measured(run: LoadedRun) -> dict[str, Measure]:
    """What is known of the kept weights."""
    document = run.folder.evaluation_document()
    if document.get("weights") != run.folder.weights_stamp():
        return {}
    return {name: Measure(**measure) for name, measure in document.get("metrics", {}).items()}


def lines(runs: Sequence[Named]) -> list[Line]:
    """A row for each figure that any of the runs has, in the table's order, then those that it does not know."""
    found = [_measured(one.subject.run) for one in runs]
    options = [one.subject.run.folder.evaluation_document().get("options", {}) for one in runs]
    names = list(dict.fromkeys([*METRICS, *(name for measures in found for name in measures)]))
    rows = []
    for name in names:
        measures = [one.get(name) for one in found]
        known = [measure for measure in measures if measure]
        if not known:
            continue
        ways = [
            _way(one.subject.run, name, measure, option.get(name) or {})
            for one, measure, option in zip(runs, measures, options, strict=True)
            if measure
        ]
        keys = list(dict.fromkeys(key for way in ways for key in way))
        differing = [key for key in keys if len({way.get(key, "none") for way in ways}) > 1]
        note = "; ".join(f"{key} {', '.join(way.get(key, 'none') for way in ways)}" for key in differing)
        note = f"not to be compared: {note}" if note else ""
        best = METRICS[name].best if not differing and name in METRICS else ""
        cells = tuple(_cell(measure, known, best) for measure in measures)
        rows.append(Line(name, known[0].unit, meaning(name), note, cells))
    return rows


# Options of evaluation that some figures depend on beside how many images there are, by how their names begin.
READS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("nll", "cnll", "bits_per_dim", "mutual_information"): ("samples", "precision"),
    ("mean_of_n", "best_of_n", "diversity", "class_", "iou", "ece", "pixel_accuracy", "occluded"): ("draws",),
    ("flips", "sharpness_moved"): ("directions",),
    ("rate_",): ("bytes",),
}


def _way(run: LoadedRun, name: str, measure: Measure, options: dict[str, Any]) -> dict[str, str]:
    """What must be the same for figures to be compared: how many images, the options that this one depends on, and for all but
    samples, which are compared with the images as they are, what the model is shown and asked for and what its density is of."""
    defaults = asdict(EvaluationOptions())
    read = next((found for begins, found in READS.items() if name.startswith(begins)), ())
    way = {"n =": f"{measure.n:,}"} | {
        key: str(options.get(key, defaults[key])) for key in (*read, "occlusion", "split")
    }
    if name in METRICS and METRICS[name].needs == "sample":
        return way
    task = run.config.task
    way |= {"task": task.task, "binarise": task.binarise}
    if task.task == "denoising":
        way |= {"corruption": f"{task.corruption} {task.noise:g}"}
    if measure.unit.startswith(("nats", "bits")):
        way |= {"likelihood": _likelihood(run)}
    return way


def _likelihood(run: LoadedRun) -> str:
    return str(getattr(run.config.options, "likelihood", "none"))


def _cell(measure: Measure | None, known: Sequence[Measure], best: str) -> Cell:
    if measure is None:
        return Cell()
    value, error = with_error(measure.value, measure.stderr)
    return Cell(value.replace("-", "−"), error, bool(best) and len(known) > 1 and _leads(measure, known, best))


def _leads(measure: Measure, known: Sequence[Measure], best: str) -> bool:
    """Whether none of the others is better by more than `SURE` standard errors of the difference (taken as independent)."""
    sign = 1.0 if best == "high" else -1.0
    if not math.isfinite(measure.value):
        return False
    return all(
        sign * (other.value - measure.value) <= SURE * math.hypot(other.stderr or 0.0, measure.stderr or 0.0)
        for other in known
        if math.isfinite(other.value)
    )


def _facts(run: LoadedRun) -> dict[str, str]:
    status = run.folder.status()
    parameters = sum(parameter.numel() for parameter in run.model.parameters())
    return {
        "model": run.config.model,
        "recipe": run.config.recipe,
        "parameters": f"{parameters:,}",
        "epochs": f"{round(status.get('epoch', 0), 2):g}",
        "training": duration(float(status.get("seconds", 0))),
        "likelihood": _likelihood(run),
    }
