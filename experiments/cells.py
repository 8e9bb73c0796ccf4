"""A cell is one trained and measured run of an experiment, kept as JSON, so that no figure is computed twice.

FOLDER/cells/NAME.json   what was measured, and everything it depends on
FOLDER/runs/NAME         the run, from which an interrupted cell continues (large: not kept with the results)
"""

import dataclasses
import datetime
import fnmatch
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

import reparam
from reparam import api
from reparam.data import Dataset
from reparam.data.tasks import with_condition
from reparam.errors import ReparamError, RunError
from reparam.evaluation import METRICS, EvaluationOptions
from reparam.evaluation.context import EvaluationContext
from reparam.files import read_json, write_json
from reparam.latent.directions import PIXELS
from reparam.models import Schedule
from reparam.run.config import RunConfig, resolve, sections
from reparam.run.data import open_data, stored_spec
from reparam.run.device import choose_device
from reparam.run.folder import RunFolder
from reparam.session import build, continue_run, start
from reparam.training import Loop, Progress, Silent

FORMAT = 1
TIMED_STEPS = 8
# Under --fast every cell is this small: a test of the machinery, whose figures mean nothing.
FAST = {"data": "digits", "epochs": 0.5}
FAST_EVALUATION: dict[str, Any] = {"samples": 5, "nll_images": 20, "images": 200}


@dataclass(frozen=True)
class Cell:
    """One run: `reparam train MODEL OPTIONS`, then the metrics. `start`: the cell whose weights it begins with; the option
    `augment` names cells, too, whose runs move its images. `of`: the cell whose run is measured here once more, under another
    evaluation; it has that cell's options. `fast`: options of a rehearsal of its own, where digits cannot serve."""

    name: str
    options: Mapping[str, Any]
    metrics: tuple[str, ...]
    model: str = "vae"
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)
    start: str = ""
    of: str = ""
    fast: Mapping[str, Any] = field(default_factory=dict)

    def chosen(self, fast: bool) -> dict[str, Any]:
        return {"data": "mnist", **self.options, **({**FAST, **self.fast} if fast else {})}

    def measured(self, fast: bool) -> EvaluationOptions:
        return dataclasses.replace(self.evaluation, **(FAST_EVALUATION if fast else {}))

    def figures(self, fast: bool) -> tuple[str, ...]:
        """The metrics: a rehearsal leaves out those that take the better part of an hour."""
        return tuple(name for name in self.metrics if not fast or not METRICS[name].expensive)

    def config(self, fast: bool = False) -> RunConfig:
        """As it is trained, but for the start."""
        options = {"pictures": 0, **self.chosen(fast)}
        return resolve(self.model, options.pop("recipe", None), **options)

    def command(self, fast: bool = False) -> str:
        """What a person would type for the same run, in the runner's folder."""
        words = ["reparam train", self.model]
        options = self.chosen(fast)
        if moves := options.get("augment"):
            options["augment"] = tuple(name if name == PIXELS else f"runs/{name}" for name in moves)
        words += [f"--{name.replace('_', '-')} {_typed(value)}" for name, value in options.items()]
        if self.start:
            words.append(f"--init-from runs/{self.start}")
        return " ".join([*words, f"--out runs/{self.of or self.name}"])


def _typed(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class ExperimentRunner:
    """Where cells lie, and how they are run. `cells` are all that there are, by name."""

    folder: Path
    cells: Mapping[str, Cell]
    fast: bool = False
    progress: Progress = field(default_factory=Silent)

    def run_path(self, cell: Cell) -> Path:
        return self.folder / "runs" / (cell.of or cell.name)

    def result_path(self, cell: Cell) -> Path:
        return self.folder / "cells" / f"{cell.name}.json"

    def result(self, cell: Cell) -> dict[str, Any] | None:
        """What was measured under the settings of now; None where it was not."""
        path = self.result_path(cell)
        if not path.exists():
            return None
        try:
            document = read_json(path)
        except RunError:
            raise RunError(f"{path} is damaged: delete it, and the cell is measured again") from None
        evaluation = dataclasses.asdict(cell.measured(self.fast))
        defaults = dataclasses.asdict(EvaluationOptions())
        source = self.cells[cell.start] if cell.start else None
        current = (
            document.get("format") == FORMAT
            and _agree(document["config"], cell.config(self.fast))
            and all(document["evaluation"].get(name, defaults[name]) == value for name, value in evaluation.items())
            and set(cell.figures(self.fast)) <= set(document["metrics"])
            and document.get("start", "") == cell.start
            and (source is None or _agree(document["start_config"], source.config(self.fast)))
        )
        return document if current else None

    def measure(self, cell: Cell) -> dict[str, Any]:
        """Trains (on from where it stopped), measures, writes the result. Raises KeyboardInterrupt when interrupted."""
        run = self._trained(cell)
        began = time.monotonic()
        options = cell.measured(self.fast)
        names = cell.figures(self.fast)
        measures = run.evaluate(names, options, self.progress, self.progress.note) if names else {}
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
            "seconds": {"training": status["seconds"], "evaluation": round(time.monotonic() - began, 1)},
            "epochs": round(status["epoch"], 2),
            "evaluation": dataclasses.asdict(options),
            "metrics": {name: dataclasses.asdict(measure) for name, measure in measures.items()},
            "config": _plain(cell.config(self.fast)),
            "start": cell.start,
        }
        if cell.start:
            document["start_config"] = _plain(self.cells[cell.start].config(self.fast))
        write_json(self.result_path(cell), document)
        return document

    def run(self, cell: Cell) -> api.Run:
        """The trained run of a cell. Raises RunError where it is not there."""
        return api.load(self.run_path(cell))

    def _folder(self, cell: Cell) -> RunFolder:
        return RunFolder(self.run_path(cell))

    def _trained(self, cell: Cell) -> api.Run:
        """The cell's run, after training what is left of it; that of the cell it starts from first."""
        folder = self._folder(cell)
        config = cell.config(self.fast)
        if (folder.path / "run.json").exists():
            if _plain(folder.config()) != _plain(config):
                raise RunError(f"{folder.path} was trained under other settings than {cell.name} has now: delete it")
            if folder.ended():
                return api.load(folder.path)
            _, outcome = continue_run(folder, self.progress)
        else:
            begin = str(self._trained(self.cells[cell.start]).path) if cell.start else ""
            moves = tuple(
                name if name == PIXELS else str(self._trained(self.cells[name]).path)
                for name in config.training.augment
            )
            training = dataclasses.replace(config.training, init_from=begin, augment=moves)
            config = dataclasses.replace(config, training=training)
            _, outcome = start(config, folder.path, self.progress)
        if outcome.state == "interrupted":
            raise KeyboardInterrupt
        return api.load(folder.path)

    def estimate(self, wanted: Sequence[Cell]) -> dict[str, float]:
        """Seconds that each cell will still take, the training of those they start from included: from a few steps and
        importance samples of each, timed here and now."""
        found: dict[str, float] = {}
        timed: dict[str, tuple[float, float]] = {}
        datasets: dict[str, Dataset] = {}
        for cell in wanted:
            if self.result(cell):
                found[cell.name] = 0.0
                continue
            source = self.cells[cell.start] if cell.start else None
            measured = [cell] if source in wanted else [cell, source]
            trained_there = cell.of and self.cells[cell.of] in wanted
            for one in measured:
                if one is None or (one is source and self._folder(one).ended()):
                    continue
                estimates = len({"nll", "cnll_is", "cnll_mc"} & set(one.metrics)) if one is cell else 0
                epochs = 0.0 if trained_there or self._folder(one).ended() else self._epochs_left(one)
                if not epochs and not estimates:  # metrics that take moments
                    found.setdefault(cell.name, 0.0)
                    continue
                config = one.config(self.fast)
                if config.data.data not in datasets:
                    datasets[config.data.data] = open_data(config.data.data, config)
                dataset = datasets[config.data.data]
                alike = repr(
                    dataclasses.replace(config, training=dataclasses.replace(config.training, seed=0, epochs=1))
                )
                if alike not in timed:
                    timed[alike] = _time(config, dataset)
                image, draw = timed[alike]
                options = one.measured(self.fast)
                seconds = epochs * _images_an_epoch(config, dataset) * image
                seconds += estimates * draw * options.samples * min(options.nll_images, len(dataset.test))
                found[cell.name] = found.get(cell.name, 0.0) + seconds
        return found

    def _epochs_left(self, cell: Cell) -> float:
        done = self._folder(cell).status().get("epoch", 0.0)
        return max(cell.config(self.fast).training.epochs - done, 0.0)


def _images_an_epoch(config: RunConfig, dataset: Dataset) -> float:
    """Validation after each epoch counted, of a single player: a step without its backward pass takes a third."""
    images = float(len(config.training_images(dataset)))
    alone = len(config.family.objective(config.options, Schedule(1, 1)).players) == 1
    return images + (len(dataset.validation) / 3 if config.data.train_on == "train" and alone else 0)


def _time(config: RunConfig, dataset: Dataset) -> tuple[float, float]:
    """Seconds of training for each image of a cycle, and an importance sample of one image."""
    split = config.training_images(dataset)
    model = build(config, with_condition(stored_spec(dataset), config.task))
    device = choose_device(config.training.device)
    size = min(config.training.batch_size, len(split))
    training = dataclasses.replace(config.training, keep="last", patience=0, batch_size=size)
    with torch.random.fork_rng():
        loop = Loop(
            model, config.family.objective(config.options, Schedule(1, 1)), split, config.task, training, device
        )
        image = _seconds(loop.cycle, TIMED_STEPS) / loop.cycle.images_per_cycle
    if not {"likelihood", "predict"} & model.abilities:
        return image, 0.0
    options = EvaluationOptions(samples=20, nll_images=100, images=100)
    context = EvaluationContext(model.eval(), dataset, config.task, options)
    if not model.has("prior"):
        return image, 0.0
    estimate = context.importance_nll if "bound" in model.abilities else context.monte_carlo
    return image, _seconds(lambda: estimate(context.x), 1) / (20 * len(context.x))


def _seconds(work: Callable[[], object], times: int) -> float:
    work()
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times


def _plain(config: RunConfig) -> dict[str, Any]:
    """The configuration without what is this machine's own: where the weights that it starts from, other runs and data lie."""
    document = config.to_json()
    document["training"]["init_from"] = ""
    document["training"]["augment"] = [Path(name).name for name in document["training"]["augment"]]
    document["data"]["data_root"] = None
    return document


def _agree(stored: dict[str, Any], config: RunConfig) -> bool:
    """Whether a stored configuration is that of now. Options that came later must have their defaults, as then."""
    now = _plain(config)
    for section, cls in sections(config.family).items():
        defaults = TypeAdapter(dict[str, Any]).dump_python(dataclasses.asdict(cls()), mode="json")
        for name, value in now[section].items():
            if stored[section].get(name, defaults[name]) != value:
                return False
    return True


def commit() -> str:
    """The commit of the source tree that this file is tracked in, with + where it was changed; else the version."""
    here = Path(__file__).resolve()

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=here.parent, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        return git("rev-parse", "--short=10", "HEAD") + ("+" if git("status", "--porcelain", "--", "..") else "")
    except (OSError, subprocess.CalledProcessError):
        return reparam.__version__


def machine() -> str:
    """The machine class of a figure: threads and processor, and the GPU where there is one."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}, {processor()}{gpu}"


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()


def matching(cells: Mapping[str, Cell], names: Sequence[str], patterns: Sequence[str]) -> list[Cell]:
    """The cells of an experiment, or those of them that match a pattern (`structure-2-*`). Raises ReparamError for one that
    matches none."""
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise ReparamError(f"no cell '{pattern}': choose among {', '.join(names)} (patterns with * too)")
    wanted = [name for name in names if not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    return [cells[name] for name in wanted]
