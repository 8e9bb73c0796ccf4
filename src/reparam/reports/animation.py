"""Walks as moving pictures: GIF by Pillow, MP4 by PyAV (the extra `video`).

Shapes: `T` frames, `C H W` image in [0, 1].
"""

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from reparam.errors import ConfigError
from reparam.files import write_atomically
from reparam.reports.pictures import sheet

RATE = 12  # frames a second
SIDE = 192  # pixels of the longer one, at least
SUFFIXES = (".gif", ".mp4")


def write_animation(path: Path, frames: Tensor) -> None:
    """Frames [T, C, H, W] there and back, as the name of `path` ends. Raises ConfigError for .mp4 without PyAV."""
    factor = -(-SIDE // max(frames.shape[-2:]))  # by a whole number, without smoothing
    enlarged = frames.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    there = [sheet(frame[None], 1).convert("RGB") for frame in enlarged]
    pictures = there + there[-2:0:-1]
    data = to_gif(pictures) if path.suffix.lower() == ".gif" else to_mp4(pictures)
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def to_gif(pictures: list[Image.Image]) -> bytes:
    """In an endless loop, `RATE` pictures a second (a GIF's clock ticks in hundredths)."""
    buffer = io.BytesIO()
    first, *others = pictures
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=1000 // RATE, loop=0, disposal=1)
    return buffer.getvalue()


def to_mp4(pictures: list[Image.Image]) -> bytes:
    """H.264, which plays everywhere: it takes even sides, so that an odd one repeats its last row or column."""
    try:
        import av
    except ImportError:
        raise ConfigError(
            "a video takes PyAV, which is not installed: pip install 'reparam[video]', or name the file .gif"
        ) from None
    buffer = io.BytesIO()
    width, height = pictures[0].size
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(RATE), options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        for picture in pictures:
            pixels = np.pad(np.asarray(picture), ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
