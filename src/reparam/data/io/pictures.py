"""Picture files to square uint8 tensors: any mix of sizes and modes, decoded by a pool of threads.

Shapes: `N` pictures, `C H W` image, `S` side in pixels.
"""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import PurePosixPath

import numpy as np
import torch
import torch.nn.functional as F
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from reparam.data.io.archives import Tree
from reparam.data.options import SMALLEST, Crop, Damaged, DataOptions
from reparam.errors import DataError

SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm"}
PIXEL_LIMIT = 64_000_000  # of one picture: below Pillow's own guard, whose message names no remedy
NATIVE_LIMIT = 128  # square pictures of one size up to this side are taken as they are
DEFAULT_SIZE = 64
# Only raster formats that Pillow decodes by itself: some others (EPS) would start a program.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_CHUNK = 64
_WORTH_THREADS = 16 * 1024  # bytes of a file: below it, decoding is too short for threads to help
_GREY_MODES = ("1", "L")
_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height


def measure(
    tree: Tree, names: Sequence[str], damaged: Damaged | None = None
) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """(width, height) of each picture held upright, from its header alone, by name.

    Raises `DataError` as `decode` does (of "stop" with the remedy that there is then), or under "skip" leaves such files out
    and says so, a line for each.
    """
    sizes: dict[str, tuple[int, int]] = {}
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


def choose_size(sizes: Sequence[tuple[int, int]], options: DataOptions) -> tuple[int, tuple[str, ...]]:
    """The side to decode pictures of these sizes at, and the note that says what is done to them, if anything is.

    What is asked for; else their own side where all are square, of one size and at most 128; else 64, or the largest
    multiple of 8 that the median picture fills.
    """
    shorter = sorted(min(size) for size in sizes)
    square = len(set(sizes)) == 1 and sizes[0][0] == sizes[0][1]
    if options.size is not None:
        size = options.size
    elif square and shorter[0] <= NATIVE_LIMIT:
        size = shorter[0]
    else:
        size = min(DEFAULT_SIZE, shorter[len(shorter) // 2] // SMALLEST * SMALLEST)
    if square and shorter[0] == size:
        return size, ()
    low, high = min(sizes, key=lambda s: s[0] * s[1]), max(sizes, key=lambda s: s[0] * s[1])
    span = f"{low[0]} x {low[1]}" if low == high else f"{low[0]} x {low[1]} to {high[0]} x {high[1]}"
    how = "cut to the central square and resized" if options.crop == "centre" else "squeezed"
    note = f"pictures of {span} pixels are {how} to {size} x {size}"
    if enlarged := sum(side < size for side in shorter):
        note += f" ({enlarged:,} of {len(sizes):,} enlarged)"
    return size, (note if options.size else f"{note}; choose another with --size",)


def decode(tree: Tree, names: Sequence[str], size: int, options: DataOptions) -> tuple[Tensor, tuple[str, ...]]:
    """The pictures as uint8 [N, C, S, S], and notes. C is 1 where every picture is grey, or where grey is asked for.

    Transparency is laid on white, the EXIF orientation is applied, 16 bits become 8, of animations the first frame
    counts. Raises `DataError`, naming the file, for one that is not a picture, damaged, or of an absurd size.
    """
    out = np.empty((len(names), 1 if options.colour == "grey" else 3, size, size), np.uint8)
    grey = np.zeros(len(names), bool)
    settle = options.colour == "auto"

    def work(i: int, picture: Image.Image) -> None:
        pixels = np.asarray(_squared(picture, size, options))
        grey[i] = pixels.ndim == 2 or (settle and bool((pixels == pixels[..., :1]).all()))
        out[i] = pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)

    _each(tree, names, work)
    if settle and grey.all():
        return torch.from_numpy(out[:, :1].copy()), ()
    notes = (f"{grey.sum():,} of {len(names):,} pictures are grey, the others coloured: all are read as RGB",)
    return torch.from_numpy(out), notes if settle and grey.any() else ()


def decode_one(tree: Tree, name: str, size: int, options: DataOptions) -> np.ndarray:
    """One picture as `decode` reads many, uint8 [C, S, S]; C is 3 unless grey is asked for."""
    with _quiet_pillow(), _opened(tree, name) as picture:
        pixels = np.asarray(_squared(picture, size, options))
    if options.colour == "grey":
        return pixels[None]
    return np.broadcast_to(pixels, (3, size, size)) if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def decode_maps(
    tree: Tree, names: Sequence[str], size: int, options: DataOptions, read: Callable[[Image.Image, str], np.ndarray]
) -> tuple[Tensor, np.ndarray]:
    """Label maps as uint8 [N, 1, S, S], and whether each file holds each value anywhere, bool [N, 256].

    They are cut as `decode` cuts the pictures, but values are never mixed: every pixel is the nearest one of the file.
    `read(picture, where)` gives the values of an upright picture, uint8 [H, W]; `where` names it. Raises `DataError` as
    `decode` does.
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


def _each(tree: Tree, names: Sequence[str], work: Callable[[int, Image.Image], None]) -> None:
    """`work(i, picture)` for every picture, by a pool of threads."""

    def chunk(start: int) -> None:
        for i in range(start, min(start + _CHUNK, len(names))):
            with _opened(tree, names[i]) as picture:
                work(i, picture)

    with _quiet_pillow(), ThreadPoolExecutor(_workers(tree, names)) as pool:
        for _ in pool.map(chunk, range(0, len(names), _CHUNK)):
            pass


def _workers(tree: Tree, names: Sequence[str]) -> int:
    """How many threads decode these pictures soonest."""
    some = names[:_CHUNK]
    worth = sum(tree.size(name) for name in some) >= _WORTH_THREADS * len(some)
    return min(8, os.cpu_count() or 1) if worth else 1


def conform(images: Tensor, options: DataOptions) -> Tensor:
    """Images in memory, uint8 [N, C, H, W], brought to the size, crop and colour asked for, [N, C', S, S].

    Resizing is antialiased bicubic, as for picture files; images that fit already are returned as they are.
    """
    channels, height, width = images.shape[1:]
    if options.colour == "rgb" and channels == 1:
        images = images.expand(-1, 3, -1, -1).contiguous()
    elif options.colour == "grey" and channels == 3:
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)  # ITU-R 601, as Pillow's
        images = torch.cat([(x * weights).sum(1, keepdim=True).round().byte() for x in images.split(1024)])
    left, top, right, bottom = crop_box(width, height, options.crop)
    size = options.size or min(right - left, bottom - top)
    images = images[..., top:bottom, left:right]
    if images.shape[2:] == (size, size):
        return images.contiguous()
    resized = [
        F.interpolate(x.float(), (size, size), mode="bicubic", antialias=True).round().clamp(0, 255).byte()
        for x in images.split(1024)
    ]
    return torch.cat(resized)


def count(names: Sequence[str]) -> str:
    """`3 files of other kinds (2 .txt, 1 .csv)`, for notes and errors about what is not a picture."""
    kinds = Counter(PurePosixPath(name).suffix.lower() or "without suffix" for name in names)
    listed = ", ".join(f"{n:,} {kind}" for kind, n in kinds.most_common(4))
    return f"{len(names):,} file{'s' * (len(names) > 1)} of other kinds ({listed})"


def place(tree: Tree, name: str) -> str:
    """Where a file is, for errors of one line."""
    return f"{tree.where}/{name if name.isprintable() else repr(name)}"


@contextmanager
def _opened(tree: Tree, name: str) -> Iterator[Image.Image]:
    """The picture `name`, its size checked, and whatever goes wrong with it said in one line with the file's name."""
    where = place(tree, name)
    try:
        with tree.open(name) as file, Image.open(file, formats=_FORMATS) as picture:
            width, height = picture.size
            if width * height > PIXEL_LIMIT:
                raise DataError(
                    f"{where} has {width} x {height} pixels, more than {PIXEL_LIMIT // 10**6} million: "
                    "scale it down or remove it"
                )
            if min(width, height) < SMALLEST:
                raise DataError(
                    f"{where} has {width} x {height} pixels, fewer than {SMALLEST} a side: remove it or enlarge it"
                )
            yield picture
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(
            f"{where} is not a picture ({', '.join(_FORMATS[:2])}, ...) despite its name: remove it"
        ) from error
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{where} has more than {PIXEL_LIMIT // 10**6} million pixels: scale it down or remove it"
        ) from error
    except PermissionError as error:
        raise DataError(f"{where} cannot be opened (permission denied): make it readable") from error
    except FileNotFoundError as error:
        raise DataError(f"{where} is not there, or a link that leads nowhere: put it back or remove it") from error
    except Exception as error:  # decoders raise almost anything on damaged data
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{where} is damaged or cut short ({reason}): replace it or remove it") from error


def _squared(picture: Image.Image, size: int, options: DataOptions) -> Image.Image:
    """One picture as L or RGB, [S, S]."""
    picture.draft(None, (2 * size, 2 * size))  # JPEG alone: decode at 1/2, 1/4 or 1/8 where that stays twice too large
    ImageOps.exif_transpose(picture, in_place=True)
    upright = _flat(picture)
    if options.colour == "grey":
        upright = upright.convert("L")
    return _fitted(upright, size, options, Image.Resampling.BICUBIC)


def _fitted(upright: Image.Image, size: int, options: DataOptions, resampling: Image.Resampling) -> Image.Image:
    """What is kept of a picture, [S, S]."""
    left, top, right, bottom = box = crop_box(*upright.size, options.crop)
    if (right - left, bottom - top) == (size, size):
        return upright if upright.size == (size, size) else upright.crop(box)
    return upright.resize((size, size), resampling, box=box)


def _flat(picture: Image.Image) -> Image.Image:
    """Any mode as L or RGB."""
    if picture.mode.startswith("I"):
        return _from_16_bits(picture)
    if picture.mode == "F":
        raise ValueError("floating-point pixels; save it with 8 or 16 bits")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    mode = "L" if picture.mode in _GREY_MODES else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)


def _from_16_bits(picture: Image.Image) -> Image.Image:
    levels = np.asarray(picture).astype(np.int64)
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError("32-bit pixels; save it with 8 or 16 bits")
    return Image.fromarray(((levels * 255 + 32767) // 65535).astype(np.uint8))


def crop_box(width: int, height: int, crop: Crop) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of what is kept."""
    if crop == "none":
        return 0, 0, width, height
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Without Pillow's warnings: what matters of them is an error here. Entered by one thread, around its pool."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield
