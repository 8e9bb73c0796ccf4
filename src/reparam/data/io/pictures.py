"""Picture files to square uint8 images: any mix of sizes and modes, decoded by a pool of threads.

Shapes: `N` pictures, `C H W` image, `S` side in pixels.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from reparam.data.io.archives import Tree
from reparam.data.io.resize import crop_box
from reparam.data.options import SMALLEST, Damaged, ImageOptions
from reparam.errors import DataError

PIXEL_LIMIT = 64_000_000  # of one picture: below Pillow's own guard, whose message names no remedy
# Only raster formats that Pillow decodes by itself: some others (EPS) would start a program.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_CHUNK = 64  # pictures that a thread decodes at a time
_WORTH_THREADS = 16 * 1024  # bytes of a file: below it, decoding is too short for threads to help
_GREY_MODES = ("1", "L")
_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height

Sizes = dict[str, tuple[int, int]]


def measure(tree: Tree, names: Sequence[str], damaged: Damaged | None = None) -> tuple[Sizes, list[str]]:
    """(width, height) of each picture held upright, from its header alone, by name.

    Raises `DataError` as `decode` does; under "skip" such files are left out, with a line for each.
    """
    sizes: Sizes = {}
    lines: list[str] = []
    with _quiet_pillow():
        for name in names:
            try:
                with _opened(tree, name) as picture:
                    turned = "exif" in picture.info and picture.getexif().get(ExifTags.Base.Orientation) in _TURNED
                    sizes[name] = picture.size[::-1] if turned else picture.size
            except DataError as error:
                if damaged is None:
                    raise
                if damaged == "stop":
                    raise DataError(f"{error} (or leave such pictures out: --damaged skip)") from error
                lines.append(str(error))
    return sizes, lines


def decode(tree: Tree, names: Sequence[str], size: int, options: ImageOptions) -> tuple[Tensor, tuple[str, ...]]:
    """The pictures as uint8 [N, C, S, S], and notes. C is 1 where every picture is grey, or where grey is requested.

    Transparency is laid on white, the EXIF orientation is applied, 16 bits become 8, of animations the first frame
    counts. Raises `DataError`, naming the file, for one that is not a picture, damaged, or of an absurd size.
    """
    out = np.empty((len(names), 1 if options.colour == "grey" else 3, size, size), np.uint8)
    grey = np.zeros(len(names), bool)
    auto = options.colour == "auto"

    def work(i: int, picture: Image.Image) -> None:
        pixels = np.asarray(_squared(picture, size, options))
        grey[i] = pixels.ndim == 2 or (auto and bool((pixels == pixels[..., :1]).all()))
        out[i] = pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)

    _each(tree, names, work)
    if auto and grey.all():
        return torch.from_numpy(out[:, :1].copy()), ()
    notes = (f"{grey.sum():,} of {len(names):,} pictures are grey, the others coloured: all are read as RGB",)
    return torch.from_numpy(out), notes if auto and grey.any() else ()


def decode_one(tree: Tree, name: str, size: int, options: ImageOptions) -> np.ndarray:
    """One picture as `decode` reads many, uint8 [C, S, S]; C is 3 unless grey is requested."""
    with _quiet_pillow(), _opened(tree, name) as picture:
        pixels = np.asarray(_squared(picture, size, options))
    if options.colour == "grey":
        return pixels[None]
    return np.broadcast_to(pixels, (3, size, size)) if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def decode_maps(
    tree: Tree, names: Sequence[str], size: int, options: ImageOptions, read: Callable[[Image.Image, str], np.ndarray]
) -> tuple[Tensor, np.ndarray]:
    """Label maps as uint8 [N, 1, S, S], and whether each file holds each value anywhere, bool [N, 256].

    They are cut as `decode` cuts the pictures, but values are never mixed: every pixel is the nearest one of the file.
    `read(picture, where)` gives the values of an upright picture, uint8 [H, W]. Raises `DataError` as `decode` does.
    """
    out = np.empty((len(names), 1, size, size), np.uint8)
    held = np.zeros((len(names), 256), bool)

    def work(i: int, picture: Image.Image) -> None:
        ImageOps.exif_transpose(picture, in_place=True)
        values = Image.fromarray(read(picture, place(tree, names[i])))
        held[i] = np.array(values.histogram()) > 0
        out[i, 0] = np.asarray(_fitted(values, size, options, Image.Resampling.NEAREST))

    _each(tree, names, work)
    return torch.from_numpy(out), held


def place(tree: Tree, name: str) -> str:
    """Where a file is, for errors of one line."""
    return f"{tree.where}/{name if name.isprintable() else repr(name)}"


def _each(tree: Tree, names: Sequence[str], work: Callable[[int, Image.Image], None]) -> None:
    """`work(i, picture)` for every picture, by as many threads as help."""

    def chunk(start: int) -> None:
        for i in range(start, min(start + _CHUNK, len(names))):
            with _opened(tree, names[i]) as picture:
                work(i, picture)

    some = names[:_CHUNK]
    worth = sum(tree.size(name) for name in some) >= _WORTH_THREADS * len(some)
    with _quiet_pillow(), ThreadPoolExecutor(min(8, os.cpu_count() or 1) if worth else 1) as pool:
        for _ in pool.map(chunk, range(0, len(names), _CHUNK)):
            pass


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Without Pillow's warnings: what matters of them is an error here. Entered by one thread, around its pool."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@contextmanager
def _opened(tree: Tree, name: str) -> Iterator[Image.Image]:
    """The picture `name`, its size checked. Whatever goes wrong with it becomes a `DataError` with the file's name."""
    where = place(tree, name)
    too_large = f"more than {PIXEL_LIMIT // 10**6} million: scale it down or remove it"
    try:
        with tree.open(name) as file, Image.open(file, formats=_FORMATS) as picture:
            width, height = picture.size
            if width * height > PIXEL_LIMIT:
                raise DataError(f"{where} has {width} x {height} pixels, {too_large}")
            if min(width, height) < SMALLEST:
                found = f"{width} x {height} pixels, fewer than {SMALLEST} a side"
                raise DataError(f"{where} has {found}: remove it or enlarge it")
            yield picture
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f"{where} is not a picture (PNG, JPEG, ...) despite its name: remove it") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{where} has too many pixels, {too_large}") from error
    except PermissionError as error:
        raise DataError(f"{where} cannot be opened (permission denied): make it readable") from error
    except FileNotFoundError as error:
        raise DataError(f"{where} is not there, or a link that leads nowhere: put it back or remove it") from error
    except Exception as error:  # decoders raise almost anything on damaged data
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{where} is damaged or cut short ({reason}): replace it or remove it") from error


def _squared(picture: Image.Image, size: int, options: ImageOptions) -> Image.Image:
    """One picture as L or RGB, [S, S]."""
    picture.draft(None, (2 * size, 2 * size))  # JPEG alone: decode at 1/2, 1/4 or 1/8 where that stays twice too large
    ImageOps.exif_transpose(picture, in_place=True)
    upright = _flat(picture)
    if options.colour == "grey":
        upright = upright.convert("L")
    return _fitted(upright, size, options, Image.Resampling.BICUBIC)


def _fitted(upright: Image.Image, size: int, options: ImageOptions, resampling: Image.Resampling) -> Image.Image:
    """What is kept of a picture, [S, S]."""
    left, top, right, bottom = box = crop_box(*upright.size, options.crop)
    if (right - left, bottom - top) == (size, size):
        return upright if upright.size == (size, size) else upright.crop(box)
    return upright.resize((size, size), resampling, box=box)


def _flat(picture: Image.Image) -> Image.Image:
    """Any mode as L or RGB."""
    if picture.mode.startswith("I"):
        levels = np.asarray(picture).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError("32-bit pixels; save it with 8 or 16 bits")
        return Image.fromarray(((levels * 255 + 32767) // 65535).astype(np.uint8))
    if picture.mode == "F":
        raise ValueError("floating-point pixels; save it with 8 or 16 bits")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    mode = "L" if picture.mode in _GREY_MODES else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)
