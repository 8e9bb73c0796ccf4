"""A cell is one trained and measured run of an experiment. Its result is kept as JSON, so that no figure is computed twice.

FOLDER/cells/NAME.json   the result: what was measured, and everything that it depends on
FOLDER/runs/NAME         the run folder, from which an interrupted cell continues (large: not kept with the results)
"""

import dataclasses
import datetime
import fnmatch
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

import reparam
from experiments.provenance import commit, machine
from reparam import api
from reparam.errors import ReparamError, RunError
from reparam.evaluation import METRICS, EvaluationOptions, evaluate_run, left_out
from reparam.files import read_json, write_json
from reparam.latent.directions import PIXELS
from reparam.run.config import RunConfig, resolve, sections
from reparam.run.documents import finite_figures
from reparam.run.folder import RunFolder
from reparam.session import continue_run, start
from reparam.terminal import ending
from reparam.training import Progress, Silent

FORMAT = 1
# Under --fast (a rehearsal) every cell is this small: it tests the machinery, and its figures mean nothing.
FAST = {"data": "digits", "epochs": 0.5}
FAST_EVALUATION: dict[str, Any] = {
    "samples": 5,
    "nll_images": 20,
    "images": 128,
}  # fewer cannot be compared as distributions


def protocol(**options: Any) -> EvaluationOptions:
    """How cells are measured: with as many draws and images as published tables have, whatever the time."""
    return EvaluationOptions(**{"samples": 5000, "nll_images": 1000, **options})


@dataclass(frozen=True)
class Cell:
    """One run of `reparam train MODEL OPTIONS`, and the metrics that are measured of it.

    start: name of the cell whose weights this one begins with ("": none). The option `augment` names cells in the same way.
    of: name of the cell whose run is measured again here, under another evaluation. The options are that cell's ("": own run).
    fast: options of this cell's rehearsal that differ from `FAST`.
    """

    name: str
    options: Mapping[str, Any]
    metrics: tuple[str, ...]
    model: str = "vae"
    evaluation: EvaluationOptions = field(default_factory=protocol)
    start: str = ""
    of: str = ""
    fast: Mapping[str, Any] = field(default_factory=dict)

    @property
    def run_name(self) -> str:
        return self.of or self.name

    @property
    def needed(self) -> tuple[str, ...]:
        """The cells whose runs must be there before this one is trained."""
        augmenting = tuple(name for name in self.options.get("augment", ()) if name != PIXELS)
        return (self.start, *augmenting) if self.start else augmenting

    def train_options(self, fast: bool) -> dict[str, Any]:
        return {"data": "mnist", **self.options, **({**FAST, **self.fast} if fast else {})}

    def evaluation_options(self, fast: bool) -> EvaluationOptions:
        return dataclasses.replace(self.evaluation, **(FAST_EVALUATION if fast else {}))

    def measured(self, fast: bool) -> tuple[str, ...]:
        """The metrics. A rehearsal leaves out those that take the better part of an hour."""
        return tuple(name for name in self.metrics if not fast or not METRICS[name].expensive)

    def config(self, fast: bool = False) -> RunConfig:
        """The configuration of the run, without the weights that it begins with."""
        options = {"pictures": 0, "least_steps": 0, **self.train_options(fast)}
        config = resolve(self.model, options.pop("recipe", None), **options)
        return dataclasses.replace(config, chosen=config.chosen | {"patience"})  # not lengthened for few images

    def command(self, fast: bool = False) -> str:
        """What one would type for the same run, in the runner's folder."""
        words = ["reparam train", self.model]
        options = self.train_options(fast)
        if augment := options.get("augment"):
            options["augment"] = tuple(name if name == PIXELS else f"runs/{name}" for name in augment)
        words += [f"--{name.replace('_', '-')} {_typed(value)}" for name, value in options.items()]
        if self.start:
            words.append(f"--init-from runs/{self.start}")
        return " ".join([*words, f"--out runs/{self.run_name}"])


def _typed(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class ExperimentRunner:
    """Runs cells and keeps their results in a folder. `cells`: all that there are, by name."""

    folder: Path
    cells: Mapping[str, Cell]
    fast: bool = False
    progress: Progress = field(default_factory=Silent)

    def run_folder(self, cell: Cell) -> RunFolder:
        return RunFolder(self.folder / "runs" / cell.run_name)

    def result_path(self, cell: Cell) -> Path:
        return self.folder / "cells" / f"{cell.name}.json"

    def result(self, cell: Cell) -> dict[str, Any] | None:
        """The stored result, or None where there is none under the cell's present settings."""
        path = self.result_path(cell)
        if not path.exists():
            return None
        try:
            document = read_json(path)
        except RunError:
            raise RunError(f"{path} is damaged: delete it, and the cell is measured again") from None
        figures = document["metrics"]
        document["metrics"] = finite_figures(figures)
        no_value = {name: figures[name].get("note", "") for name in figures.keys() - document["metrics"].keys()}
        document["left_out"] = document.get("left_out", no_value)
        evaluation = dataclasses.asdict(cell.evaluation_options(self.fast))
        defaults = dataclasses.asdict(EvaluationOptions())
        source = self.cells[cell.start] if cell.start else None
        current = (
            document.get("format") == FORMAT
            and _agree(document["config"], cell.config(self.fast))
            and all(document["evaluation"].get(name, defaults[name]) == value for name, value in evaluation.items())
            and set(cell.measured(self.fast)) <= document["metrics"].keys() | document["left_out"].keys()
            and document.get("start", "") == cell.start
            and (source is None or _agree(document["start_config"], source.config(self.fast)))
        )
        return document if current else None

    def measure(self, cell: Cell) -> dict[str, Any]:
        """Trains (on from where it stopped), measures and writes the result. Raises what `ending` says when interrupted."""
        run = self._trained(cell)
        began = time.monotonic()
        options = cell.evaluation_options(self.fast)
        names = cell.measured(self.fast)
        measures = evaluate_run(run, names, options, self.progress, self.progress.note) if names else {}
        status = run.folder.status()
        document = {
            "format": FORMAT,
            "cell": cell.name,
            "command": cell.command(self.fast),
            "fast": self.fast,
            "seed": cell.config().training.seed,
            "shape": list(run.spec.image_shape),
            "parameters": sum(parameter.numel() for parameter in run.model.parameters()),
            "commit": commit(),
            "reparam": reparam.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": machine(),
            "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
            "seconds": {"training": status.seconds, "evaluation": round(time.monotonic() - began, 1)},
            "epochs": round(status.epoch, 2),
            "evaluation": dataclasses.asdict(options),
            "metrics": {name: dataclasses.asdict(measure) for name, measure in measures.items()},
            "left_out": left_out(run, names, options),
            "config": _plain(cell.config(self.fast)),
            "start": cell.start,
        }
        if cell.start:
            document["start_config"] = _plain(self.cells[cell.start].config(self.fast))
        write_json(self.result_path(cell), document)
        return document

    def run(self, cell: Cell) -> api.Run:
        """The trained run of a cell. Raises RunError where there is none."""
        return api.load(self.run_folder(cell).path)

    def _trained(self, cell: Cell) -> api.Run:
        """The cell's run, after training what is left of it and of those that it needs."""
        folder = self.run_folder(cell)
        config = cell.config(self.fast)
        if (folder.path / "run.json").exists():
            if _plain(folder.config()) != _plain(config):
                raise RunError(f"{folder.path} was trained under other settings than {cell.name} has now: delete it")
            if folder.ended():
                return api.load(folder.path)
            _, outcome = continue_run(folder, self.progress)
        else:
            paths = {name: str(self._trained(self.cells[name]).path) for name in cell.needed}
            augment = tuple(paths.get(name, name) for name in config.training.augment)
            training = dataclasses.replace(config.training, init_from=paths.get(cell.start, ""), augment=augment)
            config = dataclasses.replace(config, training=training)
            _, outcome = start(config, folder.path, self.progress)
        if outcome.state == "interrupted":
            raise ending(outcome.signal)
        return api.load(folder.path)


def _plain(config: RunConfig) -> dict[str, Any]:
    """The configuration as JSON, without what differs from machine to machine: the places of other runs and of data, and which
    library multiplies."""
    document = config.to_json()
    document["training"]["products"] = "auto"
    document["training"]["init_from"] = ""
    document["training"]["augment"] = [Path(name).name for name in document["training"]["augment"]]
    document["data"]["data_root"] = None
    return document


def _agree(stored: dict[str, Any], config: RunConfig) -> bool:
    """Whether a stored configuration is the present one. Options that were added since must have their defaults."""
    present = _plain(config)
    for section, cls in sections(config.family).items():
        defaults = TypeAdapter(dict[str, Any]).dump_python(dataclasses.asdict(cls()), mode="json")
        for name, value in present[section].items():
            if stored[section].get(name, defaults[name]) != value:
                return False
    return True


def matching(cells: Mapping[str, Cell], names: Sequence[str], patterns: Sequence[str]) -> list[Cell]:
    """The cells of these names that match a pattern such as `structure-2-*`, or all without patterns.

    Raises ReparamError for a pattern that matches none.
    """
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise ReparamError(f"no cell '{pattern}': choose among {', '.join(names)} (patterns with * too)")
    chosen = (name for name in names if not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns))
    return [cells[name] for name in chosen]
