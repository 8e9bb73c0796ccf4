"""A folder of new images: pictures by class, and a manifest.

Shapes: `n` images, `C H W` image.
"""

import csv
import io
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from reparam.core.blocks import BLOCK
from reparam.data import Images
from reparam.data.depth import numbers_of
from reparam.data.io.npy import write_npy
from reparam.data.tasks import to_float
from reparam.distributions import keyed_generator
from reparam.files import file_names, new_folder, write_text
from reparam.latent.augmentation import Augmenter
from reparam.progress import Progress
from reparam.reports.pictures import sheet, write_png
from reparam.run.loaded import LoadedRun

MANIFEST, IMAGES, LABELS = "manifest.csv", "images.npy", "labels.npy"
UNLABELLED = "unlabelled"
COLUMNS = ("file", "index", "source", "class", "copy", "seed", "change")


def write_augmented(
    run: LoadedRun,
    augmenter: Augmenter,
    images: Images,
    classes: Sequence[str],
    source: Callable[[int], str],
    chosen: Tensor,
    out: Path,
    per_image: int,
    seed: int,
    progress: Progress,
) -> int:
    """`per_image` new pictures of each of the `chosen` images [n] as OUT/CLASS/INDEX-COPY.png (CLASS: see `file_names`), or where
    pictures do not hold them (`run.of_pictures`), all in OUT/images.npy and OUT/labels.npy. OUT/manifest.csv: where each came
    from (index among the images, and `source` of it) and how far (L2) it lies from what it was moved from. Returns how many.

    An image's copies depend on the seed, the copy and the images of its block alone. Pictures are made in OUT.unfinished, which
    becomes OUT when all are there. Raises ConfigError where OUT holds something already.
    """
    unlabelled, *folders = file_names([UNLABELLED, *classes], taken=[MANIFEST])
    for name, folder in zip(classes, folders, strict=True):
        if name != folder:
            progress.note(f"class '{name}' is in the folder '{folder}': its name is no folder's name on every system")
    rows: list[tuple[str, ...]] = []
    arrays: list[np.ndarray] = []
    labels: list[int] = []
    with new_folder(out) as begun:
        for number, index in enumerate(progress.track(chosen.split(BLOCK), "augment")):
            part = images.take(index).to(run.device)
            x = to_float(part.pixels)
            still = augmenter.unmoved(x, part.labels)
            for copy in range(per_image):
                augmenter.generator = keyed_generator(run.device, seed, "augment", number, copy)
                moved = augmenter(x, part.labels)
                if not run.of_pictures:
                    arrays.append(numbers_of(moved, run.scale))
                    labels += part.labels.tolist()
                change = (moved - still).flatten(1).norm(dim=1).tolist()
                for row, place in enumerate(index.tolist()):
                    label = int(part.labels[row])
                    name, folder = (classes[label], folders[label]) if label >= 0 else (UNLABELLED, unlabelled)
                    file = f"{folder}/{place:06d}-{copy}.png" if run.of_pictures else f"{IMAGES}/{len(rows)}"
                    if run.of_pictures:
                        write_png(begun / file, sheet(moved[row][None], 1))
                    rows.append((file, str(place), source(place), name, str(copy), str(seed), f"{change[row]:.3f}"))
        if arrays:
            write_npy(begun / IMAGES, np.concatenate(arrays))
            write_npy(begun / LABELS, np.array(labels))
            reading = f"--range {run.scale.low:.9g},{run.scale.high:.9g}" if run.config.data.range else ""
            data = shlex.quote(f"array:{out}")
            progress.note(f"they are numbers, no pictures: --data {data} --layout first {reading}".rstrip())
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([COLUMNS, *rows])
        write_text(begun / MANIFEST, text.getvalue())
    return len(rows)
