"""Does augmentation help on these images? Classifiers with and without it, on held-out images: `reparam augment-test`.

Each arm (none, pixels, gvae, both) and seed is a training run of its own, so that an interruption loses none that has ended. The
seed chooses the labels too, the same for all arms; differences to the arm without augmentation are paired over seeds and images.

Shapes: `N` test images, `S` seeds.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import torch
from pydantic import Field
from torch import Tensor

from reparam.core.options import by_name, check_fields
from reparam.data import Dataset
from reparam.data import load as load_data
from reparam.data.options import Size
from reparam.data.tasks import to_float
from reparam.errors import ConfigError, DataError
from reparam.files import file_names, read_json, user_path, write_json
from reparam.latent.augmentation import STRENGTH, STRONGEST
from reparam.latent.directions import PIXELS
from reparam.latent.generation import classify
from reparam.progress import Progress, SaidOnce, Silent, silent
from reparam.run.command import training_command
from reparam.run.config import RunConfig, resolve
from reparam.run.data import stored_spec
from reparam.run.folder import RunFolder
from reparam.run.loaded import LoadedRun
from reparam.session import continue_run, make_loop, start
from reparam.terminal import ending
from reparam.training import settle_process, training_alone
from reparam.training.length import enough_steps, fitting_batch, rates

MODEL = "model"  # the G-VAE that moves the images of the arms behind it
ARMS = {"all": ("none", PIXELS, MODEL, "gvae", "both"), PIXELS: ("none", PIXELS), "gvae": ("none", MODEL, "gvae")}
RESULT, FORMAT = "augment-test.json", 1
CLEAR = 2.0  # standard errors, beyond which a difference is one
LIGHT = 2.0  # weight of the class term where few images have a label: a heavier one overfits them
MEASURED_FOR = 0.5  # seconds, of steps that tell how long a training takes
NEVER = 1e6  # epochs between validations
TESTED_AT_ONCE = 1000  # images
HELPS, HARMS, NEITHER = "helps", "harms", "no difference beyond two standard errors"


@dataclass(frozen=True)
class AugmentTestOptions:
    """What is tried, and how often."""

    labels_per_class: Annotated[
        int, Field(ge=0, description="Labels of each class that may be seen, the rest unlabelled (0: all there are).")
    ] = 0
    seeds: Annotated[
        int, Field(ge=1, le=100, description="Trainings of each arm; each chooses its labels and initial weights.")
    ] = 3
    arms: Annotated[
        Literal["all", "pixels", "gvae"],
        Field(description="Beside none: pixel moves, a G-VAE's, or all: these and both together."),
    ] = "all"
    strength: Annotated[
        float | None, Field(ge=0, le=STRONGEST, description="Of the G-VAE's moves, in sigmas (default: 2).")
    ] = None
    change: Annotated[
        float | None, Field(gt=0, description="Instead: how far they move in the image, a mean L2 distance.")
    ] = None
    pixel_strength: Annotated[float, Field(ge=0, le=STRONGEST, description="Of pixel moves.")] = 1.0
    share: Annotated[float, Field(gt=0, le=1, description="Of a batch's images, those that are moved, at random.")] = (
        0.5
    )
    apply: Annotated[
        Literal["decoded", "change"],
        Field(description="The decoder's image, or its change added to the original, which keeps fine detail."),
    ] = "change"
    size: Annotated[Size | None, Field(description="N, or HxW: height x width (default: as the data set says).")] = None
    steps: Annotated[
        int | None, Field(ge=1, description="Fewest of each training (default: those of the recipes).")
    ] = None

    def __post_init__(self) -> None:
        check_fields(self, strict=False)
        if self.strength is not None and self.change is not None:
            raise ConfigError("strength and change both say how far images are moved: give one")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """By name. Raises ConfigError for an unknown one, with the nearest."""
        return by_name(cls, options, "augment_test")


class Cost(NamedTuple):
    """What a training takes here: steps, seconds for each, and the images of one."""

    steps: int
    seconds: float
    batch: int


def cost_of(config: RunConfig, dataset: Dataset) -> Cost:
    """By some steps without a folder, of which nothing is kept."""
    with training_alone(silent):
        settle_process()
        images = config.training_images(dataset)
        config = enough_steps(fitting_batch(config, len(images), silent), len(images), silent)
        loop = make_loop(RunFolder(Path()), config, stored_spec(dataset), dataset, images, Silent())
        return Cost(loop.steps, rates(loop, MEASURED_FOR)[0], config.training.batch_size)


@dataclass(frozen=True)
class Arm:
    """One kind of augmentation. accuracy: mean over seeds and test images; gain: over the arm without augmentation (None: it is
    that), and the gain's standard error, all as shares; verdict: in words; command: of its first seed's classifier."""

    name: str
    accuracy: float
    by_seed: tuple[float, ...]
    gain: float | None
    stderr: float | None
    verdict: str
    command: str


@dataclass(frozen=True)
class Answer:
    """Accuracies of arms on `images` test images, which no training saw, after `labels` labelled training images."""

    out: str
    data: str
    images: int
    labels: int
    arms: tuple[Arm, ...]

    @property
    def best(self) -> Arm:
        """That of the largest gain among those that help; where none does, that without augmentation."""
        helping = [arm for arm in self.arms if arm.verdict == HELPS]
        return max(helping, key=lambda arm: arm.gain or 0.0) if helping else self.arms[0]


def verdict(gain: float, stderr: float) -> str:
    """What a gain is worth, in words."""
    if abs(gain) <= CLEAR * stderr:
        return NEITHER
    return HELPS if gain > 0 else HARMS


def paired_gain(hits: Tensor, base: Tensor) -> tuple[float, float]:
    """Mean of `hits` - `base`, both [S, N] of whether an image is classified rightly, and its standard error: the root of the
    squared standard errors over images (of means over seeds) and over seeds (of means over images), summed. What both contain
    counts twice, on the safe side. With one seed it is that over images alone."""
    difference = hits.double() - base.double()
    seeds, images = difference.shape
    over_images = float(difference.mean(0).var()) / images if images > 1 else math.inf
    over_seeds = float(difference.mean(1).var()) / seeds if seeds > 1 else 0.0
    return float(difference.mean()), math.sqrt(over_images + over_seeds)


class Trial:
    """A test in its folder, as far as it has come: OUT/seedS-ARM are its runs. Raises ConfigError where OUT holds another test;
    DataError for images without classes."""

    def __init__(self, data: str, out: str | Path | None, options: AugmentTestOptions, progress: Progress) -> None:
        self.options, self.progress = options, SaidOnce(progress)
        self.dataset = load_data(data, self._config("classifier", 0, data).data)
        self.data = self.dataset.name
        self.out = user_path(out) if out else self._usual_folder()
        if len(self.dataset.classes) < 2:
            raise DataError(f"'{data}' has fewer than two classes: give labels (class folders, a 'labels' array)")
        known = (self.dataset.test.labels >= 0).nonzero().squeeze(1)
        if not len(known):
            raise DataError(f"'{data}' has no test image with a label: nothing could be measured")
        self.tested = self.dataset.test.choose(known)
        self._begin()

    def _usual_folder(self) -> Path:
        (name,) = file_names([f"augment-test-{self.data.rsplit('/', 1)[-1].replace(':', '-')}"])
        few = self.options.labels_per_class
        return Path("runs") / (f"{name}-{few}" if few else name)

    def _begin(self) -> None:
        """Refuses another test's folder, and leaves word of this one."""
        path = self.out / RESULT
        asked = {"format": FORMAT, "fingerprint": self.dataset.fingerprint, "options": dataclasses.asdict(self.options)}
        if path.exists():
            stored = read_json(path)
            stored["options"] = {
                **stored.get("options", {}),
                "seeds": self.options.seeds,
            }  # more of them are added to it
            if {name: stored.get(name) for name in asked} != asked:
                raise ConfigError(
                    f"{self.out} holds a test of other images or options: choose another --out, or remove it"
                )
        elif self.out.exists() and any(self.out.iterdir()):
            raise ConfigError(f"{self.out} is not empty, and holds no test: choose another --out")
        self.document = {**asked, "data": self.data}
        write_json(path, self.document)

    # -- runs -----------------------------------------------------------------------------------------------------------

    def folder(self, arm: str, seed: int) -> RunFolder:
        return RunFolder(self.out / f"seed{seed}-{arm}")

    def _config(self, model: str, seed: int, data: str, **more: Any) -> RunConfig:
        """What all have in common. The last weights are kept: no label, of validation images, chooses among them."""
        options = self.options
        more |= {"size": options.size} if options.size else {}
        more |= {"labels_per_class": options.labels_per_class} if options.labels_per_class else {}
        more |= {"least_steps": options.steps} if options.steps else {}
        return resolve(model, data=data, seed=seed, keep="last", validate_every=NEVER, pictures=0, **more)

    def config(self, arm: str, seed: int) -> RunConfig:
        """Of an arm's classifier, or of the G-VAE, which sees the same labels. That is trained before strengths are asked for."""
        options, few = self.options, bool(self.options.labels_per_class)
        if arm == MODEL:
            return self._config("gvae", seed, self.data, **({"class_weight": LIGHT} if few else {}))
        moves = {PIXELS: options.pixel_strength} if arm in (PIXELS, "both") else {}
        if arm in ("gvae", "both"):
            run = self.folder(MODEL, seed)
            moves[str(run.path)] = self._strength(run)
        more: dict[str, Any] = {"unlabelled": "drop"} if few else {}
        if moves:
            more |= {"augment": tuple(moves), "augment_strength": tuple(moves.values()), "augment_share": options.share}
        if arm in ("gvae", "both"):
            more["augment_apply"] = options.apply
        return self._config("classifier", seed, self.data, **more)

    def _strength(self, folder: RunFolder) -> float:
        if self.options.change is None:
            return STRENGTH if self.options.strength is None else self.options.strength
        return LoadedRun(folder.path).augmenter(change=self.options.change).strength

    def _ended(self, arm: str, seed: int) -> bool:
        folder = self.folder(arm, seed)
        return folder.holds_run and folder.ended()

    def _needed(self) -> list[tuple[str, int]]:
        """Arms and seeds, in order: a seed is complete before the next one begins."""
        return [(arm, seed) for seed in range(self.options.seeds) for arm in ARMS[self.options.arms]]

    def _trained(self, arm: str, seed: int) -> LoadedRun:
        """The run, after training what is left of it. Raises what `ending` says when interrupted."""
        folder = self.folder(arm, seed)
        if self._ended(arm, seed):
            return LoadedRun(folder.path)
        if folder.holds_run:
            _, outcome = continue_run(folder, self.progress)
        else:
            _, outcome = start(self.config(arm, seed), folder.path, self.progress)
        if outcome.state == "interrupted":
            raise ending(outcome.signal)
        return LoadedRun(folder.path)

    # -- what comes of it -----------------------------------------------------------------------------------------------

    def estimate(self) -> str:
        """What is left to do and how long it will take here, in words: by some steps of each kind, which are then forgotten."""
        left = [arm for arm, seed in self._needed() if not self._ended(arm, seed)]
        if not left:
            return f"all runs of {self.out} have ended"
        plain, pixels, model = (cost_of(self.config(arm, 0), self.dataset) for arm in ("none", PIXELS, MODEL))
        # Forwards alone is a third of a step: moves by the G-VAE, of the share of a batch that is moved, and tests.
        moving = self.options.share * plain.batch * model.seconds / model.batch / 3
        testing = len(self.tested) * plain.seconds / plain.batch / 3
        seconds = {
            "none": plain.steps * plain.seconds + testing,
            PIXELS: pixels.steps * pixels.seconds + testing,
            MODEL: model.steps * model.seconds,
            "gvae": plain.steps * (plain.seconds + moving) + testing,
            "both": pixels.steps * (pixels.seconds + moving) + testing,
        }
        minutes = sum(seconds[arm] for arm in left) / 60
        classifiers = len(left) - left.count(MODEL)
        models = f" and {left.count(MODEL)} G-VAEs of {model.steps:,}" if MODEL in left else ""
        return (
            f"about {minutes:.2g} minutes here: {classifiers} classifiers of {plain.steps:,} steps{models}, tested on "
            f"{len(self.tested):,} images; what has ended is kept, and the same command "
            "goes on from there"
        )

    def run(self) -> Answer:
        """Trains what is left, tests all, and writes the answer."""
        hits: dict[str, list[Tensor]] = {arm: [] for arm in ARMS[self.options.arms] if arm != MODEL}
        for arm, seed in self._needed():
            run = self._trained(arm, seed)
            if arm != MODEL:
                hits[arm].append(self._hits(run))
                self.progress.note(
                    f"seed {seed}, {arm}: {float(hits[arm][-1].float().mean()):.1%} of test images right"
                )
        answer = self._answer({arm: torch.stack(rows) for arm, rows in hits.items()})
        write_json(self.out / RESULT, {**self.document, **dataclasses.asdict(answer)})
        return answer

    def _hits(self, run: LoadedRun) -> Tensor:
        """Whether each test image is classified rightly, bool [N]."""
        parts = (self.tested.take(index) for index in torch.arange(len(self.tested)).split(TESTED_AT_ONCE))
        return torch.cat([classify(run.model, to_float(part.pixels)) == part.labels for part in parts])

    def _answer(self, hits: dict[str, Tensor]) -> Answer:
        arms = []
        for arm, rows in hits.items():
            gain, stderr = (None, None) if arm == "none" else paired_gain(rows, hits["none"])
            by_seed = tuple(rows.double().mean(1).tolist())
            said = "" if gain is None or stderr is None else verdict(gain, stderr)
            command = training_command(self.config(arm, 0), self.out / "classifier")
            arms.append(Arm(arm, sum(by_seed) / len(by_seed), by_seed, gain, stderr, said, command))
        config = self.config("none", 0)
        labels = int((config.training_images(self.dataset).labels >= 0).sum())
        return Answer(str(self.out), self.data, len(self.tested), labels, tuple(arms))
