"""What users import refuses what the command refuses."""

import dataclasses
import importlib  # noqa: F401 (of what is executed below)
import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reparam
from reparam.data import Images
from reparam.models import VAE, Family
from reparam.objectives import Objective, Terms
from reparam.progress import Silent


@pytest.mark.parametrize("how", ["evaluate", "run.evaluate", "run.diagnose"])
def test_evaluation_options_are_given_alike_everywhere(how: str, run: Path) -> None:
    opened = reparam.load(run, "cpu")
    calls: dict[str, Callable[..., Any]] = {
        "evaluate": lambda **options: reparam.evaluate(run, ["nll"], **options),
        "run.evaluate": lambda **options: opened.evaluate(["nll"], **options),
        "run.diagnose": opened.diagnose,
    }
    with pytest.raises(reparam.ReparamError, match="no option 'sampels'; did you mean 'samples'"):
        calls[how](sampels=3)
    with pytest.raises(reparam.ReparamError, match="'samples'"):
        calls[how](samples=0)
    found = calls[how](samples=7, nll_images=5, images=200)
    if how != "run.diagnose":
        assert (found["nll"].n, "S = 7" in found["nll"].note) == (5, True)
        assert found == opened.evaluate(["nll"], samples=7, nll_images=5, images=200)


def test_calls_with_wrong_arguments_are_refused_in_a_line(run: Path, tmp_path: Path) -> None:
    opened = reparam.load(run, "cpu")
    x = opened.sample(2)
    wrong: dict[str, Callable[[], Any]] = {
        "'path' of 'load': Input should be a valid string or an instance of Path, got None": lambda: reparam.load(None),
        "'path' of 'load': Input should be a valid string or an instance of Path, got 3": lambda: reparam.load(3),
        "without the character NUL": lambda: reparam.load("a\0b"),
        "load has no argument 'devise'; did you mean 'device'": lambda: reparam.load(run, devise="cpu"),
        "load: missing a required argument: 'path'": lambda: reparam.load(),
        "load: too many positional arguments": lambda: reparam.load(run, "cpu", False, 3),
        "'device' of 'load'": lambda: reparam.load(run, 3),
        "device 'gpu' cannot be used": lambda: reparam.load(run, "gpu"),
        "'model' of 'train': Input should be a valid string or an instance of Family, got None": lambda: reparam.train(
            None, data="digits"
        ),
        "which images": lambda: reparam.train("vae"),
        "'data' of 'train'": lambda: reparam.train("vae", data=3),
        "'data' of 'augment_test': Input should be a valid string, got ImageBatch of shape (2, 1, 8, 8); give a name": lambda: (
            reparam.augment_test(data=x)
        ),
        "'data' of 'load': images are expected, got 'digits'": lambda: reparam.load(run, data="digits"),
        "'data' of 'resume': images are expected, got 3": lambda: reparam.resume(run, data=3),
        "is not what": lambda: reparam.load(run, data=opened.dataset.train.pixels),
        "'out' of 'train'": lambda: reparam.train("vae", data="digits", out=3),
        "'recipe' of 'train'": lambda: reparam.train("vae", data="digits", recipe=3),
        "'progress' of 'train': Input should be an instance of Progress": lambda: reparam.train(
            "vae", data="digits", progress=True
        ),
        "no option 'epoch'; did you mean 'epochs'": lambda: reparam.train("vae", data="digits", epoch=3),
        "'run' of 'resume'": lambda: reparam.resume(None),
        "'damaged' of 'resume': Input should be 'stop' or 'skip', got 'x'": lambda: reparam.resume(run, damaged="x"),
        "'metrics' of 'evaluate'": lambda: reparam.evaluate(run, 3),
        "'run' of 'evaluate'": lambda: reparam.evaluate(None),
        "did you mean 'elbo'": lambda: opened.evaluate("elbow"),
        "evaluate: too many": lambda: opened.evaluate(["elbo"], {"samples": 3}),
        "evaluation has no option 'options'": lambda: opened.evaluate(["elbo"], options={"samples": 3}),
        "'say' of 'evaluate'": lambda: opened.evaluate(["elbo"], say=3),
        "diagnose: too many": lambda: opened.diagnose(3),
        "report: too many": lambda: opened.report(print, 3),
        "equal to 1, got -1": lambda: opened.sample(-1),
        "equal to 1, got 0": lambda: opened.sample(0),
        "valid integer, got 1.5": lambda: opened.sample(1.5),
        "valid integer, got True": lambda: opened.sample(True),
        "valid integer, got 'many'": lambda: opened.sample("many"),
        "'n' of 'sample' is too large": lambda: opened.sample(10**20),
        "ask for fewer at a time": lambda: opened.sample(10**9),
        "'seed' of 'sample'": lambda: opened.sample(1, seed=None),
        "'seed' of 'sample': Input should be greater than or equal to 0, got -1": lambda: opened.sample(2, seed=-1),
        "equal to 0, got -2": lambda: reparam.Augmenter(opened, seed=-2),
        "metrics names nothing": lambda: opened.evaluate([]),
        "or leave it out (None)": lambda: reparam.evaluate(run, ()),
        "'draw' of 'sample'": lambda: opened.sample(1, draw="yes"),
        "'component' of 'sample'": lambda: opened.sample(1, component="a"),
        "'label' of 'sample'": lambda: opened.sample(1, label=1.0),
        "sample has no argument 'lable'; did you mean 'label'": lambda: opened.sample(1, lable=1),
        "'n' of 'examples'": lambda: opened.examples(2.0),
        "interpolate": lambda: opened.encode(torch.zeros(2, 1, 9, 9)),
        "torch.as_tensor": lambda: opened.reconstruct([1]),
        "'budget' of 'compress': Input should be greater than 0": lambda: opened.compress(x, -1),
        "'budget' of 'compress': Input should be a finite number": lambda: opened.compress(x, float("inf")),
        "'data' of 'decompress'": lambda: opened.decompress("x"),
        "'classes' of 'class_latents'": lambda: opened.class_latents(None, "x"),
        "'images' of 'class_latents': Input should be an instance of Images": lambda: opened.class_latents(x, 2),
        "'strength' of 'augmenter'": lambda: opened.augmenter("far"),
        "Augmenter has no argument 'strenght'; did you mean 'strength'": lambda: opened.augmenter(strenght=3.0),
        "'apply' of 'Augmenter'": lambda: opened.augmenter(apply="both"),
        "'directions' of 'Augmenter'": lambda: reparam.Augmenter(opened, directions=3),
        "takes a run or a model, not None": lambda: reparam.Augmenter(None),
        "reparam.load": lambda: reparam.Augmenter(str(run)),
    }
    before = (run / "run.json").read_bytes()
    for message, call in wrong.items():
        with pytest.raises(reparam.ReparamError) as caught:
            call()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    assert (run / "run.json").read_bytes() == before


def test_what_is_no_tuple_is_told_how_to_be_one(tmp_path: Path) -> None:
    x = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    small: dict[str, Any] = {"latent": 2, "epochs": 1, "pictures": 0, "device": "cpu", "out": tmp_path / "run"}
    wrong: Any = 8
    with pytest.raises(reparam.ReparamError, match="'hidden': .* got 8: write ") as caught:
        reparam.train("vae", data=x, hidden=wrong, **small)
    run = reparam.train("vae", data=x, hidden=eval(str(caught.value).rpartition("write ")[2]), **small)  # our own words
    assert run.config.options.hidden == (8,)
    found = torch.cat([run.dataset.split("all").pixels, run.dataset.test.pixels])
    assert torch.equal(found.flatten().sort().values, x.flatten().sort().values)  # floats stay as they are


def test_a_run_of_images_in_python_keeps_their_fingerprint_and_wants_them_again(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(60, 1, 8, 8, generator=generator), torch.arange(60) % 3
    small: dict[str, Any] = {"latent": 2, "hidden": (8,), "pictures": 0, "device": "cpu"}
    run = reparam.train("vae", data=(x, y), epochs=2, out=tmp_path / "run", **small)
    assert run.document.data.fingerprint == run.dataset.fingerprint
    assert run.config.data.data == run.document.data.name == "python"
    assert run.evaluate(["psnr"])["psnr"].n == 6
    np.savez(tmp_path / "x.npz", x=x, y=y)
    same = reparam.train("vae", data=f"array:{tmp_path / 'x.npz'}", epochs=2, out=tmp_path / "same", **small)
    assert same.document.data.fingerprint == run.document.data.fingerprint
    for (name, ours), theirs in zip(run.model.state_dict().items(), same.model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name
    for call in (lambda: reparam.evaluate(run.path), lambda: reparam.load(run.path).dataset):
        with pytest.raises(reparam.ReparamError, match="were given in Python.*reparam.load"):
            call()
    assert reparam.evaluate(run.path, ["psnr"], data=(x, y)) == run.evaluate(["psnr"])
    with pytest.raises(reparam.ReparamError, match="is not what .* was trained on"):
        reparam.evaluate(run.path, ["psnr"], data=(x.flip(0), y))


def test_a_run_of_images_in_python_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    x = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    small: dict[str, Any] = {"latent": 2, "hidden": (8,), "pictures": 0, "device": "cpu", "batch_size": 12}

    class Stop(Silent):
        def update(self, step: int, epoch: float, images_per_second: float, terms: dict[str, float]) -> None:
            if step >= 4:
                raise KeyboardInterrupt

    whole = reparam.train("vae", data=x, epochs=2, out=tmp_path / "whole", progress=False, **small)
    with pytest.raises(KeyboardInterrupt):
        reparam.train("vae", data=x, epochs=2, out=tmp_path / "begun", progress=Stop(), **small)
    begun = reparam.load(tmp_path / "begun")
    assert begun.folder.status().state == "interrupted"
    with pytest.raises(reparam.ReparamError, match=r"were given in Python.*reparam.resume"):
        reparam.resume(begun.path)
    again = reparam.resume(begun.path, data=x)
    assert again.dataset.fingerprint == whole.dataset.fingerprint
    for ours, theirs in zip(again.model.state_dict().values(), whole.model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_run_of_far_too_high_a_rate_is_told_to_lower_it(keep: str, tmp_path: Path) -> None:
    run = reparam.train(
        data="digits", hidden=(8,), latent=2, epochs=60, pictures=0, learning_rate=1000, keep=keep, device="cpu",
        out=tmp_path / "run",
    )  # fmt: skip
    (finding,) = run.diagnose()
    assert finding.state in {"untrained", "learnt little"}
    assert "lower --learning-rate" in finding.advice


def test_without_names_the_default_metrics_are_measured(run: Path) -> None:
    opened = reparam.load(run, "cpu")
    few: dict[str, Any] = {"images": 50, "samples": 2, "nll_images": 5}
    assert opened.evaluate(None, **few) == opened.evaluate(**few)
    assert opened.folder.evaluation().diagnosis


def test_values_of_many_lines_make_one_line(run: Path) -> None:
    with pytest.raises(reparam.ReparamError, match="'n' of 'sample'") as caught:
        reparam.load(run).sample(torch.zeros(9, 9))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "restore", "remedy"),
    [
        (lambda: torch.set_default_dtype(torch.float64), lambda: torch.set_default_dtype(torch.float32), "float32"),
        (lambda: torch.set_default_device("meta"), lambda: torch.set_default_device(None), "set_default_device"),
    ],
)
def test_other_defaults_of_torch_are_refused(
    change: Callable[[], None], restore: Callable[[], None], remedy: str, run: Path, tmp_path: Path
) -> None:
    opened = reparam.load(run, "cpu")
    x = opened.sample(2)
    change()
    try:
        for call in (
            lambda: reparam.train("vae", data="digits", out=tmp_path / "new"),
            lambda: reparam.load(run),
            lambda: opened.sample(1),
            lambda: opened.encode(x),
            lambda: reparam.Augmenter(opened),
        ):
            with pytest.raises(reparam.ReparamError, match=remedy):
                call()
    finally:
        restore()
    assert not (tmp_path / "new").exists()
    opened.encode(x)


def test_a_device_may_be_torchs(run: Path) -> None:
    assert reparam.load(run, torch.device("cpu")).device == torch.device("cpu")


def test_opening_and_drawing_leave_the_global_random_numbers_alone(run: Path) -> None:
    before = torch.get_rng_state()
    opened = reparam.load(run, "cpu")
    opened.sample(3)
    opened.reconstruct(opened.sample(2))
    assert torch.equal(torch.get_rng_state(), before)


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
    assert {"kl", "mse"} <= set(reparam.load(run).folder.evaluation().metrics)


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
        with pytest.raises(reparam.ReparamError, match=r"\(1, 9, 9\) and the run's \(1, 8, 8\)"):
            call()


class Mine(Objective):
    """What is minimised, as `make` gives it."""

    def __init__(self, make: Callable[[torch.Tensor], Any]) -> None:
        self.make = make

    def __call__(self, player: str, model: Any, batch: Any, step: Any, generator: Any = None) -> Any:
        return self.make(-model.decoder(model.encoder(batch.x).mean).log_prob(batch.x))


def family_of(make: Callable[[torch.Tensor], Any]) -> Family:
    return dataclasses.replace(VAE, name="mine", objective=lambda options, schedule: Mine(make))


MINE = family_of(lambda loss: Terms(loss, {}))
TINY: dict[str, Any] = {"data": "digits", "hidden": (8,), "latent": 2, "epochs": 1, "pictures": 0, "progress": False}


def test_a_family_trains_by_itself_and_its_run_finds_it_again(tmp_path: Path) -> None:
    run = reparam.train(MINE, out=tmp_path / "run", **TINY)
    assert run.config.model == f"{__name__}:MINE"
    assert reparam.load(run.path).sample(2).shape == (2, 1, 8, 8)
    assert set(run.history["train"]) == {"step", "epoch", "total", "learning_rate"}
    assert reparam.train(VAE, out=tmp_path / "vae", **TINY).config.model == "vae"
    with pytest.raises(reparam.ReparamError, match="no module holds this Family, 'mine': give it a name"):
        reparam.train(family_of(lambda loss: Terms(loss, {})), **TINY)


FAULTY = {"mean": lambda loss: Terms(loss.mean(), {}), "tensor": lambda loss: loss}
BY_MEAN, BARE = (family_of(make) for make in FAULTY.values())


def test_an_objective_that_takes_a_mean_or_returns_a_tensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(reparam.ReparamError, match=r"'total' of the objective has shape \[\] for 128 images"):
        reparam.train(BY_MEAN, out=tmp_path / "run", **TINY)
    with pytest.raises(reparam.ReparamError, match="the objective returns Tensor: return Terms"):
        reparam.train(BARE, out=tmp_path / "run", **TINY)


def test_code_that_was_changed_after_it_was_imported_is_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a notebook whose cell writes the module again; what the refusal advises works."""
    name = f"own_{tmp_path.name.replace('-', '_')}"
    path = tmp_path / f"{name}.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    for number, beta in enumerate((1.0, 3.0)):
        path.write_text(
            "import dataclasses\nfrom reparam.models import VAE\nfrom reparam.objectives import ELBO\n"
            f"MINE = dataclasses.replace(VAE, name='mine', objective=lambda options, schedule: ELBO(beta={beta}))\n"
        )
        os.utime(path, (number, number))  # written within one tick of the clock
        if number:
            with pytest.raises(
                reparam.ReparamError, match="was changed after this session imported it.*reload"
            ) as found:
                reparam.train(f"{name}:MINE", out=tmp_path / "run", **TINY)
            exec(re.search(r"importlib.reload\(.*?\)", str(found.value))[0])  # type: ignore[index]
        run = reparam.train(f"{name}:MINE", out=tmp_path / f"run-{number}", **TINY)
        assert run.config.family.objective(None, None).beta == beta  # type: ignore[attr-defined, arg-type]
    del sys.modules[name]


def test_a_finished_run_says_how_to_train_longer(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reparam.resume(run)
    assert f"init_from={str(run)!r}" in capsys.readouterr().err
