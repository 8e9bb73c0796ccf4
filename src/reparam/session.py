"""Starts and continues the training of a run: where data, model, loop, validation and pictures meet."""

import contextlib
import datetime
import math
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from reparam.core.callback import Callback
from reparam.data import Dataset, Images
from reparam.data.dataset import SPLITS
from reparam.data.options import Damaged
from reparam.data.tasks import with_condition
from reparam.distributions import default_generators, default_generators_kept, keyed_generator
from reparam.errors import (
    ConfigError,
    DataError,
    ImageError,
    MemoryShortError,
    ReparamError,
    StepError,
    memory_watched,
)
from reparam.files import file_names, user_path, why_refused
from reparam.latent.directions import PIXELS
from reparam.latent.prior_fitting import check_can_fit
from reparam.models import Model, Schedule, Spec
from reparam.networks.products import has_onednn, use_onednn
from reparam.reports.previews import PreviewWriter
from reparam.run.command import calmer_command, own_command
from reparam.run.config import RunConfig
from reparam.run.data import check_fingerprint, open_data, own_data, require_task, stored_spec, with_found
from reparam.run.device import choose_device
from reparam.run.documents import RunDocument
from reparam.run.folder import RunFolder
from reparam.run.photographs import for_photographs
from reparam.run.prior_fit import fit_after_training, lacks_prior
from reparam.run.weights import load_weights
from reparam.training import Loop, Outcome, Progress, processes, settle_process, training_alone
from reparam.training.augmentation import augmenting_runs, build_augmentation
from reparam.training.divergence import DivergedError
from reparam.training.length import enough_steps, fitted_to_minutes, fitting_batch, patient
from reparam.training.lost import check_checkpoint, has_weights, remedy_for_checkpoint, write_again
from reparam.training.memory import check_memory, larger_options
from reparam.training.products import Products, check_onednn, choose_products
from reparam.training.validation import Validator


def start(
    config: RunConfig,
    out: str | Path | None,
    progress: Progress,
    trust: bool = False,
    given: Dataset | None = None,
) -> tuple[RunFolder, Outcome]:
    """Creates the run folder and trains. What fails or is interrupted before its first step leaves no folder behind. Of several
    threads one trains at a time; the process's settings are afterwards as before. `trust`: code that runs to augment by name
    may run. given: the images, where Python gives them."""
    with training_alone(progress.note):
        return _start(config, out, progress, trust, given)


def _start(
    config: RunConfig, out: str | Path | None, progress: Progress, trust: bool, given: Dataset | None
) -> tuple[RunFolder, Outcome]:
    settle_process()
    device = choose_device(config.training.device)
    processes.join(device)
    if processes.world() > 1 and not out:
        raise ConfigError("several processes need one folder to write to: give --out")
    folder = RunFolder(user_path(out) if out else _free_folder(config), trust)
    if processes.rank() == 0:
        folder.require_new()  # before the images are read, which may take minutes
    with memory_watched("for the images", "take a smaller --size, or leave them on disk (--stream, shards:PATH)"):
        dataset = open_data(config, given=given)
    require_task(config, dataset)
    images = config.training_images(dataset)
    for note in dataset.notes:
        progress.note(note)
    if config.data.train_on == "all":
        progress.note(f"training on all {len(images):,} training and validation images")
    config = with_found(for_photographs(config, dataset.shape, progress.note), dataset)
    config = fitting_batch(absolute_paths(config, dataset), len(images), progress.note)
    config = enough_steps(config, len(images), progress.note)
    spec = with_condition(stored_spec(dataset), config.task)
    check_memory(config, spec, device)

    def make(config: RunConfig) -> Loop:
        return make_loop(folder, config, spec, dataset, images, progress)

    config = patient(fitted_to_minutes(config, make, progress.note), len(images))
    loop = make(config)
    config = _with_products(config, loop, progress)
    with _new_run(folder, loop):
        if processes.rank() == 0:
            place = {"processes": processes.world(), "device": device.type}
            command = own_command(sys.argv)
            if note := folder.create(config, stored_spec(dataset), data_facts(config, dataset), place, command):
                progress.note(note)
        return folder, _run(loop, config, folder, dataset)


@contextlib.contextmanager
def _new_run(folder: RunFolder, loop: Loop) -> Iterator[None]:
    """The folder, locked. Where training ends before its first step, what it has written is removed: the remedy may need the same
    folder. Of several processes the first does all of this."""
    if processes.rank() != 0:
        yield
        return
    missing = [path for path in (folder.path, *folder.path.parents) if not path.exists()]
    lock = [] if folder.lock_path.exists() else [folder.lock_path]
    try:
        with folder.locked():
            before = set(folder.path.iterdir()) - set(lock)  # of others, who may have trained here a moment ago
            try:
                yield
            except BaseException:
                if loop.state.step == 0:
                    for path in set(folder.path.iterdir()) - before:
                        shutil.rmtree(path) if path.is_dir() else path.unlink()
                raise
    except BaseException:
        for path in missing:
            with contextlib.suppress(OSError):  # something is in it
                path.rmdir()
        raise


def _run(loop: Loop, config: RunConfig, folder: RunFolder, dataset: Dataset, resumed: bool = False) -> Outcome:
    """Trains, and fits the prior that is asked for. Errors name the command that works then, which continues the run or, where it
    would end so again, begins one."""
    remedy = (
        f"take a smaller {' or '.join([*larger_options(config), '--batch-size'])}, or --accumulate parts of a batch"
    )
    try:
        with memory_watched(f"to train with batches of {loop.options.batch_size:,}", remedy):
            outcome = loop.run()
        if processes.rank() == 0:
            fit_after_training(folder, config, dataset, loop.device, loop.progress)
        return outcome
    except StepError:
        raise
    except (ReparamError, OSError) as error:
        line = why_refused(error) if isinstance(error, OSError) else str(error)
        # Before its first step a run leaves no folder; and it may have been moved meanwhile.
        if (resumed or loop.state.step) and folder.holds_run:
            line += f"; {_what_works_then(error, folder, config)}"
        if isinstance(error, OSError):
            raise ReparamError(line) from error
        error.args = (line,)
        raise


def _what_works_then(error: Exception, folder: RunFolder, config: RunConfig) -> str:
    """The command that goes on from a run which ended by an error, and when."""
    if isinstance(error, DivergedError):
        return f"such as: {calmer_command(config, folder.path)}"
    resume = f"reparam resume {folder.typed}"
    if isinstance(error, ImageError) and config.data.damaged == "stop":  # another image in its place is other data
        return f"'{resume}' continues the run once the image is as it was, and '{resume} --damaged skip' without it"
    then = "or free some, and" if isinstance(error, MemoryShortError) else "then"
    under = f", under torchrun with {processes.world()} processes" if processes.world() > 1 else ""
    return f"{then} '{resume}' continues the run{under}"


def continue_run(
    folder: RunFolder, progress: Progress, damaged: Damaged | None = None, given: Dataset | None = None
) -> tuple[RunFolder, Outcome]:
    """Continues the run in `folder`, on its images, which are read or which Python has `given`. Raises DataError if they are not
    what they were, ConfigError on another device or under another number of processes. Threads and settings: as `start`."""
    with training_alone(progress.note):
        return _continue(folder, progress, damaged, given)


def _continue(
    folder: RunFolder, progress: Progress, damaged: Damaged | None, given: Dataset | None
) -> tuple[RunFolder, Outcome]:
    settle_process()
    document, config, spec = folder.parts()
    device = choose_device(config.training.device)
    processes.join(device)
    if folder.ended():
        lost = not has_weights(folder)
        if (damaged or lost) and processes.rank() == 0:
            with folder.locked():
                if damaged:
                    folder.amend_data(damaged=damaged)
                if lost:
                    write_again(folder)
                    progress.note("the weights were lost: they are written again, from the checkpoint")
        if processes.rank() == 0 and lacks_prior(folder, config):  # it was killed before it had one
            dataset = own_data(folder.path, config, spec, given)
            with folder.locked():
                fit_after_training(folder, config, dataset, device, progress)
        return folder, _outcome(folder)
    if damaged:
        config = replace(config, data=replace(config.data, damaged=damaged))
    _check_place(document, config, device)
    check_memory(config, spec, device)
    lost = not has_weights(folder)
    remedy = remedy_for_checkpoint(folder, config, lost)
    check_checkpoint(folder, lost, remedy)
    dataset = own_data(folder.path, config, spec, given)
    check_fingerprint(folder.path, document, config, dataset)
    runs = document.data.moved_by
    if runs != augmenting_runs(config.training):
        raise DataError(
            f"the runs that augment the images of {folder.path} have changed: put back {', '.join(runs)}, or train a new run"
        )
    if folder.checkpoint_path.exists():  # weights come from there: the run that they began from may be gone
        config = replace(config, training=replace(config.training, init_from=""))
    with _locked(folder):
        loop = make_loop(folder, config, spec, dataset, config.training_images(dataset), progress)
        if damaged and processes.rank() == 0:
            folder.amend_data(damaged=damaged)
        loop.restore(remedy)
        if lost:
            loop.keep_anew()
        return folder, _run(loop, config, folder, dataset, resumed=True)


def build(config: RunConfig, spec: Spec) -> Model:
    """The model with its initial weights: those of `init_from`, else random ones by the run's seed."""
    with default_generators_kept():
        torch.manual_seed(config.training.seed)
        model = config.build_model(spec)
    if config.training.init_from:
        source = RunFolder(Path(config.training.init_from))
        tensors, _ = source.weights()
        load_weights(model, tensors, source.weights_path, "give --init-from a run of the same model and options")
    return model


def make_loop(
    folder: RunFolder, config: RunConfig, spec: Spec, dataset: Dataset, images: Images, progress: Progress
) -> Loop:
    """The loop of a configuration; nothing is written yet. Raises ConfigError for options that do not hold."""
    device = choose_device(config.training.device)
    steps_per_epoch = len(images) / config.training.batch_size
    schedule = Schedule(steps_per_epoch, max(1, math.ceil(steps_per_epoch * config.training.epochs)))
    model = build(config, spec)
    if config.training.fit_prior != "none":
        check_can_fit(model, config.training.fit_prior)
    augment = build_augmentation(config, dataset, images, device, folder.trust)
    objective = config.family.objective(config.options, schedule)
    # Of several players none has a loss to choose weights by.
    validated = config.data.train_on == "train" and len(objective.players) == 1
    # Other random numbers than those of the initial weights, and for each process its own.
    with default_generators():
        torch.manual_seed(keyed_generator("cpu", config.training.seed, "noise", processes.rank()).initial_seed())
    return Loop(
        model,
        objective,
        images,
        config.task,
        config.training,
        device,
        folder=folder,
        validate=Validator(objective, dataset.validation, config.task, schedule.steps, device) if validated else None,
        draw=PreviewWriter(folder, dataset, config),
        progress=progress,
        augment=augment,
        callbacks=_callbacks(config, schedule),
    )


def _callbacks(config: RunConfig, schedule: Schedule) -> tuple[Callback, ...]:
    """The family's; weights of another run are not initialised again."""
    found = config.family.callbacks(config.options, schedule)
    return tuple(one for one in found if one.step or not config.training.init_from)


def absolute_paths(config: RunConfig, dataset: Dataset) -> RunConfig:
    """So that the run can be opened and continued from any folder."""

    def absolute(path: str) -> str:
        return str(user_path(path).absolute())

    training, root = config.training, config.data.data_root
    runs = tuple(name if name == PIXELS else absolute(name) for name in training.augment)
    training = replace(training, init_from=training.init_from and absolute(training.init_from), augment=runs)
    data = replace(config.data, data=dataset.name, data_root=absolute(root) if root else None)
    return replace(config, data=data, training=training)


def _with_products(config: RunConfig, loop: Loop, progress: Progress) -> RunConfig:
    """`config` with the library that multiplies, which everything that is done with the run later uses too; under 'auto' it is
    chosen here. Raises ConfigError for 'onednn' if the run is not float32 on a CPU, or if oneDNN is missing or rounds."""
    training, model = config.training, loop.state.model
    asked, on_cpu = training.products, loop.device.type == "cpu" and training.precision == "float32"
    if asked == "onednn":
        if not on_cpu:
            raise ConfigError("products 'onednn' is for float32 on a CPU: leave --products out")
        check_onednn(model)
        return config
    chosen: Products = "mkl"
    if asked == "auto" and on_cpu:
        rows = training.batch_size // training.accumulate // processes.world()
        chosen = processes.from_first(choose_products(model, rows, loop.steps * training.accumulate, progress.note))
    if chosen == "onednn":
        use_onednn(model)
    return replace(config, training=replace(training, products=chosen))


def data_facts(config: RunConfig, dataset: Dataset) -> dict[str, Any]:
    """What run.json says of the data."""
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "classes": list(dataset.classes),
        "images": {name: len(dataset.split(name)) for name in SPLITS},
        "notes": list(dataset.notes),
        "moved_by": augmenting_runs(config.training),
        **({"map_values": list(dataset.map_values)} if dataset.map_values else {}),
        **({"map_colours": list(dataset.map_colours)} if dataset.map_colours else {}),
    }


def _free_folder(config: RunConfig) -> Path:
    """runs/MODEL-DATA-DATE-TIME, numbered if taken."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    data = "".join(c if c.isalnum() else "-" for c in config.data.data.rsplit("/", 1)[-1])
    (name,) = file_names([f"{config.model.rsplit(':', 1)[-1].lower()}-{data}"])
    name = f"{name}-{stamp}"
    candidates = [Path("runs") / name, *(Path("runs") / f"{name}-{i}" for i in range(2, 100))]
    return next(path for path in candidates if not path.exists())


def _locked(folder: RunFolder) -> contextlib.AbstractContextManager[None]:
    """Of several processes that train together, the first holds the folder's lock."""
    return folder.locked() if processes.rank() == 0 else contextlib.nullcontext()


def _check_place(document: RunDocument, config: RunConfig, device: torch.device) -> None:
    """Raises ConfigError where a run would not continue exactly: under another number of processes, on another device, or
    without the library that multiplies."""
    count, kind = document.processes or processes.world(), document.device or device.type
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
    if config.training.products == "onednn" and not has_onednn():
        raise ConfigError(
            "this run was begun with products by oneDNN, which this torch does not have, and continues exactly only with them; "
            "to go on without, start a new run with --init-from"
        )


def _outcome(folder: RunFolder) -> Outcome:
    """How a run that has ended did so."""
    status = folder.status()
    best = status.best_validation_total
    return Outcome(
        status.state, status.step, status.epoch, status.kept, math.inf if best is None else best, status.seconds
    )
