"""Everything a run is, in frozen dataclasses: resolved from flat options, printed, saved, read back exactly.

`resolve` is the one way in: the command, Python keyword arguments and JSON all pass through it, so an unknown or ill-typed
option is the same one-line error everywhere.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from reparam.core.limits import check_size
from reparam.core.options import InEpochs, fields_of, owners, refusal
from reparam.data import DATASETS, DataOptions, Dataset, Images
from reparam.data.labels import chosen_labels, few_labels
from reparam.data.tasks import TaskOptions
from reparam.errors import ConfigError, flag, short, suggest
from reparam.importing import TYPED, Origin, is_import_path
from reparam.latent.directions import DEFAULT, PIXELS
from reparam.models import MODELS, Family, Model, Spec
from reparam.models.adopted import ADOPTED
from reparam.networks.products import has_onednn, use_onednn
from reparam.run.family import find_family

LEAST_APART = 0.01  # epochs between validations


@dataclass(frozen=True)
class DataSection(DataOptions):
    """Which images, and how they are read."""

    data: Annotated[
        str, Field(description="NAME, NAME:PATH, folder:PATH, shards:PATH, pairs:PATH, array:FILE, package.module:NAME")
    ] = ""
    train_on: Annotated[
        Literal["train", "all"], Field(description="train, or all: training and validation images together")
    ] = "train"
    labels_per_class: Annotated[
        int, Field(ge=0, description="training images of each class that keep their label, by the seed (0: all do)")
    ] = 0
    unlabelled: Annotated[
        Literal["keep", "drop"], Field(description="labels-per-class: what becomes of the images without a label")
    ] = "keep"
    label_share: Annotated[
        float,
        Field(ge=0, lt=1, description="unlabelled keep: labelled images are repeated to at least this share of all"),
    ] = 0.2


@dataclass(frozen=True)
class TrainingOptions:
    """The loop. Lengths are in epochs (passes over the training images); those that are marked grow where `least_steps` or
    `minutes` makes the training longer, see `run/length.py`."""

    epochs: Annotated[float, Field(gt=0, le=1e6, description="passes over the training images"), InEpochs] = 30
    least_steps: Annotated[
        int,
        Field(
            ge=0,
            le=10**9,
            description="fewest steps: with few images, all lengths in epochs grow until there are so many",
        ),
    ] = 0
    minutes: Annotated[
        float | None,
        Field(
            gt=0,
            le=1e5,
            description="length of the training on this machine, in place of epochs: measured at the start",
        ),
    ] = None
    batch_size: Annotated[int, Field(ge=1, description="images a step, over all processes")] = 128
    accumulate: Annotated[int, Field(ge=1, description="parts that a batch's gradient is summed from")] = 1
    optimiser: Annotated[Literal["adam", "adamw", "sgd"], Field(description="always fused; sgd: with momentum")] = (
        "adam"
    )
    learning_rate: Annotated[float, Field(gt=0, description="peak learning rate")] = 1e-3
    momentum: Annotated[float, Field(ge=0, lt=1, description="sgd: decay of the gradients' running sum")] = 0.9
    adam_beta1: Annotated[float, Field(ge=0, lt=1, description="decay of the gradients' average")] = 0.9
    adam_beta2: Annotated[float, Field(gt=0, lt=1, description="decay of the squared gradients' average")] = 0.999
    weight_decay: Annotated[float, Field(ge=0, description="adamw: decoupled; adam, sgd: L2")] = 0.0
    schedule: Annotated[Literal["cosine", "constant"], Field(description="after the warm-up")] = "cosine"
    warmup: Annotated[float, Field(ge=0, description="epochs over which the learning rate rises from 0"), InEpochs] = (
        0.0
    )
    clip: Annotated[float, Field(ge=0, description="largest norm of a player's gradient (0: no clipping)")] = 0.0
    keep: Annotated[
        Literal["best", "last", "ema"], Field(description="weights that the run keeps; best: lowest validation loss")
    ] = "best"
    ema: Annotated[float, Field(gt=0, lt=1, description="decay of the moving average that keep=ema uses")] = 0.999
    validate_every: Annotated[float, Field(ge=LEAST_APART, description="epochs between validations"), InEpochs] = 1.0
    patience: Annotated[int, Field(ge=0, description="validations without improvement before stopping (0: never)")] = 0
    precision: Annotated[
        Literal["float32", "tf32", "bfloat16"],
        Field(
            description="of the networks' products (tf32: on CUDA GPUs, float32 rounded to 10 bits behind the point)"
        ),
    ] = "float32"
    products: Annotated[
        Literal["auto", "mkl", "onednn"],
        Field(
            description="float32 on a CPU: which library multiplies; mkl: the one that torch is built with; "
            "auto: the faster one, measured at the start"
        ),
    ] = "auto"
    compile: Annotated[
        bool,
        Field(description="compile a step, forward and backward, as one function (needs a C++ compiler on the CPU)"),
    ] = False
    capture: Annotated[
        bool, Field(description="on a GPU: record the step as a CUDA graph and replay it, several steps at once")
    ] = False
    device: Annotated[str, Field(description="cpu, cuda, cuda:N, mps, or auto: a CUDA GPU where there is one")] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**63, description="of initial weights, order of images and noise")] = 0
    init_from: Annotated[str, Field(description="a run whose kept weights are the start")] = ""
    augment: Annotated[
        tuple[str, ...],
        Field(description="how training images are moved, in turn: pixels, or the folder of a VAE's or G-VAE's run"),
    ] = ()
    augment_strength: Annotated[
        tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...],
        Field(description="how far, a number for each of them (default: pixels 1, a run 2 sigmas)"),
    ] = ()
    augment_change: Annotated[
        tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...],
        Field(description="instead of strengths: how far in the image, a mean L2 distance for each of them"),
    ] = ()
    augment_share: Annotated[
        float, Field(gt=0, le=1, description="share of a batch's images that each of them moves, at random")
    ] = 0.5
    augment_directions: Annotated[str, Field(description="along what a run moves images")] = DEFAULT
    augment_apply: Annotated[
        Literal["decoded", "change"], Field(description="the decoder's image, or its change on the original")
    ] = "decoded"
    augment_keep_class: Annotated[
        bool, Field(description="cut a move back where the run's own head would read another class")
    ] = False
    fit_prior: Annotated[
        Literal["none", "auto", "gaussian", "mixture", "flow"],
        Field(description="after training: fit a prior to the latents of its images, as 'reparam fit-prior' does"),
    ] = "none"
    log_every: Annotated[
        int, Field(ge=1, le=10**6, description="steps between lines of metrics.jsonl, at most 1,000,000")
    ] = 50
    checkpoint_seconds: Annotated[float, Field(ge=0, description="least seconds between checkpoints")] = 20.0
    pictures: Annotated[
        int, Field(ge=0, description="times in training that samples and reconstructions are drawn")
    ] = 8


DEFAULT_RECIPE = "default"
NOT_STORED = frozenset({"origin", "chosen"})  # fields of RunConfig that are no part of what a run is


@dataclass(frozen=True)
class RunConfig:
    """A resolved run. `options` is of the family's own type; `origin` says who named its code, `chosen` which options were
    asked for ('recipe' among them)."""

    model: str
    recipe: str
    data: DataSection
    task: TaskOptions
    options: Any
    training: TrainingOptions
    origin: Origin = dataclasses.field(default=TYPED, compare=False)
    chosen: frozenset[str] = dataclasses.field(default=frozenset(), compare=False)

    @property
    def family(self) -> Family:
        return find_family(self.model, self.origin, self.recipe == ADOPTED)

    def build_model(self, spec: Spec) -> Model:
        """The model with random weights, and the library that multiplies in it. Errors: as `Family.model`."""
        model = self.family.model(self.options, spec)
        if self.training.products == "onednn" and has_onednn():
            use_onednn(model)
        return model

    def import_paths(self) -> list[str]:
        """Those of its model and its data."""
        model, data = self.model, self.data.data
        own = [(model, model not in MODELS), (data, data.partition(":")[0] not in DATASETS)]
        return [name for name, is_own in own if is_own and is_import_path(name)]

    def training_images(self, dataset: Dataset) -> Images:
        """Those of the data that the run trains on. Raises DataError where there are fewer labels than asked for."""
        split, options = dataset.split(self.data.train_on), self.data
        if not options.labels_per_class:
            return split
        keep = options.unlabelled == "keep"
        return few_labels(
            split, options.labels_per_class, dataset.classes, keep, options.label_share, self.training.seed
        )

    def labelled_index(self, dataset: Dataset, split: str) -> Tensor:
        """Indices of the images of a split, of the run's data; of a run with few labels those alone that had one in training."""
        images, options = dataset.split(split), self.data
        if options.labels_per_class and split == options.train_on:
            return chosen_labels(images, options.labels_per_class, dataset.classes, self.training.seed)
        return torch.arange(len(images))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` reads them back to an equal RunConfig."""
        document = dataclasses.asdict(self)
        for name in NOT_STORED:
            del document[name]
        return TypeAdapter(dict[str, Any]).dump_python(document, mode="json")


def sections(family: Family) -> dict[str, type]:
    """The dataclass of each section; their field names are the flat option names, unique over all sections."""
    return {"data": DataSection, "task": TaskOptions, "options": family.options, "training": TrainingOptions}


def fields(family: Family) -> Iterator[tuple[str, str, Any]]:
    """(section, flat name, annotated type) of every option of a family's runs. Raises ConfigError where two share a name."""
    owner: dict[str, str] = {}
    for section, cls in sections(family).items():
        for name, kind in fields_of(cls).items():
            if name in owner:
                raise ConfigError(
                    f"model '{family.name}' has an option '{name}', which {owner[name]} options have too: rename it"
                )
            owner[name] = section
            yield section, name, kind


def resolve(model: str, recipe: str | None = None, **options: Any) -> RunConfig:
    """Defaults, then the recipe (None: the default one, or the task's), then `options` by flat name. Raises ConfigError
    naming the option and the nearest name."""
    return resolve_family(find_family(model), model, recipe, options)


def resolve_family(family: Family, model: str, recipe: str | None, options: Mapping[str, Any]) -> RunConfig:
    """`resolve` for a family that is at hand; `model` is the name that the run will carry."""
    chosen = frozenset(options if recipe is None else {"recipe": recipe, **options})
    if recipe is None:
        recipe = family.task_recipes.get(str(options.get("task")), DEFAULT_RECIPE)
    if recipe not in family.recipes:
        known = ", ".join(family.recipes)
        raise ConfigError(f"model '{model}' has no recipe '{recipe}'{suggest(recipe, family.recipes)} (known: {known})")
    section_of = {name: section for section, name, _ in fields(family)}
    lists = {name for _, name, kind in fields(family) if "tuple[" in str(kind)}
    values: dict[str, dict[str, Any]] = {section: {} for section in sections(family)}
    for name, value in {**family.recipes[recipe].options, **options}.items():
        if name not in section_of:
            raise ConfigError(f"model '{model}' has no option '{name}'{suggest(name, section_of)}")
        if name in lists and isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        values[section_of[name]][name] = value
    if TaskOptions().task not in family.tasks:
        values["task"].setdefault("task", family.tasks[0])
    config = RunConfig(
        model=model,
        recipe=recipe,
        chosen=chosen,
        **{section: _validate(cls, values[section]) for section, cls in sections(family).items()},
    )
    for _, name, kind in fields(family):
        if name in values[section_of[name]]:
            check_size(name, kind, getattr(getattr(config, section_of[name]), name))
    return _consistent(config, family)


def from_json(document: Mapping[str, Any], origin: Origin) -> RunConfig:
    """The inverse of `RunConfig.to_json`. Raises ConfigError for missing, unknown or ill-typed entries, RunError where
    `origin` does not allow the code that it names."""
    expected = {field.name for field in dataclasses.fields(RunConfig)} - NOT_STORED
    for name in expected - set(document):
        raise ConfigError(f"configuration lacks '{name}'")
    for name in set(document) - expected:
        raise ConfigError(f"configuration has an unknown entry '{name}'{suggest(name, expected)}")
    family = find_family(document["model"], origin, document["recipe"] == ADOPTED)
    for section in sections(family):
        if not isinstance(document[section], Mapping):
            raise ConfigError(f"'{section}' of the configuration holds no options, but {short(document[section])}")
    if not isinstance(document["recipe"], str):
        raise ConfigError(f"a recipe is named by text, not by {short(document['recipe'])}")
    parts = {}
    for section, cls in sections(family).items():
        known = {option.name for option in dataclasses.fields(cls)}
        for name in set(document[section]) - known:
            raise ConfigError(f"configuration has an unknown option '{name}'{suggest(name, known)}")
        parts[section] = _validate(cls, document[section])
    config = RunConfig(model=document["model"], recipe=document["recipe"], origin=origin, **parts)
    return _consistent(config, family)


def _validate(cls: type, values: Mapping[str, Any]) -> Any:
    try:
        section: Any = TypeAdapter(cls).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = str(first["loc"][0]) if first["loc"] else cls.__name__
        raise ConfigError(f"option '{where}': {refusal(first)}") from None
    for option in dataclasses.fields(section):
        value = getattr(section, option.name)
        if any(isinstance(one, int) and abs(one) >= 2**63 for one in (value if isinstance(value, tuple) else (value,))):
            raise ConfigError(f"option '{option.name}' is too large a number: {short(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"option '{option.name}' must be a finite number, got {value!r}")
    return section


def _check_owners(config: RunConfig, family: Family, chosen: frozenset[str]) -> None:
    """Raises ConfigError for an option that was chosen and belongs to a part (a task, a network, a likelihood) that was not."""
    for section, cls in sections(family).items():
        for option in sorted(chosen & {field.name for field in dataclasses.fields(cls)}):
            if not (found := owners(cls, option)):
                continue
            choice, parts = found
            if choice == "task":  # a remedy has to work
                parts = tuple(name for name in parts if name in family.tasks)
                if not parts:
                    raise ConfigError(
                        f"{flag(option)} is for tasks that model '{config.model}' does not do: leave it out"
                    )
            if (name := getattr(getattr(config, section), choice)) not in parts:
                raise ConfigError(
                    f"{flag(option)} is for {choice} {_or(parts)}, not '{name}': leave it out, or add {flag(choice)} {parts[0]}"
                )


def _or(names: Sequence[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return " or ".join(([", ".join(quoted[:-1])] if len(quoted) > 1 else []) + quoted[-1:])


def _consistent(config: RunConfig, family: Family) -> RunConfig:
    """Rules that span sections. A default that cannot hold gives way and only an explicit choice is an error."""
    training, tasks, chosen = config.training, family.tasks, config.chosen
    if config.task.task not in tasks:
        others = [name for name, other in MODELS.items() if config.task.task in other.tasks]
        raise ConfigError(
            f"model '{config.model}' does not do task '{config.task.task}': it does {', '.join(tasks)}; "
            f"'{config.task.task}' is for {', '.join(others)}"
        )
    _check_owners(config, family, chosen)
    if config.task.task != "unconditional" or config.task.binarise != "none":
        for option, given in (("augment", training.augment), ("moves", config.task.moves if "moves" in chosen else 0)):
            if given:
                raise ConfigError(
                    f"{flag(option)} is for grey or coloured images and models without a condition: leave it out"
                )
        config = dataclasses.replace(config, task=dataclasses.replace(config.task, moves=0.0))
    for option in ("augment_strength", "augment_change"):
        if (count := len(getattr(training, option))) not in (0, len(training.augment)):
            raise ConfigError(
                f"{flag(option)} has {count} numbers for {len(training.augment)} moves: give one for each of --augment"
            )
    if training.augment_strength and training.augment_change:
        raise ConfigError("augment-strength and augment-change both say how far images are moved: give one")
    for option in ("augment_share", "augment_directions", "augment_apply", "augment_keep_class"):
        if option in chosen and not [name for name in training.augment if name != PIXELS or option == "augment_share"]:
            raise ConfigError(f"{flag(option)} is for images that a run moves: add --augment RUN")
    if not config.data.labels_per_class:
        for option in ("unlabelled", "label_share"):
            if option in chosen:
                raise ConfigError(f"{flag(option)} is for training with few labels: add --labels-per-class N")
    if training.minutes and "epochs" in chosen:
        raise ConfigError("epochs and minutes both say how long training is: give one")
    if "epochs" in chosen and "least_steps" not in chosen:
        training = dataclasses.replace(training, least_steps=0)
    if config.data.train_on == "all":
        if "keep" in chosen and training.keep == "best":
            raise ConfigError(
                "keep 'best' is chosen on validation images, and train-on 'all' trains on them: use keep 'last'"
            )
        if "patience" in chosen and training.patience:
            raise ConfigError("patience needs validation images, and train-on 'all' trains on them: drop one of them")
        keep = "last" if training.keep == "best" else training.keep
        training = dataclasses.replace(training, keep=keep, patience=0)
    if training.batch_size % training.accumulate:
        raise ConfigError(
            f"batch-size {training.batch_size} does not divide into accumulate = {training.accumulate} equal parts: take a "
            f"multiple of {training.accumulate}"
        )
    return dataclasses.replace(config, training=training)
