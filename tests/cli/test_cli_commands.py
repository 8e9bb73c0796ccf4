"""Every command does what it says, from the shell's point of view."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import reparam
from experiments import EXPERIMENTS
from reparam.cli.group import cli
from reparam.data.tasks import to_float

TRAIN = ("train", "vae", "--data", "digits", "--epochs", "1")


def test_models_and_data_are_listed(command: Callable) -> None:
    models = json.loads(command("models", "--json").out)
    assert {"ae", "dae", "vae"} <= set(models)
    assert "notes" in models["vae"]["recipes"]
    assert "notes" in command("models").out
    data = json.loads(command("data", "list", "--json").out)
    assert {"mnist", "fashion-mnist", "cifar10", "celeba", "digits", "folder", "array"} <= set(data)


@pytest.mark.parametrize(
    "name",
    [
        "models",
        "data",
        "data list",
        "data get",
        "train",
        "train vae",
        "resume",
        "evaluate",
        "encode",
        "sample",
        "reconstruct",
        "interpolate",
        "traverse",
        "grid",
        "report",
    ],
)
def test_help_has_an_example(name: str, command: Callable) -> None:
    done = command(*name.split(), "--help")
    assert done.code == 0
    assert name == "data" or f"reparam {name.split()[0]}" in done.out.split("Example:")[-1]


def test_train_writes_a_run_and_says_what_comes_next(command: Callable, tmp_path: Path) -> None:
    done = command(
        *TRAIN,
        "--hidden",
        "16,8",
        "--latent",
        "3",
        "--out",
        tmp_path / "r",
    )
    assert done.code == 0, done.err
    assert "kept weights: best" in done.out
    assert f"reparam evaluate {tmp_path / 'r'}" in done.out
    opened = reparam.load(tmp_path / "r")
    assert opened.config.options.hidden == (16, 8)
    assert opened.sample(3).shape == (3, 1, 8, 8)
    lines = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    assert {line["phase"] for line in lines} == {"train", "validation"}
    assert {"total", "reconstruction", "kl"} <= set(lines[0]["terms"])
    assert list((tmp_path / "r" / "tensorboard").iterdir())
    assert list((tmp_path / "r" / "pictures").glob("samples-*.png"))
    assert list((tmp_path / "r" / "pictures").glob("reconstructions-*.png"))


def test_dry_run_prints_the_configuration_and_writes_nothing(command: Callable, tmp_path: Path) -> None:
    done = command("train", "vae", "--data", "mnist", "--recipe", "notes", "--dry-run", "--out", tmp_path / "r")
    assert json.loads(done.out)["options"]["hidden"] == [400]
    assert not (tmp_path / "r").exists()


def test_seeds_reproduce_and_differ(command: Callable, tmp_path: Path) -> None:
    def weights(name: str, seed: int) -> dict[str, torch.Tensor]:
        words = (
            *TRAIN,
            "--hidden",
            "8",
            "--pictures",
            "0",
            "--seed",
            seed,
        )
        assert command(*words, "--out", tmp_path / name).code == 0
        return reparam.load(tmp_path / name).folder.weights()[0]

    a, b, c = weights("a", 1), weights("b", 1), weights("c", 2)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not any(torch.equal(a[name], c[name]) for name in a)


def test_resume_of_a_finished_run_leaves_it_as_it_is(command: Callable, run: Path) -> None:
    before = (run / "weights.safetensors").read_bytes()
    done = command("resume", run)
    assert done.code == 0, done.err
    assert "finished" in done.out
    assert (run / "weights.safetensors").read_bytes() == before


def test_evaluate_prints_and_writes_the_same_figures(command: Callable, run: Path) -> None:
    done = command(
        "evaluate", run, "--samples", "20", "--nll-images", "50", "--json", "--metrics", "elbo,nll,kl,mse,active_units"
    )
    assert done.code == 0, done.err
    printed = json.loads(done.out)["metrics"]
    written = json.loads((run / "evaluation.json").read_text())["metrics"]
    assert printed == written
    assert list(printed) == ["elbo", "nll", "kl", "active_units", "mse"]
    assert set(printed["elbo"]) == {"value", "stderr", "n", "unit", "note", "parts", "baselines", "bias", "by_label"}
    assert printed["nll"]["n"] == 50
    # The bound lies below the likelihood: -elbo >= nll up to both standard errors, on the images that both saw.
    assert -printed["elbo"]["value"] > printed["nll"]["value"] - 4 * (
        printed["nll"]["stderr"] + printed["elbo"]["stderr"]
    )
    assert command("evaluate", run, "--metrics", "psnr").code == 0
    assert set(json.loads((run / "evaluation.json").read_text())["metrics"]) == {*printed, "psnr"}


def test_encode_writes_latents_that_python_gives_too(command: Callable, run: Path, tmp_path: Path) -> None:
    done = command("encode", run, "--split", "validation", "--out", tmp_path / "z.npz", "--json")
    assert json.loads(done.out) == {"out": str(tmp_path / "z.npz"), "images": 300, "latent": 2}
    found = np.load(tmp_path / "z.npz")
    opened = reparam.load(run)
    mean, scale = opened.encode(to_float(opened.dataset.validation.images))
    np.testing.assert_array_equal(found["mean"], mean.numpy())
    np.testing.assert_array_equal(found["scale"], scale.numpy())
    np.testing.assert_array_equal(found["labels"], opened.dataset.validation.labels.numpy())
    assert found["classes"].tolist() == list(opened.dataset.classes)


def test_encode_says_which_images_it_leaves_out(command: Callable, run: Path, tmp_path: Path) -> None:
    facts = reparam.load(run).dataset
    kept, left = len(facts.train) + len(facts.validation), len(facts.test)
    done = command("encode", run, "--split", "all", "--out", tmp_path / "z.npz")
    assert f"{kept} latents of size 2, of train and validation images, without the {left} of test" in done.out
    assert len(np.load(tmp_path / "z.npz")["mean"]) == kept
    assert f"{left} latents of size 2, of test images:" in command("encode", run, "--out", tmp_path / "t.npz").out


@pytest.mark.parametrize(
    "words",
    [
        ["sample", "--n", "5"],
        ["sample", "--n", "5", "--draw", "--seed", "3"],
        ["reconstruct"],
        ["reconstruct", "--index", "3", "--index", "7"],
        ["interpolate", "--index", "1", "--index", "2", "--steps", "5"],
        ["traverse", "--index", "4", "--dimensions", "1,0", "--steps", "5"],
        ["grid", "--steps", "6"],
    ],
    ids=" ".join,
)
def test_pictures_are_written(words: list[str], command: Callable, run: Path, tmp_path: Path) -> None:
    done = command(words[0], run, *words[1:], "--out", tmp_path / "x.png", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out) == {"out": str(tmp_path / "x.png")}
    with Image.open(tmp_path / "x.png") as image:
        image.load()
        assert min(image.size) >= 8


def test_a_walk_through_images_moves(command: Callable, run: Path, tmp_path: Path) -> None:
    words = ["interpolate", run, "--index", "1", "--index", "2", "--index", "5", "--steps", "3", "--line", "spherical"]
    done = command(*words, "--out", tmp_path / "walk.gif")
    assert done.code == 0, done.err
    with Image.open(tmp_path / "walk.gif") as image:
        assert image.n_frames == 8  # five latents there, three back
    refused = command(*words, "--out", tmp_path / "walk.bmp")
    assert (refused.code, "must end in .png or .gif or .mp4" in refused.err) == (2, True)


def test_report_is_one_file(command: Callable, run: Path) -> None:
    done = command("report", run)
    assert done.code == 0, done.err
    assert (run / "report.html").stat().st_size > 10_000


def test_a_model_of_ones_own_trains_from_an_import_path(
    command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_for_test.py").write_text(
        "from dataclasses import replace\nfrom reparam.models.vae import VAE\n"
        "MINE = replace(VAE, name='mine', recipes={'default': replace(VAE.recipes['default'], options={'latent': 3})})\n"
    )
    monkeypatch.chdir(tmp_path)
    done = command("train", "mine_for_test:MINE", "--data", "digits", "--epochs", "1", "--hidden", "8", "--out", "r")
    assert done.code == 0, done.err
    assert reparam.load("r").config.options.latent == 3


def test_denoising_reads_noisy_images_and_is_measured(command: Callable, tmp_path: Path) -> None:
    done = command("train", "dae", "--data", "digits", "--epochs", "2", "--hidden", "32", "--out", tmp_path / "r")
    assert done.code == 0, done.err
    done = command("evaluate", tmp_path / "r", "--metrics", "reconstruction,mse", "--json")
    assert set(json.loads(done.out)["metrics"]) == {"reconstruction", "mse"}


def test_a_run_opens_from_any_folder_and_outlives_what_it_began_from(
    command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    np.savez("x.npz", images=images, labels=np.arange(40) % 2)
    small = ("--data", "array:x.npz", "--hidden", "8", "--latent", "2", "--epochs", "2", "--batch-size", "8")
    assert command("train", "vae", *small, "--out", "a").code == 0
    assert command("train", "vae", *small, "--init-from", "a", "--out", "b").code == 0
    shutil.rmtree("a")
    monkeypatch.chdir(tmp_path / "there")
    assert command("evaluate", "../here/b", "--metrics", "mse").code == 0
    assert command("resume", "../here/b").code == 0


def test_a_batch_larger_than_the_data_gives_way_and_says_so(command: Callable, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((20, 8, 8), np.uint8))
    done = command(
        "train",
        "vae",
        "--data",
        f"array:{tmp_path / 'x.npy'}",
        "--hidden",
        "4",
        "--epochs",
        "2",
        "--out",
        tmp_path / "r",
    )
    assert done.code == 0, done.err
    assert "batches of 16, not 128" in done.err
    assert reparam.load(tmp_path / "r").folder.status().epoch == 2.0


def test_reproduce_says_what_it_takes_and_then_does_it(command: Callable, tmp_path: Path) -> None:
    out = tmp_path / "lab"
    words = ("reproduce", "structures", "--cells", "structure-1-*", "--fast", "--out", out)
    done = command(*words, "--dry-run", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["seconds"]["structure-1-seed0"] > 0
    assert "structure-1-seed0" in done.err
    assert not out.exists()
    done = command(*words)
    assert done.code == 0, done.err
    assert "| (1) the same, 30 epochs on all 60,000 images | 1 |" in done.out
    assert "| (4) CNN | not run yet |" in done.out
    assert (tmp_path / "lab.md").read_text().startswith("# Reproductions")
    again = command(*words)
    assert again.code == 0
    assert "training" not in again.err
    assert "done" in again.err


def test_reproduce_all_is_every_experiment(command: Callable, tmp_path: Path) -> None:
    done = command("reproduce", "all", "--fast", "--cells", "structure-1-*", "--out", tmp_path / "lab")
    assert done.code == 0, done.err
    for experiment in EXPERIMENTS.values():
        assert experiment.title in done.out


def test_evaluate_ends_in_words(command: Callable, run: Path) -> None:
    done = command(
        "evaluate", run, "--samples", "10", "--nll-images", "20", "--images", "130", "--precision", "bfloat16"
    )
    assert done.code == 0, done.err
    last = [line for line in done.out.splitlines() if line.strip()]
    assert any(
        line.startswith(("healthy:", "untrained:", "learnt little:", "collapsed:", "hardly trained:")) for line in last
    ), done.out
    assert "bfloat16 products" in done.out
    assert "left out: fid_inception" in done.err


def test_trust_is_asked_for_on_the_command(command: Callable, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's run.json, in whose folder lies the module that it names."""
    document = json.loads((run / "run.json").read_text())
    document["config"]["model"] = "evil_for_test:MINE"
    (run / "run.json").write_text(json.dumps(document))
    (run / "evil_for_test.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    monkeypatch.chdir(run)
    out = ("--out", run.parent / "x.png")
    for words in (
        ("evaluate", "."),
        ("report", "."),
        ("resume", "."),
        ("sample", ".", *out),
        ("reconstruct", ".", *out),
    ):
        done = command(*words)
        assert done.code == 2
        assert "evil_for_test:MINE" in done.err
        assert "--trust" in done.err
        done = command(*words, "--trust")
        assert done.code == 2
        assert "are not searched" in done.err
    assert not (run / "ran").exists()


def test_every_command_on_a_run_has_trust() -> None:
    takes_runs = [one for one in cli.commands.values() if any(p.name in ("run", "runs") for p in one.params)]
    assert len(takes_runs) >= 12
    assert all(any(p.name == "trust" for p in one.params) for one in takes_runs)
