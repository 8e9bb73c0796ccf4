"""The command under torchrun: a killed process ends the job with a checkpoint that continues, and only under as many."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import reparam
from reparam.errors import ConfigError
from reparam.tensor_files import read_tensors

RUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "reparam"]
OPTIONS = ["--data", "digits", "--hidden", "32", "--latent", "4", "--batch-size", "16", "--log-every", "5"]
OPTIONS += ["--checkpoint-seconds", "0", "--pictures", "0"]


def _wait_for(path: Path, process: subprocess.Popen) -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < end, "no checkpoint in two minutes"
        assert process.poll() is None, "the job ended before its first checkpoint"
        time.sleep(0.05)


def _ranks() -> dict[int, int]:
    """Process numbers by rank, of the commands that run in this test's folder."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = dict(
                part.split("=", 1) for part in (entry / "environ").read_text().split("\0") if "=" in part
            )
        except OSError:
            continue
        if environment.get("REPARAM_TEST") == str(os.getpid()) and "RANK" in environment:
            found[int(environment["RANK"])] = int(entry.name)
    return found


def test_a_killed_process_ends_the_job_which_goes_on_under_as_many(tmp_path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "REPARAM_TEST": str(os.getpid())}

    def start(*words: object) -> subprocess.Popen:
        pipe = subprocess.PIPE
        return subprocess.Popen([*RUN, *map(str, words)], env=environment, stdout=pipe, stderr=pipe, text=True)

    run = tmp_path / "run"
    job = start("train", "vae", *OPTIONS, "--epochs", "8", "--out", run)
    _wait_for(run / "checkpoint.safetensors", job)
    os.kill(_ranks()[1], signal.SIGKILL)
    _, said = job.communicate(timeout=120)
    assert job.returncode != 0
    assert "[rank0]" not in said  # so torchrun marks the lines of a traceback
    assert f"'reparam resume {run}' continues the run, under torchrun with 2 processes" in said
    status = json.loads((run / "status.json").read_text())
    assert status["state"] != "finished"
    assert read_tensors(run / "checkpoint.safetensors")[1]["step"] > 0
    with pytest.raises(ConfigError, match="begun by 2 processes"):
        reparam.resume(run)
    job = start("resume", run)
    _, said = job.communicate(timeout=240)
    assert job.returncode == 0, said
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
