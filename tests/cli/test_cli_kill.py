"""The real command, killed with SIGKILL at random moments and resumed, ends with the uninterrupted run's bits."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reparam.tensor_files import read_tensors

KILLS = 20
TRAIN = ["train", "vae", "--data", "digits", "--epochs", "400", "--hidden", "64", "--latent", "4", "--binarise", "dynamic",
         "--pictures", "3", "--checkpoint-seconds", "0", "--log-every", "5"]  # fmt: skip


def command(*words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "reparam", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


@pytest.mark.slow
def test_the_command_survives_sigkill(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    began = time.monotonic()
    assert command(*TRAIN, "--out", str(whole)).wait() == 0
    duration = time.monotonic() - began
    clock = random.Random(1)
    for _ in range(KILLS):
        process = command("resume", str(cut)) if (cut / "run.json").exists() else command(*TRAIN, "--out", str(cut))
        # Loading torch takes the first seconds; a twentieth of a run more lets some steps happen between two kills.
        time.sleep(clock.uniform(1.0, 4.0 + duration / KILLS))
        assert process.poll() is None, "the run ended before the kills did: it proves less than it says"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert command("resume", str(cut)).wait() == 0
    assert not list(cut.glob(".*.partial"))
    for name in ("checkpoint.safetensors", "weights.safetensors"):
        expected, found = read_tensors(whole / name)[0], read_tensors(cut / name)[0]
        assert all(bytes(found[key].numpy().data) == bytes(expected[key].numpy().data) for key in expected)
