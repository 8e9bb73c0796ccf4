"""The pictures that training leaves behind.

Shapes: `C H W` image.
"""

import torch
from torch import Tensor, nn

from reparam.core.abilities import Ability
from reparam.data import Dataset
from reparam.data.selection import class_balanced_indices
from reparam.data.tasks import make_batch
from reparam.distributions import keyed_generator
from reparam.latent.generation import reconstruct, sample
from reparam.models import Model
from reparam.reports.figures.predictions import map_palette, preview_rows
from reparam.reports.pictures import sheet, write_png
from reparam.run.config import RunConfig
from reparam.run.folder import RunFolder

SAMPLES = 64
PAIRS = 16


class PreviewWriter:
    """Writes what the loop asks for: samples (the same latents every time), reconstructions and predictions (the same images).

    RUN/pictures/samples-EPOCH.png is `SAMPLES` tiles, eight a row; reconstructions-EPOCH.png has a row of originals, where
    the model is given something else a row of that, and a row of reconstructions; predictions-EPOCH.png the truth, what was seen
    of it, and a prediction.
    """

    def __init__(self, folder: RunFolder, dataset: Dataset, config: RunConfig) -> None:
        self.folder, self.shape = folder, dataset.shape
        split = dataset.validation
        index = class_balanced_indices(split.labels, PAIRS)
        self.batch = make_batch(split.take(index), index, config.task, keyed_generator("cpu", 0, "pictures"))
        maps = 0 if self.batch.x.is_floating_point() else len(dataset.map_values)
        self.palette = map_palette(maps, dataset.map_colours)

    def __call__(self, model: nn.Module, epoch: float) -> None:
        assert isinstance(model, Model)
        batch = self.batch
        rows: dict[str, list[Tensor]] = {}
        if Ability.SAMPLE in model.abilities:
            rows["samples"] = list(sample(model, SAMPLES, seed=0).split(8))
        if Ability.RECONSTRUCT in model.abilities:
            between = [] if batch.source is None else [batch.source]
            rows["reconstructions"] = [batch.x, *between, reconstruct(model, batch.input)]
        if Ability.PREDICT in model.abilities and not model.context.classes:
            rows["predictions"] = preview_rows(model, batch, self.shape, self.palette)
        for name, found in rows.items():
            write_png(self.folder.pictures / f"{name}-{epoch:08.2f}.png", sheet(torch.cat(found), len(found[0])))
