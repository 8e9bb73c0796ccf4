"""How long cells will take, from a few training steps and importance samples of each kind, timed here and now."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from experiments.cells import Cell, ExperimentRunner, protocol
from reparam.core.abilities import Ability
from reparam.data import Dataset
from reparam.data.tasks import with_condition
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.likelihood import importance_nll, monte_carlo_nll
from reparam.models import Schedule
from reparam.objectives import Objective
from reparam.run.config import RunConfig
from reparam.run.data import open_data, stored_spec
from reparam.run.device import choose_device
from reparam.session import build
from reparam.training import Loop

TIMED_STEPS = 8
TIMED_DRAWS = 20
TIMED_EVALUATION = protocol(images=100)
SAMPLED_METRICS = {"nll", "cnll_is", "cnll_mc"}  # the others take moments, or are not estimated
VALIDATION_COST = 1 / 3  # of a training step's: there is no backward pass


@dataclass(frozen=True)
class _Pace:
    """Seconds: of training per image, and of an importance sample of one image."""

    image: float
    sample: float


def estimate(runner: ExperimentRunner, cells: Sequence[Cell]) -> dict[str, float]:
    """Seconds that each cell will still take. A run that several cells need is counted with the first of them."""
    found = {cell.name: 0.0 for cell in cells}
    counted: set[str] = set()
    paces: dict[str, _Pace] = {}
    datasets: dict[str, Dataset] = {}
    for cell in cells:
        if runner.result(cell):
            continue
        for one in _runs(runner, cell):
            epochs = 0.0 if one.run_name in counted else _epochs_left(runner, one)
            sampled = len(SAMPLED_METRICS & set(one.metrics)) if one is cell else 0
            counted.add(one.run_name)
            if not epochs and not sampled:
                continue
            config = one.config(runner.fast)
            if config.data.data not in datasets:
                datasets[config.data.data] = open_data(config)
            dataset = datasets[config.data.data]
            training = dataclasses.replace(config.training, seed=0, epochs=1)
            kind = repr(dataclasses.replace(config, training=training))
            if kind not in paces:
                paces[kind] = _time(config, dataset)
            options = one.evaluation_options(runner.fast)
            assert options.samples
            assert options.nll_images
            samples = sampled * options.samples * min(options.nll_images, len(dataset.test))
            found[cell.name] += epochs * _images_per_epoch(config, dataset) * paces[kind].image
            found[cell.name] += samples * paces[kind].sample
    return found


def _runs(runner: ExperimentRunner, cell: Cell) -> Iterator[Cell]:
    """The cells that have to be trained for this one, and the cell itself at the end."""
    if not runner.run_folder(cell).ended():
        for name in cell.needed:
            yield from _runs(runner, runner.cells[name])
    yield cell


def _epochs_left(runner: ExperimentRunner, cell: Cell) -> float:
    folder = runner.run_folder(cell)
    if folder.ended():
        return 0.0
    return max(cell.config(runner.fast).training.epochs - folder.status().epoch, 0.0)


def _images_per_epoch(config: RunConfig, dataset: Dataset) -> float:
    """Images of an epoch, the validation of a single player after it included."""
    images = float(len(config.training_images(dataset)))
    validated = config.data.train_on == "train" and len(_objective(config).players) == 1
    return images + (VALIDATION_COST * len(dataset.validation) if validated else 0)


def _objective(config: RunConfig) -> Objective:
    return config.family.objective(config.options, Schedule(1, 1))


def _time(config: RunConfig, dataset: Dataset) -> _Pace:
    split = config.training_images(dataset)
    size = min(config.training.batch_size, len(split))
    training = dataclasses.replace(config.training, keep="last", patience=0, batch_size=size)
    device = choose_device(training.device)
    model = build(config, with_condition(stored_spec(dataset), config.task))
    with torch.random.fork_rng():
        loop = Loop(model, _objective(config), split, config.task, training, device)
        image = _seconds(loop.cycle, TIMED_STEPS) / loop.cycle.images_per_cycle
    if not model.has("prior") or not {"likelihood", "predict"} & model.abilities:
        return _Pace(image, 0.0)
    context = EvaluationContext(model.eval(), dataset, config.task, TIMED_EVALUATION)
    estimator = importance_nll if Ability.BOUND in model.abilities else monte_carlo_nll
    seconds = _seconds(lambda: estimator(model, context.x, TIMED_DRAWS, 0, c=context.c), 1)
    return _Pace(image, seconds / (TIMED_DRAWS * len(context.x)))


def _seconds(work: Callable[[], object], times: int) -> float:
    """Of one call, after one that is not timed."""
    work()
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times
