"""Commands that can be typed as they stand."""

import dataclasses
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reparam.data.sources.in_python import IN_PYTHON
from reparam.run.command import calmer_command, own_command, training_command
from reparam.run.config import resolve

WORDS = ["train", "vae", "--data", "folder:my pictures", "--out", "it's"]


@pytest.mark.parametrize("program", ["reparam", "/env/bin/reparam", "/env/lib/reparam/__main__.py", "reparam.exe"])
def test_the_command_that_a_run_records_can_be_typed(program: str) -> None:
    line = own_command([program, *WORDS])
    assert line.startswith("reparam train vae --data 'folder:my pictures' ")
    assert shlex.split(line) == ["reparam", *WORDS]


@pytest.mark.parametrize(
    ("recipe", "rate", "calmer"),
    [("default", 1e9, 1e-3), ("report-1", 1e9, 1e-2), ("default", 1e-3, 1e-4), ("report-1", 1e-3, 1e-4)],
)
def test_after_divergence_the_recipe_s_rate_is_advised_or_a_lower_one(recipe: str, rate: float, calmer: float) -> None:
    words = shlex.split(calmer_command(resolve("vae", recipe, data="digits", learning_rate=rate), Path("run")))
    assert float(words[words.index("--learning-rate") + 1]) == pytest.approx(calmer)
    assert words[words.index("--out") + 1] == "run-2"


def test_of_another_program_its_own_words_are_recorded() -> None:
    assert own_command(["my scripts/train.py", "a b"]) == "'my scripts/train.py' 'a b'"
    assert own_command(["/other/__main__.py"]) == "/other/__main__.py"


def test_lengths_have_as_many_digits_as_one_can_read() -> None:
    config = resolve("vae", data="digits", epochs=1599.7333333333333, learning_rate=1e-5, latent=20)
    words = shlex.split(calmer_command(config, Path("run")))
    assert words[words.index("--epochs") + 1] == "1599.73"
    assert words[words.index("--learning-rate") + 1] == "1e-06"


def test_of_images_in_python_it_is_a_call_with_the_same_options() -> None:
    config = resolve("vae", data=IN_PYTHON, epochs=1599.7333333333333, hidden=(64, 32), flip=True, latent=4)
    text = training_command(config, Path("it's"), beta=0.25)
    called: dict[str, Any] = {}
    model = eval(text, {"reparam": SimpleNamespace(train=lambda name, **options: called.update(options) or name)})
    assert (model, called.pop("data"), called.pop("out")) == ("vae", ..., "it's-2")
    again = resolve(model, data=IN_PYTHON, **called)
    assert (again.options, again.data, again.task) == (
        dataclasses.replace(config.options, beta=0.25),
        config.data,
        config.task,
    )
    assert again.training.epochs == pytest.approx(config.training.epochs, rel=1e-5)


def test_what_a_training_measures_for_itself_is_left_to_the_new_one() -> None:
    config = resolve("vae", data="digits", products="onednn", latent=20)
    assert "--products" not in shlex.split(training_command(config, Path("run")))
    assert "--products onednn" in training_command(config, Path("run"), products="onednn")
