"""Predictions as pictures: what the model saw, its answers, the truth.

Shapes: `n` images, `L` answers, `C H W` image, `D` values of a label map.
"""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from reparam.core.batch import Batch
from reparam.data.io.single_picture import read_picture
from reparam.distributions import IGNORED
from reparam.evaluation.structured import uncertainty
from reparam.latent.generation import first_guess, predict, predict_draws
from reparam.models import Model
from reparam.reports.charts import PALETTE
from reparam.reports.pictures import Panel, legible, panel, sheet, to_picture, write_png
from reparam.run.loaded import LoadedRun

HIDDEN = (0.5, 0.7)  # greys of the chequers that stand for what the model does not see
CHEQUERS = 14  # across an image
SPREAD_DRAWS = 20  # answers behind a map of uncertainty


def seen(batch: Batch, shape: tuple[int, int, int]) -> Tensor | None:
    """What the model was shown, as images of `shape`: hidden pixels in chequers; None where c is a class."""
    if batch.c is None or batch.c.dim() != 4:
        return None
    channels = shape[0]
    if batch.c.shape[1] == channels:
        return batch.c
    return torch.where(batch.c[:, -1:] > 0, batch.c[:, :-1], _chequers(shape[-1]))


def _chequers(side: int) -> Tensor:
    """[side, side]: what no image looks like."""
    place = torch.arange(side) * CHEQUERS // side
    return torch.tensor(HIDDEN)[(place[:, None] + place[None, :]) % 2]


def as_images(values: Tensor, of_maps: bool, channels: int) -> Tensor:
    """Predictions [n, C, H, W] as images. Of label maps, probabilities [n, D, H, W]: with two values that of the second in
    grey, with more the values' colours, mixed."""
    if of_maps:
        values = (
            values[:, 1:] if values.shape[1] == 2 else torch.einsum("ndhw,dc->nchw", values, _colours(values.shape[1]))
        )
    return values.expand(-1, max(channels, values.shape[1]), -1, -1)


def _colours(count: int) -> Tensor:
    """[count, 3]: black for value 0, then the palette, again and again."""
    rgb = [[int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)] for colour in PALETTE]
    return torch.tensor([[0.0, 0.0, 0.0], *(rgb[i % len(rgb)] for i in range(count - 1))])


def truth_images(x: Tensor, map_values: int, channels: int) -> Tensor:
    """The wanted images, or label maps as `as_images` shows them; pixels that do not count are chequers."""
    if not map_values:
        return x
    planes = torch.stack([(x == value).float().squeeze(1) for value in range(map_values)], 1)
    return torch.where(x == IGNORED, _chequers(x.shape[-1]), as_images(planes, True, channels))


def answers(
    run: LoadedRun, batch: Batch, draws: int, seed: int = 0, truth: bool = True, baseline: LoadedRun | None = None
) -> Panel:
    """A row an image: what was seen | first guess, or what `baseline` says | the prediction at z* | `draws` answers | their
    average | the truth | where answers differ. Columns that a model or task has not are left out; so is a first guess that
    was not trained to be one."""
    model, channels, maps = run.model, run.spec.image_shape[0], run.spec.map_values
    assert batch.c is not None
    columns: list[tuple[str, Tensor]] = []
    visible = seen(batch, run.spec.image_shape)
    if visible is not None:
        columns.append(("seen", visible))
    guess = None
    if baseline is not None:
        guess = predict(baseline.model, batch.c)
    elif not model.has("prior") or getattr(run.config.options, "guess_weight", False):
        guess = first_guess(model, batch.c)
    if guess is not None:
        name = "baseline" if baseline is not None else "answer" if not model.has("prior") else "guess"
        columns.append((name, as_images(guess, bool(maps), channels)))
    if model.has("prior"):
        columns.append(("z*", as_images(predict(model, batch.c), bool(maps), channels)))
        made = predict_draws(model, batch.c, max(draws, SPREAD_DRAWS), seed)
        for number in range(draws):
            columns.append(("answers" if number == 0 else "", as_images(made[:, number], bool(maps), channels)))
        columns.append(("mean", as_images(made.mean(1), bool(maps), channels)))
    if truth:
        columns.append(("truth", truth_images(batch.x, maps, channels)))
    if model.has("prior"):
        spread = uncertainty(made)
        columns.append(("spread", _bright(spread)))
    depth = max(images.shape[1] for _, images in columns)
    tiles = torch.stack([images.expand(-1, depth, -1, -1) for _, images in columns], 1)
    return panel(tiles.flatten(0, 1), len(columns), column_names=[name for name, _ in columns])


def _bright(spread: Tensor) -> Tensor:
    """Standard deviations as grey: white is 1/2, the largest that values from 0 to 1 can have."""
    return (2 * spread).clamp(max=1)


def answers_picture(run: LoadedRun, batch: Batch, draws: int, seed: int = 0, truth: bool = True) -> Image.Image:
    run.require("predict", "complete images")
    return to_picture([answers(run, batch, draws, seed, truth)])


def training_rows(model: Model, batch: Batch, shape: tuple[int, int, int], map_values: int) -> list[Tensor]:
    """Rows of a sheet that training leaves behind: the truth, what was seen (where c is an image), one answer."""
    assert batch.c is not None
    visible = seen(batch, shape)
    one = predict_draws(model, batch.c, 1)[:, 0] if model.has("prior") else predict(model, batch.c)
    rows = [truth_images(batch.x, map_values, shape[0]), *([] if visible is None else [visible])]
    rows.append(as_images(one, bool(map_values), shape[0]))
    depth = max(row.shape[1] for row in rows)
    return [row.expand(-1, depth, -1, -1) for row in rows]


SEGMENTED = ("labels", "answers", "spread")


def segmentation_paths(run: LoadedRun, path: Path, folder: Path) -> dict[str, Path]:
    """Where `write_segmentation` puts what it makes of a picture; a model with a single answer has no spread."""
    kinds = SEGMENTED if run.model.has("prior") else SEGMENTED[:2]
    return {kind: folder / f"{path.stem}-{kind}.png" for kind in kinds}


def write_segmentation(run: LoadedRun, path: Path, folder: Path, draws: int, seed: int = 0) -> list[Path]:
    """What the model makes of a picture, into FOLDER: NAME-labels.png, the most probable label at each of the picture's own
    pixels (two values: 0 and 255, else 0 to D - 1) after the average of `draws` answers; NAME-answers.png, the answers;
    NAME-spread.png, where they differ."""
    run.require("segment", "segment pictures")
    picture = read_picture(path, run.spec.image_shape, run.config.data)
    c = run.condition(picture.pixels)
    made = run.answers(c, draws, seed) if run.model.has("prior") else run.predict(c)[:, None]
    values = picture.placed(made.mean(1)[0])
    label_map = Image.fromarray((values * (255 if run.spec.map_values == 2 else 1)).byte().numpy())
    batch = Batch(
        x=torch.full((1, 1, *run.spec.image_shape[1:]), IGNORED), c=c, y=torch.tensor([-1]), index=torch.tensor([0])
    )
    found = {"labels": label_map, "answers": answers_picture(run, batch, draws, seed, truth=False)}
    if run.model.has("prior"):
        spread = uncertainty(made)
        found["spread"] = sheet(legible(_bright(spread), 1), 1)
    paths = segmentation_paths(run, path, folder)
    for kind, image in found.items():
        write_png(paths[kind], image)
    return list(paths.values())
