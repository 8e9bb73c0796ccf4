"""Files of another run in a run's folder: refused where they are read, with advice that the tests follow."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import advised, refused

import reparam
from reparam.tensor_files import read_tensors, write_tensors

WEIGHTS, CHECKPOINT = "weights.safetensors", "checkpoint.safetensors"
SMALL: dict[str, Any] = {"data": "digits", "latent": 2, "pictures": 0, "device": "cpu", "keep": "last"}
FIXTURE = Path(__file__).parents[1] / "fixtures" / "runs_of_format_1" / "vae"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs to copy: `own`, `other` of the same shapes, `wide` of other ones."""
    folder = tmp_path_factory.mktemp("base")
    reparam.train("vae", out=folder / "own", hidden=(8,), epochs=2, **SMALL)
    reparam.train("vae", out=folder / "other", hidden=(8,), epochs=2, seed=1, **SMALL)
    reparam.train("vae", out=folder / "wide", hidden=(16,), epochs=1, **SMALL)
    return folder


@pytest.fixture
def own(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base / "own", tmp_path / "a run"))


def facts(run: Path, name: str) -> dict[str, Any]:
    return read_tensors(run / name)[1]


def set_status(run: Path, **changed: object) -> None:
    path = run / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def same_weights(run: Path, other: Path) -> bool:
    found, expected = (read_tensors(path / WEIGHTS)[0] for path in (run, other))
    return all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("source", ["other", "wide"])
@pytest.mark.parametrize("named", [True, False], ids=["of this version", "of an earlier version"])
def test_foreign_weights_of_a_finished_run_are_written_again(
    source: str, named: bool, command: Callable, base: Path, own: Path, tmp_path: Path
) -> None:
    kept = (own / WEIGHTS).read_bytes()
    tensors, metadata = read_tensors(base / source / WEIGHTS)
    words = "is of another run: "
    if not named:  # then shapes tell, or the step
        metadata.pop("run")
        metadata["step"] += 0 if source == "wide" else 1
        words = "it is of a model with other options" if source == "wide" else "of another run (of its step"
    write_tensors(own / WEIGHTS, tensors, metadata)
    for line in (("sample", own, "--out", tmp_path / "s.png"), ("evaluate", own, "--metrics", "mse")):
        done = command(*line)
        refused(done, words, "writes them again, from its checkpoint")
    assert not (own / "evaluation.json").exists()
    resumed = advised(done.err, command)
    assert resumed.code == 0
    assert "the weights were lost: they are written again" in resumed.err
    assert (own / WEIGHTS).read_bytes() == kept
    assert command("evaluate", own, "--metrics", "mse").code == 0


@pytest.mark.parametrize("source", ["other", "wide"])
def test_weights_are_not_mended_from_a_foreign_checkpoint(
    source: str, command: Callable, base: Path, own: Path, tmp_path: Path
) -> None:
    for name in (WEIGHTS, CHECKPOINT):
        shutil.copy(base / source / name, own / name)
    refused(command("resume", own), "is of another run", "train it anew with")
    assert advised(command("sample", own, "--out", tmp_path / "s.png").err, command).code == 0
    assert same_weights(tmp_path / "a run-2", base / "own")
    for name in (WEIGHTS, CHECKPOINT):  # of an earlier version: what tells is the shape
        tensors, metadata = read_tensors(base / "wide" / name)
        write_tensors(own / name, tensors, {**metadata, "run": ""})
    refused(command("resume", own), CHECKPOINT, "it is of a model with other options")


def test_foreign_weights_of_an_unfinished_run_are_lost_ones(
    command: Callable, base: Path, own: Path, tmp_path: Path
) -> None:
    set_status(own, state="interrupted")
    shutil.copy(base / "other" / WEIGHTS, own)
    done = command("sample", own, "--out", tmp_path / "s.png")
    refused(done, "is of another run", "continue it with")
    assert "its weights are those" not in done.err  # nothing is said of them as if they were its own
    assert advised(done.err, command).code == 0
    assert same_weights(own, base / "own")


def _foreign(base: Path, run: Path) -> None:
    shutil.copy(base / "other" / CHECKPOINT, run)


def _too_long(base: Path, run: Path) -> None:
    tensors, metadata = read_tensors(base / "other" / CHECKPOINT)
    write_tensors(run / CHECKPOINT, tensors, {**metadata, "run": "", "step": 1000})


def _truncated(base: Path, run: Path) -> None:
    (run / CHECKPOINT).write_bytes((run / CHECKPOINT).read_bytes()[:1000])


def _of_another_model(base: Path, run: Path) -> None:
    tensors, metadata = read_tensors(base / "wide" / CHECKPOINT)
    write_tensors(run / CHECKPOINT, tensors, {**metadata, "run": ""})


def _without_a_moment(base: Path, run: Path) -> None:
    tensors, metadata = read_tensors(run / CHECKPOINT)
    tensors.pop("optimiser.model.0.exp_avg")
    write_tensors(run / CHECKPOINT, tensors, metadata)


def _without_a_fact(base: Path, run: Path) -> None:
    tensors, metadata = read_tensors(run / CHECKPOINT)
    metadata.pop("stale")
    write_tensors(run / CHECKPOINT, tensors, metadata)


SPOILT: dict[Callable[[Path, Path], None], str] = {
    _foreign: "is of another run",
    _too_long: "is of another run (of its step 1,000; this one has",
    _truncated: "is damaged",
    _of_another_model: "it is of a model with other options",
    _without_a_moment: "optimiser.model.0.exp_avg",
    _without_a_fact: "lacks 'stale'",
}


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__[1:])
def test_a_checkpoint_that_is_damaged_or_foreign_is_told_with_each_way_out(
    spoil: Callable[[Path, Path], None], command: Callable, base: Path, own: Path, tmp_path: Path
) -> None:
    set_status(own, state="interrupted")
    kept = (own / WEIGHTS).read_bytes()
    spoil(base, own)
    done = command("resume", own)
    refused(done, CHECKPOINT, SPOILT[spoil], "restore it from a copy", f"delete {WEIGHTS} and {CHECKPOINT}, and")
    assert (own / WEIGHTS).read_bytes() == kept
    restored = shutil.copytree(own, tmp_path / "restored")
    shutil.copy(base / "own" / CHECKPOINT, restored)
    assert command("resume", restored).code == 0
    assert same_weights(restored, base / "own")

    new = re.search(r"in a new run with: reparam (.+?); or delete", done.err)
    assert new
    assert command(*shlex.split(new[1])).code == 0
    started = json.loads((tmp_path / "a run-2" / "run.json").read_text())
    assert started["config"]["training"]["init_from"] == str(own)
    assert started["id"] != json.loads((own / "run.json").read_text())["id"]

    for name in (WEIGHTS, CHECKPOINT):
        (own / name).unlink()
    assert advised(done.err, command).code == 0
    assert same_weights(own, base / "own")


@pytest.mark.parametrize("spoil", [_foreign, _truncated], ids=lambda spoil: spoil.__name__[1:])
def test_a_spoilt_checkpoint_without_weights_is_deleted_alone(
    spoil: Callable[[Path, Path], None], command: Callable, base: Path, own: Path
) -> None:
    set_status(own, state="interrupted")
    spoil(base, own)
    (own / WEIGHTS).unlink()
    done = command("resume", own)
    refused(done, SPOILT[spoil], f"restore it from a copy, or delete {CHECKPOINT}, and")
    (own / CHECKPOINT).unlink()
    assert advised(done.err, command).code == 0
    assert same_weights(own, base / "own")


def test_a_run_and_its_files_have_one_identity_which_copies_keep(command: Callable, base: Path, own: Path) -> None:
    ids = [json.loads((base / name / "run.json").read_text())["id"] for name in ("own", "other", "wide")]
    assert len(set(ids)) == 3
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in ids)
    moved = own.rename(own.with_name("moved"))
    assert [facts(moved, name)["run"] for name in (WEIGHTS, CHECKPOINT)] == [ids[0], ids[0]]
    for state in ("finished", "interrupted"):  # written again, and written by a training
        (moved / WEIGHTS).unlink()
        set_status(moved, state=state)
        assert command("resume", moved).code == 0
        assert facts(moved, WEIGHTS)["run"] == ids[0]
    shutil.copy(base / "own" / WEIGHTS, moved)  # of the run that it is a copy of
    assert command("evaluate", moved, "--metrics", "mse").code == 0


def test_a_run_of_an_earlier_version_has_no_identity_and_refuses_files_that_have_one(
    command: Callable, base: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(FIXTURE, tmp_path / "run"))
    assert command("sample", run, "--out", tmp_path / "s.png").code == 0
    shutil.copy(base / "own" / WEIGHTS, run)
    refused(command("sample", run, "--out", tmp_path / "s.png"), "is of another run")
