"""A run's folder while it trains: deleted, moved, copied."""

import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import reparam
from reparam.errors import ReparamError, RunError
from reparam.progress import Silent
from reparam.reports.page import render
from reparam.run.folder import RunFolder

OPTIONS = {"data": "digits", "hidden": (8,), "latent": 2, "epochs": 3, "log_every": 1, "pictures": 2, "device": "cpu"}


class At(Silent):
    """Does something to the run's folder at a step."""

    def __init__(self, step: int, act: Callable[[], object]) -> None:
        self.step, self.act = step, act

    def update(self, step: int, *_: object) -> None:
        if step == self.step:
            self.act()


@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["behind it a checkpoint", "behind it a line of metrics"])
@pytest.mark.parametrize("moved", [False, True], ids=["deleted", "moved"])
def test_a_run_that_is_deleted_or_moved_ends_in_one_line_and_is_not_begun_anew(
    moved: bool, seconds: float, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    act = (lambda: out.rename(tmp_path / "moved")) if moved else (lambda: shutil.rmtree(out))
    with pytest.raises(RunError, match="was deleted or moved while it trained") as caught:
        reparam.train("vae", out=out, checkpoint_seconds=seconds, progress=At(5, act), **OPTIONS)
    assert "\n" not in str(caught.value)
    assert not out.exists()
    if moved:
        assert reparam.resume(tmp_path / "moved").folder.status().state == "finished"


def test_a_copy_made_while_it_trains_continues_to_the_same_bits(tmp_path: Path) -> None:
    out, copy = tmp_path / "run", tmp_path / "copy"
    act = At(12, lambda: shutil.copytree(out, copy))
    reparam.train("vae", out=out, checkpoint_seconds=0, progress=act, **OPTIONS)
    assert RunFolder(copy).status().step < RunFolder(out).status().step
    reparam.resume(copy)
    one, other = RunFolder(out).weights()[0], RunFolder(copy).weights()[0]
    assert all(torch.equal(one[name], other[name]) for name in one)
    terms = [[line.terms for line in folder.metrics()] for folder in (RunFolder(out), RunFolder(copy))]
    assert terms[0] == terms[1]


WRITER = """
import os, shutil, sys, time
from pathlib import Path
run, whole = Path(sys.argv[1]), Path(sys.argv[2])
print("ready", flush=True)
while True:  # files appear by renaming, as training writes them; then the run is deleted
    run.mkdir(exist_ok=True)
    for name in ("run.json", "status.json", "weights.safetensors", "metrics.jsonl", "evaluation.json"):
        if (whole / name).exists():
            shutil.copy(whole / name, run / ".partial")
            os.replace(run / ".partial", run / name)
            time.sleep(0.002)
    time.sleep(0.03)
    shutil.rmtree(run, ignore_errors=True)  # the reader may write its evaluation meanwhile
"""


def test_a_run_that_comes_and_goes_while_it_is_read_is_a_result_or_one_line(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process writes and deletes the folder over and over."""
    monkeypatch.setattr(
        "reparam.reports.page.FIGURES", {}
    )  # drawing takes a second, and reads nothing else of the folder
    run, results, refusals = tmp_path / "run", 0, 0
    acts: tuple[Callable, ...] = (lambda opened: opened.sample(1), render, lambda opened: opened.evaluate(["mse"]))
    with subprocess.Popen([sys.executable, "-c", WRITER, run, trained], stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        writer.stdout.readline()
        try:
            end = time.monotonic() + 60  # on a busy machine both come later
            for number in itertools.count():
                if time.monotonic() > end or (number >= 90 and results and refusals):
                    break
                try:
                    opened = reparam.load(run, "cpu")
                    acts[number % len(acts)](opened)
                    results += 1
                except ReparamError as error:
                    assert "\n" not in str(error)  # noqa: PT017
                    refusals += 1
        finally:
            ended = writer.poll()
            writer.kill()
    assert ended is None, "the other process ended by itself"
    assert results
    assert refusals
