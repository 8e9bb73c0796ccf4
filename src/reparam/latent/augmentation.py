r"""Changing images and keeping their class: moves in latent space, and in the plane of the image.

A move is z' = mu(x) + strength * d, with directions d by one of the rows of `DIRECTIONS`; what comes of it is decode(z'), or the
image with the change alone applied to it, x + decode(z') - decode(mu).

Shapes: `B` batch, `C H W` image, `K` latent, `D` classes.
"""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import get_worker_info

from reparam.conditionals import linear_head
from reparam.core.abilities import Ability
from reparam.core.calls import Seed, checked
from reparam.core.model import ConditionedModel
from reparam.data import warp
from reparam.data.values import as_images, as_labels
from reparam.distributions import keyed_generator
from reparam.errors import ConfigError, short
from reparam.latent.directions import DEFAULT, DIRECTIONS, ClassLatents, Code, find_direction, kept_share
from reparam.models import Model

STRENGTH, STRONGEST = 2.0, 1000.0  # by default, and at most
Strength = Annotated[float, Field(ge=0, le=STRONGEST)]
Change = Annotated[float, Field(gt=0, allow_inf_nan=False)]
CALIBRATED_ON = 1000  # images, at most
STEPS = 24  # of a bisection: to within 1e-4


@dataclass(frozen=True)
class AugmentationOptions:
    """Which images of a data set become which new pictures: what `reparam augment` can choose."""

    split: Annotated[
        Literal["train", "validation", "test", "all"],
        Field(description="Which images; all: training and validation."),
    ] = "train"
    images: Annotated[
        int | None,
        Field(ge=1, description="So many of them, the classes in turn, at random, the same every time (default: all)."),
    ] = None
    per_image: Annotated[int, Field(ge=1, le=1000, description="New pictures of each.")] = 1
    strength: Annotated[
        float | None, Field(ge=0, le=STRONGEST, description="How far, in sigmas (default: 2, without --change).")
    ] = None
    change: Annotated[float | None, Field(gt=0, description="Instead: how far in the image, a mean L2 distance.")] = (
        None
    )
    directions: Annotated[str, Field(description=f"Along what images are moved: {', '.join(DIRECTIONS)}.")] = DEFAULT
    share: Annotated[float, Field(gt=0, le=1, description="Of the latents, for directions that choose.")] = 0.1
    apply: Annotated[
        Literal["decoded", "change"],
        Field(description="The decoder's image, or its change added to the original, which keeps fine detail."),
    ] = "decoded"
    keep_class: Annotated[
        bool, Field(description="Cut a move back where the model's own head would read another class.")
    ] = False
    max_flips: Annotated[
        float | None,
        Field(
            ge=0, le=1, description="Refuse where the judge reads a larger share as another class than their images."
        ),
    ] = None
    no_judge: Annotated[
        bool, Field(description="Do not measure flips: for their judge a classifier is trained, once for a data set.")
    ] = False
    seed: Annotated[int, Field(ge=0, lt=2**63, description="Of random draws.")] = 0

    def __post_init__(self) -> None:
        if self.no_judge and self.max_flips is not None:
            raise ConfigError("--max-flips goes by what a judge reads: leave --no-judge out")


class BaseAugmenter(nn.Module, ABC):
    """Images to changed images of the same classes: `strength` says how far, and one seed is one series of results. In the
    processes of a `DataLoader` it is a series for each process and epoch, by this seed and the loader's. With the seed None each
    augmenter has another, from the operating system."""

    def __init__(self, strength: float, seed: int | None, device: torch.device) -> None:
        super().__init__()
        self.shape: tuple[int, ...] | None = None  # (C, H, W) that images must have, where that is known
        self.classes = 0  # those that labels must be of, 0 where they may be absent
        self.strength = strength
        self.seed = secrets.randbits(63) if seed is None else seed
        # None: the device's default generator.
        self.generator: torch.Generator | None = torch.Generator(device).manual_seed(self.seed)
        self._reader: int | None = None  # torch's seed of the process whose generator it is

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.moved(as_images(images, self.shape), labels)

    def moved(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """`forward` of images that are known to be floats in [0, 1], as those of a training loop are: they are not read again."""
        return self.along(images, labels)(self.strength)

    def labelled(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """int64 labels of images, -1 where there are none; each of the `classes` where the moves go by these."""
        if labels is None:
            labels = torch.full((len(images),), -1, device=images.device)
        return as_labels(labels, len(images), 0, self.classes or None)

    def stream(self) -> torch.Generator | None:
        """What draws are made by. A process that reads for a `DataLoader` begins with a copy of everything, as each of the others
        and in each epoch again: its first draw changes over to a generator of its own, by torch's seed for it."""
        reader = get_worker_info()
        if self.generator and reader and self._reader != reader.seed:
            self.generator = keyed_generator(self.generator.device, f"augmenter {self.seed}", reader.seed)
            self._reader = reader.seed
        return self.generator

    def __getstate__(self) -> dict[str, Any]:
        """With the generator's state as bytes: torch sends tensors to a spawned process by file descriptors, and that of a state
        which nothing else holds is closed before the process has it."""
        generator = self.generator
        held = generator and (generator.device, generator.get_state().numpy().tobytes())
        return {**self.__dict__, "generator": held}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if held := state["generator"]:
            device, values = held
            self.generator = torch.Generator(device)
            self.generator.set_state(torch.frombuffer(bytearray(values), dtype=torch.uint8))

    @abstractmethod
    def along(self, images: Tensor, labels: Tensor | None = None) -> Callable[[float], Tensor]:
        """Draws what is random, and gives the moved images as a function of the strength."""

    @abstractmethod
    def unmoved(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """What a move of strength 0 makes of images: that from which change is measured."""

    @torch.no_grad()
    @checked
    def calibrate(self, images: Tensor, labels: Tensor | None, change: Change) -> float:
        """Sets the strength for which the mean L2 distance between moved and unmoved images is `change`, and returns it.

        By bisection along one draw, which the next call draws again. Raises ConfigError where no strength changes images so
        much.
        """
        generator = self.stream()
        assert generator is not None
        images = as_images(images[:CALIBRATED_ON], self.shape)
        labels = None if labels is None else labels[:CALIBRATED_ON]
        state = generator.get_state()
        path, still = self.along(images, labels), self.unmoved(images, labels)
        generator.set_state(state)

        def changed(strength: float) -> float:
            return float((path(strength) - still).flatten(1).norm(dim=1).mean())

        low, high = 0.0, STRONGEST
        if (most := changed(high)) < change:
            raise ConfigError(
                f"no strength changes these images by {change:g} on average: at strength {high:g} it is {most:.2f}; ask for "
                "less, or for other directions"
            )
        for _ in range(STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if changed(middle) < change else (low, middle)
        self.strength = high
        return high


class Augmenter(BaseAugmenter):
    """`augmenter(images, labels)`: moves in a model's latent space; a batched module for any PyTorch loop, on any device.

    model: a VAE, a G-VAE, or a CVAE whose condition is the class; or a `Run` of one. directions: a row of `DIRECTIONS`; share: of
    the latents, for those rows that choose some. strength: in units of the directions, sigmas for most (default 2); or change:
    the mean L2 distance by which images like `images` (and `labels`), up to 1,000 of them, are to be moved. apply: "decoded", the
    decoder's image, or "change", x + decode(z') - decode(mu), which keeps the detail that the decoder blurs. keep_class: a move
    is cut back to where the model's own head still reads the class that it reads unmoved, right or wrong. Images [B, C, H, W] are
    floats in [0, 1] or uint8 from 0 to 255, results floats in [0, 1]; labels int64 [B] (-1: not known) are needed by a CVAE and
    by directions of classes alone.
    Augmenters of one seed give the same results, call by call; in the processes of a `DataLoader`, where the loader's own seed
    and number of processes are the same too.

    Raises ConfigError for a model that cannot, unknown directions, a strength that is negative or not finite, a change that no
    strength reaches, or one without images; DataError for
    images of another type or range and labels out of range.
    """

    @checked
    def __init__(
        self,
        model: Model | Any,
        *,
        directions: str = DEFAULT,
        strength: Strength | None = None,
        change: Change | None = None,
        images: Tensor | None = None,
        labels: Tensor | None = None,
        share: Annotated[float, Field(gt=0, le=1)] = 0.1,
        apply: Literal["decoded", "change"] = "decoded",
        keep_class: bool = False,
        latents: ClassLatents | None = None,
        seed: Seed | None = 0,
    ) -> None:
        if not isinstance(model, Model) and not hasattr(model, "spec"):
            raise ConfigError(
                f"an augmenter takes a run or a model, not {short(model)}: reparam.load(PATH) opens a run"
            )
        shape = None if isinstance(model, Model) else model.spec.image_shape  # known of a run alone
        model = model if isinstance(model, Model) else model.model
        if strength is not None and change is not None:
            raise ConfigError("strength and change both say how far images are moved: give one")
        if change is not None and images is None:
            raise ConfigError(
                "a change is that of images: give images= like those that are to be moved, or use run.augmenter(change=...)"
            )
        super().__init__(STRENGTH if strength is None else strength, seed, next(model.parameters()).device)
        self.shape = shape
        by_class = Ability.SAMPLE_BY_CLASS in model.abilities
        if Ability.AUGMENT not in model.abilities:
            raise ConfigError(
                "augmentation moves an image along its posterior's scales: it takes a VAE, a G-VAE or a CVAE by class"
            )
        if keep_class and not model.has("head"):
            raise ConfigError("a move is cut back by the model's head, and this one has none: train a G-VAE")
        self.direction = find_direction(directions)
        if self.direction.needs == "head" and not model.has("head"):
            raise ConfigError(
                f"directions '{directions}' look at the model's head, and this one has none: train a G-VAE"
            )
        self.reads_head = keep_class or self.direction.needs == "head"
        head = linear_head(model) if self.reads_head else None
        if directions == "neutral" and head and head.in_features < head.out_features:
            raise ConfigError(
                f"directions 'neutral' take as many latents as classes: with {head.in_features} for "
                f"{head.out_features} classes no move is left; use others, or train with more --latent"
            )
        if self.direction.needs == "latents" and latents is None:
            raise ConfigError(
                f"directions '{directions}' need the latents of each class, a pass over the data: give "
                "latents=run.class_latents(), or use run.augmenter(directions=...)"
            )
        self.model, self.share, self.latents = model, share, latents
        self.of_change, self.keep_class = apply == "change", keep_class
        classes = model.context.classes if by_class else 0 if latents is None else len(latents.mean)
        self.classes = classes if by_class or self.direction.needs == "latents" else 0
        self.eval()
        if change is not None:
            assert images is not None
            self.calibrate(images, labels, change)

    def train(self, mode: bool = True) -> "Augmenter":
        """As part of a module in training too, the model stays as it is for evaluation."""
        self.training = mode
        self.model.eval()
        return self

    @torch.no_grad()
    def along(self, images: Tensor, labels: Tensor | None = None) -> Callable[[float], Tensor]:
        model, code = self._encoded(images, labels)
        direction = self.direction.draw(code, self.stream())
        detail = images - model.decoder(code.mean).mean if self.of_change else 0.0

        @torch.no_grad()
        def path(strength: float) -> Tensor:
            move = strength * direction
            if self.keep_class:
                move = kept_share(self.model, code, move) * move
            return (detail + model.decoder(code.mean + move).mean).clamp(0, 1)

        return path

    @torch.no_grad()
    def unmoved(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """The reconstruction, or where the change alone is applied the image."""
        if self.of_change:
            return images
        model, code = self._encoded(images, labels)
        return model.decoder(code.mean).mean

    def _encoded(self, images: Tensor, labels: Tensor | None) -> tuple[Model | ConditionedModel, Code]:
        y = self.labelled(images, labels)
        model = self.model.given(y if self.model.has("context") else None)
        q_z = model.encoder(images)
        scale = q_z.variance.sqrt()
        head = linear_head(self.model) if self.reads_head else None
        return model, Code(q_z.mean, scale, y, model.decoder, self.share, head, self.latents)


class PixelAugmenter(BaseAugmenter):
    """The usual moves in the plane (`warp.random_warp`): turned, shifted and bent, each at random. Nothing is learnt."""

    @checked
    def __init__(self, *, strength: Strength = 1.0, seed: Seed | None = 0, device: torch.device | str = "cpu") -> None:
        super().__init__(strength, seed, torch.device(device))

    @torch.no_grad()
    def along(self, images: Tensor, labels: Tensor | None = None) -> Callable[[float], Tensor]:
        self.labelled(images, labels)
        return warp.random_warp(images, self.stream())

    def unmoved(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return images


class Compose:
    """Moves of a training loop, one after the other, each of as many random images as `share` says: the others cost nothing. From
    now on they draw from the device's default generator, as the rest of a training does: its state is in checkpoints."""

    def __init__(self, moves: Sequence[BaseAugmenter], share: float) -> None:
        self.moves, self.share = moves, share
        for move in moves:
            move.generator = None

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        for move in self.moves:
            count = max(1, round(self.share * len(images)))
            chosen = torch.randperm(len(images), device=images.device)[:count]
            images = images.index_copy(0, chosen, move.moved(images[chosen], labels[chosen]))
        return images
