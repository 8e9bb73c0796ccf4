"""`augment` and `traverse --directions`: what they write, and what they refuse in one line."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import refused

import reparam
from reparam.api import Run
from reparam.core.blocks import BLOCK
from reparam.data.selection import random_indices
from reparam.errors import DataError
from reparam.evaluation.metrics.latent_moves import change_for
from reparam.latent.directions import DIRECTIONS
from reparam.latent.generation import encode
from reparam.metrics.fidelity import sharpness
from reparam.reports.charts import Chart
from reparam.reports.figures import FIGURES
from reparam.reports.figures.latent_moves import class_directions, latent_moves, short
from reparam.reports.options import TraversalOptions
from reparam.reports.run_view import RunView


@pytest.fixture(scope="module")
def gvae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "gvae"
    reparam.train("gvae", data="digits", epochs=30, hidden=(64,), latent=12, pictures=0, device="cpu", out=path)
    return path


def open_run(path: Path) -> Run:
    return reparam.load(path, device="cpu")


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_of_new_images_by_class_and_a_manifest(gvae: Path, command: Callable, tmp_path: Path) -> None:
    words = ("augment", gvae, "--images", 130, "--per-image", 2, "--change", 0.5, "--device", "cpu", "--json")
    done = command(*words, "--out", tmp_path / "a")
    assert done.code == 0, done.err
    found = rows(tmp_path / "a")
    assert len(found) == json.loads(done.out)["images"] == 260
    train = open_run(gvae).dataset.train
    for row in found:
        assert row["source"] == f"train/{row['index']}"
        assert row["class"] == row["file"].split("/")[0] == str(int(train.labels[int(row["index"])]))
        assert Image.open(tmp_path / "a" / row["file"]).size == (8, 8)
    changes = torch.tensor([float(row["change"]) for row in found])
    # The strength is that of all training images; these 130, twice, lie within five standard errors of it.
    assert abs(float(changes.mean()) - 0.5) <= 5 * float(changes.std()) / 130**0.5
    assert command(*words, "--out", tmp_path / "b").code == 0
    for row in found:
        assert (tmp_path / "a" / row["file"]).read_bytes() == (tmp_path / "b" / row["file"]).read_bytes()
    # The folder is a data set of its own.
    assert (
        command("train", "vae", "--data", f"folder:{tmp_path / 'a'}", "--epochs", 1, "--out", tmp_path / "again").code
        == 0
    )


def test_every_direction_writes_its_images(gvae: Path, command: Callable, tmp_path: Path) -> None:
    for name in ("largest", "effect-one", "class-covariance", "class-means", "noise"):
        options = ("--images", 12, "--directions", name, "--apply", "change", "--keep-class", "--share", 0.5)
        done = command("augment", gvae, *options, "--out", tmp_path / name)
        assert done.code == 0, done.err
        assert len(rows(tmp_path / name)) == 12


def test_moves_that_keep_the_class_keep_it(gvae: Path) -> None:
    run = open_run(gvae)
    batch = run.examples(200)
    with torch.no_grad():
        code = run.model.encoder(batch.x).mean
        before = run.model.head(code).logits.argmax(1)
    torch.testing.assert_close(run.model.classify(batch.x).logits.argmax(1), before)
    free, kept = (run.augmenter(strength=30.0, keep_class=keep) for keep in (False, True))
    assert not torch.equal(free(batch.x), kept(batch.x))


def test_latents_of_classes_know_the_labels_of_training_alone(tmp_path: Path) -> None:
    options = {"data": "digits", "epochs": 2, "hidden": (32,), "latent": 4, "pictures": 0, "device": "cpu"}
    run = reparam.train("gvae", labels_per_class=3, out=tmp_path / "few", **options)
    seen = run.config.training_images(run.dataset)
    zeros = seen.images[seen.labels == 0].unique(dim=0)
    assert len(zeros) == 3
    mean = encode(run.model, zeros.float() / 255)[0].mean(0)
    torch.testing.assert_close(run.class_latents().mean[0], mean, atol=1e-5, rtol=1e-4)


def test_images_of_another_shape_are_named(gvae: Path) -> None:
    with pytest.raises(DataError, match=r"\[n, 1, 8, 8\], not \[2, 1, 9, 9\]; use torch.nn.functional.interpolate"):
        reparam.Augmenter(open_run(gvae))(torch.zeros(2, 1, 9, 9))


def test_walks_show_what_a_judge_reads(gvae: Path, command: Callable, tmp_path: Path) -> None:
    heights = []
    for words in (("--directions", 3), ("--directions", 4, "--by", "posterior"), ("--images", 5, "--by", "effect")):
        out = tmp_path / "x.png"
        done = command("traverse", gvae, *words, "--out", out)
        assert done.code == 0, done.err
        heights.append(Image.open(out).height)
    assert heights[2] - heights[1] == heights[1] - heights[0] > 72  # a row of tiles and captions more
    view = RunView(open_run(gvae))
    (panel,) = latent_moves(view, TraversalOptions(classes=True, index=7)).panels
    assert len(panel.tiles) == len(panel.captions) == 20 * 15
    own, read = view.examples(1, (7,)), panel.captions[6].split()
    assert torch.equal(panel.tiles[7], own.x[0])
    assert panel.captions[7] == view.run.dataset.classes[int(own.y)]
    assert view.judge
    assert read == [view.run.dataset.classes[int(view.judge.classes(panel.tiles[6:7]))], "0.0"]


@pytest.mark.parametrize("name", ["augment", "evaluate"])
def test_help_names_every_direction(name: str, command: Callable) -> None:
    text = "".join(command(name, "--help").out.split())
    assert all(direction in text for direction in DIRECTIONS)


def test_short_names_of_classes_stay_apart() -> None:
    assert short("trouser") == "trouser"
    assert short("sweatshirt") == "sweatsh."
    names = ("not Male+not Smiling", "not Male+Smiling", "Male+not Smiling", "Male+Smiling")
    assert [short(name) for name in names] == ["-Mal-Smi", "-Mal+Smi", "+Mal-Smi", "+Mal+Smi"]


def test_walks_along_classes_reach_their_means(gvae: Path) -> None:
    run = open_run(gvae)
    train = run.dataset.train
    means, scales = encode(run.model, train.images.float() / 255)
    rows, names = class_directions(run, 1)
    assert len(rows) == len(names) == 2 * len(run.dataset.classes)
    for number in range(len(run.dataset.classes)):
        own = train.labels == number
        expected = means[own].mean(0) - means[train.labels == 1].mean(0)
        torch.testing.assert_close(3 * rows[2 * number + 1], expected, atol=1e-4, rtol=1e-4)
        scale = scales[own].mean(0)
        along = rows[2 * number].nonzero().squeeze(1)
        assert scale[along].min() >= scale.sort().values[-len(along)] - 1e-6
        torch.testing.assert_close(rows[2 * number][along], scale[along], atol=1e-5, rtol=1e-4)


def test_a_model_that_is_told_the_class_walks_too(tmp_path: Path, command: Callable) -> None:
    options = {"data": "digits", "epochs": 1, "hidden": (16,), "latent": 3, "pictures": 0, "device": "cpu"}
    reparam.train("cvae", task="labelled", out=tmp_path / "told", **options)
    for number, words in enumerate((("--images", 3), ("--directions", 2), ("--directions", 2, "--by", "posterior"))):
        done = command("traverse", tmp_path / "told", *words, "--out", tmp_path / f"{number}.png")
        assert done.code == 0, done.err
    refused(command("traverse", tmp_path / "told", "--classes", "--out", tmp_path / "x.png"), "do not know the class")


def test_a_run_of_few_labels_augments_those_alone(tmp_path: Path, command: Callable) -> None:
    options = {"data": "digits", "epochs": 1, "hidden": (16,), "latent": 12, "pictures": 0, "device": "cpu"}
    run = reparam.train("gvae", labels_per_class=2, out=tmp_path / "few", **options)
    done = command("augment", tmp_path / "few", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    found = rows(tmp_path / "out")
    assert len(found) == 20
    known = {(int(row["index"]), int(row["class"])) for row in found}
    assert all(int(run.dataset.train.labels[index]) == label for index, label in known)
    seen = run.config.training_images(run.dataset)
    labelled = seen.images[seen.labels >= 0].unique(dim=0)
    assert torch.equal(run.dataset.train.images[[index for index, _ in known]].unique(dim=0), labelled)


def test_what_was_not_finished_does_not_look_finished(
    gvae: Path, command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("reparam.reports.augmented.write_text", Mock(side_effect=KeyboardInterrupt))
        assert command("augment", gvae, "--images", 3, "--out", out).code == 130
    assert not list(tmp_path.iterdir())
    (tmp_path / "out.unfinished").mkdir()  # of one that was killed
    refused(command("augment", gvae, "--images", 3, "--out", out), "did not end", "remove it")


def test_a_training_resumes_with_the_run_that_moved_its_images(gvae: Path, tmp_path: Path) -> None:
    shutil.copytree(gvae, tmp_path / "mover")
    options = {"data": "digits", "channels": 4, "device": "cpu", "keep": "last", "pictures": 0}
    moved = {"augment": (str(tmp_path / "mover"),)}
    run = reparam.train("classifier", epochs=1, out=tmp_path / "run", **options, **moved)
    other = {"data": "digits", "epochs": 1, "hidden": (16,), "latent": 3, "pictures": 0, "device": "cpu"}
    run.folder.write_status("running")  # as after a kill: what has ended is left as it is
    shutil.rmtree(tmp_path / "mover")
    reparam.train("gvae", out=tmp_path / "mover", **other)
    with pytest.raises(DataError, match="put back"):
        reparam.resume(run.path)


def test_flips_are_measured_at_equal_change(gvae: Path, command: Callable) -> None:
    def measured(*words: object) -> dict[str, dict]:
        return json.loads(command("evaluate", gvae, *words, "--json").out)["metrics"]

    found = measured("--metrics", "flips_2,flips_5,elbo")
    assert "judge" in found["flips_2"]["note"]
    assert 0 <= found["flips_2"]["value"] <= found["flips_5"]["value"] <= 1
    for directions in ("noise", "pixels", "class-covariance"):
        assert directions in measured("--metrics", "flips_2", "--directions", directions)["flips_2"]["note"]
    other = measured("--metrics", "elbo", "--split", "validation")["elbo"]
    assert other["value"] != found["elbo"]["value"]
    kept = json.loads((gvae / "evaluation.json").read_text())["metrics"]
    assert kept["elbo"]["value"] == found["elbo"]["value"]
    assert kept["elbo on validation"] == other
    assert {"flips_2", "flips_2 along noise", "flips_2 along pixels"} <= set(kept)
    *_, chart = FIGURES["latent-moves"].on_page(RunView(open_run(gvae))).parts
    assert isinstance(chart, Chart)  # of what was measured, below the pictures


def test_sharpness_of_moved_images_is_their_edges_beside_the_data(gvae: Path) -> None:
    run = open_run(gvae)
    test = run.dataset.test.take(random_indices(run.dataset.test, len(run.dataset.test)))  # the order of measuring
    x, y = test.images.float() / 255, test.labels
    move = reparam.Augmenter(run, seed=0)
    move.calibrate(x, y, change_for(3.5, (1, 8, 8)))
    moved = torch.cat([move(*block) for block in zip(x.split(BLOCK), y.split(BLOCK), strict=True)])
    expected = sharpness(moved).mean() / sharpness(x).mean()
    found = run.evaluate(["sharpness_moved"])["sharpness_moved"].value
    assert found == pytest.approx(float(expected), rel=1e-4)


def test_what_cannot_be_augmented_is_said(gvae: Path, trained: Path, command: Callable, tmp_path: Path) -> None:
    out, full = tmp_path / "out", tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    pixels = np.zeros((30, 8, 8), np.uint8)
    np.savez(tmp_path / "one.npz", images=pixels, labels=np.zeros(30, np.int64))
    one = f"array:{tmp_path / 'one.npz'}"
    others = tmp_path / "others"
    (others / "cat").mkdir(parents=True)
    for folder in (others, others / "cat"):
        Image.fromarray(pixels[0]).save(folder / "1.png")
    for words, says in (
        (("--strength", -1), ("--strength", "0<=x<=1000")),
        (("--strength", "nan"), ("strength", "nan")),
        (("--change", 0), ("x>0",)),
        (("--change", 1e6), ("no strength",)),
        (("--strength", 1, "--change", 1), ("give one",)),
        (("--share", 2), ("share",)),
        (("--directions", "largst"), ("largest",)),
        (("--data", f"folder:{others}"), ("classes cat", "the run 0, 1, 2", "folders that are called so")),
    ):
        refused(command("augment", gvae, *words, "--out", out), *says)
        assert not out.exists()
    refused(command("augment", gvae, "--images", 3, "--out", full), "not empty")
    refused(command("augment", trained, "--keep-class", "--out", out), "train a G-VAE")
    refused(command("train", "gvae", "--data", one, "--out", out), "two classes")
    refused(command("train", "gvae", "--data", "digits", "--k", 3, "--out", out), "leave --k out")
    refused(command("train", "gvae", "--data", "digits", "--unlabelled", "drop", "--out", out), "labels-per-class")
    refused(
        command("train", "gvae", "--data", "digits", "--labels-per-class", 900, "--out", out),
        "labelled training images",
    )
    assert not out.exists()


def test_a_classifier_trains_on_moved_images_and_again_the_same(gvae: Path, tmp_path: Path) -> None:
    options = {"data": "digits", "epochs": 4, "channels": 4, "device": "cpu", "keep": "last", "pictures": 0}
    moved = {"augment": ("pixels", str(gvae)), "augment_strength": (1.0, 2.0)}
    plain = reparam.train("classifier", out=tmp_path / "plain", **options)
    whole = reparam.train("classifier", out=tmp_path / "whole", **options, **moved)
    first = whole.model.state_dict()
    assert any(not torch.equal(a, b) for a, b in zip(first.values(), plain.model.state_dict().values(), strict=True))
    by_class = {**moved, "augment_directions": "class-covariance"}
    reparam.train("classifier", out=tmp_path / "by-class", **options, **by_class)
    again = reparam.train("classifier", out=tmp_path / "again", **options, **moved)
    assert all(torch.equal(a, b) for a, b in zip(first.values(), again.model.state_dict().values(), strict=True))


def test_what_cannot_be_trained_on_is_said(gvae: Path, command: Callable, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for words, says in (
        (("classifier", "--augment", tmp_path / "none"), ("no run at",)),
        (("cvae", "--augment", "pixels"), ("augment", "without a condition")),
        (("vae", "--augment", f"pixels,{gvae}", "--augment-strength", 1), ("one for each",)),
        (("vae", "--augment", "pixels", "--augment-strength", "nan"), ("augment_strength",)),
        (("vae", "--size", 16, "--augment", gvae), ("augments images of shape (1, 8, 8)",)),
        (("vae", "--augment", gvae, "--augment-strength", 1e6), ("less than or equal to 1000",)),
        (("classifier", "--augment-keep-class"), ("add --augment RUN",)),
        (("classifier", "--augment", "pixels", "--augment-directions", "noise"), ("add --augment RUN",)),
    ):
        refused(command("train", words[0], "--data", "digits", *words[1:], "--out", out), *says)
        assert not out.exists()
    images = np.zeros((40, 8, 8), np.uint8)
    np.savez(tmp_path / "two.npz", images=images, labels=np.arange(40) % 2)
    words = ("train", "classifier", "--data", f"array:{tmp_path / 'two.npz'}", "--augment", gvae)
    refused(command(*words, "--out", out), "have classes 0, 1 and the run")
    assert not out.exists()


def test_class_names_do_not_lead_out_of_the_folder(run: Path, command: Callable, tmp_path: Path) -> None:
    """Of a stranger's shards: their names are data."""
    data = reparam.data.load("digits")
    names = [
        "../../out",
        "/tmp/abs",
        "manifest.csv",
        "unlabelled",
        "<script>",
        "caf\udce9",
        "x" * 300,
        "8",
        "EIGHT",
        "eight",
    ]
    command("data", "shard", "digits", "--out", tmp_path / "shards")
    index = json.loads((tmp_path / "shards" / "index.json").read_text())
    index["classes"] = names
    (tmp_path / "shards" / "index.json").write_text(json.dumps(index))
    done = command(
        "augment", run, "--data", f"shards:{tmp_path / 'shards'}", "--images", 100, "--out", tmp_path / "deep" / "new"
    )
    assert done.code == 0, done.err
    assert "class '<script>' is in the folder '_script_-" in done.err
    assert "class '8'" not in done.err
    assert {path.name for path in tmp_path.iterdir()} == {"run", "shards", "deep"}
    folder = tmp_path / "deep" / "new"
    folders = {path.name for path in folder.iterdir()} - {"manifest.csv"}
    assert [path.name for path in folder.parent.iterdir()] == ["new"]
    present = set(data.train.labels[:100].tolist())
    assert len(folders) == len(present) == 10
    assert all((folder / row["file"]).is_file() and row["file"].count("/") == 1 for row in rows(folder))
    assert {row["class"] for row in rows(folder)} == {name.replace("\udce9", "\\udce9") for name in names}


def test_so_many_images_are_of_all_classes_however_they_lie(gvae: Path, command: Callable, tmp_path: Path) -> None:
    data = reparam.data.load("digits")
    for label in range(10):
        chosen = (data.train.labels == label).nonzero()[:15, 0]
        for place, pixels in zip(chosen.tolist(), data.train.images[chosen, 0], strict=True):
            path = tmp_path / "set" / str(label) / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.numpy()).save(path)
    words = ("augment", gvae, "--data", f"folder:{tmp_path / 'set'}", "--device", "cpu", "--images")
    assert command(*words, 20, "--out", tmp_path / "few").code == 0
    assert command(*words, 30, "--out", tmp_path / "more").code == 0
    given = reparam.load(gvae, "cpu").read(tmp_path / "set")
    few, more = ({row["index"]: row["class"] for row in rows(tmp_path / name)} for name in ("few", "more"))
    assert sorted(few.values()) == sorted([*map(str, range(10))] * 2), "the classes in turn"
    assert few.keys() < more.keys(), "as of the other commands: the first of one order"
    for row in rows(tmp_path / "more"):
        made_of = Image.open(tmp_path / "set" / row["source"])
        assert np.array_equal(np.asarray(made_of), given.images.pixels[int(row["index"]), 0].numpy())
        assert row["source"].split("/")[0] == row["class"]
