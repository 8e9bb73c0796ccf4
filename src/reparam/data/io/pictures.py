"""Picture files to uint8 images of one shape: any mix of sizes and modes, decoded by a pool of threads.

Shapes: `N` pictures, `C H W` image.
"""

import os
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from reparam.data.io.archives import Tree
from reparam.data.io.deep import GREY_MODES, is_deep, is_float, low_bytes, numbers_of
from reparam.data.io.picture_files import check_whole, pages
from reparam.data.io.resize import fit
from reparam.data.options import SMALLEST, Colour, DepthOptions, ImageOptions, Sides, spelled
from reparam.errors import DataError, escaped

PIXEL_LIMIT = 64_000_000  # of one picture: below Pillow's own guard, whose message names no remedy
# Only raster formats that Pillow decodes by itself: some others (EPS) would start a program.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_CHUNK = 64  # pictures that a thread decodes at a time
_STRIP = 2**22  # pixels that are converted at a time
_ALONE = 2**24  # pixels: no two pictures that are larger are decoded at once, for want of memory
NAMED = 20  # pictures that cannot be read that an error names; of the others it gives the number
_WORTH_THREADS = 16 * 1024  # bytes of a file: below it, decoding is too short for threads to help
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue: ITU-R 601, as Pillow's
_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height

Sizes = dict[str, tuple[int, int]]


Lines = dict[str, str]  # by name: why a picture cannot be read, and what to do


class _TooDeepError(ValueError):
    """What a picture holds of which 8 bits would lose most."""


class Measured(NamedTuple):
    """Of pictures that can be read by their headers the (width, height) held upright; of those with several pages or frames, how
    many more than one; of the others, why they cannot be read; of those of more than 8 bits whether they are floats."""

    sizes: Sizes
    further_pages: dict[str, int]
    unreadable: Lines
    deep: dict[str, bool]

    def as_numbers(self, names: Collection[str], options: DepthOptions) -> tuple[bool, tuple[str, ...]]:
        """Whether these pictures are read by `decode_numbers`: all have more than 8 bits, or a range is given. Otherwise as bytes
        by `decode`, which cannot read floats, and a note where some have more."""
        kinds = [self.deep.get(name) for name in names]
        floats, whole = kinds.count(True), kinds.count(False)
        if not floats + whole:
            return options.range not in ((), (0, 255)), ()
        if options.range:
            return True, ()
        if floats and floats < len(kinds):  # `decode` names them
            return False, ()
        if whole < len(kinds) and not floats:
            how = f"{whole:,} of {len(kinds):,} pictures have more than 8 bits: all are read as 8 bits"
            return False, (f"{how}; --range A,B reads the numbers that they hold",)
        if options.depth == "8" and not floats:
            return False, ("pictures of more than 8 bits are rounded to them",)
        return True, ()

    def page_notes(self) -> tuple[str, ...]:
        """A note where pages are left out."""
        if not self.further_pages:
            return ()
        files, number = len(self.further_pages), sum(self.further_pages.values())
        several = f"{files:,} file{'s have' if files > 1 else ' has'} several pages or frames"
        return (f"{several}, of which the first is read: {number:,} are left out",)


class Decoded(NamedTuple):
    """pixels: uint8 [N, C, H, W], meaningless where a picture cannot be read; notes; why those cannot be read."""

    pixels: Tensor
    notes: tuple[str, ...]
    unreadable: Lines

    def required(self, tree: Tree, remedy: str = "") -> tuple[Tensor, tuple[str, ...]]:
        """Pixels and notes. Raises as `refuse`."""
        refuse(tree, self.unreadable, remedy)
        return self.pixels, self.notes


class DecodedMaps(NamedTuple):
    """maps: uint8 [N, 1, H, W]; held: bool [N, 256], whether each file holds each value anywhere; as `Decoded`."""

    maps: Tensor
    held: np.ndarray
    unreadable: Lines


def refuse(tree: Tree, unreadable: Lines, remedy: str = "") -> None:
    """Raises `DataError` that names all pictures of `tree` that cannot be read, where there are any: the first `NAMED`, and how
    many more. `remedy` is what else can be done."""
    if len(unreadable) == 1:
        raise DataError(f"{next(iter(unreadable.values()))}{remedy}")
    if unreadable:
        lines = [line.removeprefix(f"{tree.where}/") for line in unreadable.values()]
        more = f"; and {len(lines) - NAMED:,} more" if len(lines) > NAMED else ""
        raise DataError(
            f"{tree.where} holds {len(lines):,} pictures that cannot be read: {'; '.join(lines[:NAMED])}{more}{remedy}"
        )


def measure(tree: Tree, names: Sequence[str]) -> Measured:
    """The sizes of pictures, from their headers alone where these tell all."""
    found = Measured({}, {}, {}, {})
    with _quiet_pillow():
        for name in names:
            try:
                with _opened(tree, name, whole=False) as (picture, pages):
                    turned = "exif" in picture.info and picture.getexif().get(ExifTags.Base.Orientation) in _TURNED
                    size = picture.size[::-1] if turned else picture.size
                    if is_deep(picture):
                        found.deep[name] = is_float(picture)
            except DataError as error:
                found.unreadable[name] = str(error)
            else:
                found.sizes[name] = size
                if pages > 1:
                    found.further_pages[name] = pages - 1
    return found


def refuse_all(tree: Tree, names: Sequence[str], unreadable: Lines, remedy: str = "") -> None:
    """As `refuse`, where `unreadable` are those of `names` that `measure` could not read: the others are decoded as well, so that
    one error names all."""
    if unreadable:
        others = [name for name in names if name not in unreadable]
        refuse(tree, unreadable | decode_numbers(tree, others, (SMALLEST, SMALLEST), ImageOptions()).unreadable, remedy)


def decode(tree: Tree, names: Sequence[str], sides: Sides, options: ImageOptions) -> Decoded:
    """The pictures as uint8 [N, C, H, W] of `sides`, and notes. C is 1 where every picture is grey, or where grey is requested.

    Transparency is laid on white, or with `rgba` kept as a fourth channel, the EXIF orientation is applied, 16 bits become 8, of
    animations the first frame counts. Of a picture that cannot be read, a line names the file and says whether it is no picture,
    damaged, or of an absurd size.
    """
    out = np.empty((len(names), channels_of(options.colour), *sides), np.uint8)
    grey = np.zeros(len(names), bool)
    auto = options.colour == "auto"

    def work(i: int, picture: Image.Image) -> None:
        pixels = np.asarray(_upright(picture, sides, options))
        grey[i] = pixels.ndim == 2 or (auto and bool((pixels == pixels[..., :1]).all()))
        out[i] = pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)

    unreadable = _each(tree, names, work)
    if auto and grey.all():
        return Decoded(torch.from_numpy(out[:, :1].copy()), (), unreadable)
    notes = (f"{grey.sum():,} of {len(names):,} pictures are grey, the others coloured: all are read as RGB",)
    return Decoded(torch.from_numpy(out), notes if auto and grey.any() else (), unreadable)


def decode_measured(
    tree: Tree, names: Sequence[str], measured: Measured, sides: Sides, options: DepthOptions
) -> Decoded:
    """These pictures as bytes or as the numbers that they hold, as `Measured.as_numbers` says, with its note."""
    as_numbers, notes = measured.as_numbers(names, options)
    found = (decode_numbers if as_numbers else decode)(tree, names, sides, options)
    return found._replace(notes=(*found.notes, *notes))


def decode_numbers(tree: Tree, names: Sequence[str], sides: Sides, options: ImageOptions) -> Decoded:
    """As `decode`, but the numbers that the files hold, float32, where bytes would lose some: NaN where padded pictures do not
    reach. Resized pictures keep their range, and whole numbers stay whole."""
    if options.colour == "rgba":
        remedy = "leave --range out, and add --depth 8 where they have more; floats have no transparency"
        raise DataError(f"--colour rgba is for pictures of 8 bits: {remedy}")
    out = np.empty((len(names), 1 if options.colour == "grey" else 3, *sides), np.float32)
    grey = np.zeros(len(names), bool)

    def work(i: int, picture: Image.Image) -> None:
        if is_deep(picture):
            with tree.open(names[i]) as file, Image.open(file, formats=FORMATS) as again:
                numbers = numbers_of(picture, again if low_bytes(again) else None)
        else:
            ImageOps.exif_transpose(picture, in_place=True)
            numbers = numbers_of(flat(picture), None)
        if not np.isfinite(numbers).all():
            raise DataError(f"{place(tree, names[i])} holds NaN or infinite pixels: remove it, or replace them")
        if options.colour == "grey" and len(numbers) == 3:
            numbers = np.rint(np.tensordot(_GREY, numbers, 1))[None]
        grey[i] = len(numbers) == 1 or bool((numbers == numbers[:1]).all())
        for channel in range(out.shape[1]):
            out[i, channel] = _fitted_numbers(numbers[channel % len(numbers)], sides, options)

    unreadable = _each(tree, names, work)
    if options.colour == "auto" and grey.all():
        out = out[:, :1].copy()
    return Decoded(torch.from_numpy(out), (), unreadable)


def _fitted_numbers(plane: np.ndarray, sides: Sides, options: ImageOptions) -> np.ndarray:
    """What is kept of one channel [H, W]."""
    kept = np.asarray(_fitted(Image.fromarray(plane), sides, options, Image.Resampling.BICUBIC, np.nan))
    kept = kept.clip(plane.min(), plane.max())  # where resizing overshoots; NaN stays
    return np.rint(kept) if (plane == np.rint(plane)).all() else kept


def decode_one(tree: Tree, name: str, sides: Sides, options: ImageOptions) -> np.ndarray:
    """One picture as `decode` reads many, uint8 [C, H, W]; C is 3 unless another colour is requested."""
    with _quiet_pillow(), _opened(tree, name, whole=True) as (picture, _):
        pixels = np.asarray(_upright(picture, sides, options))
    if options.colour == "grey":
        return pixels[None]
    return np.broadcast_to(pixels, (3, *sides)) if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def decode_maps(
    tree: Tree,
    names: Sequence[str],
    sides: Sides,
    options: ImageOptions,
    read: Callable[[Image.Image, str], np.ndarray],
    beside: int = 0,
) -> DecodedMaps:
    """Label maps, cut as `decode` cuts the pictures, but values are never mixed: every pixel is the nearest one of the file, and
    `beside` where a picture that is padded does not reach.

    `read(picture, where)` gives the values of an upright picture, uint8 [H, W], or raises `DataError`.
    """
    out = np.empty((len(names), 1, *sides), np.uint8)
    held = np.zeros((len(names), 256), bool)

    def work(i: int, picture: Image.Image) -> None:
        ImageOps.exif_transpose(picture, in_place=True)
        values = Image.fromarray(read(picture, place(tree, names[i])))
        held[i] = np.array(values.histogram()) > 0
        out[i, 0] = np.asarray(_fitted(values, sides, options, Image.Resampling.NEAREST, beside))

    return DecodedMaps(torch.from_numpy(out), held, _each(tree, names, work))


def channels_of(colour: Colour) -> int:
    """How many channels pictures have that are read in a colour, where none is known to be grey."""
    return {"grey": 1, "rgba": 4}.get(colour, 3)


def place(tree: Tree, name: str) -> str:
    """Where a file is, for errors of one line."""
    return f"{tree.where}/{escaped(name)}"


def _each(tree: Tree, names: Sequence[str], work: Callable[[int, Image.Image], None]) -> Lines:
    """`work(i, picture)` for every picture that can be read, by as many threads as help; why the others cannot."""
    unreadable: dict[int, str] = {}
    alone = threading.Lock()

    def chunk(start: int) -> None:
        for i in range(start, min(start + _CHUNK, len(names))):
            try:
                with (
                    _opened(tree, names[i], whole=True) as (picture, _),
                    alone if picture.width * picture.height > _ALONE else nullcontext(),
                ):
                    work(i, picture)
            except DataError as error:
                unreadable[i] = str(error)

    some = names[:_CHUNK]
    worth = sum(tree.size(name) for name in some) >= _WORTH_THREADS * len(some)
    with _quiet_pillow(), ThreadPoolExecutor(min(8, os.cpu_count() or 1) if worth else 1) as pool:
        for _ in pool.map(chunk, range(0, len(names), _CHUNK)):
            pass
    return {names[i]: unreadable[i] for i in sorted(unreadable)}


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Without Pillow's warnings: what matters of them is an error here. Entered by one thread, around its pool."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@contextmanager
def _opened(tree: Tree, name: str, whole: bool) -> Iterator[tuple[Image.Image, int]]:
    """The picture `name`, its size checked, with the number of its pages; with `whole`, its file is checked to its end instead.
    Whatever goes wrong with it becomes a `DataError` with the file's name."""
    where = place(tree, name)
    too_large = f"more than {PIXEL_LIMIT // 10**6} million: scale it down or remove it"
    try:
        with tree.open(name) as file, Image.open(file, formats=FORMATS) as picture:
            width, height = picture.size
            size = f"{spelled((height, width))} pixels (height x width)"
            if width * height > PIXEL_LIMIT:
                raise DataError(f"{where} has {size}, {too_large}")
            if min(width, height) < SMALLEST:
                raise DataError(f"{where} has {size}, fewer than {SMALLEST} a side: remove it or enlarge it")
            kind, before = str(picture.format), file.tell()
            file.seek(0)
            if whole:
                check_whole(file, kind)
            number = 1 if whole else pages(file, kind, picture)
            file.seek(before)  # where Pillow reads on
            yield picture, number
    except DataError:
        raise
    except _TooDeepError as error:
        remedy = "give --range A,B (without --stream), or save it with 8 or 16 bits"
        raise DataError(f"{where} holds {error}, and these pictures are read as 8 bits: {remedy}") from error
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


def _upright(picture: Image.Image, sides: Sides, options: ImageOptions) -> Image.Image:
    """One picture as L, RGB or RGBA, [H, W]."""
    # JPEG alone: decode at 1/2, 1/4 or 1/8 where that stays twice too large, held either way.
    picture.draft(None, (2 * max(sides), 2 * max(sides)))
    ImageOps.exif_transpose(picture, in_place=True)
    upright = picture.convert("RGBA") if options.colour == "rgba" else flat(picture)
    if options.colour == "grey":
        upright = upright.convert("L")
    return _fitted(upright, sides, options, Image.Resampling.BICUBIC)


def _fitted(
    upright: Image.Image, sides: Sides, options: ImageOptions, resampling: Image.Resampling, beside: float = 0
) -> Image.Image:
    """What is kept of a picture, [H, W], in an image that is `beside` elsewhere."""
    found = fit(upright.size, sides, options.crop)
    before, after = found.sizes
    if before != after:
        part = upright.resize(after, resampling, box=found.box)
    else:
        part = upright if upright.size == before else upright.crop(found.box)
    if after == sides[::-1]:
        return part
    bands = len(part.getbands())
    whole = Image.new(part.mode, sides[::-1], beside if bands == 1 else (beside,) * bands)
    whole.paste(part, found.place[:2])
    return whole


def flat(picture: Image.Image) -> Image.Image:
    """Any mode as L or RGB, in strips: of a large picture, all at once would take several times its memory."""
    rows = max(1, _STRIP // picture.width)
    if rows >= picture.height:
        return _flat_strip(picture)
    out = None
    for top in range(0, picture.height, rows):
        strip = _flat_strip(picture.crop((0, top, picture.width, min(top + rows, picture.height))))
        out = out or Image.new(strip.mode, picture.size)
        out.paste(strip, (0, top))
    assert out
    return out


def _flat_strip(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        levels = np.asarray(picture).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise _TooDeepError("32-bit pixels")
        return Image.fromarray(((levels * 255 + 32767) // 65535).astype(np.uint8))
    if picture.mode == "F":
        raise _TooDeepError("floating-point pixels")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    mode = "L" if picture.mode in GREY_MODES else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)
