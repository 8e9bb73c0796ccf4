"""The feature network that is trained for a data set."""

import os
import signal
from pathlib import Path

import pytest
import torch

from reparam.data import load
from reparam.evaluation.networks.features import classifier_network
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
