"""Each example runs as its first lines say, in an empty folder, within seconds; and stays short."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))
SECONDS = 300  # about five on one quiet core; tests run side by side, and others may use the machine


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_example_runs(script: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    if "No module named 'pythae'" in done.stderr:
        pytest.skip("pythae is installed for benchmarks only")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip(), "an example says what it did"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_example_is_short(script: Path) -> None:
    assert len(script.read_text("utf-8").splitlines()) < 40
