"""What can be chosen about reading a data set. Free of torch, so that the command's help is quick.

Each source names the record of the options that it reads; `DataOptions` has them all, for the command and run.json.
"""

import re
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

from reparam.core.limits import LARGEST_NUMBER
from reparam.core.options import check_fields
from reparam.errors import DataError, short

SMALLEST, LARGEST = 8, 512  # sides of the images that leave this package, in pixels
MOST_CHANNELS = 64

MOST_LABELS = 64  # of label maps: beyond, they are shades of grey
IGNORE = "ignore"  # in place of a label: does not count
GREY = 0x010101  # the colour of grey level 1

Sides = tuple[int, int]  # (height, width)


def value_code(text: str) -> int:
    """65536 red + 256 green + blue of a mask's value as people write it: a grey level, 0 to 255, or a colour as six hexadecimal
    digits. Raises `DataError` for another."""
    text = text.strip()
    if re.fullmatch("[0-9]{1,3}", text) and int(text) <= 255:
        return int(text) * GREY
    if re.fullmatch("#?[0-9a-fA-F]{6}", text):
        return int(text[-6:], 16)
    raise DataError(f"{short(text)} is no value of a mask: give a grey level, 0 to 255, or a colour, such as ff0000")


def spelled_value(code: int) -> str:
    """The inverse of `value_code`."""
    level, rest = divmod(code, GREY)
    return f"{code:06x}" if rest else str(level)


def sides_of(size: Any) -> Sides | None:
    """(height, width) of a size as people write it: 64, "64", "48x64" or (48, 64); None where it is none."""
    if isinstance(size, str):
        parts = re.fullmatch(r"\s*([0-9]{1,9})(?:\s*[xX×]\s*([0-9]{1,9}))?\s*", size)
        size = tuple(int(part) for part in parts.groups() if part) if parts else ()
    found = tuple(size) if isinstance(size, tuple | list) else (size,)
    if not all(type(side) is int for side in found) or len(found) not in (1, 2):
        return None
    return found[0], found[-1]


def spelled(sides: Sides) -> str:
    """ "48 x 64", which is height x width everywhere."""
    return f"{sides[0]} x {sides[1]}"


def _size(value: Any) -> int | str | None:
    """N of a square, "HxW" of a rectangle: as a configuration holds it."""
    if value is None:
        return None
    sides = sides_of(value)
    if sides is None:
        raise PydanticCustomError("size", "should be a side in pixels, or height x width, such as 64 or 48x64")
    if not SMALLEST <= min(sides) <= max(sides) <= LARGEST:
        raise PydanticCustomError("size", f"should have sides of {SMALLEST} to {LARGEST} pixels, such as 64 or 48x64")
    return sides[0] if sides[0] == sides[1] else f"{sides[0]}x{sides[1]}"


Size = Annotated[int | str, PlainValidator(_size)]
Crop = Literal["centre", "none", "pad"]
Colour = Literal["auto", "grey", "rgb", "rgba"]
COLOURS: dict[int, Colour] = {1: "grey", 3: "rgb", 4: "rgba"}  # by the number of channels
Damaged = Literal["stop", "skip"]
Pages = Literal["first", "images", "channels"]


@dataclass(frozen=True)
class ImageOptions:
    """What every source reads. The defaults leave images that are of one shape already as they are.

    Raises `DataError` for a value outside what a field allows.
    """

    size: Annotated[
        Size | None,
        Field(
            description="N: squares of N x N pixels; HxW: height x width, such as 48x64 (default: as stored; of pictures: chosen "
            "by them; celeba: 64)"
        ),
    ] = None
    crop: Annotated[
        Crop,
        Field(
            description="centre: the largest central part of the shape; none: the whole picture, stretched to it; pad: the whole "
            "picture, with black beside it"
        ),
    ] = "centre"
    colour: Annotated[
        Colour,
        Field(
            description="'auto' is grey when every picture is grey; 'grey' and 'rgb' convert all of them; 'rgba' keeps what is "
            "transparent, as a fourth channel"
        ),
    ] = "auto"

    def __post_init__(self) -> None:
        check_fields(self, DataError, strict=False)

    @property
    def sides(self) -> Sides | None:
        """(height, width) that are asked for; None where `size` leaves them to the images."""
        return sides_of(self.size)

    def as_colour(self) -> Self:
        """These options for images that are known to be coloured."""
        return replace(self, colour="rgb") if self.colour == "auto" else self


@dataclass(frozen=True)
class DepthOptions(ImageOptions):
    """How numbers become values from 0 to 1: what sources of the user's own images read."""

    range: Annotated[
        tuple[float, ...],
        Field(
            description="A,B: which numbers become 0 and 1, for all images (default: 8 bits and floats in [0, 1] as they are; of "
            "others the range of the training images)"
        ),
    ] = ()
    depth: Annotated[
        Literal["auto", "8"],
        Field(description="auto: as many levels as there are; 8: rounded to 256, which take a quarter of the memory"),
    ] = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.range and (
            len(self.range) != 2 or not -LARGEST_NUMBER < self.range[0] < self.range[1] < LARGEST_NUMBER
        ):
            given = ",".join(f"{end:g}" for end in self.range)
            raise DataError(f"range {given} is not two numbers, the smaller one first: such as --range 0,4095")


@dataclass(frozen=True)
class ArrayOptions(DepthOptions):
    """How arrays become images, in files and in Python."""

    layout: Annotated[
        Literal["auto", "first", "last"],
        Field(description="array: where the channels are, [N, C, H, W] or [N, H, W, C] (auto: as the shape tells)"),
    ] = "auto"


@dataclass(frozen=True)
class CelebaOptions(ImageOptions):
    """What `celeba` reads."""

    attributes: Annotated[
        tuple[str, ...],
        Field(description="celeba: attributes whose product is the label (default: Male and Smiling)"),
    ] = ()


@dataclass(frozen=True)
class SplitOptions(DepthOptions):
    """How pictures without splits are divided."""

    split_sizes: Annotated[
        tuple[Annotated[int, Field(le=10**9)], ...],
        Field(description="folder, pairs: images for training, validation, test (default: 80 / 10 / 10 %)"),
    ] = ()
    split_seed: Annotated[int, Field(ge=0, lt=2**63, description="folder, pairs: another seed, another split")] = 0
    group: Annotated[
        str | None,
        Field(
            description="folder, pairs: regular expression; pictures in whose names it finds the same stay in one split, such as "
            r"'patient\d+' (of its brackets, if it has any)"
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.group is not None:
            try:
                re.compile(self.group)
            except re.error as error:
                raise DataError(f"group {self.group!r} is no regular expression ({error}): correct it") from None
        if self.split_sizes and (len(self.split_sizes) != 3 or min(self.split_sizes) < 1):
            given = ",".join(map(str, self.split_sizes))
            remedy = "give images for training, validation and test, such as --split-sizes 200,28,100"
            raise DataError(f"split-sizes {given} are not three numbers from 1: {remedy}")


@dataclass(frozen=True)
class PairsOptions(SplitOptions):
    """What `pairs` reads."""

    ignore: Annotated[
        int | None,
        Field(ge=0, le=255, description="pairs: mask value that does not count (default: 255, given 3 values or more)"),
    ] = None
    mask_levels: Annotated[
        tuple[str, ...],
        Field(
            description="pairs: each value of a mask becomes the nearest of these, labels 0, 1, ...: 0,128,255, or colours: "
            "000000,ff0000"
        ),
    ] = ()
    remap: Annotated[
        tuple[str, ...],
        Field(description="pairs: the label of each value of the masks, 1:0,2:1,3:ignore; several may have one label"),
    ] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        codes = [value_code(level) for level in self.mask_levels]
        if codes and (len(set(codes)) < max(2, len(codes)) or len(codes) > MOST_LABELS):
            raise DataError(
                f"mask-levels {','.join(self.mask_levels)} are not 2 to {MOST_LABELS} different values: give such as 0,255"
            )
        labels = set(self.remapped().values()) - {None}
        if self.remap and (len(labels) < 2 or labels != set(range(len(labels)))):
            raise DataError(
                f"remap {','.join(self.remap)} leaves out a label, or all but one: give labels 0 to D - 1, such as 1:0,2:1"
            )

    def remapped(self) -> dict[int, int | None]:
        """The label of each code in `remap`, None where it does not count. Raises `DataError` for what is no `VALUE:LABEL`,
        and for a value that comes twice."""
        found: dict[int, int | None] = {}
        for pair in self.remap:
            value, _, label = pair.partition(":")
            code, label = value_code(value), label.strip()
            if label != IGNORE and not (re.fullmatch("[0-9]{1,2}", label) and int(label) < MOST_LABELS):
                raise DataError(
                    f"remap {short(pair)} is no value and label: write 1:0 or 3:{IGNORE}, with labels below {MOST_LABELS}"
                )
            if code in found:
                raise DataError(f"remap names value {value} twice: give it one label")
            found[code] = None if label == IGNORE else int(label)
        return found


@dataclass(frozen=True)
class WorkersOptions(DepthOptions):
    """How images on disk are read."""

    workers: Annotated[int, Field(ge=0, le=64, description="images on disk: processes that read ahead (0: none)")] = 2


@dataclass(frozen=True)
class OnDiskOptions(WorkersOptions):
    """What `shards` reads."""

    damaged: Annotated[
        Damaged,
        Field(description="images of folder and shards that cannot be read: stop, or skip them and report them"),
    ] = "stop"


@dataclass(frozen=True)
class StreamOptions(WorkersOptions):
    """Whether images stay on disk, where memory may hold them too."""

    stream: Annotated[
        bool, Field(description="folder, array: leave the images on disk and read them as they are needed")
    ] = False


@dataclass(frozen=True)
class ArrayFileOptions(StreamOptions, ArrayOptions):
    """What `array` reads."""


@dataclass(frozen=True)
class FolderOptions(OnDiskOptions, StreamOptions, SplitOptions):
    """What `folder` reads."""

    pages: Annotated[
        Pages,
        Field(
            description="folder: of a TIFF with several pages the first, each as an image, or all as the channels of one "
            "(then all files have equally many, 64 at most)"
        ),
    ] = "first"


@dataclass(frozen=True)
class DataOptions(FolderOptions, PairsOptions, CelebaOptions, ArrayFileOptions):
    """The options of all sources. A source refuses those that it does not read."""

    data_root: Annotated[
        str | None,
        Field(description="folder that holds NAME/ of named sets (default: $REPARAM_DATA, else the cache folder)"),
    ] = None
