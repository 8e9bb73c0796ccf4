"""What can be chosen about an evaluation, and the names under which metrics are stored."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from reparam.errors import ConfigError
from reparam.latent.directions import DEFAULT, DIRECTIONS, PIXELS, find_direction

VALIDATED = " on validation"  # ends the name of a metric of validation images


def _known(directions: str) -> str:
    if directions != PIXELS:
        find_direction(directions)
    return directions


@dataclass(frozen=True)
class EvaluationOptions:
    """Raises ConfigError for a value that a field does not allow. Texts that say test images mean those of `split`."""

    seed: Annotated[int, Field(ge=0, lt=2**63, description="of random draws")] = 0
    samples: Annotated[int, Field(ge=1, description="draws for nll, bits_per_dim, cnll_is and cnll_mc")] = 5000
    nll_images: Annotated[int, Field(ge=1, description="test images for these four")] = 1000
    images: Annotated[int, Field(ge=1, description="test images for all other metrics")] = 10_000
    precision: Annotated[
        Literal["float32", "bfloat16"],
        Field(
            description="of the networks' products in these four: bfloat16 is quicker on some processors; for bernoulli, "
            "not for learned scales"
        ),
    ] = "float32"
    draws: Annotated[int, Field(ge=1, description="predictions for each image, of conditional models")] = 10
    occlusion: Annotated[
        float, Field(ge=0, lt=1, description="hide a box of the model's input, of this share of the side")
    ] = 0.0
    directions: Annotated[
        str,
        Field(description=f"latent directions of the metrics of augmentation: {', '.join(DIRECTIONS)}; or {PIXELS}"),
        AfterValidator(_known),
    ] = DEFAULT
    split: Annotated[
        Literal["test", "validation"],
        Field(description="which images; validation: to choose between runs, so that test images are left for the end"),
    ] = "test"
    bytes: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="for each image, in the metrics of compression")
    ] = 32.0

    def __post_init__(self) -> None:
        for name, adapter in _adapters().items():
            try:
                adapter.validate_python(getattr(self, name), strict=True)
            except ValidationError as error:
                first = error.errors()[0]
                raise ConfigError(f"option '{name}': {first['msg']}, got {first['input']!r}") from None


@cache
def _adapters() -> dict[str, TypeAdapter[Any]]:
    types = get_type_hints(EvaluationOptions, include_extras=True)
    return {name: TypeAdapter(kind) for name, kind in types.items()}


@dataclass(frozen=True)
class StoredName:
    """A metric, and what was not the default about how it was measured (empty: nothing)."""

    metric: str
    occlusion: str = ""  # share of the side
    directions: str = ""
    bytes: str = ""  # for each image
    validation: bool = False  # on validation images, not on test images

    def __str__(self) -> str:
        """The key in evaluation.json, such as `flips_2 along neutral on validation`."""
        return (
            self.metric
            + (f" occluded {self.occlusion}" if self.occlusion else "")
            + (f" along {self.directions}" if self.directions else "")
            + (f" at {self.bytes} bytes" if self.bytes else "")
            + (VALIDATED if self.validation else "")
        )


_STORED = re.compile(r"(\S+)(?: occluded (\S+))?(?: along (\S+))?(?: at (\S+) bytes)?( on validation)?")


def stored_name(metric: str, reads: tuple[str, ...], options: EvaluationOptions) -> StoredName:
    """Where a metric is stored that depends on the options `reads`: what was measured in another way than the default does
    not replace the plain one."""
    occlusion = f"{options.occlusion:g}" if options.occlusion else ""
    along = options.directions if "directions" in reads and options.directions != DEFAULT else ""
    size = f"{options.bytes:g}" if "bytes" in reads and options.bytes != EvaluationOptions.bytes else ""
    validation = options.split == "validation"
    if occlusion:
        return StoredName(metric, occlusion, validation=validation)
    return StoredName(metric, "", along, size, validation)


def parse_stored_name(name: str) -> StoredName:
    """The inverse of `str(stored_name(...))`; a name of another form is a metric's as it is."""
    match = _STORED.fullmatch(name)
    if not match:
        return StoredName(name)
    metric, occlusion, directions, size, validation = match.groups(default="")
    return StoredName(metric, occlusion, directions, size, bool(validation))
