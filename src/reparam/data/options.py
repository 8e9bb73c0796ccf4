"""What can be chosen about reading a data set. Free of torch, so that the command's help is quick.

Each source names the record of the options that it reads; `DataOptions` has them all, for the command and run.json.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

from pydantic import Field

from reparam.core.options import check_fields
from reparam.errors import DataError

SMALLEST, LARGEST = 8, 512  # sides of the square images that leave this package, in pixels

Crop = Literal["centre", "none"]
Colour = Literal["auto", "grey", "rgb"]
Damaged = Literal["stop", "skip"]


@dataclass(frozen=True)
class ImageOptions:
    """What every source reads. The defaults leave images that are square already as they are.

    Raises `DataError` for a value outside what a field allows.
    """

    size: Annotated[
        int | None,
        Field(
            ge=SMALLEST,
            le=LARGEST,
            description="side in pixels (default: as stored; of pictures: chosen by them; celeba: 64)",
        ),
    ] = None
    crop: Annotated[
        Crop, Field(description="'centre' cuts the largest central square; 'none' squeezes the whole picture")
    ] = "centre"
    colour: Annotated[
        Colour, Field(description="'auto' is grey when every picture is grey; 'grey' and 'rgb' convert all of them")
    ] = "auto"

    def __post_init__(self) -> None:
        check_fields(self, DataError, strict=False)

    def as_colour(self) -> Self:
        """These options for images that are known to be coloured."""
        return replace(self, colour="rgb") if self.colour == "auto" else self


@dataclass(frozen=True)
class CelebaOptions(ImageOptions):
    """What `celeba` reads."""

    attributes: Annotated[
        tuple[str, ...],
        Field(description="celeba: attributes whose product is the label (default: Male and Smiling)"),
    ] = ()


@dataclass(frozen=True)
class SplitOptions(ImageOptions):
    """How pictures without splits are divided."""

    split_sizes: Annotated[
        tuple[Annotated[int, Field(le=10**9)], ...],
        Field(description="folder, pairs: images for training, validation, test (default: 80 / 10 / 10 %)"),
    ] = ()
    split_seed: Annotated[int, Field(ge=0, lt=2**63, description="folder, pairs: another seed, another split")] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
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


@dataclass(frozen=True)
class OnDiskOptions(ImageOptions):
    """How images on disk are read: what `shards` reads."""

    workers: Annotated[int, Field(ge=0, le=64, description="images on disk: processes that read ahead (0: none)")] = 2
    damaged: Annotated[
        Damaged,
        Field(description="images of folder and shards that cannot be read: stop, or skip them and report them"),
    ] = "stop"


@dataclass(frozen=True)
class FolderOptions(OnDiskOptions, SplitOptions):
    """What `folder` reads."""

    stream: Annotated[
        bool, Field(description="folder: leave the pictures on disk and read them as they are needed")
    ] = False


@dataclass(frozen=True)
class DataOptions(FolderOptions, PairsOptions, CelebaOptions):
    """The options of all sources. A source refuses those that it does not read."""

    data_root: Annotated[
        str | None,
        Field(description="folder that holds NAME/ of named sets (default: $REPARAM_DATA, else the cache folder)"),
    ] = None
