"""Starts and continues the training of a run: where data, model, loop, validation and pictures meet."""

import contextlib
import datetime
import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reparam.data import Dataset, Images
from reparam.data.options import Damaged
from reparam.data.tasks import make_batch, with_condition
from reparam.distributions import keyed_generator
from reparam.errors import ConfigError, DataError, StepError
from reparam.latent.augmentation import BaseAugmenter, Compose, PixelAugmenter
from reparam.latent.directions import PIXELS, find_direction
from reparam.models import Model, Schedule, Spec
from reparam.objectives import Objective
from reparam.reports.previews import PreviewWriter
from reparam.run.config import RunConfig, TrainingOptions
from reparam.run.data import open_data, stored_spec
from reparam.run.device import choose_device
from reparam.run.folder import RunFolder, load_weights
from reparam.run.loaded import LoadedRun
from reparam.training import Loop, Outcome, Progress, processes, settle_process
from reparam.training.plan import Plan, check_device, plan
from reparam.training.reader import BatchReader

VALIDATION_BLOCK = 100  # it keys the noise, and bounds the memory


def start(config: RunConfig, out: str | Path | None, progress: Progress) -> tuple[RunFolder, Outcome]:
    """Creates the run folder and trains."""
    settle_process()
    device = choose_device(config.training.device)
    check_device(config.training, device)
    processes.join(device)
    if processes.world() > 1 and not out:
        raise ConfigError("several processes need one folder to write to: give --out")
    dataset = open_data(config.data.data, config)
    for note in dataset.notes:
        progress.note(note)
    split = config.training_images(dataset)
    count = len(split)
    if config.data.train_on == "all":
        progress.note(f"training on all {count:,} training and validation images")
    spec = stored_spec(dataset)
    folder = RunFolder(Path(out) if out else _free_folder(config))
    config = _anchored(config, dataset)
    parts = config.training.accumulate * processes.world()
    if config.training.batch_size > count:
        fitting = max(count // parts * parts, parts)
        progress.note(f"batches of {fitting}, not {config.training.batch_size}: there are {count} images to train on")
        config = replace(config, training=replace(config.training, batch_size=fitting))
    model = build(config, with_condition(spec, config.task))  # first: one that cannot be built leaves no folder behind
    augment = _augment(config.training, dataset, split, device)  # nor does a move that cannot be made
    planned = plan(config, count)  # nor a plan that does not hold
    facts = {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "classes": list(dataset.classes),
        "images": {split: len(getattr(dataset, split)) for split in ("train", "validation", "test")},
        "notes": list(dataset.notes),
        "moved_by": _movers(config.training),
    }
    place = {"processes": processes.world(), "device": device.type}
    fresh = not folder.path.exists()
    try:
        with _alone(folder):
            if processes.rank() == 0:
                folder.create(config, spec, facts, place, " ".join(sys.argv))
            return _train(folder, config, planned, model, dataset, split, augment, progress, continued=False)
    except StepError:  # its remedy is another configuration, for which the place is wanted
        kept = folder.checkpoint_path.exists() or folder.weights_path.exists()
        if fresh and processes.rank() == 0 and not kept:
            shutil.rmtree(folder.path, ignore_errors=True)
        raise


def continue_run(folder: RunFolder, progress: Progress, damaged: Damaged | None = None) -> tuple[RunFolder, Outcome]:
    """Continues the run in `folder`. Raises DataError if its data is not what it was."""
    settle_process()
    config, spec = folder.config(), folder.spec()
    device = choose_device(config.training.device)
    processes.join(device)
    if folder.ended():
        if damaged and processes.rank() == 0:
            with folder.locked():
                folder.amend_data(damaged=damaged)
        return folder, _outcome(folder)
    if damaged:
        config = replace(config, data=replace(config.data, damaged=damaged))
    document = folder.document()
    _check_place(document, device)
    dataset = open_data(config.data.data, config, spec)
    if dataset.fingerprint != document["data"]["fingerprint"]:
        raise DataError(
            f"'{config.data.data}' is not what {folder.path} was trained on: restore it, or train a new run"
        )
    if folder.checkpoint_path.exists():  # weights come from there: where they once began may be gone
        config = replace(config, training=replace(config.training, init_from=""))
    if (movers := document["data"].get("moved_by", {})) != _movers(config.training):
        raise DataError(f"not what moved the images of {folder.path}: put back {', '.join(movers)}, or train a new run")
    split = config.training_images(dataset)
    augment = _augment(config.training, dataset, split, device)
    with _alone(folder):
        if damaged and processes.rank() == 0:
            folder.amend_data(damaged=damaged)
        model = build(config, spec)
        return _train(
            folder, config, plan(config, len(split)), model, dataset, split, augment, progress, continued=True
        )


def _outcome(folder: RunFolder) -> Outcome:
    """How a run that has ended did so."""
    facts = folder.status()
    best = facts["best_validation_total"]
    best = math.inf if best is None else best
    return Outcome(facts["state"], facts["step"], facts["epoch"], facts["kept"], best, facts["seconds"])


def _check_place(document: dict[str, Any], device: torch.device) -> None:
    """Raises ConfigError where a run would not continue exactly: under another number of processes, or on another device."""
    count, kind = document.get("processes", processes.world()), document.get("device", device.type)
    if count != processes.world():
        raise ConfigError(
            f"this run was begun by {count} process{'es' * (count > 1)} and continues exactly only with as many, "
            f"not {processes.world()}"
        )
    if kind != device.type:
        raise ConfigError(
            f"this run was begun on '{kind}' and continues exactly only there, not on '{device.type}'; to go on elsewhere, start "
            "a new run with --init-from"
        )


def _anchored(config: RunConfig, dataset: Dataset) -> RunConfig:
    """With whole paths, so that the run can be opened and continued from any folder."""
    start_at = config.training.init_from
    moves = tuple(name if name == PIXELS else str(Path(name).absolute()) for name in config.training.augment)
    training = replace(config.training, init_from=str(Path(start_at).absolute()) if start_at else "", augment=moves)
    root = config.data.data_root
    data = replace(config.data, data=dataset.name, data_root=str(Path(root).absolute()) if root else None)
    return replace(config, data=data, training=training)


def _alone(folder: RunFolder) -> contextlib.AbstractContextManager[None]:
    """Of several processes that train together, the first holds the folder's lock."""
    return folder.locked() if processes.rank() == 0 else contextlib.nullcontext()


def build(config: RunConfig, spec: Spec) -> Model:
    """The model with its initial weights: those of `init_from`, else drawn from the run's seed."""
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        model = config.family.build(config.options, spec)
    if config.training.init_from:
        source = RunFolder(Path(config.training.init_from))
        tensors, _ = source.weights()
        load_weights(model, tensors, source.weights_path)
    return model


def _train(
    folder: RunFolder,
    config: RunConfig,
    planned: Plan,
    model: Model,
    dataset: Dataset,
    split: Images,
    augment: Compose | None,
    progress: Progress,
    continued: bool,
) -> tuple[RunFolder, Outcome]:
    device = choose_device(config.training.device)
    # Another stream than that of the initial weights, and for each process its own.
    torch.manual_seed(keyed_generator("cpu", config.training.seed, "noise", processes.rank()).initial_seed())
    schedule, interlude, objective, validated = planned
    validate = validator(objective, dataset, config, schedule, device) if validated else None
    loop = Loop(
        model,
        objective,
        split,
        config.task,
        config.training,
        device,
        folder=folder,
        validate=validate,
        draw=PreviewWriter(folder, dataset, config),
        progress=progress,
        augment=augment,
        interlude=interlude,
    )
    if continued:
        loop.restore()
    outcome = loop.run()
    return folder, outcome


def _movers(options: TrainingOptions) -> dict[str, str]:
    """The fingerprints of the weights of the runs of `--augment`; empty for one that is not there."""
    found = {}
    for name in options.augment:
        if name != PIXELS:
            found[name] = RunFolder(Path(name)).fingerprint().hex()
    return found


def _augment(options: TrainingOptions, dataset: Dataset, split: Images, device: torch.device) -> Compose | None:
    """The moves of `--augment`, which draw from the training's own stream; directions of classes are those of the images that
    are trained on. Raises ConfigError for a run of other images, DataError for one of other classes."""
    strengths = options.augment_strength or [None] * len(options.augment)
    moves: list[BaseAugmenter] = []
    for name, strength in zip(options.augment, strengths, strict=True):
        if name == PIXELS:
            moves.append(PixelAugmenter(strength=1.0 if strength is None else strength, seed=None, device=device))
            continue
        run = LoadedRun(name, str(device))
        if run.spec.image_shape != dataset.shape:
            raise ConfigError(f"{name} moves images of shape {run.spec.image_shape}, and these are {dataset.shape}")
        run.labelled_as_here(dataset)
        by_class = find_direction(options.augment_directions).needs == "latents"
        moves.append(
            run.augmenter(
                strength,
                directions=options.augment_directions,
                latents=run.class_latents(split, len(dataset.classes)) if by_class else None,
                apply=options.augment_apply,
                keep_class=options.augment_keep_class,
                seed=None,
            )
        )
    return Compose(moves, options.augment_share) if moves else None


def validator(
    objective: Objective, dataset: Dataset, config: RunConfig, schedule: Schedule, device: torch.device
) -> Callable[[nn.Module], dict[str, float]]:
    """Means of the objective's terms over the validation images, with the weights that terms have at the end of training
    (so that a warm-up does not make later epochs look worse) and the same random numbers every time."""
    split = dataset.validation.to(device)
    end = torch.tensor(schedule.steps, device=device)
    player = objective.players[0].name

    def validate(model: nn.Module) -> dict[str, float]:
        sums: dict[str, float] = {}
        places = torch.arange(len(split), device=device).split(VALIDATION_BLOCK)
        with contextlib.closing(BatchReader(split, iter(places))) as feed:
            for number, (index, images) in enumerate(feed):
                generator = keyed_generator(device, 0, "validation", number)
                batch = make_batch(images, index, config.task, generator)
                terms = objective(player, model, batch, end, generator)
                means = {"total": terms.total, **{name: term.value for name, term in terms.named.items()}}
                for name, value in means.items():
                    sums[name] = sums.get(name, 0.0) + float(value.sum())
        return {name: value / len(split) for name, value in sums.items()}

    return validate


def _free_folder(config: RunConfig) -> Path:
    """runs/MODEL-DATA-DATE-TIME, numbered if taken."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    data = "".join(c if c.isalnum() else "-" for c in config.data.data.rsplit("/", 1)[-1])
    name = f"{config.model.rsplit(':', 1)[-1].lower()}-{data}-{stamp}"
    candidates = [Path("runs") / name, *(Path("runs") / f"{name}-{i}" for i in range(2, 100))]
    return next(path for path in candidates if not path.exists())
