"""What a training starts from, and what it leaves of the process that it runs in."""

import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import reparam
from reparam.errors import ReparamError, RunError
from reparam.evaluation.networks import features
from reparam.progress import Silent
from reparam.run.config import resolve
from reparam.session import build

SMALL: dict[str, Any] = {"data": "digits", "hidden": (16,), "latent": 2, "pictures": 1, "device": "cpu", "log_every": 1}


def test_init_from_starts_at_the_runs_weights(run: Path) -> None:
    config = resolve("vae", data="digits", hidden=(32,), latent=2, init_from=str(run))
    model = build(config, reparam.load(run).spec)
    expected = reparam.load(run).model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


@pytest.fixture(autouse=True)
def _imported(trained: Path) -> None:
    """A first training imports libraries, which set filters of warnings of their own."""


def settings() -> list[Any]:
    """What a program may have set in its process, and a training changes; `==` compares all of it."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return [
        torch.get_rng_state().tolist(),
        [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],
        random.getstate(),
        sys.float_info.min / 2 == 0,
        float(torch.tensor([1e-40]) * 1) == 0,
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        [matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision],  # type: ignore[attr-defined]
        [matmul.allow_tf32, cudnn.allow_tf32],
        list(warnings.filters),
        [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
    ]


class Stop(Silent):
    """Raises in the middle of a training."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def update(self, step: int, epoch: float, images_per_second: float, terms: dict[str, float]) -> None:
        if step > 2:
            np.random.rand()
            random.random()
            raise self.error


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("error", [None, reparam.ReparamError("x"), KeyboardInterrupt(), ZeroDivisionError()])
def test_a_training_leaves_the_process_as_it_was(error: BaseException | None, flush: bool, tmp_path: Path) -> None:
    torch.set_flush_denormal(flush)
    try:
        before = settings()
        if error is None:
            reparam.train("vae", epochs=0.1, out=tmp_path / "run", **SMALL)
        else:
            with pytest.raises(type(error)):
                reparam.train("vae", epochs=1, out=tmp_path / "run", progress=Stop(error), **SMALL)
        after_train = settings()
        reparam.resume(tmp_path / "run")
        after_resume = settings()
        assert after_train == before
        assert after_resume == before
    finally:
        torch.set_flush_denormal(False)


def test_an_evaluation_leaves_the_process_as_it_was(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a feature network that is trained for it, here for a step or two."""
    monkeypatch.setenv("REPARAM_CACHE", str(tmp_path / "cache"))
    document = features._document(1000, 0)
    document["training"]["epochs"] = 0.1
    monkeypatch.setattr(features, "_document", lambda images, seed: document)
    before = settings()
    reparam.evaluate(run, ["fid_classifier", "nll", "active_units"], samples=10, images=130, nll_images=10, seed=1)
    reparam.load(run).diagnose()
    reparam.load(run).report()
    assert settings() == before
    assert list((tmp_path / "cache").rglob("classifier*"))


def test_a_training_where_gradients_are_off(tmp_path: Path) -> None:
    with torch.inference_mode():
        reparam.train("vae", epochs=0.1, out=tmp_path / "run", **SMALL)
        assert torch.is_inference_mode_enabled()


def in_threads(*calls: Callable[[], Any]) -> list[Any]:
    """The results of calls that begin together."""
    results: list[Any] = [None] * len(calls)
    together = threading.Barrier(len(calls))

    def work(place: int) -> None:
        together.wait()
        try:
            results[place] = calls[place]()
        except BaseException as error:
            results[place] = error

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def weights(run: reparam.Run) -> list[Tensor]:
    return list(run.model.state_dict().values())


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_trainings_in_threads_are_those_one_after_another(tmp_path: Path) -> None:
    def trained(name: str, seed: int) -> list[Tensor]:
        return weights(reparam.train("vae", epochs=0.5, seed=seed, out=tmp_path / name, progress=Told(), **SMALL))

    said: list[str] = []

    class Told(Silent):
        def note(self, text: str) -> None:
            said.append(text)

    serial = [trained(f"serial{seed}", seed) for seed in (0, 1)]
    assert not [line for line in said if "another thread" in line]
    before = settings()
    threaded = in_threads(lambda: trained("thread0", 0), lambda: trained("thread1", 1))
    assert [same(one, other) for one, other in zip(serial, threaded, strict=True)] == [True, True]
    assert settings() == before
    assert len([line for line in said if line.startswith("waiting for another thread")]) == 1


def test_what_is_drawn_beside_a_training_is_what_is_drawn_alone(run: Path, tmp_path: Path) -> None:
    """Bernoulli draws and an opened run use torch's default generator, which training draws from."""

    def draws() -> list[Tensor]:
        return [reparam.load(run, "cpu").sample(5, seed=seed, draw=True) for seed in range(8)]

    def trained(name: str) -> list[Tensor]:
        return weights(reparam.train("vae", epochs=1, out=tmp_path / name, **SMALL))

    expected, alone = draws(), trained("alone")
    together, *drawn = in_threads(lambda: trained("together"), draws, draws, draws)
    assert same(together, alone)
    assert [same(one, expected) for one in drawn] == [True, True, True]


def test_evaluations_in_threads_are_those_one_after_another(run: Path) -> None:
    def measured() -> dict[str, float]:
        found = reparam.load(run, "cpu").evaluate(["nll", "elbo"], **options)
        return {name: measure.value for name, measure in found.items()}

    options = {"samples": 20, "images": 100, "nll_images": 50}
    expected = measured()
    assert in_threads(measured, measured, measured) == [expected] * 3


def test_a_drawing_thread_is_not_kept_waiting_until_a_training_ends(run: Path, tmp_path: Path) -> None:
    """A thread that takes its turn again at once would never let another in."""
    drawn: list[float] = []

    def draw() -> None:
        opened = reparam.load(run, "cpu")
        for _ in range(10):
            opened.sample(1, draw=True)
        drawn.append(time.monotonic())

    def train() -> float:
        reparam.train("vae", epochs=20, out=tmp_path / "new", **SMALL | {"log_every": 1000})
        return time.monotonic()

    ended, _ = in_threads(train, draw)
    assert drawn[0] < ended


def fail(error: BaseException) -> Callable[..., None]:
    def function(*_: object, **__: object) -> None:
        raise error

    return function


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), ReparamError("the disk is full"), ValueError("a fault")], ids=repr
)
@pytest.mark.parametrize(
    "where", ["reparam.session.make_loop", "reparam.training.loop.MetricsLog", "reparam.training.loop.Loop._train"]
)
def test_a_start_that_fails_leaves_nothing(
    where: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, fail(error))
    with pytest.raises(type(error)):
        reparam.train("vae", out=tmp_path / "a" / "b" / "run", epochs=0.1, **SMALL)
    assert not list(tmp_path.iterdir())


def test_a_start_that_fails_leaves_a_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with monkeypatch.context() as patched:
        patched.setattr("reparam.training.loop.Loop._train", fail(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            reparam.train("vae", out=tmp_path / "run", epochs=0.1, **SMALL)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]
    reparam.train("vae", out=tmp_path / "run", epochs=0.1, **SMALL)
    before = sorted(path.name for path in (tmp_path / "run").iterdir())
    with pytest.raises(RunError, match="holds a run already"):
        reparam.train("vae", out=tmp_path / "run", epochs=0.1, **SMALL)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == before


def test_an_existing_run_is_refused_before_images_are_read(run: Path) -> None:
    with pytest.raises(RunError, match="holds a run already"):
        reparam.train("vae", data=f"folder:{run.parent / 'nowhere'}", out=run)


def test_weights_do_not_depend_on_an_autocast_around(tmp_path: Path) -> None:
    reparam.train("vae", out=tmp_path / "plain", epochs=1, **SMALL)
    with torch.autocast("cpu", torch.bfloat16):
        reparam.train("vae", out=tmp_path / "around", epochs=1, **SMALL)
        assert torch.is_autocast_enabled("cpu")
    plain, around = (reparam.load(tmp_path / name).model.state_dict() for name in ("plain", "around"))
    assert all(torch.equal(around[name], plain[name]) for name in plain)


def test_the_first_use_draws_nothing_from_pythons_generator() -> None:
    code = "import random, reparam; before = random.getstate(); reparam.train; assert random.getstate() == before"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
