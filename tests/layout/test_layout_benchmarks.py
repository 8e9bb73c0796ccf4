"""Benchmarks start: they are run by hand, and what they import may have moved since."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PEERS = ("pythae", "jax", "jaxlib")  # installed for benchmarks only


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_finds_what_it_imports(path: Path) -> None:
    """As `python benchmarks/NAME.py` would, with the folder of the script first in the path and the checkout not in it."""
    code = f"import sys; sys.path[0] = {str(BENCHMARKS)!r}; import {path.stem}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    if any(f"No module named '{peer}" in done.stderr for peer in PEERS):
        pytest.skip("a peer is not installed")
    assert done.returncode == 0, done.stderr
