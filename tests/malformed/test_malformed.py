"""The sweep over malformed input: a sample by default, all of it with `-m slow`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SWEEP = Path(__file__).with_name("sweep.py")


@pytest.mark.parametrize(
    "options", [["--sample", "60"], pytest.param([], marks=pytest.mark.slow)], ids=["sample", "all"]
)
def test_malformed_input_is_refused_in_one_line(options: list[str], tmp_path: Path) -> None:
    out = tmp_path / "cases.json"
    done = subprocess.run([sys.executable, SWEEP, out, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    cases = json.loads(out.read_text())["cases"]
    assert len(cases) == 60 if options else len(cases) >= 1500
    assert sum(case["outcome"] == "refused" for case in cases) > len(cases) / 2
