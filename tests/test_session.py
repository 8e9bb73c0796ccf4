"""What a training starts from."""

from pathlib import Path

import torch

import reparam
from reparam.run.config import resolve
from reparam.session import build


def test_init_from_starts_at_the_runs_weights(run: Path) -> None:
    config = resolve("vae", data="digits", hidden=(32,), latent=2, init_from=str(run))
    model = build(config, reparam.load(run).spec)
    expected = reparam.load(run).model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
