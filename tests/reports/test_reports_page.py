"""The page: whole, self-contained and safe, for runs in any state."""

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

import reparam
from reparam.api import Run
from reparam.errors import RunError
from reparam.reports.figures import FIGURES
from reparam.reports.page import render, write_report
from reparam.run.folder import RunFolder

VOID = {"meta", "img", "source", "br", "hr", "link"}
HOSTILE = ["<script>alert(1)<", 'b & "c" \'$^']
CONDITIONAL = {"predictions", "classes", "reliability", "predictions-by-epoch"}
SMALL = {"hidden": (16,), "epochs": 2, "batch_size": 64}


class Page(HTMLParser):
    """Checks nesting, collects addresses and identifiers."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name in ("src", "srcset") or (name == "href" and not (value or "").startswith("#")):
                self.fetched.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small run of each kind; tests that damage one work on a copy."""
    folder = tmp_path_factory.mktemp("runs")
    images = torch.randint(0, 255, (60, 12, 12, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8).numpy()
    np.save(folder / "images.npy", images)
    for number, name in enumerate(HOSTILE):
        (folder / "pictures" / name).mkdir(parents=True)
        for i in range(20):
            Image.fromarray(images[20 * number + i]).save(folder / "pictures" / name / f"{i}.png")
    models = {
        "vae": ("vae", "digits", {"latent": 3}),
        "gvae": ("gvae", "digits", {"latent": 3}),
        "gmvae": ("gmvae", "digits", {"latent": 2, "components": 4}),
        "ae": ("ae", "digits", {"latent": 2}),
        "dae": ("dae", "digits", {"latent": 2}),
        "classifier": ("classifier", "digits", {"hidden": None}),
        "unlabelled": ("vae", f"array:{folder / 'images.npy'}", {"latent": 1}),
        "cvae": ("cvae", "digits", {"latent": 2, "task": "boxes"}),
        "labelled": ("cvae", "digits", {"latent": 2, "task": "labelled"}),
        "nn": ("nn", "digits", {"task": "half"}),
        "maps": (
            "hybrid",
            "reparam.testing:discs",
            {"latent": 2, "task": "segmentation", "guess_weight": 1.0, "hidden": None},
        ),
        "hostile": ("vae", f"folder:{folder / 'pictures'}", {"latent": 2}),
    }
    for name, (model, data, options) in models.items():
        chosen = {key: value for key, value in {**SMALL, **options}.items() if value is not None}
        reparam.train(model, data=data, out=folder / name, device="cpu", **chosen)
    return {name: folder / name for name in models}


@pytest.fixture(scope="module")
def texts(runs: dict[str, Path]) -> dict[str, str]:
    """The page of each run, as it was written."""
    return {name: write_report(open_run(path)).read_text(encoding="utf-8") for name, path in runs.items()}


def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / run.name))


def open_run(path: Path) -> Run:
    return reparam.load(path, device="cpu")


@pytest.mark.parametrize(
    "name", ["vae", "gmvae", "ae", "dae", "classifier", "unlabelled", "hostile", "cvae", "labelled", "nn", "maps"]
)
def test_pages_are_whole_and_fetch_nothing(runs: dict[str, Path], texts: dict[str, str], name: str) -> None:
    page = Page(texts[name])
    assert "script" not in page.tags
    assert page.fetched
    for address in page.fetched:
        head, _, data = address.partition(";base64,")
        content = base64.b64decode(data, validate=True)
        if head == "data:image/png":
            Image.open(io.BytesIO(content)).verify()
        else:
            assert head == "data:image/svg+xml"
            assert not re.search(rb'(href|src)="(?!#|data:)', content)
    assert len(page.ids) == len(set(page.ids))
    assert (runs[name] / "report.html").stat().st_size < 8_000_000
    assert "Not shown" not in page.text


@pytest.mark.parametrize("name", ["vae", "gvae", "gmvae", "ae", "classifier", "cvae", "labelled", "nn", "maps"])
def test_figures_follow_abilities(runs: dict[str, Path], texts: dict[str, str], name: str) -> None:
    able = open_run(runs[name]).model.abilities
    shown = set(Page(texts[name]).ids) & set(FIGURES)
    assert shown == {key for key, row in FIGURES.items() if row.needs is None or row.needs in able}
    assert shown >= {
        "vae": set(FIGURES) - CONDITIONAL - {"latent-moves", "components"},
        "gvae": set(FIGURES) - CONDITIONAL - {"components"},
        "gmvae": set(FIGURES) - CONDITIONAL - {"latent-moves", "information"},
        "ae": {"reconstructions", "traversals"},
        "classifier": {"curves"},
    }.get(name, {"predictions"})


def test_names_from_the_data_are_text(texts: dict[str, str]) -> None:
    text = texts["hostile"]
    assert "<script" not in text
    page = Page(text)
    for name in HOSTILE:
        assert name in page.text


def test_all_text_of_a_strangers_run_is_text(runs: dict[str, Path], tmp_path: Path) -> None:
    """What run.json, evaluation.json and metrics.jsonl say, wherever the page shows it."""
    path = copy(runs["hostile"], tmp_path)
    bad = "</style><script>alert({})</script>"
    document = json.loads((path / "run.json").read_text())
    document |= {key: bad.format(key) for key in ("command", "reparam", "torch", "python")}
    document["data"] |= {
        "name": bad.format("name"),
        "notes": [bad.format("note")],
        "classes": ["a", bad.format("class")],
    }
    (path / "run.json").write_text(json.dumps(document))
    measure = {"value": 1.0, "stderr": 0.1, "n": 9, "unit": bad.format("unit"), "note": bad.format("remark")}
    _, facts = RunFolder(path).weights()
    finding = {"state": bad.format("state"), "evidence": bad.format("evidence"), "advice": bad.format("advice")}
    evaluation = {"weights": [facts.step, facts.kept], "metrics": {"mse": measure}, "diagnosis": [finding]}
    (path / "evaluation.json").write_text(json.dumps(evaluation))
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line["terms"][bad.format("term")] = 1.0
    (path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    text = render(open_run(path))
    assert "<script" not in text
    page = Page(text)
    for shown in ("command", "reparam", "torch", "python", "note", "class", "unit", "remark", "evidence", "advice"):
        assert bad.format(shown) in page.text, shown
    charts = [base64.b64decode(address.partition(",")[2]) for address in page.fetched if "svg" in address[:20]]
    assert not any(b"<script" in chart for chart in charts)
    assert any(b"alert(term)" in chart for chart in charts)


def test_a_picture_of_training_is_a_png_or_left_out(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture of another format by that name may start a program: EPS is drawn by Ghostscript."""
    started = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: started.append(1))
    path = copy(runs["vae"], tmp_path)
    for picture in (path / "pictures").iterdir():
        Image.open(picture).convert("L").save(picture, "EPS")
    said: list[str] = []
    assert "Samples as training went on" not in render(open_run(path), said.append)
    assert any(line.startswith("not on the page: ") and "Samples by epoch" in line for line in said), said
    assert not started


def test_the_denoiser_is_shown_what_it_is_given(texts: dict[str, str]) -> None:
    text = Page(texts["dae"]).text
    assert "The middle row is what the model was given." in text
    assert "given" in text


def test_unlabelled_data_says_so(texts: dict[str, str]) -> None:
    text = Page(texts["unlabelled"]).text
    assert "The data has no labels" in text
    assert "the images are unlabelled" in text


def test_measures_are_shown_with_their_meaning(runs: dict[str, Path], tmp_path: Path) -> None:
    path = copy(runs["classifier"], tmp_path)
    assert f"Nothing has been measured yet. reparam evaluate {path}" in Page(render(open_run(path))).text
    metrics = {
        "elbo": {"value": -27.27, "stderr": 0.157, "n": 300, "unit": "nats/image"},
        "of_a_later_version": {"value": 3.0, "stderr": None, "n": 300, "unit": "<i>"},
    }
    _, facts = open_run(path).folder.weights()
    document = {"weights": list(facts.stamp), "metrics": metrics}
    (path / "evaluation.json").write_text(json.dumps(document))
    text = Page(render(open_run(path))).text
    assert "−27.27 ± 0.16" in text
    assert "A lower bound on the logarithm of the probability, or density" in text
    assert "<i> · 300 images" in text
    assert "measure again" not in text
    (path / "evaluation.json").write_text(json.dumps({**document, "weights": [1, "best"]}))
    assert "measured on earlier weights" in Page(render(open_run(path))).text
    for damaged in ("{", '{"metrics": 3}', '{"metrics": {}, "options": []}'):
        (path / "evaluation.json").write_text(damaged)
        said: list[str] = []
        why = r"evaluation.json .*: delete it and measure again"
        assert re.search(why, Page(render(open_run(path), said.append)).text)
        assert any(re.match(rf"not on the page: what was measured \(.*{why}\)$", line) for line in said), said


@pytest.mark.parametrize("state", ["interrupted", "diverged", "running"])
def test_every_state_is_told(runs: dict[str, Path], tmp_path: Path, state: str) -> None:
    path = copy(runs["classifier"], tmp_path)
    status = json.loads((path / "status.json").read_text())
    (path / "status.json").write_text(json.dumps({**status, "state": state, "epoch": 0.5}))
    text = Page(render(open_run(path))).text
    assert state in text
    assert "steps (0.5 epochs)" in text


def test_a_run_whose_data_is_gone_shows_the_rest(runs: dict[str, Path], tmp_path: Path) -> None:
    path = copy(runs["hostile"], tmp_path)
    document = json.loads((path / "run.json").read_text())
    document["config"]["data"]["data"] = f"folder:{tmp_path / 'gone'}"
    (path / "run.json").write_text(json.dumps(document))
    page = Page(render(open_run(path)))
    assert page.text.count("Not shown:") == 1  # one line, not one a figure
    assert "gone" in page.text
    shown = set(page.ids) & set(FIGURES)
    assert {"samples", "draws", "grid", "curves", "samples-by-epoch", "reconstructions-by-epoch"} == shown


def test_a_damaged_status_is_told(runs: dict[str, Path], tmp_path: Path) -> None:
    path, said = copy(runs["classifier"], tmp_path), []
    (path / "status.json").write_text("{")
    assert "unknown (" in Page(render(open_run(path), said.append)).text
    assert len([line for line in said if re.match(r"not on the page: how training ended \(.*status.json", line)]) == 1


def test_a_model_that_cannot_be_made_is_told(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: RunFolder) -> None:
        raise RunError("too large: train another")

    path, said = copy(runs["classifier"], tmp_path), []
    monkeypatch.setattr(RunFolder, "untrained_model", fail)
    assert (
        "Not shown: what the model can do. too large: train another" in Page(render(open_run(path), said.append)).text
    )
    assert "not on the page: what the model can do (too large: train another)" in said


def test_a_run_without_weights_shows_how_training_went(runs: dict[str, Path], tmp_path: Path) -> None:
    path = copy(runs["vae"], tmp_path)
    (path / "weights.safetensors").unlink()
    page = Page(render(open_run(path)))
    assert f"{path} has no weights: " in page.text
    shown = set(page.ids) & set(FIGURES)
    assert shown == {"curves", "samples-by-epoch", "reconstructions-by-epoch"}


def test_missing_and_damaged_files_are_told(runs: dict[str, Path], tmp_path: Path) -> None:
    path = copy(runs["vae"], tmp_path)
    for picture in (path / "pictures").glob("samples-*.png"):
        picture.unlink()
    first, second, *_ = sorted((path / "pictures").glob("reconstructions-*.png"))
    first.write_bytes(b"\x89PNG broken")
    Image.new("L", (7, 7)).save(second)
    (path / "metrics.jsonl").unlink()
    (path / "status.json").write_text("no")
    page = Page(render(open_run(path)))
    assert "training left no pictures" in page.text
    assert "training has logged nothing" in page.text
    assert "status.json" in page.text
    assert "reconstructions-by-epoch" in page.ids
    (path / "metrics.jsonl").write_text("{broken\n")
    assert "metrics.jsonl, line 1, is no valid JSON" in Page(render(open_run(path))).text


def test_a_figure_that_fails_does_not_stop_the_page(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of one's own may raise anything."""
    whole = set(Page(render(open_run(runs["gmvae"]))).ids) & set(FIGURES)
    run = open_run(runs["gmvae"])
    monkeypatch.setattr(run.model.prior, "forward", Mock(side_effect=TypeError("no prior <today>")))
    page = Page(render(run))
    assert "Not shown: " in page.text
    assert "TypeError: no prior <today>" in page.text
    shown = set(page.ids) & set(FIGURES)
    assert {"reconstructions", "traversals", "curves"} <= shown < whole
    for key in whole - shown:
        assert FIGURES[key].title in page.text


def test_a_model_that_cannot_be_loaded_leaves_the_training(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(runs["classifier"])
    monkeypatch.setattr(type(run.folder), "model", Mock(side_effect=ValueError("half a model")))
    page = Page(render(run))
    assert "curves" in page.ids
    assert f"reparam evaluate {run.path}" in page.text


def test_every_option_is_in_the_table(runs: dict[str, Path], texts: dict[str, str]) -> None:
    run, text = open_run(runs["vae"]), texts["vae"]
    for section in ("data", "task", "options", "training"):
        for name in run.config.to_json()[section]:
            assert f'<td class="mono">{name.replace("_", "-")}</td>' in text
    assert '<tr class="changed"><td class="mono">latent</td><td class="mono">3</td>' in text
