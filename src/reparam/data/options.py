"""What can be chosen about reading a data set. Free of torch, so that the command's help is quick."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self, get_args

from pydantic import Field

from reparam.errors import DataError

SMALLEST, LARGEST = 8, 512  # sides of the square images that leave this package, in pixels

Crop = Literal["centre", "none"]
Colour = Literal["auto", "grey", "rgb"]
Damaged = Literal["stop", "skip"]


@dataclass(frozen=True)
class DataOptions:
    """How a data set is read. The defaults leave images that are square already as they are.

    Raises `DataError` for a value outside what a field allows.
    """

    size: Annotated[
        int | None,
        Field(
            ge=SMALLEST,
            le=LARGEST,
            description="side of the square images, in pixels (default: as stored; celeba: 64; folder, pairs and "
            "the like: chosen from the pictures, and said)",
        ),
    ] = None
    crop: Annotated[
        Crop, Field(description="'centre' cuts the largest central square; 'none' squeezes the whole picture")
    ] = "centre"
    colour: Annotated[
        Colour, Field(description="'auto' is grey when every picture is grey; 'grey' and 'rgb' convert all of them")
    ] = "auto"
    attributes: Annotated[
        tuple[str, ...],
        Field(description="celeba: attributes whose product is the label (default: Male and Smiling)"),
    ] = ()
    ignore: Annotated[
        int | None,
        Field(
            ge=0,
            le=255,
            description="pairs: mask value that does not count (default: 255 where there are more than two values)",
        ),
    ] = None
    split_sizes: Annotated[
        tuple[int, ...],
        Field(description="folder, pairs: images for training, validation, test (default: 80 / 10 / 10 %)"),
    ] = ()
    split_seed: Annotated[int, Field(ge=0, lt=2**63, description="folder, pairs: another seed, another split")] = 0
    stream: Annotated[
        bool, Field(description="folder: leave the pictures on disk and read them as they are needed")
    ] = False
    workers: Annotated[int, Field(ge=0, le=64, description="images on disk: processes that read ahead (0: none)")] = 2
    damaged: Annotated[
        Damaged,
        Field(description="images on disk that cannot be read: stop, or skip them, count them and name them"),
    ] = "stop"
    data_root: Annotated[
        str | None,
        Field(
            description="folder that holds NAME/ for named data sets (default: $REPARAM_DATA, else the cache folder)"
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.size is not None and not SMALLEST <= self.size <= LARGEST:
            raise DataError(f"size {self.size} is out of range: choose --size between {SMALLEST} and {LARGEST}")
        if self.crop not in get_args(Crop):
            raise DataError(f"crop '{self.crop}' is unknown: choose one of {', '.join(get_args(Crop))}")
        if self.colour not in get_args(Colour):
            raise DataError(f"colour '{self.colour}' is unknown: choose one of {', '.join(get_args(Colour))}")
        if self.damaged not in get_args(Damaged):
            raise DataError(f"damaged '{self.damaged}' is unknown: choose one of {', '.join(get_args(Damaged))}")
        if not 0 <= self.workers <= 64:
            raise DataError(f"{self.workers} workers are out of range: choose --workers between 0 and 64")
        if self.ignore is not None and not 0 <= self.ignore <= 255:
            raise DataError(f"ignore {self.ignore} is no mask value: choose --ignore between 0 and 255")
        if self.split_sizes and (len(self.split_sizes) != 3 or min(self.split_sizes) < 1):
            raise DataError(
                f"split-sizes {','.join(map(str, self.split_sizes))} are not three numbers from 1: give images for "
                "training, validation and test, such as --split-sizes 200,28,100"
            )
        if not 0 <= self.split_seed < 2**63:
            raise DataError(f"split-seed {self.split_seed} is out of range: choose --split-seed between 0 and 2^63 - 1")

    def coloured(self) -> Self:
        """These options for a data set that is known to be coloured: nothing is left to find out."""
        return replace(self, colour="rgb") if self.colour == "auto" else self
