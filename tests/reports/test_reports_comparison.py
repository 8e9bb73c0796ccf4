"""Runs beside each other: which figures lead, what is not alike, and a page that needs nothing else."""

import json
import re
import shutil
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

import reparam
from reparam.evaluation import Measure
from reparam.reports.compare import names_of, write_comparison
from reparam.reports.comparison_table import leads, table_rows
from reparam.reports.figures import FIGURES

SMALL = {"hidden": (32,), "epochs": 2, "pictures": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def runs(three_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = Path(shutil.copytree(three_runs, tmp_path_factory.mktemp("compared") / "runs"))
    reparam.evaluate(folder / "plain", ["elbo", "mse"], images=100)
    return {path.name: path for path in folder.iterdir() if path.is_dir()}


def opened(runs: dict[str, Path], *names: str) -> list:
    return [reparam.load(runs[name], device="cpu") for name in names]


def test_a_page_measures_what_is_missing_and_shows_every_run(runs: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    write_comparison(opened(runs, "plain", "mixed", "gan"), out)
    text = out.read_text(encoding="utf-8")
    assert "<script" not in text
    fetched = re.findall(r'(?:src|srcset|href)="([^"]*)"', text)
    assert all(address.startswith(("data:image/", "#")) for address in fetched)
    assert {"table", "samples", "reconstructions", "latents"} <= set(re.findall(r'id="(\w+)"', text))
    for word in ("plain", "mixed", "gan", "fid_classifier", "cluster_accuracy", "Not of gan, whose model cannot."):
        assert word in text
    kept = json.loads((runs["mixed"] / "evaluation.json").read_text())["metrics"]
    assert {"elbo", "nll", "fid_classifier", "components_used"} <= set(kept)

    rows = {row.name: row for row in table_rows(opened(runs, "plain", "mixed", "gan"))}
    assert [bool(cell.value) for cell in rows["elbo"].cells] == [True, True, False]
    # Of 100 images and of 300: not alike, and none leads.
    assert rows["elbo"].note == "not to be compared: n = 100, 300"
    assert not any(cell.best for cell in rows["elbo"].cells)
    assert rows["nll"].note == ""
    assert any(cell.best for cell in rows["fid_classifier"].cells)
    assert not any(cell.best for cell in rows["components_used"].cells)


def test_figures_lead_where_what_they_depend_on_is_the_same(runs: dict[str, Path], tmp_path: Path) -> None:
    names = {"grey": {}, "binary": {"binarise": "threshold"}, "density": {"likelihood": "gaussian"}}
    for name, options in names.items():
        reparam.train("vae", data="digits", out=tmp_path / name, latent=2, **SMALL, **options)
    # Draws of an estimator that these figures are not of make no difference.
    reparam.evaluate(tmp_path / "grey", ["elbo", "psnr", "sharpness"], images=100, samples=7)
    for name in ("binary", "density"):
        reparam.evaluate(tmp_path / name, ["elbo", "psnr", "sharpness"], images=100)

    def notes(*names: str) -> dict[str, str]:
        found = table_rows([reparam.load(tmp_path / name, device="cpu") for name in names])
        return {row.name: row.note for row in found}

    assert notes("grey", "density") == {
        "elbo": "not to be compared: likelihood bernoulli, gaussian", "psnr": "", "sharpness": "",
    }  # fmt: skip
    assert notes("grey", "binary")["psnr"] == "not to be compared: binarise none, threshold"


def figure(value: float, stderr: float | None = None) -> Measure:
    return Measure(value, stderr, 100, "")


@pytest.mark.parametrize(
    ("value", "others", "best", "expected"),
    [
        ((1.0, 0.1), [(2.0, 0.1)], "low", True),
        ((2.0, 0.1), [(1.0, 0.1)], "low", False),
        ((2.0, 0.1), [(1.0, 0.1)], "high", True),
        ((1.2, 0.1), [(1.0, 0.1)], "low", True),  # within two standard errors, 0.28
        ((1.3, 0.1), [(1.0, 0.1)], "low", False),
        ((1.0, None), [(1.0001, None)], "high", False),
    ],
)
def test_who_leads(value: tuple, others: list[tuple], best: str, expected: bool) -> None:
    own = figure(*value)
    assert leads(own, [own, *(figure(*other) for other in others)], best) == expected


def test_a_figure_that_fails_for_one_run_does_not_stop_the_comparison(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, mixed = opened(runs, "plain", "mixed")
    monkeypatch.setattr(mixed, "sample", Mock(side_effect=ZeroDivisionError("of its own")))
    write_comparison([plain, mixed], tmp_path / "page.html", metrics=["mse"])
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"Not shown: {FIGURES['samples'].title} of mixed. ZeroDivisionError: of its own" in text
    assert {"samples", "reconstructions", "latents"} <= set(re.findall(r'id="([\w-]+)"', text))


def test_runs_of_one_name_go_by_their_paths(runs: dict[str, Path], tmp_path: Path) -> None:
    twin = shutil.copytree(runs["plain"], tmp_path / "plain")
    names = names_of([reparam.load(path, device="cpu") for path in (runs["plain"], twin)])
    assert list(names) == [str(runs["plain"]), str(twin)]


def test_what_has_no_value_is_not_measured_again_until_it_may_have_one(tmp_path: Path) -> None:
    """Pictures of one colour have no edges."""
    np.savez(tmp_path / "flat.npz", images=np.full((60, 8, 8), 77, np.uint8), labels=np.arange(60) % 2)
    runs = {
        name: reparam.train("ae", data=f"array:{tmp_path / 'flat.npz'}", latent=2, out=tmp_path / name, **SMALL)
        for name in ("one", "two")
    }
    metrics = ["sharpness", "mse"]
    why = "left out: sharpness: test images have no edges: each is of one colour"

    def said() -> list[str]:
        lines: list[str] = []
        write_comparison(list(runs.values()), tmp_path / "page.html", say=lines.append, metrics=metrics)
        return [line for line in lines if "figures to measure" in line or "left out" in line]

    runs["one"].evaluate(metrics)
    assert said() == [f"one: {why}", "two: 2 figures to measure", why]
    assert said() == [f"one: {why}", f"two: {why}"]
    reparam.evaluate(tmp_path / "two", metrics, images=3)  # tried in another way than the comparison's
    assert said() == [f"one: {why}", "two: 1 figures to measure", why]

    stored = json.loads((path := tmp_path / "one" / "evaluation.json").read_text())
    path.write_text(json.dumps({**stored, "weights": [stored["weights"][0] + 1, *stored["weights"][1:]]}))
    assert said() == ["one: 2 figures to measure", why, f"two: {why}"]

    # Why a metric is not measured unasked says nothing of its value.
    runs["one"].evaluate()
    document = json.loads(path.read_text())
    untried = document["left_out"].keys() - {"sharpness"}
    assert untried
    assert document["options"].keys() == {"sharpness", *document["metrics"]}
    del document["metrics"]["mse"], document["options"]["mse"]
    document["left_out"]["mse"] = "it takes long: request it by name"
    path.write_text(json.dumps(document))
    assert said() == [f"one: {why}", "one: 1 figures to measure", f"two: {why}"]
