"""The report of a run: one HTML file that opens anywhere, offline, in light and dark.

Everything that is shown is in the file: pictures and charts as data, no script, no font, nothing that is fetched. Whatever
state the run is in, the page shows what there is and says in a line why the rest is missing.
"""

import base64
import dataclasses
import datetime
import shlex
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reparam.data import DATASETS
from reparam.errors import ReparamError, RunError
from reparam.evaluation import Finding, Measure
from reparam.files import write_text
from reparam.models import Model
from reparam.reports.charts import DARK, FAINT, INK, PAPER, Chart, Entry, for_dark
from reparam.reports.figures import FIGURES
from reparam.reports.pictures import Panel, to_png
from reparam.reports.run_view import RunView
from reparam.reports.tables import duration, meaning, with_error
from reparam.reports.usage import commands, python_lines
from reparam.run.config import find_family, sections
from reparam.run.loaded import LoadedRun

if TYPE_CHECKING:
    from jinja2 import Environment


LISTED_CLASSES = 40


@dataclass(frozen=True)
class Part:
    """A picture as the page embeds it: data URIs, its natural size in pixels, names of rows and columns, legend."""

    light: str
    dark: str
    width: int
    height: int
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    legend: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Shown:
    """A figure that could be drawn."""

    name: str
    title: str
    caption: str
    note: str
    parts: tuple[Part, ...]


def write_report(run: LoadedRun) -> Path:
    """Writes RUN/report.html in one step and returns its path."""
    write_text(run.folder.report_path, render(run))
    return run.folder.report_path


def page_environment() -> "Environment":
    """Where templates are found; names from data are escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("reparam.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def style() -> dict[str, Any]:
    """What every page's style sheet takes."""
    return {"colours": {"ink": INK, "faint": FAINT, "paper": PAPER, "dark": DARK}}


def render(run: LoadedRun) -> str:
    """The page as text."""
    model, no_model = _model(run)
    pictures, training, missing = _figures(run, model, no_model)
    document, path = run.folder.document(), str(run.path)
    return (
        page_environment()
        .get_template("report.html.j2")
        .render(
            **style(),
            run=run,
            path=path,
            family=run.config.family,
            document=document,
            facts=_facts(run, document),
            numbers=_numbers(run),
            pictures=pictures,
            training=training,
            missing=missing,
            commands=commands(path, run.config.data.data, model.abilities if model else frozenset()),
            lines=python_lines(path, model.abilities if model else frozenset()),
            options=_options(run),
            classes=_classes(document["data"].get("classes", [])),
            written=f"{datetime.datetime.now():%Y-%m-%d %H:%M}",
        )
    )


def _model(run: LoadedRun) -> tuple[Model | None, str]:
    """The model, or None and why."""
    try:
        return run.model, ""
    except ReparamError as error:
        return None, str(error)


def _figures(
    run: LoadedRun, model: Model | None, no_model: str
) -> tuple[list[Shown], list[Shown], dict[str, list[str]]]:
    """(pictures, figures on training, titles of what is missing by reason). What the model cannot do is not missing."""
    subject = RunView(run)
    shown: dict[str, list[Shown]] = {"pictures": [], "training": []}
    missing: dict[str, list[str]] = {}
    abilities = (model or run.config.family.build(run.config.options, run.spec)).abilities
    for name, figure in FIGURES.items():
        if figure.needs is not None and figure.needs not in abilities:
            continue
        try:
            if model is None and figure.section == "pictures":
                raise RunError(no_model)
            drawing = figure.draw(subject)
        except ReparamError as error:
            missing.setdefault(str(error), []).append(figure.title)
            continue
        parts = tuple(embedded(part) for part in drawing.parts)
        shown[figure.section].append(Shown(name, figure.title, figure.caption, drawing.note, parts))
    return shown["pictures"], shown["training"], missing


def embedded(part: Panel | Chart) -> Part:
    """A panel or chart as data."""
    if isinstance(part, Chart):
        light, dark = (_data_uri(svg.encode(), "image/svg+xml") for svg in (part.svg, for_dark(part.svg)))
        return Part(light, dark, part.width, part.height, legend=part.legend)
    uri = _data_uri(to_png(part.image), "image/png")
    return Part(uri, "", part.image.width, part.image.height, part.rows, part.columns)


def _data_uri(data: bytes, media: str) -> str:
    return f"data:{media};base64,{base64.b64encode(data).decode()}"


def _facts(run: LoadedRun, document: dict[str, Any]) -> dict[str, str]:
    """What the head of the page says, by name."""
    try:
        status = run.folder.status()
    except RunError as error:
        status = {"state": f"unknown ({error})"}
    state = str(status.get("state", "unknown"))
    # Training ends with a whole step, which may lie a little behind the last epoch.
    epoch, epochs = status.get("epoch", 0), run.config.training.epochs
    trained = f"{round(min(epoch, epochs), 2):g} of {epochs:g} epochs, {status.get('step', 0):,} steps"
    if state == "running":
        state = "running, or stopped without a word (continue with 'reparam resume')"
    data = str(document["data"].get("name", run.config.data.data))
    return {
        "title": _title(data),
        "data": data,
        "trained": f"{_when(document)}, for {duration(float(status.get('seconds', 0)))}",
        "status": f"{state}: {trained}",
        "weights": _weights(run),
    }


def _title(data: str) -> str:
    """A short name of the data: that of the set, or of one's own folder or file."""
    kind, _, path = data.partition(":")
    if kind not in DATASETS or not path:
        return data
    return Path(path).name if DATASETS[kind].path == "given" else kind


def _weights(run: LoadedRun) -> str:
    kinds = {"best": "the best on validation", "last": "the last", "ema": "the moving average"}
    try:
        _, facts = run.folder.weights()
    except ReparamError as error:
        return str(error)
    return (
        f"{kinds.get(facts['kept'], facts['kept'])}, from epoch {round(facts['epoch'], 2):g} (step {facts['step']:,})"
    )


def _when(document: dict[str, Any]) -> str:
    try:
        return f"{datetime.datetime.fromisoformat(document['created']).astimezone(datetime.UTC):%Y-%m-%d %H:%M} UTC"
    except (KeyError, TypeError, ValueError):
        return "at an unknown time"


@dataclass(frozen=True)
class Number:
    """One measured figure as the page shows it."""

    name: str
    value: str
    error: str
    unit: str
    n: str
    meaning: str
    note: str


def _numbers(run: LoadedRun) -> dict[str, Any]:
    """What was measured, and a line where it was not, is damaged, or is of other weights."""
    command = f"reparam evaluate {shlex.quote(str(run.path))}"
    try:
        evaluation = run.folder.evaluation_document()
        measures = {name: Measure(**measure) for name, measure in evaluation.get("metrics", {}).items()}
        diagnosis = [Finding(**finding) for finding in evaluation.get("diagnosis", [])]
    except (ReparamError, TypeError) as why:
        remark = f"evaluation.json cannot be read ({why}): measure again."
        return {"rows": [], "diagnosis": [], "remark": remark, "command": command}
    rows = []
    for name, measure in measures.items():
        value, error = with_error(measure.value, measure.stderr)
        rows.append(
            Number(name, value.replace("-", "−"), error, measure.unit, f"{measure.n:,}", meaning(name), measure.note)
        )
    remark = "" if rows else "Nothing has been measured yet."
    try:
        if rows and evaluation.get("weights") != run.folder.weights_stamp():
            remark = "These were measured on earlier weights of this run: measure again."
    except RunError:
        pass
    return {"rows": rows, "diagnosis": diagnosis, "remark": remark, "command": command}


@dataclass(frozen=True)
class Option:
    """One resolved option: `changed` where it is not the default."""

    name: str
    value: str
    changed: bool
    doc: str


def _options(run: LoadedRun) -> dict[str, list[Option]]:
    """Every option of the run by section, with what it means."""
    titles = {"data": "Data", "task": "Task", "options": "Model and objective", "training": "Training"}
    found: dict[str, list[Option]] = {}
    for section, cls in sections(find_family(run.config.model)).items():
        values = getattr(run.config, section)
        hints = typing.get_type_hints(cls, include_extras=True)
        for field in dataclasses.fields(cls):
            value = getattr(values, field.name)
            docs = [
                d
                for extra in getattr(hints[field.name], "__metadata__", ())
                if (d := getattr(extra, "description", None))
            ]
            option = Option(
                field.name.replace("_", "-"), _plain(value), value != field.default, docs[0] if docs else ""
            )
            found.setdefault(titles[section], []).append(option)
    return found


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else "none" if value in (None, "") else str(value)


def _classes(names: list[str]) -> str:
    if not names:
        return "none: the images are unlabelled"
    more = f" and {len(names) - LISTED_CLASSES} more" if len(names) > LISTED_CLASSES else ""
    return f"{len(names)}: {', '.join(map(str, names[:LISTED_CLASSES]))}{more}"
