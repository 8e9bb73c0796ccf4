"""`compare` and `sample --components`: what they measure and write, and what they refuse in one line."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import refused

import reparam
from reparam.reports.comparison_table import table_rows
from reparam.reports.pictures import Panel, to_picture

SMALL = {"hidden": (32,), "epochs": 2, "pictures": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def runs(three_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = Path(shutil.copytree(three_runs, tmp_path_factory.mktemp("compared") / "runs"))
    torch.manual_seed(0)
    images = (255 * torch.rand(200, 8, 8)).to(torch.uint8).numpy()
    np.save(folder / "other.npy", images)
    reparam.train("vae", data=f"array:{folder / 'other.npy'}", out=folder / "other", latent=2, **SMALL)
    return {path.name: path for path in folder.iterdir() if path.is_dir()}


def opened(runs: dict[str, Path], *names: str) -> list:
    return [reparam.load(runs[name], device="cpu") for name in names]


def test_only_the_figures_that_are_asked_for_are_measured(
    runs: dict[str, Path], tmp_path: Path, command: Callable
) -> None:
    for name in ("plain", "gan"):
        shutil.copytree(runs[name], tmp_path / name)
        (tmp_path / name / "evaluation.json").unlink(missing_ok=True)
    reparam.evaluate(tmp_path / "plain", ["mse"], images=100)
    words = ("compare", tmp_path / "plain", tmp_path / "gan", "--out", tmp_path / "page.html")
    done = command(*words, "--metrics", "psnr,iou")
    assert done.code == 0
    assert "left out, for they apply to none of the runs: iou" in done.err
    rows = {row.name: row for row in table_rows(opened({n: tmp_path / n for n in ("plain", "gan")}, "plain", "gan"))}
    # What was known is shown too; what a GAN cannot have, it has not.
    assert {name: [bool(cell.value) for cell in row.cells] for name, row in rows.items()} == {
        "mse": [True, False],
        "psnr": [True, False],
    }
    refused(command(*words, "--metrics", "psnrr"), "psnrr")


def test_what_cannot_be_compared_is_refused_in_one_line(
    runs: dict[str, Path], command: Callable, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "page.html")
    refused(command("compare", runs["plain"], *out), "at least two")
    refused(command("compare", runs["plain"], runs["plain"], *out), "each once")
    refused(command("compare", runs["plain"], runs["other"], *out), "other data", "leave one of the two out")
    refused(command("compare", runs["plain"], tmp_path / "none", *out), "none")
    refused(command("compare", runs["plain"], runs["mixed"], "--out", tmp_path / "page.png"), ".html")
    assert not (tmp_path / "page.html").exists()


def test_components_are_shown_in_rows_by_weight_or_one_alone(
    runs: dict[str, Path], command: Callable, tmp_path: Path
) -> None:
    out, mixed = tmp_path / "rows.png", runs["mixed"]
    run = reparam.load(mixed, device="cpu")
    weights = run.model.prior().mixture_distribution.probs.tolist()
    order = sorted(range(3), key=lambda m: -weights[m])
    rows = torch.cat([run.sample(4, 5, component=m) for m in order])
    assert not torch.equal(rows[:4], rows[4:8])
    assert command("sample", mixed, "--components", "--n", 4, "--seed", 5, "--out", out).code == 0
    expected = to_picture([Panel(rows, 4, [f"{m}: {weights[m]:.0%}" for m in order])])
    with Image.open(out) as picture:
        assert np.array_equal(np.array(picture), np.array(expected.convert(picture.mode)))
    new = ("--out", tmp_path / "new.png")
    refused(command("sample", mixed, "--components", "--component", 1, *new), "leave --component")
    refused(command("sample", mixed, "--component", 3, *new), "no component 3", "0 to 2")
    refused(command("sample", runs["plain"], "--components", *new), "cannot cluster")
    refused(command("sample", runs["gan"], "--draw", *new), "cannot draw")
    assert not (tmp_path / "new.png").exists()
