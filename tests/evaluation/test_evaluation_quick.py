"""A first look at every family: a second of draws, no network to train, and nothing of the full figures replaced."""

import json
from pathlib import Path
from typing import Any

import pytest

import reparam
from reparam.core.abilities import Ability
from reparam.evaluation import METRICS, EvaluationOptions
from reparam.evaluation.budget import FEWEST_SAMPLED, MOST_SAMPLED, Budget
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.options import QUICK_IMAGES
from reparam.models import MODELS

# Options that make a family small; of those that complete images, the rest is their own.
SMALL: dict[str, dict[str, Any]] = {
    "vae": {"hidden": (16,), "latent": 2},
    "ae": {"hidden": (16,), "latent": 2},
    "gmvae": {"hidden": (16,), "latent": 2, "components": 3},
    "gvae": {"hidden": (16,), "latent": 2},
}


@pytest.mark.parametrize("model", list(MODELS))
def test_a_quick_look_at_every_family(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trains_no_network: None
) -> None:
    monkeypatch.setenv("REPARAM_CACHE", str(tmp_path / "cache"))
    run = reparam.train(
        model, data="digits", epochs=0.2, pictures=0, device="cpu", out=tmp_path / "run", **SMALL.get(model, {})
    )
    found = run.evaluate(quick=True)
    assert found
    assert all(measure.n <= QUICK_IMAGES for measure in found.values())
    written = json.loads(run.folder.evaluation_path.read_text())
    assert written["metrics"].keys() == {f"{name} quick" for name in found}
    if Ability.LIKELIHOOD in run.model.abilities:
        assert found["nll"].bias is not None
        assert "too high by about" in found["nll"].note


@pytest.fixture
def trains_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(*arguments: Any) -> None:
        raise AssertionError("a feature network is trained")

    monkeypatch.setattr("reparam.evaluation.networks.features._trained", trained)
    monkeypatch.setattr("reparam.evaluation.networks.features._seconds", trained)


def test_a_quick_look_replaces_nothing(tmp_path: Path, trains_no_network: None) -> None:
    run = reparam.train("vae", data="digits", hidden=(16,), latent=2, epochs=1, pictures=0, out=tmp_path / "run")
    full = run.evaluate(["elbo", "mse"])
    run.evaluate(quick=True)
    stored = run.folder.evaluation()
    assert stored.metrics["elbo"] == full["elbo"]
    assert stored.metrics["elbo quick"].n <= full["elbo"].n
    assert stored.diagnosis  # there was none
    first = stored.diagnosis
    run.evaluate(["elbo"], quick=True, images=5)
    assert run.folder.evaluation().diagnosis == first


def test_a_network_that_takes_longer_than_it_may_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPARAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("reparam.evaluation.networks.features._seconds", lambda *arguments: 44.0)
    run = reparam.train("vae", data="digits", hidden=(16,), latent=2, epochs=1, pictures=0, out=tmp_path / "run")
    for allowed, reason in ((43.0, "about 44 s, and 43 s are allowed"), (45.0, "")):
        context = EvaluationContext(
            run.model, run.dataset, run.config.task, EvaluationOptions(), budget=Budget(network=allowed)
        )
        assert reason in METRICS["fid_classifier"].waits(context)
        assert bool(METRICS["fid_classifier"].waits(context)) == bool(reason)
        assert not METRICS["elbo"].waits(context)


def test_the_time_follows_that_of_training() -> None:
    assert Budget.of(100, quick=False) == (25, 30)
    assert Budget.of(1, quick=False).sampled == FEWEST_SAMPLED
    assert Budget.of(1e5, quick=False).sampled == MOST_SAMPLED
    assert Budget.of(1e5, quick=True).network == 0
