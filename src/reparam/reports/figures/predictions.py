"""Predictions of a conditional model: what it saw, what it predicts, the truth.

Shapes: `n` images, `C H W` image, `D` values of a label map.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from reparam.core.abilities import Ability
from reparam.core.batch import Batch
from reparam.distributions import IGNORED
from reparam.latent.generation import first_guess, predict, predict_average, predict_draws
from reparam.metrics import structured
from reparam.models import Model
from reparam.reports import charts
from reparam.reports.figures.figure import SPREAD_DRAWS, Drawing
from reparam.reports.options import PredictionOptions
from reparam.reports.pictures import Panel, shown
from reparam.reports.run_view import RunView
from reparam.run.loaded import LoadedRun

SHOWN = 8  # images
HIDDEN = (0.5, 0.7)  # greys of the chequers that stand for what the model does not see
CHEQUERS = 14  # along the longer side of an image
RELIABILITY_IMAGES, RELIABILITY_DRAWS = 200, 10


def seen(batch: Batch, shape: tuple[int, int, int]) -> Tensor | None:
    """The condition, of images of `shape`, as it is shown: hidden pixels in chequers; None where c is a class."""
    if batch.c is None or batch.c.dim() != 4:
        return None
    if batch.c.shape[1] == shape[0]:
        return shown(batch.c)
    return torch.where(batch.c[:, -1:] > 0, shown(batch.c[:, :-1]), _chequers(shape[1], shape[2]))


def _chequers(height: int, width: int) -> Tensor:
    """[height, width]: what no image looks like."""
    place = torch.arange(max(height, width)) * CHEQUERS // max(height, width)
    return torch.tensor(HIDDEN)[(place[:height, None] + place[None, :width]) % 2]


def as_images(values: Tensor, palette: Tensor | None, channels: int) -> Tensor:
    """Predictions [n, C, H, W] as images that can be shown, beside others of so many channels. Of label maps, probabilities
    [n, D, H, W]: the colours of their `palette` [D, 3], mixed."""
    if palette is not None:
        values = torch.einsum("ndhw,dc->nchw", values, palette)
        values = values[:, :1] if _is_grey(palette) else values
    values = shown(values)
    return values.expand(-1, max(1 if channels == 1 else 3, values.shape[1]), -1, -1)


def _colours(count: int) -> Tensor:
    """[count, 3]: black for value 0, then the palette, again and again."""
    rgb = [[int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)] for colour in charts.PALETTE]
    return torch.tensor([[0.0, 0.0, 0.0], *(rgb[i % len(rgb)] for i in range(count - 1))])


def label_colours(count: int, own: Sequence[str]) -> Tensor:
    """[count, 3]: the labels' own colours, six hexadecimal digits each, and of the palette where one has none."""
    found = _colours(count)
    for label, digits in enumerate(own[:count]):
        if digits:
            found[label] = torch.tensor(list(bytes.fromhex(digits))) / 255
    return found


def map_palette(count: int, own: Sequence[str]) -> Tensor | None:
    """[D, 3]: the colours in which predictions of label maps are shown, `label_colours`; two labels without colours of their own
    are black and white. None where there are no label maps."""
    if count == 2 and not any(own):
        return torch.tensor([[0.0], [1.0]]).expand(-1, 3)
    return label_colours(count, own) if count else None


def _is_grey(palette: Tensor) -> bool:
    return bool((palette == palette[:, :1]).all())


def swatches(run: LoadedRun) -> list[str]:
    """The colour of each label as the page writes it, `#rrggbb`; empty texts where labels are black and white."""
    palette = map_palette(len(label_names(run)), run.document.data.map_colours)
    if palette is None or _is_grey(palette):
        return [""] * len(label_names(run))
    return ["#" + bytes(round(255 * part) for part in colour).hex() for colour in palette.tolist()]


def legend(palette: Tensor, names: Sequence[str]) -> Panel:
    """A tile a label in its colour, and its name."""
    return Panel(palette[:, :, None, None].expand(-1, -1, 16, 48), 1, names)


def truth_images(x: Tensor, palette: Tensor | None, channels: int) -> Tensor:
    """The target images, or label maps as `as_images` shows them; pixels that do not count are chequers."""
    if palette is None:
        return shown(x)
    planes = torch.stack([(x == value).float().squeeze(1) for value in range(len(palette))], 1)
    return torch.where(x == IGNORED, _chequers(x.shape[-2], x.shape[-1]), as_images(planes, palette, channels))


def predictions(view: RunView, options: PredictionOptions) -> Drawing:
    """A row an image: what was seen | first guess, or what `baseline` predicts | the prediction at z* | `samples` of them at
    random latents | their average | the truth | where they differ. Columns that a model or task has not are left out; so is a
    first guess that was not trained to be one. Below, the names of labels in their colours."""
    run = view.run
    run.require(Ability.PREDICT, "complete images")
    model, shape, names = run.model, run.spec.image_shape, label_names(run)
    palette = map_palette(len(names), run.document.data.map_colours)
    batch = view.examples(options.n or view.number(SHOWN), options.index)
    assert batch.c is not None
    columns: list[tuple[str, Tensor]] = []

    def add(name: str, values: Tensor) -> None:
        columns.append((name, as_images(values, palette, shape[0])))

    visible = seen(batch, shape)
    if visible is not None:
        columns.append(("seen", visible))
    if options.baseline is not None:
        add("baseline", predict(options.baseline.model, batch.c))
    elif not model.has("prior") or getattr(run.config.options, "guess_weight", False):
        guess = first_guess(model, batch.c)
        if guess is not None:
            add("prediction" if not model.has("prior") else "guess", guess)
    if model.has("prior"):
        add("z*", predict(model, batch.c))
        samples = predict_draws(model, batch.c, max(options.samples, SPREAD_DRAWS), options.seed)
        for number in range(options.samples):
            add("predictions" if number == 0 else "", samples[:, number])
        add("mean", samples.mean(1))
    if options.truth:
        columns.append(("truth", truth_images(batch.x, palette, shape[0])))
    if model.has("prior"):
        columns.append(("spread", spread_image(samples)))
    tiles = torch.stack(_alike([images for _, images in columns]), 1).flatten(0, 1)
    panels = [Panel(tiles, len(columns), columns=[name for name, _ in columns])]
    notes = [f"{options.samples} predictions each."] if model.has("prior") else []
    if palette is not None and _is_grey(palette):
        notes.append(f"White is the probability of '{names[1]}'.")
    elif palette is not None:
        panels.append(legend(palette, names))
    return Drawing(tuple(panels), " ".join(notes))


def label_names(run: LoadedRun) -> tuple[str, ...]:
    """Of the label maps that a model predicts, by number; empty where it predicts none."""
    return run.document.data.map_values or tuple(map(str, range(run.spec.map_values))) if run.spec.map_values else ()


def spread_image(samples: Tensor) -> Tensor:
    """Standard deviations of predictions as grey: white is 1/2, the largest that values from 0 to 1 can have."""
    return (2 * structured.uncertainty(samples)).clamp(max=1)


def _alike(images: list[Tensor]) -> list[Tensor]:
    """With as many channels as those of most."""
    depth = max(part.shape[1] for part in images)
    return [part.expand(-1, depth, -1, -1) for part in images]


def preview_rows(model: Model, batch: Batch, shape: tuple[int, int, int], palette: Tensor | None) -> list[Tensor]:
    """Rows of the sheet that training leaves behind: the truth, what was seen (where c is an image), one prediction."""
    assert batch.c is not None
    visible = seen(batch, shape)
    one = predict_draws(model, batch.c, 1)[:, 0] if model.has("prior") else predict(model, batch.c)
    rows = [truth_images(batch.x, palette, shape[0]), *([] if visible is None else [visible])]
    return _alike([*rows, as_images(one, palette, shape[0])])


def reliability(view: RunView) -> Drawing:
    """The share of pixels that are right, by confidence."""
    batch = view.examples(RELIABILITY_IMAGES)
    assert batch.c is not None
    found = structured.reliability(predict_average(view.run.model, batch.c, RELIABILITY_DRAWS), batch.x)
    return Drawing((charts.reliability(found),), f"{len(batch.x)} test images.")
