"""What can be chosen about a figure. Free of torch, so that the command's help is quick.

A field with a description is an option of the command. The others are for the page (`across`: tiles in a row) and for what the
command reads itself (`index`: test images by number).
"""

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import Field

from reparam.errors import ConfigError, flag

Seed = Annotated[int, Field(ge=0, lt=2**63, description="Of random draws.")]
Steps = Annotated[int, Field(ge=2, le=100, description="Decoded latents a row.")]
GRID_EXTENT, TRAVERSAL_EXTENT = 5.0, 3.0


_FAR = "How far from 0 (default: {:g}; where images reach further, so many standard deviations)."
GridExtent = Annotated[float | None, Field(gt=0, le=1000, description=_FAR.format(GRID_EXTENT))]
TraversalExtent = Annotated[float | None, Field(gt=0, le=1000, description=_FAR.format(TRAVERSAL_EXTENT))]
Predictions = Annotated[int, Field(ge=1, le=100, description="Predictions for each image.")]

# The options of `TraversalOptions` that mean something in some modes alone.
MODES = {
    "index": ("dimensions", "directions", "classes"),
    "count": ("dimensions",),
    "extent": ("dimensions",),
    "steps": ("dimensions",),
    "by": ("directions", "images"),
    "share": ("images",),
}


@dataclass(frozen=True)
class SampleOptions:
    n: Annotated[int | None, Field(ge=1, le=10_000, description="How many (default: 64; of each component 15).")] = None
    draw: Annotated[bool, Field(description="Draw from p(x|z) instead of showing its mean.")] = False
    label: Annotated[
        str | None, Field(alias="class", description="Of this class alone, by name or number (model trained by class).")
    ] = None
    component: Annotated[
        int | None, Field(ge=0, description="Of this component alone (model with a mixture prior).")
    ] = None
    seed: Seed = 0
    across: int | None = None  # as square as n allows


@dataclass(frozen=True)
class ReconstructionOptions:
    n: Annotated[
        int | None,
        Field(ge=1, le=1000, description="How many, without --index (default: 16; of IMAGE... or --data all)."),
    ] = None
    index: tuple[int, ...] = ()
    across: int = 10
    with_input: bool = True  # a row of what the model was given, where that is not the original


@dataclass(frozen=True)
class InterpolationOptions:
    steps: Annotated[
        int | None,
        Field(ge=2, le=1000, description="Decoded latents from one to the next (default: 11; of .gif, .mp4 24)."),
    ] = None
    line: Annotated[
        Literal["straight", "spherical"] | None,
        Field(description="Through latent space (default: straight between images, spherical between random latents)."),
    ] = None
    seed: Seed = 0
    index: tuple[int, ...] = ()  # in pairs; of a walk, one after the other


@dataclass(frozen=True)
class GridOptions:
    extent: GridExtent = None
    steps: Steps = 21


@dataclass(frozen=True)
class TraversalOptions:
    """Four modes: single latents (`dimensions`), or perturbations along `directions` of one image, of several `images`, or of the
    `classes`. Without an `index` the image is the first of the first class.

    Raises ConfigError for more than one mode, and for an option that does nothing in the one that is chosen.
    """

    index: Annotated[int | None, Field(ge=0, description="The test image to start from.")] = 0
    dimensions: Annotated[tuple[int, ...], Field(description="Latents to move (default: the most active ones).")] = ()
    count: Annotated[int, Field(ge=1, le=1000, description="How many, without --dimensions.")] = 10
    extent: TraversalExtent = None
    steps: Steps = 11
    directions: Annotated[
        int | None,
        Field(
            ge=1,
            le=200,
            description="Instead: so many directions of the image, up to 3 sigma, read by a judge classifier.",
        ),
    ] = None
    by: Annotated[
        Literal["effect", "largest", "posterior"] | None,
        Field(
            description="Latents of most effect (default of --directions), of largest scale (of --images), or posterior draws."
        ),
    ] = None
    images: Annotated[
        int | None, Field(ge=1, le=200, description="Instead: so many images, each along its top scales together.")
    ] = None
    share: Annotated[float, Field(gt=0, le=1, description="Of the scales, for --images.")] = 0.1
    classes: Annotated[
        bool,
        Field(
            description="Instead: one image along the scales and towards the mean of every class (reads the training images)."
        ),
    ] = False

    @property
    def mode(self) -> str:
        return next((name for name in ("directions", "images", "classes") if getattr(self, name)), "dimensions")

    def __post_init__(self) -> None:
        if sum(map(bool, (self.dimensions, self.directions, self.images, self.classes))) > 1:
            raise ConfigError("--dimensions, --directions, --images and --classes are four pictures: choose one")
        for field in fields(self):
            modes = MODES.get(field.name, (self.mode,))
            if self.mode not in modes and getattr(self, field.name) != field.default:
                given, flags = flag(field.name), " and --".join(modes)
                raise ConfigError(f"{given} is for --{flags}, and this picture is of --{self.mode}: leave it out")


@dataclass(frozen=True)
class SegmentationOptions:
    samples: Predictions = 10
    seed: Seed = 0


@dataclass(frozen=True)
class PredictionOptions:
    n: Annotated[
        int | None,
        Field(ge=1, le=1000, description="How many, without --index (default: 8; of IMAGE... or --data all)."),
    ] = None
    samples: Predictions = 10
    seed: Seed = 0
    index: tuple[int, ...] = ()
    truth: bool = True
    baseline: Any = None  # a `LoadedRun` whose prediction is shown in place of the first guess
