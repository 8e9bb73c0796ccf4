"""New pictures for a trained run: every command that takes images takes them, all and with their names."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import refused

import reparam
from reparam.data import Images
from reparam.data.new_pictures import NewPictures
from reparam.evaluation import EvaluationOptions, run_context


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {"hidden": (16,), "latent": 2, "epochs": 1, "pictures": 0, "device": "cpu"}
    return reparam.train("vae", data="digits", **options, out=tmp_path_factory.mktemp("runs") / "vae").path


@pytest.fixture
def holiday(tmp_path: Path) -> Path:
    """Three pictures: as the run's, larger, and in colour."""
    folder = tmp_path / "holiday"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), np.uint8)
    Image.fromarray(noise[0, :8, :8, 0]).save(folder / "a.png")
    Image.fromarray(noise[1, :, :, 0]).save(folder / "b.png")
    Image.fromarray(noise[2]).save(folder / "c.png")
    return folder


def test_each_picture_has_a_latent_and_its_name(command: Callable, run: Path, holiday: Path, tmp_path: Path) -> None:
    """In a folder, as data, or as files, also a single one."""
    opened, z = reparam.load(run, "cpu"), tmp_path / "z.npz"
    mean, _ = opened.encode(opened.read(holiday).images.pixels)
    for words in ([holiday], ["--data", f"folder:{holiday}", "--split", "all"], sorted(holiday.iterdir())):
        done = command("encode", run, *words, "--out", z)
        assert "3 latents of size 2, of new pictures" in done.out
        assert "2 of 3 pictures are cut" in done.err
        found = np.load(z)
        assert found["names"].tolist() == ["a.png", "b.png", "c.png"]
        np.testing.assert_array_equal(found["mean"], mean.numpy())
    assert command("encode", run, holiday / "b.png", "--out", z).code == 0
    # Products of a batch of one are summed in another order than those of three.
    np.testing.assert_allclose(np.load(z)["mean"], mean[1:2].numpy(), rtol=1e-5)
    refused(command("encode", run, holiday, "--split", "test", "--out", z), "--split", "encoded all")
    refused(command("encode", run, holiday, "--data", "digits", "--out", z), "give one of them")


def test_pictures_show_all_that_is_given(command: Callable, run: Path, holiday: Path, tmp_path: Path) -> None:
    sizes = {}
    for words in (["reconstruct", run, holiday], ["reconstruct", run, holiday / "a.png"]):
        assert command(*words, "--out", tmp_path / "x.png").code == 0
        sizes[len(words[2].name)] = Image.open(tmp_path / "x.png").size[0]
    assert sizes[len("holiday")] > 2 * sizes[len("a.png")]
    assert command("traverse", run, holiday / "c.png", "--steps", 3, "--out", tmp_path / "t.png").code == 0
    assert command("interpolate", run, holiday, "--steps", 3, "--out", tmp_path / "walk.gif").code == 0
    assert Image.open(tmp_path / "walk.gif").n_frames == 8  # five latents there, three back
    refused(
        command("interpolate", run, holiday, "--out", tmp_path / "w.png"), "in pairs, and 3 are no pairs", "walk.gif"
    )
    pair = (holiday / "a.png", holiday / "b.png")
    assert command("interpolate", run, *pair, "--steps", 3, "--out", tmp_path / "w.png").code == 0
    over = (holiday, "--out", holiday / "a.png")
    refused(command("compress", run, *over), "overwrite")


def test_figures_of_new_pictures_are_theirs_and_are_not_kept(command: Callable, run: Path, tmp_path: Path) -> None:
    """Of the run's own test images, given as new ones, they are those of the run."""
    opened = reparam.load(run, "cpu")
    test = opened.dataset.test
    np.savez(tmp_path / "test.npz", images=test.images[:, 0].numpy(), labels=test.labels.numpy())
    names = "mse,psnr,elbo"
    new = command("evaluate", run, tmp_path / "test.npz", "--metrics", names, "--json")
    assert not opened.folder.evaluation_path.exists()
    own = command("evaluate", run, "--metrics", names, "--json")
    one, other = (json.loads(done.out)["metrics"] for done in (new, own))
    assert {k: v["value"] for k, v in one.items()} == pytest.approx({k: v["value"] for k, v in other.items()}, rel=1e-6)
    half = command("evaluate", run, tmp_path / "half.npz", "--metrics", "mse")
    refused(half, "does not exist")
    np.save(tmp_path / "half.npy", test.images[:150, 0].numpy())
    x = test.images[:150] / 255
    for given in (
        opened.read(tmp_path / "half.npy"),
        tmp_path / "half.npy",
        test.images[:150],
        x,
        (x, test.labels[:150]),
    ):
        found = opened.evaluate(["mse"], new=given)
        assert found["mse"].value == pytest.approx(float((opened.reconstruct(x) - x).square().mean()), rel=1e-5)


def test_new_pictures_are_compared_by_the_feature_network_of_the_run_s_data(run: Path) -> None:
    """It is trained once for a data set: another one would take minutes, and its figures would not stand beside the run's."""
    opened = reparam.load(run, "cpu")
    new = NewPictures(opened.dataset.test.take(torch.arange(150)), opened.dataset.classes, ("",) * 150, ())
    options = EvaluationOptions()
    own, other = (run_context(opened, options), run_context(opened, options, new=new.images))
    assert other.dataset.fingerprint == own.dataset.fingerprint
    assert torch.equal(other.split.labels, new.images.labels)
    apart = NewPictures(Images(torch.zeros(2, 1, 9, 9, dtype=torch.uint8), torch.full((2,), -1)), (), ("", ""), ())
    with pytest.raises(reparam.ReparamError, match="the run's \\(1, 8, 8\\) .*: run.read"):
        opened.evaluate(["mse"], new=apart, progress=False)


def test_other_classes_than_the_run_s_are_refused_where_they_count(
    command: Callable, run: Path, holiday: Path, tmp_path: Path
) -> None:
    (holiday / "cats").mkdir()
    (holiday / "a.png").rename(holiday / "cats" / "a.png")
    refused(command("evaluate", run, holiday), "classes cats", "all into one folder")
    assert command("encode", run, holiday, "--out", tmp_path / "z.npz").code == 0
    assert np.load(tmp_path / "z.npz")["classes"].tolist() == ["cats"]


def test_a_denoising_run_adds_no_noise_to_what_is_given(tmp_path: Path) -> None:
    options = {"hidden": (16,), "latent": 2, "epochs": 1, "pictures": 0, "device": "cpu"}
    opened = reparam.train("dae", data="digits", **options, out=tmp_path / "dae")
    np.save(tmp_path / "x.npy", opened.dataset.test.images[:5, 0].numpy())
    from reparam.reports.run_view import RunView

    new = opened.read(tmp_path / "x.npy")
    assert torch.equal(RunView(opened, new.images).examples(5).input, new.images.pixels / 255)


def test_nothing_that_is_read_is_written_over(command: Callable, run: Path, holiday: Path, tmp_path: Path) -> None:
    array, moving = tmp_path / "x.npz", tmp_path / "x.gif"
    np.savez(array, images=np.zeros((4, 8, 8), np.uint8))
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(moving)
    for words, out in (
        (("reconstruct", run, holiday / "a.png"), holiday / "a.png"),
        (("reconstruct", run, holiday), holiday / "b.png"),
        (("reconstruct", run, "--data", f"folder:{holiday}"), holiday / "c.png"),
        (("traverse", run, holiday / "a.png"), holiday / "a.png"),
        (("interpolate", run, moving, holiday / "a.png"), moving),
        (("compress", run, holiday / "a.png"), holiday / "a.png"),
        (("encode", run, array), array),
    ):
        before = out.read_bytes()
        refused(command(*words, "--out", out), "would overwrite", "choose another")
        assert out.read_bytes() == before


def test_what_is_written_again_is_no_file_that_is_read(
    command: Callable, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert command("encode", run, "--data", "digits", "--out", "z.npz").code == 0
    refused(command("encode", run, "--data", "", "--out", "z.npz"), "--data names nothing")


def test_a_walk_begins_at_one_image(command: Callable, run: Path, holiday: Path, tmp_path: Path) -> None:
    refused(command("traverse", run, holiday, "--out", tmp_path / "t.png"), "there are 3: give one, or --index")
    assert command("traverse", run, holiday, "--index", 2, "--steps", 3, "--out", tmp_path / "t.png").code == 0
