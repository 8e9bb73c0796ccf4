"""What users import refuses what the command refuses."""

import threading
from pathlib import Path

import pytest
import torch

import reparam


def test_evaluation_options_are_strict_in_python_too(run: Path) -> None:
    with pytest.raises(reparam.ReparamError, match="no option 'sampels'; did you mean 'samples'"):
        reparam.evaluate(run, sampels=3)
    with pytest.raises(reparam.ReparamError, match="'samples'"):
        reparam.evaluate(run, samples=0)


def test_python_is_as_strict_as_the_command(run: Path) -> None:
    opened = reparam.load(run)
    wrong = {
        "which images": lambda: reparam.train("vae"),
        "named by text": lambda: reparam.train(None, data="digits"),  # type: ignore[arg-type]
        "at least 1": lambda: opened.sample(-1),
        "float tensor": lambda: opened.encode(torch.zeros(2, 1, 9, 9)),
        "not list": lambda: opened.reconstruct([1]),  # type: ignore[arg-type]
        "did you mean 'elbo'": lambda: opened.evaluate("elbow"),
    }
    for message, call in wrong.items():
        with pytest.raises(reparam.ReparamError, match=message):
            call()


def test_opening_and_drawing_leave_the_global_random_numbers_alone(run: Path) -> None:
    before = torch.get_rng_state()
    opened = reparam.load(run, "cpu")
    opened.sample(3)
    opened.reconstruct(opened.sample(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_resume_refuses_what_it_does_not_know_and_writes_nothing(run: Path) -> None:
    before = (run / "run.json").read_bytes()
    with pytest.raises(reparam.ReparamError, match="damaged is one of stop, skip, not 'foo'"):
        reparam.resume(run, damaged="foo")  # type: ignore[arg-type]
    assert (run / "run.json").read_bytes() == before


def test_evaluations_side_by_side_keep_each_others_metrics(run: Path) -> None:
    """Each reads evaluation.json before the other writes it, and writes after."""
    wait = threading.Barrier(2)

    def measure(name: str) -> None:
        opened = reparam.load(run, "cpu")
        wait.wait()
        opened.evaluate([name])

    threads = [threading.Thread(target=measure, args=(name,)) for name in ("kl", "mse")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(reparam.load(run).folder.evaluation().metrics) == {"kl", "mse"}
