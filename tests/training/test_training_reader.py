"""Training from disk is training from memory, whoever reads; what cannot be read is named."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext as nothing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toys import Adversarial, Duel, digits

import reparam
from reparam.data import Dataset, Images
from reparam.data.io.on_disk import GUARD, OnDiskImages, readers_watched
from reparam.data.tasks import TaskOptions
from reparam.errors import DataError
from reparam.models import Schedule, Spec
from reparam.run.config import TrainingOptions, resolve
from reparam.run.folder import RunFolder
from reparam.session import build
from reparam.terminal import Ended
from reparam.training import Loop, Silent
from reparam.training.reader import BatchReader
from reparam.training.validation import Validator

MEMORY = digits(60)


class Shelf:
    """The toy's images, as if on disk; some are damaged, and `deadly` kills the process that reads it."""

    shape = (1, 8, 8)
    dtype = np.uint8
    identity = "toy"

    def __init__(self, damaged: tuple[int, ...] = (), deadly: int | None = None) -> None:
        self.damaged, self.deadly, self.reader = damaged, deadly, os.getpid()

    def __len__(self) -> int:
        return len(MEMORY)

    def read(self, place: int) -> np.ndarray:
        if place == self.deadly and os.getpid() != self.reader:
            os.kill(os.getpid(), signal.SIGKILL)
        if place in self.damaged:
            raise DataError(f"image {place} is damaged: replace it")
        return MEMORY.pixels[place].numpy()


def stored(shelf: Shelf, **options: object) -> Images:
    return Images(OnDiskImages(shelf, torch.arange(len(MEMORY)), **options), MEMORY.labels)  # type: ignore[arg-type]


def make(split: Images, folder: Path | None = None, **options: object) -> Loop:
    torch.manual_seed(3)
    settings = {"epochs": 6, "batch_size": 8, "keep": "last", "pictures": 0, "log_every": 1, "accumulate": 2}
    training = TrainingOptions(**{**settings, **options})  # type: ignore[arg-type]
    where = RunFolder(folder) if folder else None
    return Loop(Duel(), Adversarial(), split, TaskOptions(), training, torch.device("cpu"), folder=where)


class Impatient(Silent):
    """Ctrl-C at a log point."""

    def update(self, step: int, epoch: float, images_per_second: float, terms: dict[str, float]) -> None:
        if step == 7:
            signal.raise_signal(signal.SIGINT)


class Closed(Silent):
    """The terminal is closed at a log point, which comes as so many signals."""

    def __init__(self, signals: int) -> None:
        self.signals = signals

    def update(self, step: int, epoch: float, images_per_second: float, terms: dict[str, float]) -> None:
        if step == 7:
            for _ in range(self.signals):
                signal.raise_signal(signal.SIGHUP)


@pytest.mark.parametrize("signals", [1, 5])
def test_a_closed_terminal_is_a_request_to_stop(signals: int, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGHUP)
    loop = make(MEMORY, tmp_path)
    loop.progress = Closed(signals)
    if signals == 1:
        assert loop.run().state == "interrupted"
        assert RunFolder(tmp_path).checkpoint_path.exists()
    else:  # at once, without the checkpoint; what has to be written then is not disturbed by the others
        with pytest.raises(Ended) as ended:
            loop.run()
        assert ended.value.number == signal.SIGHUP
    assert RunFolder(tmp_path).status().state == "interrupted"
    assert signal.getsignal(signal.SIGHUP) is before


def trained(loop: Loop) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    assert loop.run().state == "finished"
    return loop.state.weights()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_it_has_the_bits_of_training_from_memory(workers: int) -> None:
    expected = trained(make(MEMORY))
    found = trained(make(stored(Shelf(), workers=workers)))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_it_goes_on_with_the_same_bits(workers: int, tmp_path: Path) -> None:
    expected = trained(make(MEMORY))
    loop = make(stored(Shelf(), workers=workers), tmp_path)
    loop.progress = Impatient()
    torch.manual_seed(5)
    assert loop.run().state == "interrupted"
    again = make(stored(Shelf(), workers=workers), tmp_path)
    again.restore()
    assert again.state.step == loop.state.step < again.steps
    again.run()
    assert all(torch.equal(again.state.weights()[name], expected[name]) for name in expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_images_stop_it_or_are_counted_and_named(workers: int, tmp_path: Path) -> None:
    shelf = Shelf(damaged=(4, 5, 40))
    with pytest.raises(DataError, match=r"image (4|5|40) is damaged.*--damaged skip"):
        make(stored(shelf, workers=workers)).run()
    with pytest.raises(DataError):
        make(stored(shelf, workers=workers), tmp_path / "stopped").run()
    assert RunFolder(tmp_path / "stopped").status().state == "failed"
    loop = make(stored(shelf, workers=workers, damaged="skip"), tmp_path)
    assert loop.run().state == "finished"
    said = RunFolder(tmp_path).status().skipped
    assert sorted(said) == [f"image {number} is damaged: replace it" for number in (4, 40, 5)]
    # What stood in is the next image that can be read.
    places = torch.arange(60)
    places[torch.tensor([4, 5, 40])] = torch.tensor([6, 6, 41])
    expected = trained(make(Images(MEMORY.pixels[places], MEMORY.labels)))
    found = trained(make(stored(shelf, workers=workers, damaged="skip")))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    again = make(stored(Shelf(), workers=workers, damaged="skip"), tmp_path)
    again.restore()
    assert sorted(again.split.skipped) == sorted(said)


@pytest.mark.parametrize("workers", [0, 2])
def test_validation_has_the_values_of_memory_and_leaves_no_process(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is to read the image numbered `deadly` would die of it: with workers, they read and not this process."""
    monkeypatch.setattr("reparam.training.validation.BLOCK", 7)
    others = multiprocessing.active_children()  # of a loop that another test left, and nothing has collected yet
    config = resolve("vae", hidden=(16,), latent=2)
    model = build(config, Spec((1, 8, 8))).eval()
    found = []
    for split in (MEMORY, stored(Shelf(), workers=workers)):
        dataset = Dataset("toy", MEMORY, split, MEMORY, ())
        objective = config.family.objective(config.options, Schedule(1, 1))
        validate = Validator(objective, dataset.validation, config.task, 1, torch.device("cpu"))
        with torch.no_grad():
            found.append((validate(model), validate(model)))
    assert found[0] == found[1]
    assert not set(multiprocessing.active_children()) - set(others)
    dataset = Dataset("toy", MEMORY, stored(Shelf(deadly=40), workers=workers), MEMORY, ())
    validate = Validator(objective, dataset.validation, config.task, 1, torch.device("cpu"))
    dies = pytest.raises(DataError, match="a process that reads images ended") if workers else nothing()
    with torch.no_grad(), dies, readers_watched():
        validate(model)


def test_what_is_read_arrives_on_another_device() -> None:
    loop = make(stored(Shelf(), workers=0))
    assert loop.cycle.order.device.type == "cpu"
    split = stored(Shelf(), workers=0).to(torch.device("meta"))
    index, images = next(BatchReader(split, iter([torch.arange(3)])))
    assert index.device.type == images.pixels.device.type == images.labels.device.type == "meta"


def _train_until_told(folder: Path) -> None:
    os.setpgrp()
    loop = make(stored(Shelf(), workers=2), folder, epochs=1e4)
    loop.run()


def test_a_signal_to_the_whole_job_leaves_a_checkpoint(tmp_path: Path) -> None:
    # A new interpreter: forked from this one, it would inherit the locks of threads that other tests have started.
    child = multiprocessing.get_context("spawn").Process(target=_train_until_told, args=(tmp_path,))
    child.start()
    end = time.monotonic() + 60
    metrics = tmp_path / "metrics.jsonl"  # a line of it is written where signals are listened to
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < end:
        time.sleep(0.05)
    assert child.pid
    os.killpg(child.pid, signal.SIGTERM)
    child.join(60)
    assert child.exitcode == 0
    assert RunFolder(tmp_path).status().state == "interrupted"
    assert RunFolder(tmp_path).checkpoint_path.exists()


def test_a_reading_process_that_is_killed_ends_training_with_a_reason() -> None:
    with pytest.raises(DataError, match="a process that reads images ended.*--workers"):
        make(stored(Shelf(deadly=30), workers=2)).run()


class Stuck(Shelf):
    """Whoever reads the first image but this process hangs, deaf to SIGTERM as all readers are."""

    def read(self, place: int) -> np.ndarray:
        if place == 0 and os.getpid() != self.reader:
            time.sleep(1000)
        return super().read(place)


def test_a_reader_that_hangs_is_killed_in_the_end() -> None:
    others = set(multiprocessing.active_children())  # of another test, which end on a busy machine a while after it
    reader = BatchReader(stored(Stuck(), workers=1), iter([torch.arange(3)]))
    (child,) = set(multiprocessing.active_children()) - others
    began = time.monotonic()
    reader.close()
    child.join(5)
    assert not child.is_alive()
    assert time.monotonic() - began < 10  # torch itself waits for five seconds


def _leave_a_reader_behind() -> None:
    _kept.append(BatchReader(stored(Stuck(), workers=2), iter([torch.arange(3)])))


_kept: list[BatchReader] = []


def test_a_reader_that_hangs_does_not_keep_the_program_from_ending() -> None:
    code = "import test_training_reader as test; test._leave_a_reader_behind()"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, timeout=60, check=True)


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_so_and_runs_with_it(tmp_path: Path) -> None:
    """Where processes are started anew, as on macOS and Windows, each imports the script."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(20):
        Image.fromarray(np.full((8, 8), 12 * number, np.uint8)).save(folder / f"{number}.png")
    begin = "import multiprocessing\nimport reparam\n"
    spawn = "multiprocessing.set_start_method('spawn', force=True)"
    train = (
        f"reparam.train('vae', data='folder:{folder}', stream=True, workers=1, epochs=1, latent=2, hidden=(8,), pictures=0, "
        f"out='{tmp_path / 'run'}')"
    )
    script = tmp_path / "script.py"

    def ran() -> str:
        return subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300).stderr

    script.write_text(f"{begin}{spawn}\n{train}\n")
    errors = [line for line in ran().splitlines() if line.startswith("reparam.errors")]
    guard = GUARD.partition("below ")[2]  # the remedy itself
    assert errors
    assert all(guard in line for line in errors), errors

    script.write_text(f"{begin}{guard}\n    {spawn}\n    {train}\n")
    assert "Error" not in ran()
    assert reparam.load(tmp_path / "run").folder.ended()


def test_a_process_that_imports_its_parents_script_does_not_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also beside its parent, which holds the run: the guard is named, not the other process."""
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(reparam.ReparamError, match=re.escape(GUARD)):
        reparam.train("vae", data="digits", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_guard_is_named_where_processes_are_started_anew(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda: method)
    with pytest.raises(DataError, match="free memory") as caught, readers_watched():
        raise RuntimeError("DataLoader worker (pid(s) 1) exited unexpectedly")
    assert (GUARD in str(caught.value)) == (method != "fork")
