"""What users import refuses what the command refuses."""

import threading
from pathlib import Path

import pytest
import torch

import reparam
from reparam.data import Images


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
        "interpolate": lambda: opened.encode(torch.zeros(2, 1, 9, 9)),
        "torch.as_tensor": lambda: opened.reconstruct([1]),  # type: ignore[arg-type]
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


def test_images_are_checked_by_every_call_that_takes_them(run: Path) -> None:
    opened = reparam.load(run, "cpu")
    levels = opened.dataset.test.pixels[:9]
    x = levels / 255
    calls = {
        "encode": lambda x: opened.encode(x)[0],
        "reconstruct": opened.reconstruct,
        "compress": lambda x: torch.frombuffer(bytearray(opened.compress(x)), dtype=torch.uint8),
        "augment": lambda x: opened.augmenter(seed=3)(x),
        "Augmenter": lambda x: reparam.Augmenter(opened, seed=3)(x),
    }
    for name, call in calls.items():
        expected = call(x)
        assert torch.equal(call(levels), expected), name
        assert torch.equal(call(x.double()), call(x.double().float())), name
        for wrong, words in ((x * 255, "images / 255"), (x * 2 - 1, r"\(images \+ 1\) / 2"), (x * float("nan"), "NaN")):
            with pytest.raises(reparam.ReparamError, match=words) as caught:
                call(wrong)
            assert "\n" not in str(caught.value)


def test_images_of_another_size_are_refused(run: Path) -> None:
    opened = reparam.load(run, "cpu")
    other = Images(torch.zeros(20, 1, 9, 9, dtype=torch.uint8), torch.arange(20) % 2)
    for call in (lambda: opened.class_latents(other, 2), lambda: opened.augmenter(change=1.0, images=other)):
        with pytest.raises(reparam.ReparamError, match=r"\(1, 9, 9\) and the model takes \(1, 8, 8\)"):
            call()
