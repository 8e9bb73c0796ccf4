"""A run folder with its model loaded: sample, encode, reconstruct, predict, compress, augment.

What measures a run or reports on it takes a `LoadedRun`; `reparam.Run` adds both as methods. Images that its methods take are
floats in [0, 1], or uint8 from 0 to 255 (`reparam.data.values`); those that they give are float32 in [0, 1].

Shapes: `n` images, `C H W` image, `K` latent, `D` values of a label map.
"""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from reparam.core.abilities import Ability
from reparam.core.batch import Batch
from reparam.core.calls import Count, Seed, checked_methods
from reparam.core.spec import BYTES
from reparam.data import Dataset, Images
from reparam.data.new_pictures import NewPictures, read_new
from reparam.data.scale import Scale
from reparam.data.selection import class_balanced_indices, random_indices, task_images
from reparam.data.tasks import observe, to_float
from reparam.data.values import as_images, as_labels, as_mask
from reparam.errors import ConfigError, DataError, RunError, suggest
from reparam.files import user_path
from reparam.latent import compression, generation
from reparam.latent.augmentation import CALIBRATED_ON, Augmenter, Change, Strength
from reparam.latent.directions import DEFAULT, ClassLatents, class_latents, find_direction
from reparam.latent.prior_fitting import PriorKind
from reparam.models import Model, Spec
from reparam.progress import Progress, Silent, reached
from reparam.run.command import training
from reparam.run.config import RunConfig
from reparam.run.data import fitting, own_data, scale_of
from reparam.run.device import choose_device, memory_of
from reparam.run.documents import RunDocument, WeightsFacts
from reparam.run.fitted_prior import PriorFacts, prior_path, stale_note
from reparam.run.folder import RunFolder
from reparam.run.history import Curves, curves
from reparam.run.prior_fit import fit_run_prior
from reparam.tensor_files import has_digest

# Names of pictures, or images in Python.
Given = str | Path | Sequence[str | Path] | Tensor | Any

# What is trained to be able to: a model and, where it is not the default, its task.
ABLE: dict[Ability, tuple[str, dict[str, str]]] = {
    Ability.ENCODE: ("vae", {}),
    Ability.RECONSTRUCT: ("vae", {}),
    Ability.SAMPLE: ("vae", {}),
    Ability.SAMPLE_BY_CLASS: ("cvae", {"task": "labelled"}),
    Ability.CLUSTER: ("gmvae", {}),
    Ability.COMPLETE: ("cvae", {"task": "boxes"}),
    Ability.AUGMENT: ("gvae", {}),
    Ability.CLASSIFY: ("classifier", {}),
}


@checked_methods
class LoadedRun:
    """A trained run: its model, its data, and what the model can do."""

    def __init__(self, path: str | Path, device: str | torch.device = "auto", trust: bool = False) -> None:
        self.folder = RunFolder(user_path(path), trust)
        self.document: RunDocument
        self.config: RunConfig
        self.spec: Spec
        self.document, self.config, self.spec = self.folder.parts()
        self.device = choose_device(str(device))

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever uses the run should know: that its training has not ended, that damage to its weights goes unnoticed,
        that a fitted prior is of other weights."""
        notes = []
        with contextlib.suppress(RunError):  # what is missing or damaged is said where it is needed
            status, kept = self.folder.status(), self.folder.weights_facts()
            if not status.ended and status.state != "not started":
                which = f"its weights are those after {reached(kept.step, kept.epoch, status.steps)}"
                go_on = f"'reparam resume {self.folder.typed}' continues it"
                states = {
                    "running": f"{self.path} is still being trained, or was killed: {which}; {go_on} if it was killed",
                    "diverged": f"the training of {self.path} diverged after {reached(status.step, status.epoch)}: {which}",
                }
                stopped = f"the training of {self.path} was interrupted: {which}; {go_on}"
                notes.append(states.get(status.state, stopped))
            if not has_digest(self.folder.weights_path):
                notes.append(
                    f"the weights of {self.path} are of an earlier version and have no digest: damage goes unnoticed"
                )
            if prior_path(self.path).exists():
                notes.append(stale_note(prior_path(self.path), self.folder.weights()[0]))
        return tuple(filter(None, notes))

    @property
    def model(self) -> Model:
        """The model with the kept weights, in evaluation mode: a plain `nn.Module`."""
        return self._loaded[0]

    @property
    def kept(self) -> WeightsFacts:
        """Which weights and fitted prior `model` has, whatever a training that still goes on has written since."""
        return self._loaded[1]

    @cached_property
    def _loaded(self) -> tuple[Model, WeightsFacts]:
        model, facts = self.folder.model()
        return model.to(self.device), facts

    def fit_prior(
        self,
        kind: PriorKind = "auto",
        components: tuple[Count, ...] = (),
        seed: Seed = 0,
        progress: Progress | None = None,
    ) -> PriorFacts:
        """Fits p(z) to the latents of the training images, and keeps it as the model's prior, in RUN/prior.safetensors. By
        validation images it chooses among a full Gaussian, mixtures of `components` (default: 5, 10 and 20) and the model's own
        prior; or among those of a `kind`; `own`: back to the model's own. `model` is loaded anew.

        Raises ConfigError where the model encodes no images, or its prior is a mixture; for a flow without zuko.
        """
        facts = fit_run_prior(
            self.folder, self.config, self.dataset, self.device, progress or Silent(), kind, components, seed
        )
        self.__dict__.pop("_loaded", None)
        return facts

    @cached_property
    def dataset(self) -> Dataset:
        """The run's data, loaded again. Raises DataError where it is gone, or its shape is not the run's."""
        return own_data(self.path, self.config, self.spec)

    @property
    def history(self) -> dict[str, Curves]:
        """Arrays of what training logged: `history["train"]` and `history["validation"]`, each with step, epoch, total and the
        other terms by name. Raises RunError where metrics.jsonl is damaged."""
        lines = self.folder.metrics()
        return {phase: curves(lines, phase) for phase in ("train", "validation")}

    def read(self, given: Given) -> NewPictures:
        """Pictures that are not the run's own, in its size, crop and colours: files, folders or zips of them, arrays (.npy,
        .npz), or what `--data` can name besides, one or a list; or the images themselves, as `train` takes them: a tensor or an
        array [N, C, H, W], a pair (images, labels), a torch Dataset. Numbers mean what they meant in the run's own images. All of
        them and no split, in their order, with their names and classes (`read_new`). Raises DataError for what cannot be read.
        """
        data = replace(fitting(self.config, self.spec), split_sizes=(), split_seed=0, group=None, stream=False)
        found = read_new(given, data, self.document.data.classes)
        self.of_its_shape(found.images)
        if self.spec.levels == BYTES:
            return found
        return found._replace(images=replace(found.images, images=to_float(found.images.pixels)))  # as its own are

    @property
    def scale(self) -> Scale:
        """What the numbers of its images were."""
        return scale_of(self.config, self.spec)

    @property
    def of_pictures(self) -> bool:
        """Whether pictures hold its images: 8 bits of grey or RGB."""
        return self.spec.levels == BYTES and self.spec.image_shape[0] in (1, 3)

    def require(self, ability: Ability, purpose: str) -> None:
        """Raises ConfigError if the model cannot do that."""
        if ability not in self.model.abilities:
            have = ", ".join(sorted(self.model.abilities - {Ability.STANDARD_NORMAL})) or "none of the abilities"
            trained = f"'{self.config.model}', trained with task '{self.config.task.task}',"
            remedy = "'reparam models' lists models and their tasks"
            if ability in ABLE:
                model, options = ABLE[ability]
                remedy = f"one that can: {training(model, options | {'data': self.config.data.data})}"
            raise ConfigError(f"cannot {purpose}: model {trained} cannot {ability} (it can: {have}); {remedy}")

    def sample(
        self,
        n: Count,
        seed: Seed = 0,
        draw: bool = False,
        label: int | str | None = None,
        component: int | None = None,
    ) -> Tensor:
        """[n, C, H, W] in [0, 1]: means of p(x|z) at z ~ p(z), or with `draw` samples of p(x|z). A model whose condition is
        a class makes all classes in turn, or those of `label`; one with a mixture prior draws from all of it, or from one
        `component`."""
        self.require(Ability.SAMPLE, "draw samples")
        self._check_room(n)
        c = None
        if label is not None:
            self.require(Ability.SAMPLE_BY_CLASS, "draw samples of a class")
            c = torch.full((n,), self._class(label))
        if component is not None:
            self.require(Ability.CLUSTER, "draw samples of a component")
            if not 0 <= component < self.model.prior.components:
                raise ConfigError(
                    f"the prior has no component {component}: choose 0 to {self.model.prior.components - 1}"
                )
        return generation.sample(self.model, n, seed, draw, c, component)

    def _class(self, label: int | str) -> int:
        """The number of a class that is given by number or name."""
        names = self.document.data.classes
        number = names.index(label) if label in names else int(label) if str(label).isdecimal() else -1
        if not 0 <= number < self.spec.classes:
            raise ConfigError(
                f"there is no class '{label}'{suggest(str(label), names)}: choose among {', '.join(names)}"
            )
        return number

    def condition(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """c for images [n, C, H, W]. `mask` [n or 1, 1, H, W] or [H, W], 1 where a pixel is seen, is for a model
        that was trained on boxes; one trained on quadrants or a half has its own, and one that segments sees all.

        Raises ConfigError for a mask that the model cannot serve, one that shows nothing, or one that shows everything.
        """
        self.require(Ability.PREDICT, "predict from a condition")
        if (
            Ability.SAMPLE_BY_CLASS in self.model.abilities
            and isinstance(images, Tensor)
            and not images.is_floating_point()
        ):
            return self._given_condition(images)  # classes are conditions as they are
        self.require(Ability.COMPLETE, "complete images")
        images = self._given(images)
        if Ability.SEGMENT in self.model.abilities:
            if mask is not None:
                raise ConfigError("a model that segments sees the whole image: leave the mask out")
            return images
        if mask is not None:
            mask = as_mask(mask, images)
        fixed = self.spec.condition.fixed if self.spec.condition else None
        if fixed is not None:
            fixed = fixed.to(images.device)
            if mask is not None and not bool((mask == fixed).all()):
                raise ConfigError(
                    f"this model was trained with one mask (task '{self.config.task.task}') and serves no other: leave the mask "
                    "out, or train with --task boxes"
                )
            return observe(images, fixed[None, None])
        if mask is None:
            raise ConfigError(
                "which pixels are seen? this model was trained on boxes: give a mask, 1 where a pixel is seen"
            )
        if not mask.flatten(1).any(1).all():
            raise DataError("the mask shows nothing (all pixels are 0): mark what is seen with 1, or white")
        if mask.flatten(1).all(1).any():
            raise DataError("the mask shows everything (no pixel is 0): mark what is missing with 0, or black")
        return observe(images, mask)

    def examples(self, n: Count) -> Batch:
        """n test images that take the classes in turn, as the run's task gives them: the target (x), the condition (c),
        classes."""
        self._check_room(n)
        return task_images(self.dataset.test, self.config.task, class_balanced_indices(self.dataset.test.labels, n))

    def predict(self, c: Tensor) -> Tensor:
        """The prediction at z* = E[z|c], [n, C, H, W]; of a model that segments, probabilities [n, D, H, W]. For c see
        `condition`."""
        return generation.predict(self.model, self._given_condition(c))

    def predictions(self, c: Tensor, n: Count = 10, seed: Seed = 0) -> Tensor:
        """`n` predictions for each c, [len(c), n, C, H, W]: one at each z ~ p(z|c), see `predict`; of a model without a latent,
        draws of p(x|c), pixel by pixel."""
        c = self._given_condition(c)
        self._check_room(n * len(c))
        return generation.predict_draws(self.model, c, n, seed)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of q(z|x), [n, K] each, of images [n, C, H, W]."""
        self.require(Ability.ENCODE, "encode images")
        return generation.encode(self.model, self._given(x))

    def responsibilities(self, x: Tensor) -> Tensor:
        """q(m|x), [n, M], of images [n, C, H, W]: the responsibility of each component of a mixture prior for each; its
        largest is the image's cluster."""
        self.require(Ability.CLUSTER, "find clusters")
        return generation.responsibilities(self.model, self._given(x))

    def reconstruct(self, x: Tensor) -> Tensor:
        """[n, C, H, W]: the mean of p(x|z) at z = E[z|x]."""
        self.require(Ability.RECONSTRUCT, "reconstruct images")
        return generation.reconstruct(self.model, self._given(x))

    def compress(self, x: Tensor, budget: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 32.0) -> bytes:
        """Images [n, C, H, W] as one file of at most `budget` bytes an image, headers counted: their latents, rounded
        and entropy-coded. Raises ConfigError where so few bytes do not hold the header."""
        self.require(Ability.RECONSTRUCT, "compress images")
        return compression.compress(self.model, self._given(x), budget, self.folder.fingerprint()[:8])

    def decompress(self, data: bytes) -> Tensor:
        """The images [n, C, H, W] of a file of `compress`. Raises DataError for one that is damaged or of other weights."""
        self.require(Ability.RECONSTRUCT, "decompress images")
        z = compression.restored(data, self.folder.fingerprint()[:8], math.prod(self.spec.image_shape))
        latent = generation.encode(self.model, torch.zeros(1, *self.spec.image_shape))[0].shape[1]
        if z.shape[1] != latent:
            raise DataError(
                f"the file has {z.shape[1]} latents an image, and this run's model {latent}: give the run that it was made with"
            )
        return generation.decode(self.model, z)

    def class_latents(self, images: Images | None = None, classes: int = 0) -> ClassLatents:
        """The latents of each class: of labelled `images` of so many classes, or of those that the run was trained on, with
        the labels that they had in training. Raises ConfigError for a model whose condition is the class."""
        if Ability.SAMPLE_BY_CLASS in self.model.abilities:
            raise ConfigError("directions of classes are for models that do not know the class: use others")
        if images is None:
            images, classes = self.config.training_images(self.dataset), len(self.dataset.classes)
        return class_latents(self.model, self.of_its_shape(images), classes)

    def augmenter(
        self,
        strength: Strength | None = None,
        change: Change | None = None,
        images: Images | None = None,
        **options: Any,
    ) -> Augmenter:
        """An `Augmenter` of this run, with the latents of the run's classes where `directions` need them (a pass over the
        training images). `strength` (default 2), or `change`: the mean L2 distance that it is set for, on `images` (default:
        the training images). For the other options see `Augmenter`."""
        self.require(Ability.AUGMENT, "augment images")
        if strength is not None and change is not None:
            raise ConfigError("strength and change both say how far images are moved: give one")
        direction = find_direction(options.get("directions", DEFAULT))
        if direction.needs == "latents" and options.get("latents") is None:
            options["latents"] = self.class_latents()
        if change is not None:
            split = self.of_its_shape(self.dataset.train if images is None else images)
            part = split.take(random_indices(split, CALIBRATED_ON)).to(self.device)
            options |= {"change": change, "images": to_float(part.pixels), "labels": part.labels}
        return Augmenter(self, strength=strength, **options)

    def labelled_as_here(self, classes: tuple[str, ...], labels: Tensor | None = None) -> None:
        """Raises DataError where the model knows classes, and images have others than the run's; where it goes by the class,
        also for `labels` [n] that are not known."""
        known, by_class = self.document.data.classes, Ability.SAMPLE_BY_CLASS in self.model.abilities
        if (self.model.has("head") or by_class) and classes != known:
            raise DataError(
                f"the images have classes {', '.join(classes) or '(none)'} and the run {', '.join(known)}: give images of the "
                "run's classes (folders that are called so), or use a model without classes (vae)"
            )
        if by_class and labels is not None and bool((labels < 0).any()):
            raise DataError(
                f"{int((labels < 0).sum()):,} of {len(labels):,} images have no class, and this model goes by it: put them into "
                f"folders that are called {', '.join(known)}"
            )

    def of_its_shape(self, images: Images) -> Images:
        """`images`. Raises DataError where the model takes others."""
        if (shape := tuple(images.images.shape[1:])) != self.spec.image_shape:
            both = f"{shape} and the run's {self.spec.image_shape} (channels, height, width)"
            raise DataError(
                f"these images are {both}: run.read(...) gives images the run's size; channels must be as many"
            )
        return images

    def _given_condition(self, c: Tensor) -> Tensor:
        self.require(Ability.PREDICT, "predict from a condition")
        known = self.spec.condition
        assert known
        if known.classes:
            return as_labels(c, None, 0, known.classes, "classes")
        shape = (known.channels, *self.spec.image_shape[1:])
        if not isinstance(c, Tensor) or tuple(c.shape[1:]) != shape or not c.is_floating_point():
            found = f"{c.dtype} {list(c.shape)}" if isinstance(c, Tensor) else type(c).__name__
            expected = ", ".join(map(str, shape))
            raise DataError(
                f"a condition is a float tensor [n, {expected}], not {found}: run.condition(images) makes it"
            )
        return as_images(c, shape, "conditions")

    def _check_room(self, count: int) -> None:
        """Raises ConfigError for more images than the machine's memory holds, before any is made."""
        channels, *sides = self.spec.image_shape
        size = 4 * count * math.prod([max(channels, self.spec.map_values), *sides])
        memory = memory_of(torch.device("cpu"))
        if memory is not None and size > memory:
            raise ConfigError(
                f"{count:,} images take {size / 1e9:,.0f} GB, and this machine has {memory / 1e9:,.0f} GB of memory: ask for "
                "fewer at a time, each time with another seed"
            )

    def _given(self, images: Tensor) -> Tensor:
        return as_images(images, self.spec.image_shape)
