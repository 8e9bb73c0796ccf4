"""What a notebook shows of a run and of images: HTML that needs nothing else.

Shapes: `n` images, `C H W` image in [0, 1].
"""

import contextlib
import copy
import functools
import html
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from reparam.core.abilities import Ability
from reparam.core.batch import Batch
from reparam.errors import ReparamError, RunError
from reparam.models.adopted import ADOPTED
from reparam.progress import reached
from reparam.reports.html import data_uri, reason
from reparam.reports.pictures import legible, sheet, to_png
from reparam.run.loaded import LoadedRun

ACROSS = 10
MOST = 100  # images of a batch that are shown; the text says how many there are
CHANNELS = (1, 3)
C = TypeVar("C", bound=type)


class ImageBatch(Tensor):
    """A batch of images that a notebook shows as pictures: a plain tensor in all else. What is computed or copied from it, or
    read from a file that it was saved in, is a plain tensor; parts of the batch, `images[:8]`, and an image, `images[0]`, are
    shown too."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __getitem__(self, index: Any) -> Tensor:
        found = super().__getitem__(index)
        one_image = isinstance(index, int) and self.dim() == 4
        return found.as_subclass(ImageBatch) if one_image else as_batch(found)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return copy.deepcopy(self.as_subclass(Tensor), memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.as_subclass(Tensor).__reduce_ex__(protocol)

    def _repr_html_(self) -> str | None:
        """None where these are no images in [0, 1], so that its numbers are shown."""
        plain = self.detach().cpu().as_subclass(Tensor)
        whole = plain[None] if self.dim() == 3 else plain
        if whole.dim() != 4 or whole.shape[1] not in CHANNELS or not self.numel() or not self.is_floating_point():
            return None
        more = f": the first {MOST}" if len(whole) > MOST else ""
        size = " x ".join(map(str, self.shape))
        return f"{strip(whole[:MOST])}<div>{size}, {self.dtype}{more}</div>"


def as_batch(images: Any) -> Any:
    """Images [N, C, H, W] as an `ImageBatch`; a `Batch` with its images x as one; anything else unchanged."""
    if isinstance(images, Batch):
        return replace(images, x=as_batch(images.x))
    return images.as_subclass(ImageBatch) if isinstance(images, Tensor) and images.dim() == 4 else images


def shows_images(*methods: str) -> Callable[[C], C]:
    """A class whose inherited methods of these names return an `ImageBatch`."""

    def showing(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            return as_batch(method(*args, **kwargs))

        return call

    def change(cls: C) -> C:
        for name in methods:
            setattr(cls, name, showing(getattr(cls, name)))
        return cls

    return change


def strip(images: Tensor) -> str:
    """Images [n, C, H, W] as one picture, `ACROSS` in a row."""
    across = min(len(images), ACROSS)
    png = to_png(sheet(legible(images.float(), across), across, transparent=True))
    return f'<img src="{data_uri(png, "image/png")}" style="max-width: 100%">'


def summary(run: LoadedRun) -> str:
    """A line: model, data, how far its training is, how much was measured. Reads no weights."""
    channels, height, width = run.spec.image_shape
    facts = [f"{run.config.model} on {run.config.data.data}", f"{channels} x {height} x {width}"]
    with contextlib.suppress(RunError):  # what is damaged is said where it is needed
        status = run.folder.status()
        how_far = "" if status.state == ADOPTED else f": {reached(status.step, status.epoch, status.steps)}"
        facts.append(f"{status.state}{how_far}")
    with contextlib.suppress(RunError):
        if count := len(run.folder.evaluation().metrics):
            facts.append(f"{count} figure{'s' * (count > 1)} measured")
    return f"<Run {run.path}: {', '.join(facts)}>"


def summary_html(run: LoadedRun) -> str:
    """The line, a strip of samples (of a model that makes none: of reconstructions of test images) and the figures that were
    measured. What cannot be shown is said."""
    parts = [f"<div><code>{html.escape(summary(run))}</code></div>", _pictures(run), _figures(run)]
    return "".join(parts)


def _pictures(run: LoadedRun) -> str:
    try:
        if Ability.SAMPLE in run.model.abilities:
            return f"<div>samples</div>{strip(run.sample(ACROSS))}"
        if Ability.RECONSTRUCT in run.model.abilities:
            return f"<div>reconstructions of test images</div>{strip(run.reconstruct(run.examples(ACROSS).input))}"
    except Exception as error:  # a notebook shows what there is, whatever a model of one's own raises
        return f"<div>no pictures: {html.escape(reason(error))}</div>"
    return ""


def _figures(run: LoadedRun) -> str:
    try:
        found = run.folder.evaluation()
    except ReparamError as error:
        return f"<div>no figures: {html.escape(str(error))}</div>"
    rows = [
        f"<tr><td>{html.escape(name)}</td><td>{_number(one.value)}</td>"
        f"<td>{'' if one.stderr is None else f'± {_number(one.stderr)}'}</td><td>{html.escape(one.unit)}</td></tr>"
        for name, one in found.metrics.items()
    ]
    states = "; ".join(f"{one.state}: {one.evidence}" for one in found.diagnosis)
    return f"<table>{''.join(rows)}</table><div>{html.escape(states)}</div>" if rows else ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if math.fabs(value) >= 1000 else f"{value:.4g}"
