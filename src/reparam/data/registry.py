"""What `--data` can name: the table of data sets. To add one: a function, and a row in `DATASETS`."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from reparam.data.dataset import Dataset
from reparam.data.io.download import Download
from reparam.data.options import (
    ArrayFileOptions,
    CelebaOptions,
    DataOptions,
    DepthOptions,
    FolderOptions,
    ImageOptions,
    OnDiskOptions,
    PairsOptions,
)
from reparam.data.sources import celeba, cifar, mnist, parts
from reparam.data.sources.arrays import load_array
from reparam.data.sources.digits import load_digits
from reparam.data.sources.folder import load_folder
from reparam.data.sources.pairs import load_pairs
from reparam.data.sources.shards import load_shards

_YOURS = "it is yours already"


@dataclass(frozen=True)
class Source:
    """One row of the table.

    `load(path, options)` reads what is at `path`; of the options it reads those of the record `options`. `path` says
    where the data are: "named" sets in ROOT/NAME unless the spec gives a path, "given" ones only where the spec says,
    "none" need no files. `download` and `present(path)` go together; `obtain` says how else to get the data. `n` is
    train, validation, test, where it is fixed.
    """

    load: Callable[[Path, DataOptions], Dataset]
    summary: str
    licence: str
    n: tuple[int, int, int] | None = None
    options: type[ImageOptions] = ImageOptions
    path: Literal["named", "given", "none"] = "named"
    download: Download | None = None
    present: Callable[[Path], bool] | None = None
    obtain: str = ""

    @property
    def downloads(self) -> bool:
        """Whether it is fetched when it is not there."""
        return self.download is not None

    def reads(self, option: str) -> bool:
        """Whether an option means something for it."""
        return option in {field.name for field in fields(self.options)}


DATASETS: dict[str, Source] = {
    "mnist": Source(
        mnist.load_mnist,
        "handwritten digits, 28 x 28 grey, 10 classes",
        "freely available (LeCun, Cortes, Burges)",
        (50_000, 10_000, 10_000),
        download=mnist.MNIST,
        present=mnist.has_mnist,
    ),
    "fashion-mnist": Source(
        mnist.load_fashion_mnist,
        "clothes, 28 x 28 grey, 10 classes",
        "MIT (Zalando; Xiao et al. 2017)",
        (50_000, 10_000, 10_000),
        download=mnist.FASHION_MNIST,
        present=mnist.has_mnist,
    ),
    "cifar10": Source(
        cifar.load_cifar10,
        "things and animals, 32 x 32 RGB, 10 classes",
        "none stated (Krizhevsky 2009)",
        (45_000, 5_000, 10_000),
        download=cifar.DOWNLOAD,
        present=cifar.has_cifar10,
    ),
    "celeba": Source(
        celeba.load_celeba,
        "faces, 178 x 218 RGB cut and resized to 64 x 64, classes by attribute",
        "non-commercial research (Liu et al. 2015)",
        (162_770, 19_867, 19_962),
        options=CelebaOptions,
        obtain=celeba.OBTAIN,
    ),
    "digits": Source(
        load_digits,
        "handwritten digits, 8 x 8 grey, 10 classes; comes with scikit-learn",
        "CC BY 4.0 (Alpaydin, Kaynak 1998)",
        (1_197, 300, 300),
        path="none",
        obtain="it comes with scikit-learn, there is nothing to download",
    ),
    "folder": Source(
        load_folder,
        "folder:PATH, your own pictures, a folder or .zip, one subfolder a class",
        "yours",
        options=FolderOptions,
        path="given",
        obtain=_YOURS,
    ),
    "pairs": Source(
        load_pairs,
        "pairs:PATH, your own pictures with label maps, a folder or .zip with images/ and masks/",
        "yours",
        options=PairsOptions,
        path="given",
        obtain=_YOURS,
    ),
    "weizmann-horses": Source(
        load_pairs,
        "horses with figure/ground masks, 328 pairs, images/ and masks/ as for pairs",
        "none stated (Borenstein and Ullman 2002)",
        options=PairsOptions,
        obtain="get the Weizmann horse database (Borenstein and Ullman), with images/ and masks/ of the same names",
    ),
    "cub": Source(
        parts.load_cub,
        "cub:PATH, Caltech-UCSD Birds-200-2011 with its segmentations, RGB, 200 classes",
        "non-commercial research (Wah et al. 2011)",
        (5_395, 599, 5_794),
        options=DepthOptions,
        path="given",
        obtain=parts.OBTAIN_CUB,
    ),
    "lfw-parts": Source(
        parts.load_lfw_parts,
        "lfw-parts:PATH, faces with maps of skin and hair, RGB",
        "research (Huang et al. 2007, Kae et al. 2013)",
        (1_500, 500, 927),
        options=DepthOptions,
        path="given",
        obtain=parts.OBTAIN_LFW,
    ),
    "shards": Source(
        load_shards,
        "shards:PATH, your own pictures packed by 'reparam data shard', for more than memory holds",
        "yours",
        options=OnDiskOptions,
        path="given",
        obtain="make them with 'reparam data shard'",
    ),
    "array": Source(
        load_array,
        "array:FILE, your own images in a .npy, a .npz, a folder of .npy, a .h5 or a .csv",
        "yours",
        options=ArrayFileOptions,
        path="given",
        obtain=_YOURS,
    ),
}
