"""How long a training is: enough steps where data are few, or what fits into so many minutes."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

import reparam
from reparam.errors import ConfigError
from reparam.run.config import RunConfig, from_json, resolve
from reparam.training import Loop
from reparam.training.length import enough_steps, fitted_to_minutes, patient, stretched

SMALL: dict[str, Any] = {"data": "digits", "hidden": (16,), "latent": 2, "pictures": 0, "device": "cpu"}
DIGITS = 1197  # training images


def test_every_length_grows_by_the_same_factor() -> None:
    config = resolve("vae", epochs=10, warmup=1, validate_every=0.5, beta_warmup=4)
    config = stretched(RunConfig(**{**vars(config), "chosen": frozenset()}), 25)
    training = config.training
    assert (training.epochs, training.warmup, training.validate_every) == (25, 2.5, 1.25)
    assert config.options.beta_warmup == 10
    assert (training.batch_size, training.patience) == (128, 0)


def test_a_training_of_a_step_is_stored_as_one_that_can_be_read() -> None:
    """Validations are no closer than their option allows."""
    config = stretched(resolve("vae", "photos"), 0.1)
    assert config.training.validate_every == 0.01
    assert from_json(config.to_json(), config.origin) == config


def test_lengths_that_were_asked_for_stay() -> None:
    config = stretched(resolve("vae", validate_every=0.5), 60)
    assert (config.training.validate_every, config.training.epochs) == (0.5, 60)


@pytest.mark.parametrize(("images", "epochs"), [(100, 1280), (4266, 30.0), (5000, 30.0), (60_000, 30.0)])
def test_few_images_are_seen_more_often(images: int, epochs: float) -> None:
    notes: list[str] = []
    config = enough_steps(resolve("vae", least_steps=1000), images, notes.append)
    assert config.training.epochs == pytest.approx(max(epochs, 1000 * 128 / images), rel=1e-3)
    assert math.ceil(config.training.epochs * images / 128) == 1000 or not notes
    assert bool(notes) == (config.training.epochs > 30)


def test_epochs_that_were_asked_for_are_those_of_the_run() -> None:
    config = enough_steps(resolve("vae", epochs=2), 10, print)
    assert (config.training.epochs, config.training.least_steps) == (2, 0)


def test_a_small_data_set_gets_its_steps(tmp_path: Path) -> None:
    run = reparam.train("vae", **SMALL, least_steps=400, out=tmp_path / "run")
    document = json.loads((run.path / "run.json").read_text())
    assert run.folder.status().step == 400
    assert document["config"]["training"]["epochs"] == pytest.approx(399.5 * 128 / DIGITS)


def test_minutes_and_epochs_are_two_lengths() -> None:
    with pytest.raises(ConfigError, match="give one"):
        resolve("vae", minutes=1, epochs=3)


class Clock:
    """Time that passes by what is done: a cycle a second, a validation four."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("reparam.training.length.time.monotonic", lambda: self.now)

    def passes(self, seconds: float, result: Any = None) -> Any:
        self.now += seconds
        return result


class FakeLoop:
    """A loop of 10 cycles an epoch whose work takes its time on the clock."""

    steps_per_epoch = 10.0

    def __init__(self, clock: Clock, model: Any) -> None:
        self.state, self.validate = model, lambda model: clock.passes(4)
        self.clock = clock

    def cycle(self) -> None:
        self.clock.passes(1)

    cycle.stop_reading = lambda: None  # type: ignore[attr-defined]


def test_steps_are_those_that_fit_beside_validations(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 minutes: 60,000 s, of which 2 + 10 + 4 go to the measurement; 30 validations of 4 s leave 59,864 steps of 1 s."""
    import contextlib

    clock = Clock(monkeypatch)

    class State:
        clock = 0

        def kept(self) -> Any:
            return contextlib.nullcontext()

    def make_loop(config: RunConfig) -> Loop:
        assert config.training.minutes is None
        return FakeLoop(clock, State())  # type: ignore[return-value]

    config = fitted_to_minutes(resolve("vae", minutes=1000), make_loop, print)
    training = config.training
    assert math.ceil(training.epochs * 10) == 60_000 - 16 - 120
    assert training.minutes is None
    assert training.epochs / training.validate_every == pytest.approx(30)

    # Half a minute: 30 - 3 - 2 - 4 = 21 s; validations may have a tenth of it, so that one comes in as many steps as cost 40 s.
    clock.now = 0.0
    config = fitted_to_minutes(resolve("vae", minutes=0.5), make_loop, print)
    assert math.ceil(config.training.epochs * 10) == int(21 * 0.9)
    with pytest.raises(ConfigError, match="too few"):
        fitted_to_minutes(resolve("vae", minutes=0.15), make_loop, print)


def test_a_run_of_minutes_is_one_of_steps(tmp_path: Path) -> None:
    """What it was measured to be is all that it depends on: the same number of epochs gives the same weights."""
    run = reparam.train("vae", **SMALL, minutes=0.02, out=tmp_path / "run")
    training = run.config.training
    assert training.minutes is None
    assert run.folder.status().step == math.ceil(training.epochs * DIGITS / 128)
    again = reparam.train(
        "vae", **SMALL, epochs=training.epochs, validate_every=training.validate_every, out=tmp_path / "again"
    )
    assert run.folder.fingerprint() == again.folder.fingerprint()


def test_with_few_images_patience_lasts_some_steps() -> None:
    """96 images in batches of 32, validated each half epoch: a step and a half apart."""
    config = resolve("vae", "photos", data="digits", validate_every=0.5)
    assert patient(config, 96).training.patience == 200
    assert patient(config, 40_000).training.patience == config.training.patience == 8
    assert patient(resolve("vae", "photos", data="digits", patience=3), 96).training.patience == 3
