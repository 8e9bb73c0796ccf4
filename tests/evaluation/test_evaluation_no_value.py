"""A figure that is no number is none: it is left out, with the reason, and every file is JSON that any reader takes."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import reparam
from reparam.evaluation import Measure
from reparam.evaluation.metrics.metric import NoValueError, mean, ratio
from reparam.reports.comparison_table import measured
from reparam.reports.figures.latents import information
from reparam.reports.page import render

SIDE = 8
RNG = np.random.default_rng(0)


def strict(text: str) -> Any:
    """As a reader in another language has it: NaN and Infinity are no JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def trained(folder: Path, model: str, images: np.ndarray, labels: np.ndarray, **options: Any) -> reparam.Run:
    """On images of which the last fifth are the test images."""
    np.savez(folder / "data.npz", images=images, labels=labels)
    data = {"data": f"array:{folder / 'data.npz'}", "batch_size": 16, "epochs": 1, "pictures": 0, "device": "cpu"}
    return reparam.train(model, **data, out=folder / "run", **options)


def whole_run_is_json(path: Path) -> dict[str, Any]:
    for name in ("run.json", "status.json"):
        strict((path / name).read_text())
    for line in (path / "metrics.jsonl").read_text().splitlines():
        strict(line)
    return strict((path / "evaluation.json").read_text())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_measure_holds_numbers_alone(value: float) -> None:
    for arguments in ((value, None, 3, ""), (1.0, value, 3, ""), (1.0, 0.1, 3, "", "", (1.0, value))):
        with pytest.raises(NoValueError, match="no number"):
            Measure(*arguments)


def test_means_of_nothing_and_ratios_to_nothing_have_no_value() -> None:
    with pytest.raises(NoValueError, match="none counts"):
        mean(torch.zeros(0), "share")
    with pytest.raises(NoValueError, match="all of one colour"):
        ratio(torch.ones(3), torch.zeros(3), "times", without="all of one colour")


def test_accuracy_without_a_label_is_left_out_and_the_rest_is_json(tmp_path: Path) -> None:
    split = {name: (RNG.random((n, SIDE, SIDE)) * 255).astype(np.uint8) for name, n in (("train", 40), ("test", 10))}
    labels = {"train": np.arange(40) % 2, "test": np.full(10, -1)}
    np.savez(
        tmp_path / "data.npz",
        **{f"{name}_images": images for name, images in split.items()},
        **{f"{name}_labels": each for name, each in labels.items()},
    )
    data = f"array:{tmp_path / 'data.npz'}"
    run = reparam.train("classifier", data=data, epochs=1, pictures=0, device="cpu", out=tmp_path / "run")
    assert run.evaluate() == {}
    assert whole_run_is_json(run.path)["left_out"] == {"accuracy": "no test image has a label"}
    assert "Not measured: accuracy (no test image has a label)." in render(reparam.load(run.path, "cpu"))
    with pytest.raises(reparam.ReparamError, match="'accuracy' does not apply here: no test image has a label"):
        run.evaluate(["accuracy"])


@pytest.mark.parametrize("grey", [0, 77, 255])
def test_flat_pictures_have_no_sharpness_and_everything_else_is_a_number(grey: int, tmp_path: Path) -> None:
    run = trained(tmp_path, "ae", np.full((60, SIDE, SIDE), grey, np.uint8), np.arange(60) % 2, hidden=(8,), latent=2)
    said: list[str] = []
    found = run.evaluate(samples=4, nll_images=5, say=said.append)
    assert "sharpness" not in found
    assert {"mse", "psnr"} <= found.keys()
    document = whole_run_is_json(run.path)
    assert document["left_out"]["sharpness"] == "test images have no edges: each is of one colour"
    assert "left out: sharpness: test images have no edges: each is of one colour" in said
    run.evaluate(["mse"])
    assert "mse" not in whole_run_is_json(run.path)["left_out"]


def test_a_reason_goes_once_there_is_a_figure_and_does_not_stand_beside_one(tmp_path: Path) -> None:
    images = (RNG.random((60, SIDE, SIDE)) * 255).astype(np.uint8)
    run = trained(tmp_path, "vae", images, np.arange(60) % 2, hidden=(8,), latent=2)
    assert run.evaluate(["active_units"], images=1) == {}
    assert "two images" in whole_run_is_json(run.path)["left_out"]["active_units"]
    value = run.evaluate(["active_units"])["active_units"].value
    for _ in range(2):
        document = whole_run_is_json(run.path)
        assert document["metrics"]["active_units"]["value"] == value
        assert "active_units" not in document["left_out"]
        run.evaluate(["active_units"], images=1)


def test_files_of_earlier_versions_that_hold_nan_open_and_are_written_anew_without(run: Path) -> None:
    opened = reparam.load(run, "cpu")
    opened.evaluate(["mse"])
    path = run / "evaluation.json"
    document = json.loads(path.read_text())
    figure = {"stderr": None, "n": 5, "unit": "share", "note": "", "parts": []}
    document["metrics"] |= {
        "flips_5": {**figure, "value": math.nan},
        "sharpness": {**figure, "value": math.inf},
        "psnr": {**figure, "value": 12.0, "stderr": math.nan},
    }
    path.write_text(json.dumps(document))
    assert set(measured(opened)) == {"mse", "psnr"}
    assert "flips_5" not in render(opened)
    opened.evaluate(["kl"])
    assert set(strict(path.read_text())["metrics"]) == {"mse", "psnr", "kl"}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_makes_no_figure(value: float, run: Path) -> None:
    """A comparison with NaN is false, and infinite pixels are cut to 1: figures would come of them."""
    opened = reparam.load(run, "cpu")
    with torch.no_grad():
        for part in (opened.model.encoder, opened.model.decoder):
            for parameter in part.parameters():
                parameter.fill_(value)
    names = ["active_units", "mse", "psnr", "rate_psnr", "probe_accuracy"]
    assert opened.evaluate(names, images=40) == {}
    left_out = strict((run / "evaluation.json").read_text())["left_out"]
    assert left_out["active_units"] == "the model's latents are not finite numbers"
    assert left_out["psnr"] == "the model's reconstructions are not finite numbers"
    assert set(names) <= left_out.keys()
    assert [finding.state for finding in opened.diagnose()] == ["not finite"]


def test_the_caption_of_the_kl_has_no_infinity(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = []
    monkeypatch.setattr("reparam.reports.charts.latent_bars", lambda values, unit: bars.append(values.tolist()))
    assert information(SimpleNamespace(kl_by_latent=torch.tensor([1.0, 3.0]))).note == "4 nats in all."
    note = information(SimpleNamespace(kl_by_latent=torch.tensor([1.0, math.inf, math.nan]))).note
    assert note == "Of 2 of 3 latents the KL is no finite number: they are left out."
    assert bars == [[3.0, 1.0], [1.0]]
