"""What can be chosen about an evaluation, and the names under which metrics are stored."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field

from reparam.core.options import by_name, check_fields
from reparam.errors import ConfigError
from reparam.latent.directions import DEFAULT, DIRECTIONS, PIXELS, find_direction

VALIDATED = " on validation"  # ends the name of a metric of validation images
QUICK = " quick"  # ends the name of a metric of few images
QUICK_IMAGES = 500


def _known(directions: str) -> str:
    if directions != PIXELS:
        find_direction(directions)
    return directions


@dataclass(frozen=True)
class EvaluationOptions:
    """Raises ConfigError for a value that a field does not allow. Texts that say test images mean those of `split`."""

    samples: Annotated[
        int | None,
        Field(
            ge=1,
            le=10**6,
            description="Draws for nll, bits_per_dim, cnll_is and cnll_mc (default: as many as it takes within a time).",
        ),
    ] = None
    nll_images: Annotated[
        int | None,
        Field(ge=1, le=10**9, description="Test images for these four (default: 1,000; fewer where draws are slow)."),
    ] = None
    error: Annotated[
        float | None,
        Field(
            gt=0,
            le=1e6,
            allow_inf_nan=False,
            description="Instead of --samples: draw until the means of these are within so many nats, at any length.",
        ),
    ] = None
    images: Annotated[int, Field(ge=1, le=10**9, description="Test images for all other metrics.")] = 10_000
    precision: Annotated[
        Literal["float32", "bfloat16"],
        Field(
            description="Of the networks' products in these four: bfloat16 is quicker on some processors; for bernoulli, "
            "not for learned scales."
        ),
    ] = "float32"
    draws: Annotated[int, Field(ge=1, le=1000, description="Predictions for each image, of conditional models.")] = 10
    occlusion: Annotated[
        float, Field(ge=0, lt=1, description="Hide a box of the model's input, of this share of its sides.")
    ] = 0.0
    directions: Annotated[
        str,
        Field(description=f"Latent directions of the metrics of augmentation: {', '.join(DIRECTIONS)}; or {PIXELS}."),
        AfterValidator(_known),
    ] = DEFAULT
    split: Annotated[
        Literal["test", "validation"],
        Field(
            description="Which images; validation: to choose between runs, so that test images are left for the end."
        ),
    ] = "test"
    bytes: Annotated[
        float, Field(gt=0, le=1e9, allow_inf_nan=False, description="For each image, in the metrics of compression.")
    ] = 32.0
    seed: Annotated[int, Field(ge=0, lt=2**63, description="Of random draws.")] = 0
    quick: Annotated[
        bool,
        Field(
            description=f"A first look in seconds: {QUICK_IMAGES} images at most. Figures are stored as 'NAME quick'."
        ),
    ] = False

    def __post_init__(self) -> None:
        check_fields(self)
        if self.samples and self.error:
            raise ConfigError("samples says how many draws and error how exact they must be: leave one of the two out")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """By name. Raises ConfigError for an unknown one, with the nearest."""
        return by_name(cls, options, "evaluation")


def stored_name(metric: str, reads: tuple[str, ...], options: EvaluationOptions) -> str:
    """The key in evaluation.json of a metric that depends on the options `reads`, such as `flips_2 along neutral on validation`:
    what was measured in another way than the default does not replace the plain metric."""
    how = ""
    if options.occlusion:
        how = f" occluded {options.occlusion:g}"
    elif "directions" in reads and options.directions != DEFAULT:
        how = f" along {options.directions}"
    elif "bytes" in reads and options.bytes != EvaluationOptions.bytes:
        how = f" at {options.bytes:g} bytes"
    return metric + how + (VALIDATED if options.split == "validation" else "") + (QUICK if options.quick else "")


class StoredName(NamedTuple):
    """The parts of such a key, "" where an option has its default. bytes: for each image; validation: of validation images;
    quick: of few."""

    metric: str
    occlusion: str = ""
    directions: str = ""
    bytes: str = ""
    validation: bool = False
    quick: bool = False


_STORED = re.compile(rf"(\S+)(?: occluded (\S+))?(?: along (\S+))?(?: at (\S+) bytes)?({VALIDATED})?({QUICK})?")


def parse_stored_name(name: str) -> StoredName:
    """The inverse of `stored_name`; a name of another form is a metric's as it is."""
    match = _STORED.fullmatch(name)
    if not match:
        return StoredName(name)
    metric, occlusion, directions, size, validation, quick = match.groups(default="")
    return StoredName(metric, occlusion, directions, size, bool(validation), bool(quick))
