"""The feature network that is trained for a data set."""

import os
import signal
from pathlib import Path

import pytest
import torch

from reparam.data import load
from reparam.evaluation.networks.features import _document, _untrained, classifier_network, judge_network
from reparam.importing import TYPED
from reparam.models.classifier import ClassifierOptions
from reparam.run.config import from_json
from reparam.training import Silent


class _Interrupting(Silent):
    """Sends this process a Ctrl-C at the first log point."""

    sent = False

    def update(self, step: int, epoch: float, images_per_second: float, terms: dict[str, float]) -> None:
        if not self.sent:
            self.sent = True
            os.kill(os.getpid(), signal.SIGINT)


def test_a_network_that_is_half_trained_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would judge every later run on this data."""
    monkeypatch.setenv("REPARAM_CACHE", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        classifier_network(load("digits"), torch.device("cpu"), _Interrupting(), lambda _: None)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_stored_network_leaves_the_global_random_numbers_alone() -> None:
    data, device = load("digits"), torch.device("cpu")
    classifier_network(data, device)
    before = torch.get_rng_state()
    classifier_network(data, device)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_network_is_the_one_that_its_name_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics of other versions are compared by it: neither options that runs have got since nor the classifier's recipe of today
    change its name or its weights."""
    monkeypatch.setenv("REPARAM_CACHE", str(tmp_path))
    monkeypatch.setattr(
        "reparam.evaluation.networks.features._trained", lambda config, dataset, *_: _untrained(config, dataset)
    )
    for network in (classifier_network, judge_network):
        network(load("digits"), torch.device("cpu"))
    found = {path.name for path in tmp_path.rglob("*.safetensors")}
    assert found == {f"classifier-v2-4010b01a44f7fc08-{recipe}-cpu.safetensors" for recipe in ("ff2c981d", "596a9bfd")}
    config = from_json(_document(60_000, 0), TYPED)
    assert (config.training.epochs, config.training.batch_size, config.training.learning_rate) == (4, 128, 2e-3)
    assert config.options == ClassifierOptions(channels=32, features=64, dropout=0.0)
    assert config.training.least_steps == 0
