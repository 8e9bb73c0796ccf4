"""What an error advises works in the state in which it is given: each test follows the advice."""

import dataclasses
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import advised, refused

import reparam
from reparam.errors import ReparamError
from reparam.tensor_files import read_tensors, write_tensors

SMALL = ("--hidden", "8", "--latent", "2", "--epochs", "2", "--pictures", "0", "--device", "cpu")


def train(command: Callable, out: Path, *options: str) -> None:
    done = command("train", "vae", "--data", "digits", *SMALL, *options, "--out", out)
    assert done.code == 0, done.err


def set_status(run: Path, **facts: object) -> None:
    path = run / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


@pytest.mark.parametrize("keep", ["last", "ema", "best"])
@pytest.mark.parametrize("how", ["deleted", "damaged"])
def test_lost_weights_that_the_checkpoint_holds_are_written_again(
    keep: str, how: str, command: Callable, tmp_path: Path
) -> None:
    run = tmp_path / "a run"
    train(command, run, "--keep", keep)
    kept = (run / "weights.safetensors").read_bytes()
    if how == "deleted":
        (run / "weights.safetensors").unlink()
    else:
        (run / "weights.safetensors").write_bytes(kept[:-7])
    done = command("sample", run, "--out", tmp_path / "s.png")
    refused(done, "writes them again, from its checkpoint")
    resumed = advised(done.err, command)
    assert resumed.code == 0
    assert "the weights were lost" in resumed.err
    assert (run / "weights.safetensors").read_bytes() == kept
    assert command("sample", run, "--out", tmp_path / "s.png").code == 0


def test_lost_weights_that_no_checkpoint_holds_are_trained_anew(command: Callable, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(command, run, "--keep", "ema", "--learning-rate", "0.003", "--binarise", "dynamic", "--batch-size", "50")
    expected, _ = read_tensors(run / "weights.safetensors")
    for name in ("weights.safetensors", "checkpoint.safetensors"):
        (run / name).unlink()
    refused(command("resume", run), "train it anew with")
    done = command("sample", run, "--out", tmp_path / "s.png")
    refused(done, "train it anew with")
    assert advised(done.err, command).code == 0
    found, _ = read_tensors(tmp_path / "run-2" / "weights.safetensors")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_best_weights_that_the_last_checkpoint_does_not_hold(command: Callable, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(command, run)
    tensors, facts = read_tensors(run / "checkpoint.safetensors")
    write_tensors(run / "checkpoint.safetensors", tensors, {**facts, "stale": 1})  # validations since the best
    (run / "weights.safetensors").unlink()
    refused(command("resume", run), "train it anew with")


def test_best_weights_lost_on_the_way_are_looked_for_anew(command: Callable, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(command, run, "--checkpoint-seconds", "0")
    set_status(run, state="running")
    tensors, facts = read_tensors(run / "checkpoint.safetensors")
    write_tensors(
        run / "checkpoint.safetensors", tensors, {**facts, "step": 10, "best": -1e9}
    )  # lower than any to come
    (run / "weights.safetensors").unlink()
    done = command("sample", run, "--out", tmp_path / "s.png")
    refused(done, "continue it with")
    done = advised(done.err, command)
    assert done.code == 0
    assert "the best weights so far are lost" in done.err
    assert read_tensors(run / "weights.safetensors")[1]["step"] > 10


def test_a_deleted_checkpoint_is_not_begun_over(command: Callable, run: Path) -> None:
    kept = (run / "weights.safetensors").read_bytes()
    (run / "checkpoint.safetensors").unlink()
    set_status(run, state="interrupted")
    done = command("resume", run)
    refused(done, "checkpoint.safetensors is gone", "or delete weights.safetensors")
    assert (run / "weights.safetensors").read_bytes() == kept
    new = re.search(r"in a new run with: reparam (.+?); or delete", done.err)
    assert new
    assert command(*shlex.split(new[1])).code == 0
    started = json.loads((run.with_name("run-2") / "run.json").read_text())["config"]["training"]
    assert started["init_from"] == str(run)
    (run / "weights.safetensors").unlink()
    assert command("resume", run).code == 0
    assert (run / "weights.safetensors").exists()


def test_a_run_killed_before_its_first_checkpoint_begins_again(command: Callable, run: Path) -> None:
    kept, _ = read_tensors(run / "weights.safetensors")
    (run / "checkpoint.safetensors").unlink()
    set_status(run, state="running", step=0)
    assert command("resume", run).code == 0
    found, _ = read_tensors(run / "weights.safetensors")
    assert all(torch.equal(found[name], kept[name]) for name in kept)


def test_weights_never_stand_without_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a run that fails between would be one that cannot continue."""
    from reparam.training.loop import Loop

    def fail(self: Loop) -> None:
        raise ReparamError("as an image that cannot be read")

    write = Loop._write_weights
    monkeypatch.setattr(Loop, "_write_weights", lambda self: (write(self), fail(self)))
    with pytest.raises(ReparamError, match="as an image"):
        reparam.train("vae", data="digits", hidden=(8,), latent=2, epochs=2, pictures=0, out=tmp_path / "run")
    assert (tmp_path / "run" / "weights.safetensors").exists()
    monkeypatch.undo()
    reparam.resume(tmp_path / "run")
    whole = reparam.train("vae", data="digits", hidden=(8,), latent=2, epochs=2, pictures=0, out=tmp_path / "whole")
    found, expected = (read_tensors(p / "weights.safetensors")[0] for p in (tmp_path / "run", whole.path))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_divergence_names_what_was_kept_and_a_remedy_that_trains(command: Callable, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ("--optimiser", "sgd", "--learning-rate", "1e9", "--hidden", "64", "--latent", "4")
    done = command("train", "vae", "--data", "digits", *SMALL, *options, "--out", run)
    refused(done, "training diverged", "keeps no weights, for there were none", "lower --learning-rate (it was 1e+09)")
    assert "float32" not in done.err
    assert advised(done.err, command).code == 0
    done = command("sample", run, "--out", tmp_path / "s.png")
    refused(done, "its training diverged; train a new run")
    assert advised(done.err, command).code == 0
    rates = [
        json.loads((tmp_path / f"run-{i}" / "run.json").read_text())["config"]["training"]["learning_rate"]
        for i in (2, 3)
    ]
    assert rates == [0.001, 0.001]  # the recipe's


@pytest.mark.parametrize(
    ("metrics", "why", "left"),
    [
        ("mse,psnr,nll", "metric 'nll' does not apply here: it has no likelihood; leave it out", "mse,psnr"),
        ("iou,mse,nll", "metric 'iou' does not apply here: ", "mse"),
        ("nll", "it has no likelihood; leave it out", None),
    ],
)
def test_metrics_that_do_not_apply_are_told_with_those_that_do(
    metrics: str, why: str, left: str | None, command: Callable, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert command("train", "ae", "--data", "digits", *SMALL, "--out", run).code == 0
    done = command("evaluate", run, "--metrics", metrics)
    refused(done, why)
    fit = done.err.strip().rpartition("what applies: ")[2]
    assert fit == left or (left is None and {"mse", "psnr", "probe_accuracy"} < set(fit.split(",")))
    done = command("evaluate", run, "--metrics", fit if left else "mse,probe_accuracy", "--images", "100")
    assert done.code == 0, done.err


def test_an_occlusion_that_hides_nothing_is_left_out(command: Callable, run: Path) -> None:
    refused(command("evaluate", run, "--metrics", "mse", "--occlusion", "0.3"), "has none: leave --occlusion out")
    assert command("evaluate", run, "--metrics", "mse").code == 0


def test_weights_of_another_model_are_no_start(command: Callable, run: Path, tmp_path: Path) -> None:
    words = ("train", "vae", "--data", "digits", *SMALL, "--out", tmp_path / "new", "--init-from", run)
    refused(command(*words), "a model with other options", "give --init-from a run of the same model and options")
    assert command(*words, "--hidden", "32").code == 0  # the run's


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(folder / f"{i}.png")
    return folder


def test_moved_data_is_named_by_relocate(command: Callable, pictures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = command("train", "vae", "--data", f"folder:{pictures}", *SMALL, "--out", run)
    assert done.code == 0, done.err
    moved = pictures.rename(tmp_path / "moved photos")
    for words in (("evaluate", run, "--metrics", "mse"), ("reconstruct", run, "--out", tmp_path / "r.png")):
        refused(command(*words), f"the data of {run} is not at {pictures}", f"'reparam relocate {run} PATH'")
    refused(command("evaluate", run, "--data", f"folder:{moved}"), f"'reparam relocate {run} PATH'")

    other = shutil.copytree(moved, tmp_path / "other")
    lost = next(other.iterdir())
    lost.unlink()
    refused(command("relocate", run, other), "other images than", str(run), "put those back")
    shutil.copy(moved / lost.name, lost)
    assert command("relocate", run, other).code == 0
    shutil.rmtree(other)
    refused(command("relocate", run, tmp_path / "nowhere"), "nowhere")
    with reparam.load(run).folder.locked():
        refused(command("relocate", run, moved), "another process is training")

    before = json.loads((run / "run.json").read_text())
    done = command("relocate", run, moved)
    assert done.code == 0, done.err
    assert str(moved) in done.out
    before["config"]["data"]["data"] = before["data"]["name"] = f"folder:{moved}"
    assert json.loads((run / "run.json").read_text()) == before
    assert command("evaluate", run, "--metrics", "mse").code == 0
    set_status(run, state="interrupted")
    assert command("resume", run).code == 0
    back = moved.rename(pictures)
    assert reparam.relocate(run, back).dataset.shape == (1, 8, 8)
    assert command("relocate", run, f"folder:{back}").code == 0


def test_data_that_is_at_no_path_cannot_be_relocated(command: Callable, run: Path, tmp_path: Path) -> None:
    refused(command("relocate", run, tmp_path), "'digits', which is at no path")


def test_a_run_that_is_there_already(command: Callable, run: Path) -> None:
    refused(command("train", "vae", "--data", "digits", *SMALL, "--out", run), "choose another --out, or remove")
    set_status(run, state="interrupted")
    done = command("train", "vae", "--data", "digits", *SMALL, "--out", run)
    refused(done, "continue it with")
    assert advised(done.err, command).code == 0


@pytest.mark.parametrize("words", [["--epochs", "3"], ["--epochs=3"]])
def test_options_of_training_given_to_resume_are_answered_with_a_new_run(
    words: list[str], command: Callable, run: Path
) -> None:
    done = command("resume", run, *words)
    refused(done, "without --epochs", "--init-from")
    assert advised(done.err, command).code == 0
    started = json.loads((run.with_name("run-2") / "run.json").read_text())["config"]
    assert (started["training"]["epochs"], started["training"]["init_from"]) == (3.0, str(run))
    assert started["options"] == json.loads((run / "run.json").read_text())["config"]["options"]
    refused(command("resume", "nowhere", *words), "--init-from RUN --epochs ...")
    refused(command("resume", run, "--colours", "3"), "No such option '--colours'")


@pytest.mark.parametrize("state", ["running", "interrupted", "failed", "diverged"])
def test_an_unfinished_run_is_told(state: str, command: Callable, run: Path, tmp_path: Path) -> None:
    assert command("sample", run, "--out", tmp_path / "s.png").err == ""
    set_status(run, state=state)
    for words in (("sample", run, "--out", tmp_path / "s.png"), ("evaluate", run, "--metrics", "mse"), ("report", run)):
        (line,) = [line for line in command(*words).err.splitlines() if "its weights are those after" in line]
        assert re.search(r"after [\d,]+ (of [\d,]+ )?steps \([\d.]+ epochs\)", line)
        assert ("reparam resume" in line) == (state != "diverged")


def test_weights_without_a_digest_are_told_once(command: Callable, tmp_path: Path) -> None:
    old = Path(__file__).parents[1] / "fixtures" / "runs_of_format_1" / "vae"
    run = shutil.copytree(old, tmp_path / "run")
    assert command("sample", run, "--out", tmp_path / "s.png").err.count("no digest") == 1
    assert len(reparam.load(run).notes) == 1


def test_an_interrupted_evaluation_leaves_word_of_what_is_missing(
    command: Callable, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reparam.evaluation import METRICS

    def interrupt(context: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(METRICS, "psnr", dataclasses.replace(METRICS["psnr"], compute=interrupt))
    assert command("evaluate", run, "--metrics", "mse,psnr,kl").code == 130
    monkeypatch.undo()
    measured = set(reparam.load(run).folder.evaluation().metrics)
    missing = {"mse", "psnr", "kl"} - measured
    assert "psnr" in missing
    assert set(reparam.load(run).folder.evaluation().pending) == missing
    assert command("report", run).code == 0
    page = (run / "report.html").read_text()
    found = re.search(
        r"Not measured, for an evaluation was interrupted or goes on: (.+?)\. .*?<code>reparam (.+?)</code>", page
    )
    assert found
    assert set(found[1].split(", ")) == missing
    assert command(*shlex.split(found[2])).code == 0
    assert reparam.load(run).folder.evaluation().pending == ()
    command("report", run)
    assert "Not measured" not in (run / "report.html").read_text()


def test_damaged_documents_are_mended_as_they_say(command: Callable, run: Path) -> None:
    expected = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text("{")
    with pytest.raises(ReparamError, match="delete it; 'reparam resume' writes it anew"):
        reparam.load(run).folder.status()
    (run / "status.json").unlink()
    assert command("resume", run).code == 0
    found = json.loads((run / "status.json").read_text())
    assert [found[key] for key in ("state", "step", "epoch")] == [expected[key] for key in ("state", "step", "epoch")]

    (run / "evaluation.json").write_text("{")
    refused(command("evaluate", run, "--metrics", "mse"), "evaluation.json", "delete it and measure again")
    (run / "evaluation.json").unlink()
    assert command("evaluate", run, "--metrics", "mse").code == 0

    (run / "metrics.jsonl").write_text("x\n")
    with pytest.raises(ReparamError, match="or delete it: the curves are lost, the weights are not"):
        reparam.load(run).folder.metrics()
    (run / "metrics.jsonl").unlink()
    assert command("report", run).code == 0
    assert command("resume", run).code == 0
