"""Weights and checkpoints are checked before they are used: also where a digest holds, since anyone can write one."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import reparam
from reparam.errors import RunError
from reparam.run.folder import RunFolder
from reparam.tensor_files import has_digest, read_tensors, write_tensors

FIXTURES = Path(__file__).parents[1] / "fixtures" / "runs_of_format_1"


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / "vae-unfinished", tmp_path / "run"))


def changed(path: Path, change: Callable[[dict, dict], object]) -> None:
    tensors, metadata = read_tensors(path)
    change(tensors, metadata)
    write_tensors(path, tensors, metadata)


FIRST = "decoder.network.network.layers.0.bias"
WEIGHTS: dict[str, tuple[Callable[[dict, dict], object], str]] = {
    "nan": (lambda t, m: t[FIRST].view(-1)[3:].fill_(float("nan")), f"holds '{FIRST}' with a value that is not finite"),
    "inf": (lambda t, m: t[FIRST].view(-1)[3:].fill_(float("inf")), f"holds '{FIRST}' with a value that is not finite"),
    "float64": (lambda t, m: t.update({FIRST: t[FIRST].double()}), f"'{FIRST}' as torch.float64 where the model has"),
    "integers": (lambda t, m: t.update({FIRST: t[FIRST].long()}), f"'{FIRST}' as torch.int64 where the model has"),
    "shape": (lambda t, m: t.update({FIRST: t[FIRST][:1]}), "of shape"),
    "missing": (lambda t, m: t.pop(FIRST), f"lacks the weight '{FIRST}'"),
    "unknown": (lambda t, m: t.update(new=torch.zeros(1)), "a weight 'new' that the model has not"),
    "no step": (lambda t, m: m.pop("step"), "lacks 'step'"),
    "later format": (lambda t, m: m.update(format=2), "has 2 as 'format'"),
    "epoch in words": (lambda t, m: m.update(epoch="many"), "has 'many' as 'epoch'"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_do_not_fit_are_named(case: str, unfinished: Path) -> None:
    change, words = WEIGHTS[case]
    changed(unfinished / "weights.safetensors", change)
    with pytest.raises(RunError, match=words) as caught:
        reparam.load(unfinished).model  # noqa: B018
    assert str(unfinished / "weights.safetensors") in str(caught.value)


MOMENT = "optimiser.model.0.exp_avg"
CHECKPOINT: dict[str, tuple[Callable[[dict, dict], object], str]] = {
    "nan in a weight": (lambda t, m: t[f"model.{FIRST}"].fill_(float("nan")), "not finite"),
    "nan in a moment": (lambda t, m: t[MOMENT].fill_(float("nan")), "not finite"),
    "a moment of another type": (lambda t, m: t.update({MOMENT: t[MOMENT].double()}), "is torch.float64"),
    "a moment of another shape": (lambda t, m: t.update({MOMENT: t[MOMENT][:1]}), "has shape"),
    "no moment": (lambda t, m: t.pop(MOMENT), f"lacks '{MOMENT}'"),
    "no average": (lambda t, m: t.pop(f"average.{FIRST}"), "lacks the weight"),
    "a parameter that there is not": (lambda t, m: m["stateful"]["model"].append(99), "there is no parameter 99"),
    "no player": (lambda t, m: m["stateful"].pop("model"), "lacks 'model'"),
    "half a generator": (lambda t, m: t.update({"random.cpu.0": t["random.cpu.0"][:9]}), "does not fit the run"),
    "a generator of numbers": (lambda t, m: t.update({"random.cpu.0": torch.ones(3)}), "does not fit the run"),
    "a kind that there is not": (lambda t, m: t.update({"other.x": torch.ones(3)}), "lacks 'other'"),
    "step in words": (lambda t, m: m.update(step="x"), "has 'x' as 'step'"),
    "a negative length": (lambda t, m: m.update(metrics_bytes=-5), "has -5 as 'metrics_bytes'"),
    "later format": (lambda t, m: m.update(format=2), "has 2 as 'format'"),
}


@pytest.mark.parametrize("case", CHECKPOINT)
def test_checkpoints_that_do_not_fit_are_named(case: str, unfinished: Path) -> None:
    change, words = CHECKPOINT[case]
    changed(unfinished / "checkpoint.safetensors", change)
    kept = (unfinished / "weights.safetensors").read_bytes()
    with pytest.raises(RunError, match=words) as caught:
        reparam.resume(unfinished)
    assert str(unfinished / "checkpoint.safetensors") in str(caught.value)
    assert (unfinished / "weights.safetensors").read_bytes() == kept


def test_a_resumed_run_of_an_earlier_version_gets_digests(unfinished: Path) -> None:
    assert not has_digest(unfinished / "weights.safetensors")
    reparam.resume(unfinished)
    assert has_digest(unfinished / "weights.safetensors")
    assert has_digest(unfinished / "checkpoint.safetensors")
    assert json.loads((unfinished / "status.json").read_text())["state"] == "finished"


def test_a_fingerprint_is_of_the_weights_and_not_of_the_run(tmp_path: Path) -> None:
    """What was compressed by a run can be read when it has been trained again; that of earlier versions is of the file."""
    found = {}
    for name, value in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
        (tmp_path / name).mkdir()
        folder = RunFolder(tmp_path / name)
        assert folder.fingerprint() == b""
        folder.write_weights({"x": torch.full((3,), value)}, "last", 1, 1.0, name)
        found[name] = folder.fingerprint()
    assert found["a"] == found["b"] != found["c"]
    write_tensors(folder.weights_path, {"x": torch.ones(3)}, {"format": 1, "kept": "last", "step": 1, "epoch": 1.0})
    assert folder.fingerprint() == hashlib.sha256(folder.weights_path.read_bytes()).digest()
