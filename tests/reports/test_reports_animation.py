"""Moving pictures, read back by other readers."""

import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from reparam.errors import ConfigError
from reparam.reports.animation import write_animation


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_moving_pictures_are_read_back_as_they_were(suffix: str, channels: int, tmp_path: Path) -> None:
    """There and back; colours within what a palette and the coding of H.264 leave of flat areas."""
    levels = torch.tensor([0.0, 0.25, 0.5, 1.0])
    shown = levels[:, None, None, None].expand(4, channels, 9, 11)
    path = tmp_path / f"walk{suffix}"
    write_animation(path, shown)
    if suffix == ".gif":
        with Image.open(path) as picture:
            sizes, read = {picture.size}, [np.asarray(one.convert("RGB")) for one in ImageSequence.Iterator(picture)]
    else:
        with av.open(path) as container:
            read = [one.to_ndarray(format="rgb24") for one in container.decode(video=0)]
        sizes = {read[0].shape[1::-1]}
    assert sizes == {(198, 162)}  # enlarged by 18
    expected = [*levels, *levels[[2, 1]]]
    assert len(read) == len(expected)
    for pixels, level in zip(read, expected, strict=True):
        assert abs(pixels.astype(float) - 255 * float(level)).max() <= 4


def test_a_video_of_odd_sides_repeats_its_last_row_and_column(tmp_path: Path) -> None:
    write_animation(tmp_path / "walk.mp4", torch.full((2, 1, 193, 195), 0.5))
    with av.open(tmp_path / "walk.mp4") as container:
        (pixels, *_) = (one.to_ndarray(format="rgb24") for one in container.decode(video=0))
    assert pixels.shape == (194, 196, 3)
    assert abs(pixels.astype(float) - 127.5).max() <= 4


def test_without_pyav_a_gif_is_offered_and_nothing_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigError, match=r"reparam\[video\].*or name the file .gif"):
        write_animation(tmp_path / "walk.mp4", torch.zeros(2, 1, 8, 8))
    assert not list(tmp_path.iterdir())
