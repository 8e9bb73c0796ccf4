"""The documents of a run folder as records. Each is checked once, where it is read; what reads them needs no checks of its own.

Entries that a record does not name are left unread: another version may have written them.
"""

import math
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from reparam.core.spec import BYTES
from reparam.data.options import LARGEST, MOST_CHANNELS, SMALLEST
from reparam.errors import RunError, short

T = TypeVar("T")

FORMAT = 1
MOST_CLASSES = 1_000_000  # of labels, and
MOST_VALUES = 256  # of label maps, which are uint8
MOST_LEVELS = 2**16  # of pixels
STATES = Literal["not started", "running", "finished", "stopped early", "interrupted", "diverged", "failed", "adopted"]


def _whole(value: object) -> object:
    """To Python, and so to Literal, true and 1.0 are 1."""
    if type(value) is not int:
        raise ValueError("should be a valid integer")
    return value


# Strict: Reparam writes neither true, 1.0 nor "1" for 1.
Format = Annotated[Literal[1], BeforeValidator(_whole)]
Channels = Annotated[int, Field(strict=True, ge=1, le=MOST_CHANNELS)]
Count = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Side = Annotated[int, Field(strict=True, ge=SMALLEST, le=LARGEST)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Length = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]  # epochs or seconds


def _text(value: object) -> str:
    """pydantic's own text excludes names of files that are not UTF-8."""
    if not isinstance(value, str):
        raise ValueError("should be text")
    return value


def _not_one(levels: int) -> int:
    if levels == 1:
        raise ValueError("should be 0, for any, or at least 2")
    return levels


Text = Annotated[str, PlainValidator(_text)]
Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]  # None: there is none


@dataclass(frozen=True)
class StoredSpec:
    """`spec` of run.json: what the data alone decides about the model."""

    image_shape: tuple[Channels, Side, Side]
    classes: Annotated[int, Field(strict=True, ge=0, le=MOST_CLASSES)]
    map_values: Annotated[int, Field(strict=True, ge=0, le=MOST_VALUES)] = 0
    levels: Annotated[int, Field(strict=True, ge=0, le=MOST_LEVELS), AfterValidator(_not_one)] = BYTES


@dataclass(frozen=True)
class StoredData:
    """`data` of run.json: which images the run was trained on. moved_by: fingerprints of the runs of `--augment`;
    map_values, map_colours: names of the labels of label maps, and their colours (`Dataset`), if any."""

    fingerprint: Text
    name: Text = ""
    classes: tuple[Text, ...] = ()
    images: dict[str, Count] = field(default_factory=dict)
    notes: tuple[Text, ...] = ()
    moved_by: dict[str, str] = field(default_factory=dict)
    map_values: tuple[Text, ...] = ()
    map_colours: tuple[Annotated[str, Field(strict=True, pattern="^([0-9a-f]{6})?$")], ...] = ()


@dataclass(frozen=True)
class RunDocument:
    """run.json. `config` is read by `reparam.run.config.from_json`; processes, device: those that train the run; id: random, the
    same in the run's weights and checkpoints ("": of an earlier version)."""

    format: Format
    config: dict[str, Any]
    spec: StoredSpec
    data: StoredData
    reparam: Text = "unknown"
    torch: Text = "unknown"
    python: Text = "unknown"
    id: Text = ""
    command: Text = ""
    created: Text = ""
    processes: Annotated[int | None, Field(strict=True, ge=1)] = None
    device: Text | None = None


@dataclass(frozen=True)
class Status:
    """status.json. skipped: a line for each image on disk that could not be read."""

    state: STATES
    step: Count
    epoch: Length
    seconds: Length
    kept: Text
    steps: Count = 0
    best_validation_total: Finite | None = None
    skipped: tuple[Text, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to train."""
        return self.state in ("finished", "stopped early", "adopted")


NOT_STARTED = Status("not started", 0, 0.0, 0.0, "")


@dataclass(frozen=True)
class MetricsLine:
    """A line of metrics.jsonl; learning_rate: of training alone."""

    step: Count
    epoch: Length
    phase: Literal["train", "validation"]
    terms: dict[Text, Number]
    learning_rate: Finite | None = None


class NoValueError(Exception):
    """A metric has no value on these images; its text says why."""


@dataclass(frozen=True)
class Baseline:
    """The same figure without the model. name: what stands in for it ("64 principal components"); apart: the standard error of
    the difference from the model's value (None: unknown); floor: the best that can be expected, not to be surpassed."""

    name: Text
    value: Finite
    stderr: Finite | None = None
    apart: Finite | None = None
    floor: bool = False


@dataclass(frozen=True)
class Measure:
    """A value, its standard error (None where it has none), the number of images and the unit; `note` belongs beside it, `parts`
    are what the value is the sum of, where that is of interest (`kl`: by latent dimension); `baselines` are what it is without
    the model; `bias` is how far the value is expected to be too high, where that was estimated; `by_label` is the same of each
    label of label maps, by name (None: no map holds it).

    All of them are finite: raises NoValueError for others."""

    value: Finite
    stderr: Finite | None
    n: Count
    unit: Text
    note: Text = ""
    parts: tuple[Finite, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    bias: Finite | None = None
    by_label: tuple[tuple[Text, Finite | None], ...] = ()

    def __post_init__(self) -> None:
        for number in (self.value, self.stderr or 0.0, *self.parts):
            if not math.isfinite(number):
                raise NoValueError(f"it comes out as {number}, which is no number that can be compared")


@dataclass(frozen=True)
class Finding:
    """A state, the evidence for it, and what helps ("" where nothing is wrong)."""

    state: Text
    evidence: Text
    advice: Text = ""


def finite_figures(figures: Any) -> Any:
    """Stored figures without what is no number: earlier versions wrote NaN for a value or an error that there is none of."""
    if not isinstance(figures, dict):
        return figures  # damaged, as the check will say

    def lacks(one: Any, key: str) -> bool:
        parts = one[key] if isinstance(one, dict) and key in one else 0.0
        numbers = parts if isinstance(parts, list) else [parts]
        return any(number is None or (isinstance(number, float) and not math.isfinite(number)) for number in numbers)

    empty: dict[str, Any] = {"stderr": None, "parts": []}
    return {
        name: one | {key: none for key, none in empty.items() if lacks(one, key)} if isinstance(one, dict) else one
        for name, one in figures.items()
        if not lacks(one, "value")
    }


@dataclass(frozen=True)
class Evaluation:
    """evaluation.json. weights: the step and kind that were measured; options: those that each metric was tried with;
    left_out: why some have no value."""

    weights: tuple[Count, Text] | None = None
    metrics: Annotated[dict[Text, Measure], BeforeValidator(finite_figures)] = field(default_factory=dict)
    options: dict[Text, dict[Text, bool | int | Finite | Text | None]] = field(default_factory=dict)
    diagnosis: tuple[Finding, ...] = ()
    pending: tuple[Text, ...] = ()
    left_out: dict[Text, Text] = field(default_factory=dict)


@dataclass(frozen=True)
class WeightsFacts:
    """Metadata of weights.safetensors: which weights were kept (best, last, ema), of which step; run: the `id` of their run.
    prior: the fitted one that the model has with them, which is in a file of its own, and a part of its digest ("": its own)."""

    kept: Text
    step: Count
    epoch: Length
    format: Format = 1
    run: Text = ""  # of an earlier version
    prior: Text = ""
    prior_digest: Text = ""

    @property
    def stamp(self) -> tuple[int, str]:
        """Which weights they are, under which prior, as figures of them say it in evaluation.json."""
        return self.step, f"{self.kept}; prior: {self.prior} ({self.prior_digest})" if self.prior else self.kept


@dataclass(frozen=True)
class CheckpointFacts:
    """Metadata of checkpoint.safetensors. best: the lowest validation total (None: none yet); stale: validations since; stateful:
    the numbers of the parameters of each player that have a state; metrics_bytes: the length of metrics.jsonl; run: the `id`
    of its run."""

    format: Format
    step: Count
    best: Finite | None
    stale: Count
    seconds: Length
    stateful: dict[str, tuple[Count, ...]]
    metrics_bytes: Count
    skipped: tuple[str, ...] = ()
    epoch: Length | None = None  # earlier versions left it out
    run: Text = ""  # of an earlier version

    def holds(self, kept: str) -> bool:
        """Whether the weights that a run kept are in its last checkpoint: the best ones are where its last validation, at its
        last step, was the best."""
        return kept != "best" or (self.stale == 0 and self.best is not None)


def check_owner(facts: WeightsFacts | CheckpointFacts, run: str, status: Status, path: Path, remedy: str) -> None:
    """Raises RunError, with the remedy, for a file of another run than the one of that `id` and status. Where an earlier version
    wrote the file, only its step can tell."""
    if facts.run and facts.run != run:
        raise RunError(f"{path} is of another run: {remedy}")
    last = status.step if status.ended else status.steps  # of a run that goes on: the last to come; 0: not known
    if last and facts.step > last:
        raise RunError(f"{path} is of another run (of its step {facts.step:,}; this one has {last:,}): {remedy}")


_adapter: Any = cache(TypeAdapter)


def checked(kind: type[T], document: Any, what: str | Path, remedy: str) -> T:
    """`document` as a record of type `kind`. Raises RunError that names the first entry that does not fit, with the remedy."""
    try:
        return _adapter(kind).validate_python(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise RunError(f"{what} lacks '{place}': {remedy}") from None
        found = short(first["input"])
        raise RunError(f"{what} has {found} as '{place}', which {_should(first)}: {remedy}") from None


def _should(error: ErrorDetails) -> str:
    """What pydantic wants, without its own words for it."""
    if error["type"] == "dataclass_type":
        return "should be an object"
    return error["msg"].removeprefix("Value error, ").removeprefix("Input ")
