"""Runs next to each other: one table of what was measured, and their figures, in one HTML file that needs nothing else."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reparam.errors import ConfigError, RunError
from reparam.evaluation import EvaluationOptions, evaluate_run, run_context, without_value
from reparam.evaluation.metrics import table as measuring
from reparam.evaluation.metrics.metric import SURE
from reparam.files import write_text
from reparam.progress import Progress, silent
from reparam.reports.charts import Chart
from reparam.reports.comparison_table import likelihood_of, measured, table_rows
from reparam.reports.figures import FIGURES, Drawing
from reparam.reports.html import ShownFigure, reason, render_page, shown
from reparam.reports.options import ReconstructionOptions, SampleOptions
from reparam.reports.pictures import Panel, joined
from reparam.reports.run_view import RunView
from reparam.reports.tables import duration
from reparam.run.loaded import LoadedRun
from reparam.version import __version__

# The figures that are compared, and their options where the page's are not meant.
COMPARED: dict[str, Any] = {
    "samples": SampleOptions(n=20, across=10),
    "reconstructions": ReconstructionOptions(n=10, with_input=False),
    "latents": None,
}


def write_comparison(
    runs: Sequence[LoadedRun],
    out: Path,
    progress: Progress | None = None,
    say: Callable[[str], None] = silent,
    metrics: Sequence[str] = (),
) -> None:
    """Writes the page of at least two runs on the same data to `out`, with every measurement that is known. What was not measured
    yet is: what `evaluate` measures by default, or those of `metrics` that apply to a run. Raises ConfigError for runs that
    cannot be compared."""
    measuring.check_known(metrics)
    named = names_of(runs)
    applied = [_measure(name, run, metrics, progress, say) for name, run in named.items()]
    if nowhere := [name for name in metrics if name != measuring.ALL and not any(name in names for names in applied)]:
        say(f"left out, for they apply to none of the runs: {', '.join(nowhere)}")
    figures, missing = _figures({name: RunView(run) for name, run in named.items()})
    text = render_page(
        "compare.html.j2",
        version=__version__,
        title=" · ".join(named),
        data=runs[0].config.data.data,
        names=list(named),
        facts=[_facts(run) for run in runs],
        lines=table_rows(runs),
        figures=figures,
        missing=missing,
        sure=SURE,
    )
    write_text(out, text)


def names_of(runs: Sequence[LoadedRun]) -> dict[str, LoadedRun]:
    """By the names of their folders, or by their paths where two folders have one name."""
    paths = [run.path.resolve() for run in runs]
    if len(set(paths)) < max(2, len(paths)):
        raise ConfigError("a comparison takes at least two runs, each once: name others")
    first = runs[0].document.data.fingerprint
    for run in runs:
        if run.document.data.fingerprint != first:
            raise ConfigError(
                f"{run.path} was trained on other data ({run.config.data.data}) than {runs[0].path} "
                f"({runs[0].config.data.data}), and figures of different data do not compare: leave one of the two out"
            )
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [str(run.path) for run in runs]
    return dict(zip(names, runs, strict=True))


def _measure(
    name: str, run: LoadedRun, metrics: Sequence[str], progress: Progress | None, say: Callable[[str], None]
) -> list[str]:
    """Measures what is requested and was not measured of these weights yet; the names of all that is requested. What was tried
    and has no value is not tried again."""
    options, every = EvaluationOptions(), [measuring.ALL] if metrics else []
    apply, _ = measuring.choose(run_context(run, options), every)
    requested = [one for one in apply if not metrics or one in metrics or measuring.ALL in metrics]
    known = measured(run)
    lacking = {one: why for one, why in without_value(run, options).items() if one in requested}
    for one, why in lacking.items():
        say(f"{name}: left out: {one}: {why}")
    missing = [one for one in requested if one not in known and one not in lacking]
    if missing:
        say(f"{name}: {len(missing)} figures to measure")
        evaluate_run(run, missing, options, progress, say)
    return requested


def _figures(views: Mapping[str, RunView]) -> tuple[list[ShownFigure], dict[str, list[str]]]:
    """(figures, what is missing of which run by reason). What no run's model can do is not missing."""
    figures: list[ShownFigure] = []
    missing: dict[str, list[str]] = {}
    for key, options in COMPARED.items():
        figure, drawings, without = FIGURES[key], {}, []
        for name, view in views.items():
            if figure.needs not in view.run.model.abilities:
                without.append(name)
                continue
            try:
                drawings[name] = figure.draw(view, options) if options else figure.on_page(view)
            except Exception as error:
                missing.setdefault(reason(error), []).append(f"{figure.title} of {name}")
        note = f"Not of {', '.join(without)}, whose model cannot." if without else ""
        try:
            if drawings:
                figures.append(shown(key, figure, note, _side_by_side(drawings)))
        except Exception as error:
            missing.setdefault(reason(error), []).append(figure.title)
    return figures, missing


def _side_by_side(drawings: Mapping[str, Drawing]) -> list[tuple[str, Panel | Chart]]:
    """Panels as one, charts by run."""
    panels = {name: panel for name, drawing in drawings.items() for panel in drawing.panels}
    if panels:
        return [("", joined(panels))]
    return [(name, part) for name, drawing in drawings.items() for part in drawing.parts]


def _facts(run: LoadedRun) -> dict[str, str]:
    try:
        status = run.folder.status()
        epochs, training = f"{status.epoch:.3g}", duration(status.seconds)
    except RunError:  # one that is damaged hinders no comparison
        epochs = training = "unknown"
    parameters = sum(parameter.numel() for parameter in run.model.parameters())
    return {
        "model": run.config.model,
        "recipe": run.config.recipe,
        "parameters": f"{parameters:,}",
        "epochs": epochs,
        "training": training,
        "likelihood": likelihood_of(run),
        "prior": run.kept.prior or ("its own" if run.model.has("prior") else "none"),
    }
