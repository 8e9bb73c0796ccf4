"""The report of a run. Whatever state the run is in, the page shows what there is and says in a line why the rest is missing."""

import dataclasses
import datetime
import shlex
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reparam.core.abilities import Ability
from reparam.data import DATASETS
from reparam.errors import RunError, flag
from reparam.evaluation import METRICS
from reparam.files import write_text
from reparam.models.adopted import ADOPTED
from reparam.progress import reached, silent
from reparam.reports.figures import FIGURES
from reparam.reports.figures.predictions import swatches
from reparam.reports.html import ShownFigure, reason, render_page, shown
from reparam.reports.run_view import RunView
from reparam.reports.tables import PlainFigure, by_label, duration, meaning, plain_figures, with_error
from reparam.reports.usage import commands, python_lines
from reparam.run.config import sections
from reparam.run.documents import WeightsFacts
from reparam.run.loaded import LoadedRun

LISTED_CLASSES = 40
KEPT = {"best": "the best on validation", "last": "the last", "ema": "the moving average"}
SECTIONS = {"data": "Data", "task": "Task", "options": "Model and objective", "training": "Training"}


def write_report(run: LoadedRun, say: Callable[[str], None] = silent) -> Path:
    """Writes RUN/report.html in one step and returns its path; `say` is told what is missing on it, and why."""
    write_text(run.folder.report_path, render(run, say))
    return run.folder.report_path


def render(run: LoadedRun, say: Callable[[str], None] = silent) -> str:
    """The page as text."""
    try:
        no_model, abilities = "", run.model.abilities
        usable = abilities
    except Exception as error:
        no_model, abilities, usable = reason(error), _untrained_abilities(run), frozenset()
    figures, missing = _figures(run, abilities, no_model)
    for why, titles in missing.items():
        _tell(say, ", ".join(titles), why)
    document, path = run.document, str(run.path)
    return render_page(
        "report.html.j2",
        run=run,
        path=path,
        family=run.config.family,
        document=document,
        facts=_facts(run, no_model, say),
        numbers=_numbers(run, no_model, say),
        pictures=figures["pictures"],
        training=figures["training"],
        missing=missing,
        commands=commands(path, run.config.data.data, usable),
        lines=python_lines(path, run.config.data.data, usable),
        options=_options(run),
        classes=_classes(document.data.classes),
    )


def _tell(say: Callable[[str], None], what: str, why: object) -> None:
    say(f"not on the page: {what} ({why})")


def _untrained_abilities(run: LoadedRun) -> frozenset[Ability]:
    """What a run without weights would be able to do; nothing where its model cannot be built either."""
    try:
        return run.folder.untrained_model().abilities
    except Exception:
        return frozenset()


def _figures(
    run: LoadedRun, abilities: frozenset[Ability], no_model: str
) -> tuple[dict[str, list[ShownFigure]], dict[str, list[str]]]:
    """(figures by section, titles of what is missing by reason). What the model cannot do is not missing."""
    view = RunView(run)
    figures: dict[str, list[ShownFigure]] = {"pictures": [], "training": []}
    missing: dict[str, list[str]] = {}
    for name, figure in FIGURES.items():
        if figure.needs is not None and figure.needs not in abilities:
            continue
        try:
            if no_model and figure.section == "pictures":
                raise RunError(no_model)
            drawing = figure.on_page(view)
            figures[figure.section].append(shown(name, figure, drawing.note, [("", part) for part in drawing.parts]))
        except Exception as error:
            missing.setdefault(reason(error), []).append(figure.title)
    if no_model:
        missing.setdefault(no_model, ["what the model can do"])
    return figures, missing


def _facts(run: LoadedRun, no_model: str, say: Callable[[str], None]) -> dict[str, str]:
    """What the head of the page says, by name."""
    seconds = "an unknown time"
    try:
        status = run.folder.status()
        running = "running, or killed (continue with 'reparam resume')"
        state: str = running if status.state == "running" else status.state
        if status.state == ADOPTED:
            state = "adopted: made and trained elsewhere, measured here"
        else:
            state += f": {reached(status.step, status.epoch, status.steps)}"
            seconds = duration(status.seconds)
    except RunError as error:
        _tell(say, "how training ended", error)
        state = f"unknown ({error})"
    data = run.document.data.name or run.config.data.data
    return {
        "title": _title(data),
        "data": data,
        "trained": f"{_when(run.document.created)}, for {seconds}",
        "status": state,
        "weights": no_model or _weights(run.kept),
        "prior": "" if no_model else run.kept.prior,
    }


def _title(data: str) -> str:
    """A short name of the data: that of the set, or of one's own folder or file."""
    kind, _, path = data.partition(":")
    if kind not in DATASETS or not path:
        return data
    return Path(path).name if DATASETS[kind].path == "given" else kind


def _weights(facts: WeightsFacts) -> str:
    if facts.kept.startswith(ADOPTED):
        return "as they were adopted"
    return f"{KEPT.get(facts.kept, facts.kept)}, after {reached(facts.step, facts.epoch)}"


def _when(created: str) -> str:
    try:
        return f"{datetime.datetime.fromisoformat(created).astimezone(datetime.UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError):
        return "at an unknown time"


class Number(NamedTuple):
    """One measured figure as the page shows it."""

    name: str
    value: str
    error: str
    unit: str
    n: str
    meaning: str
    note: str
    plain: Sequence[PlainFigure]
    labels: Sequence[tuple[str, str, str]]  # colour, name and figure of each, where there are label maps


def _numbers(run: LoadedRun, no_model: str, say: Callable[[str], None]) -> dict[str, Any]:
    """What was measured, and a line where it was not, is damaged, or is of other weights."""
    found: dict[str, Any] = {"rows": [], "diagnosis": [], "remark": "", "left_out": {}}
    found["command"] = f"reparam evaluate {shlex.quote(str(run.path))}"
    try:
        evaluation = run.folder.evaluation()
    except RunError as why:
        _tell(say, "what was measured", why)
        return found | {"remark": f"Not shown: {why}."}
    found["diagnosis"] = evaluation.diagnosis
    for name, obstacle in evaluation.left_out.items():
        found["left_out"].setdefault(obstacle, []).append(name)
    colours = swatches(run)
    for name, one in evaluation.metrics.items():
        value, error = with_error(one.value, one.stderr)
        shown_value, unit, n = value.replace("-", "−"), one.unit, f"{one.n:,}"
        labels = [(colour, *each) for colour, each in zip(colours, by_label(one), strict=False)]
        found["rows"].append(
            Number(name, shown_value, error, unit, n, meaning(name), one.note, plain_figures(name, one), labels)
        )
    if not no_model and evaluation.metrics and evaluation.weights != run.kept.stamp:
        found["remark"] = "These were measured on earlier weights of this run, or under another prior: measure again."
    elif evaluation.pending:
        found["remark"] = (
            f"Not measured, for an evaluation was interrupted or goes on: {', '.join(evaluation.pending)}. Measure them with"
        )
        plain = [name for name in evaluation.pending if name in METRICS]
        if len(plain) == len(evaluation.pending):
            found["command"] += f" --metrics {','.join(plain)}"
    elif not evaluation.metrics:
        found["remark"] = "Nothing has been measured yet."
    return found


class OptionRow(NamedTuple):
    """One resolved option: `changed` where it is not the default."""

    name: str
    value: str
    changed: bool
    doc: str


def _options(run: LoadedRun) -> dict[str, list[OptionRow]]:
    """Every option of the run by section, with what it means."""
    found: dict[str, list[OptionRow]] = {}
    for section, cls in sections(run.config.family).items():
        hints = typing.get_type_hints(cls, include_extras=True)
        rows = found.setdefault(SECTIONS[section], [])
        for field in dataclasses.fields(cls):
            value = getattr(getattr(run.config, section), field.name)
            extras = getattr(hints[field.name], "__metadata__", ())
            doc = next((text for extra in extras if (text := getattr(extra, "description", None))), "")
            rows.append(OptionRow(flag(field.name)[2:], _plain(value), value != field.default, doc))
    return found


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else "none" if value in (None, "") else str(value)


def _classes(names: Sequence[str]) -> str:
    if not names:
        return "none: the images are unlabelled"
    more = f" and {len(names) - LISTED_CLASSES} more" if len(names) > LISTED_CLASSES else ""
    return f"{len(names)}: {', '.join(names[:LISTED_CLASSES])}{more}"
