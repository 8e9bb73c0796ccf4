"""What a notebook shows: that it is what was computed, and that images stay plain numbers."""

import base64
import copy
import io
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import reparam
from reparam.progress import Silent
from reparam.reports.notebook import ACROSS, MOST, as_batch


def shown(text: str | None) -> np.ndarray:
    """The pixels of the first picture in HTML."""
    assert text
    match = re.search(r"data:image/png;base64,([^\"]+)", text)
    assert match
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(match[1]))).convert("L"))


def test_a_batch_shows_its_own_pixels() -> None:
    images = torch.linspace(0, 1, 3 * 64).view(3, 1, 8, 8)
    pixels = shown(as_batch(images)._repr_html_())
    side = (pixels.shape[1] - 2 * 2) // 3  # gaps of two pixels
    for number, image in enumerate(images):
        left = number * (side + 2)
        tile = pixels[:side, left : left + side].reshape(8, side // 8, 8, side // 8)
        assert (tile == tile[:, :1, :, :1]).all()
        assert np.abs(tile[:, 0, :, 0] / 255 - image[0].numpy()).max() < 1 / 255


def test_a_batch_is_a_plain_tensor_in_all_else() -> None:
    plain = torch.rand(4, 1, 8, 8)
    batch = as_batch(plain)
    assert torch.equal(batch, plain)
    assert type(batch[:2]) is type(batch)
    assert type(batch[:, 0]) is type(batch.mean(0)) is torch.Tensor
    for found in (
        batch + 1,
        batch.mean(),
        torch.cat([batch, plain]),
        copy.deepcopy(batch),
        pickle.loads(pickle.dumps(batch)),
    ):
        assert type(found) is torch.Tensor


def test_one_image_of_a_batch_is_shown_too() -> None:
    batch = as_batch(torch.linspace(0, 1, 2 * 64).view(2, 1, 8, 8))
    assert np.array_equal(shown(batch[1]._repr_html_()), shown(batch[1:]._repr_html_()))
    assert type(batch[1] + 0) is torch.Tensor


@pytest.mark.parametrize("shape", [(2, 2, 8, 8), (0, 1, 8, 8)])
def test_what_is_no_batch_of_images_shows_its_numbers(shape: tuple[int, ...]) -> None:
    assert as_batch(torch.zeros(shape))._repr_html_() is None
    assert as_batch(torch.zeros(2, 1, 8, 8, dtype=torch.long))._repr_html_() is None


def test_of_many_images_the_first_are_shown_and_their_number_said() -> None:
    text = as_batch(torch.zeros(MOST + 1, 1, 8, 8))._repr_html_()
    assert f"{MOST + 1} x 1 x 8 x 8" in text
    assert f"the first {MOST}" in text


def test_a_run_shows_its_state_samples_and_figures(run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(run, tmp_path / "own")
    (run / "evaluation.json").unlink(missing_ok=True)
    opened = reparam.load(run)
    steps, epoch = (getattr(opened.folder.status(), name) for name in ("step", "epoch"))
    assert (steps, round(epoch, 2)) == (38, 4.06)  # the first whole step at 4 epochs or after
    assert repr(opened).startswith(f"<Run {run}: vae on digits, 1 x 8 x 8, finished: 38 steps (4.06 epochs)")
    assert "figures" not in repr(opened)
    measured = opened.evaluate(["psnr"], progress=False)["psnr"]
    text = opened._repr_html_()
    assert shown(opened.examples(2).x._repr_html_()).any()
    assert "1 figure measured" in text
    assert f"<td>psnr</td><td>{measured.value:.4g}</td>" in text
    assert np.array_equal(shown(text), shown(opened.sample(ACROSS)._repr_html_()))
    (run / "evaluation.json").write_text("{")
    (run / "status.json").write_text("{")
    assert "no figures" in reparam.load(run)._repr_html_()
    (run / "weights.safetensors").unlink()
    assert "no pictures" in reparam.load(run)._repr_html_()


def test_history_is_what_was_logged(trained: Path) -> None:
    run = reparam.load(trained)
    lines = [line for line in run.folder.metrics() if line.phase == "validation"]
    found = run.history["validation"]
    assert found["total"].tolist() == [line.terms["total"] for line in lines]
    assert found["epoch"].tolist() == [line.epoch for line in lines]
    assert set(found) >= {"step", "epoch", "total", "reconstruction", "kl"}
    assert "learning_rate" in run.history["train"]


def test_calls_from_python_show_their_progress_unless_told_not_to(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = reparam.load(run)
    opened.evaluate(["psnr"])
    assert "[1/1] psnr" in capsys.readouterr().err
    for quiet in (False, Silent()):
        opened.evaluate(["psnr"], progress=quiet)
        assert capsys.readouterr().err == ""
    small = {"data": "digits", "epochs": 1, "hidden": (8,), "latent": 2, "pictures": 0}
    reparam.train("vae", out=run.parent / "shown", **small)
    assert "steps" in capsys.readouterr().err
    reparam.train("vae", out=run.parent / "silent", progress=False, **small)
    assert capsys.readouterr().err == ""


def test_the_front_lists_its_names_and_nothing_else() -> None:
    assert dir(reparam) == sorted(reparam.__all__)
    for name in dir(reparam):
        assert getattr(reparam, name) is not None
