"""Shared fixtures. One thread a process: tests run side by side, and threads that wait for each other's cores crawl."""

import os
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded, here and in the processes that tests start

import pytest
import torch

torch.set_num_threads(1)

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


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
