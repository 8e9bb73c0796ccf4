"""At whatever moment a signal comes, the command says so, in one line, and ends with the signal's exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

END = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
TRAIN = ("train", "vae", "--data", "digits", "--epochs", "100000", "--latent", "4", "--hidden", "16")
# A module that catches the exceptions of what it imports, as those of others do, and takes a while.
CATCHES = """
try:
    import inner
except BaseException:
    pass
"""
# In whose middle the signal comes, in code that catches all as well.
INNER = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.Signals(int(os.environ["SIGNAL"])))
    time.sleep(0.3)
except BaseException:
    pass
finished = True
"""
# Says whether what it imports was imported whole, and goes on for ever if nothing ends it.
COMMAND = """
import sys, time
import click
from reparam.cli import main

@click.command()
def command():
    try:
        import catches
        while True:
            time.sleep(0.01)
    finally:
        print("whole" if hasattr(sys.modules.get("inner"), "finished") else "broken off", flush=True)

main(command, "command")
"""


def begin(*words: str, **settings: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings
    )


def begin_with(folder: Path, inner: str, number: signal.Signals) -> subprocess.Popen[str]:
    """`COMMAND` with a module `inner`."""
    (folder / "catches.py").write_text(CATCHES)
    (folder / "inner.py").write_text(inner)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return begin("-c", COMMAND, env={**os.environ, "PYTHONPATH": path, "SIGNAL": str(int(number))})


def hears(child: subprocess.Popen[str]) -> None:
    """Returns once the command takes signals: before that, they are Python's."""
    status = Path(f"/proc/{child.pid}/status")
    if not status.exists():
        pytest.skip("needs /proc")
    while child.poll() is None:
        (caught,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.001)


@pytest.mark.parametrize(("number", "code"), END)
def test_a_signal_in_an_import_that_catches_everything(number: signal.Signals, code: int, tmp_path: Path) -> None:
    child = begin_with(tmp_path, INNER, number)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, err.strip(), out) == (code, "interrupted", "whole\n")


@pytest.mark.parametrize(("number", "code"), END)
def test_an_import_that_hangs_is_ended_by_the_second(number: signal.Signals, code: int, tmp_path: Path) -> None:
    child = begin_with(tmp_path, "import time\nprint('in it', flush=True)\nwhile True: time.sleep(0.01)", number)
    assert child.stdout
    assert child.stdout.readline() == "in it\n"
    child.send_signal(number)
    time.sleep(0.5)
    child.send_signal(number)  # part of the first
    time.sleep(0.8)
    assert child.poll() is None
    child.send_signal(number)
    _, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (code, "interrupted\n")


@pytest.mark.parametrize(("number", "code"), END)
def test_a_training_ends_with_the_code_of_its_signal(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """And the run goes on from there, to be stopped at once by two."""
    log = tmp_path / "run" / "metrics.jsonl"
    words = (*TRAIN, "--out", str(tmp_path / "run"))
    for command, signals in ((words, 1), (("resume", str(tmp_path / "run")), 2)):
        child = begin("-m", "reparam", *command)
        lines, end = log.read_bytes().count(b"\n") if log.exists() else 0, time.monotonic() + 60
        while not log.exists() or log.read_bytes().count(b"\n") <= lines:
            assert child.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        for _ in range(signals):
            child.send_signal(number)
            time.sleep(0.001)
        out, err = child.communicate(timeout=60)
        assert child.returncode == code
        assert "Traceback" not in err
        assert ("continue with: reparam resume" in out) or err.strip().endswith("interrupted")
        assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "interrupted"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), END)
@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_at_any_moment_of_the_start(
    kind: str, number: signal.Signals, code: int, trained: Path, tmp_path: Path
) -> None:
    for moment in range(30):
        out = tmp_path / str(moment)
        words = (*TRAIN, "--out", str(out)) if kind == "train" else ("evaluate", str(trained), "--metrics", "nll")
        child = begin("-m", "reparam", *words)
        hears(child)
        time.sleep(moment * 0.05)
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
        assert child.returncode == code, (moment, err)
        assert "Traceback" not in err, (moment, err)
        assert "interrupted" in err or (out / "checkpoint.safetensors").exists(), (moment, err)
