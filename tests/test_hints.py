"""What people type who know other programs is answered with the name that it has here."""

import subprocess
import sys
from pathlib import Path

import pytest

import reparam
from reparam import ReparamError
from reparam.errors import GUESSES, flag, suggest
from reparam.evaluation import METRICS
from reparam.models import MODELS
from reparam.run.config import fields, resolve

OPTIONS = {"lr": "learning_rate", "latent_dim": "latent", "batch": "batch_size", "image_size": "size", "gpu": "device"}
VALUES = {"l1": "laplace", "mse": "gaussian", "bce": "bernoulli", "bernouli": "bernoulli"}


@pytest.mark.parametrize("guess", OPTIONS)
def test_an_option_of_another_name_is_found(guess: str) -> None:
    with pytest.raises(ReparamError, match=f"no option '{guess}'; did you mean '{OPTIONS[guess]}'"):
        resolve("vae", data="digits", **{guess: 3})
    done = subprocess.run(
        [sys.executable, "-m", "reparam", "train", "vae", flag(guess), "3"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert f"No such option '{flag(guess)}'; did you mean '{flag(OPTIONS[guess])}'?" in done.stderr


@pytest.mark.parametrize("value", VALUES)
def test_a_loss_is_answered_with_its_likelihood(value: str) -> None:
    with pytest.raises(ReparamError, match=f"got '{value}'; did you mean '{VALUES[value]}'"):
        resolve("vae", likelihood=value)


def test_a_metric_of_another_name_is_found(run: Path) -> None:
    for guess, name in {
        "fid": "'fid_inception' or 'fid_classifier'",
        "bpd": "'bits_per_dim'",
        "acc": "'accuracy'",
    }.items():
        with pytest.raises(ReparamError, match=f"unknown metric '{guess}'; did you mean {name}"):
            reparam.load(run).evaluate([guess])


def test_what_a_model_cannot_do_is_answered_with_one_that_can(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ReparamError, match="cannot sample by class.*one that can: (.*)") as found:
        reparam.load(run).sample(2, label=3)
    words = str(found.value).partition("one that can: reparam train ")[2].split()
    assert words == ["cvae", "--task", "labelled", "--data", "digits"]
    able = reparam.train(
        words[0],
        data=words[4],
        task=words[2],
        epochs=0.1,
        hidden=(8,),
        pictures=0,
        out=tmp_path / "able",
        progress=False,
    )
    assert able.sample(2, label=3).shape == (2, 1, 8, 8)


def test_every_guess_is_of_a_name_that_exists() -> None:
    known = {*METRICS, *MODELS, "out"}
    for family in MODELS.values():
        for _, name, kind in fields(family):
            known |= {name, *getattr(kind, "__args__", ())}
            known |= set(getattr(getattr(kind, "__origin__", None), "__args__", ()))
    for guess, names in GUESSES.items():
        assert guess == guess.lower().replace("_", "").replace("-", "")
        assert set(names) <= known, guess


def test_what_is_near_nothing_gets_no_hint() -> None:
    assert suggest("xyzzy", ["latent", "size"]) == ""
