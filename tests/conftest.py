"""Shared fixtures. One thread a process: tests run side by side, and threads that wait for each other's cores crawl."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded, here and in the processes that tests start

import pytest
import torch

import reparam

torch.set_num_threads(1)

# A shell that starts the tests in the background has them ignore Ctrl-C, and nohup SIGHUP: so would processes that they start.
for number, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    if hasattr(signal, number):
        signal.signal(getattr(signal, number), handler)

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nor their records of runs: of the session, since runs that tests share are trained before any of them."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("REPARAM_STATE", str(tmp_path_factory.getbasetemp() / "state"))
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests neither read nor fill the user's cache; within a session the feature network is trained once."""
    monkeypatch.setenv("REPARAM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("REPARAM_DATA", raising=False)


@pytest.fixture
def shared_data() -> Path:
    """Real data beside the checkout, for those who have it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real data is not beside this checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE on scikit-learn's digits, two latents, a few steps: read it, do not change it."""
    path = tmp_path_factory.mktemp("runs") / "trained"
    reparam.train("vae", data="digits", epochs=4, hidden=(32,), latent=2, pictures=3, out=path)
    return path


@pytest.fixture(scope="session")
def three_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE, a VAE with a mixture prior and a GAN on digits, to compare: read them, do not change them."""
    folder = tmp_path_factory.mktemp("three")
    small = {"hidden": (32,), "epochs": 2, "pictures": 0, "device": "cpu"}
    reparam.train("vae", data="digits", out=folder / "plain", latent=2, **small)
    reparam.train("gmvae", data="digits", out=folder / "mixed", latent=3, components=3, **small)
    reparam.train("gan", data="digits", out=folder / "gan", network="mlp", **small)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, to change."""
    return Path(shutil.copytree(trained, tmp_path / "run"))
