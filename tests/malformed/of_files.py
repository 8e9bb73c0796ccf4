"""Cases of data files, run folders' binary files and pictures: damaged bytes, damaged lists, odd places."""

import io
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import inputs
import mutations
import of_headers
from cases import Case
from mutations import Region

ALL_BYTES = frozenset({"cut", "cut late", "flip", "head", "sum", "shift", "longer", "foreign", "zeros"})
EXACT = frozenset({"cut", "cut late", "shift", "longer", "foreign", "zeros", "sum"})  # a header gives the length
PICTURE = frozenset({"cut", "foreign", "zeros"})


@dataclass(frozen=True)
class Target:
    """One file of a valid input, and the command that reads it. told: groups of mutations that must be refused; region: of
    its bytes, what a checksum covers; optional: it may be missing."""

    source: str
    file: str
    command: tuple[str, ...]
    told: frozenset[str] = frozenset()
    region: Callable[[bytes], Region] | None = None
    text: bool = False
    run: str | None = None
    optional: bool = False


def _whole(data: bytes) -> Region:
    return 0, len(data)


def _gz(data: bytes) -> Region:
    return 10, len(data)


def _png(data: bytes) -> Region:
    """The compressed pixels, behind the two bytes that say how."""
    return data.index(b"IDAT") + 6, data.index(b"IEND") - 8


def _first_member(data: bytes) -> Region:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        info = archive.infolist()[0]
    names = sum(struct.unpack("<HH", data[info.header_offset + 26 : info.header_offset + 30]))
    start = info.header_offset + 30 + names
    return start, start + info.compress_size


def _record(data: bytes) -> Region:
    start = data.index(b"IDAT")
    return start, start + 100


TARGETS = {
    "array .npy": Target("arrays", "bytes.npy", of_headers.opening("array:IN/bytes.npy"), EXACT),
    "array .npy of floats": Target("arrays", "floats.npy", of_headers.opening("array:IN/floats.npy"), EXACT),
    "array .npz": Target(
        "arrays", "plain.npz", of_headers.opening("array:IN/plain.npz"), EXACT - {"longer", "shift"}, _first_member
    ),
    "array .npz, compressed": Target(
        "arrays",
        "compressed.npz",
        of_headers.opening("array:IN/compressed.npz"),
        EXACT - {"longer", "shift"},
        _first_member,
    ),
    "array .npz by split": Target(
        "arrays", "splits.npz", of_headers.opening("array:IN/splits.npz"), EXACT - {"longer", "shift"}, _first_member
    ),
    "IDX images": Target("mnist", "train-images-idx3-ubyte", of_headers.opening("mnist:IN"), EXACT | {"head"}),
    "IDX labels": Target("mnist", "t10k-labels-idx1-ubyte", of_headers.opening("mnist:IN"), EXACT | {"head"}),
    "IDX images, gzipped": Target("mnist-gz", "train-images-idx3-ubyte.gz", of_headers.opening("mnist:IN"), EXACT, _gz),
    "IDX labels, gzipped": Target(
        "mnist-gz", "train-labels-idx1-ubyte.gz", of_headers.opening("fashion-mnist:IN"), EXACT, _gz
    ),
    **{
        f"picture .{suffix}": Target(
            f"folder-{suffix}",
            f"a/4.{suffix}",
            of_headers.opening("folder:IN"),
            PICTURE | ({"sum"} if suffix == "png" else set()),
            _png if suffix == "png" else None,
        )
        for suffix in inputs.FORMATS
    },
    "picture .png, on disk": Target(
        "folder-png", "b/5.png", of_headers.opening("folder:IN", "--stream"), PICTURE | {"sum"}, _png
    ),
    "picture .jpg, on disk": Target("folder-jpg", "b/5.jpg", of_headers.opening("folder:IN", "--stream"), PICTURE),
    "zip": Target(
        "zip-stored",
        "pictures.zip",
        of_headers.opening("folder:IN/pictures.zip"),
        EXACT - {"longer", "shift"},
        _first_member,
    ),
    "zip, compressed": Target(
        "zip-deflated",
        "pictures.zip",
        of_headers.opening("folder:IN/pictures.zip"),
        EXACT - {"longer", "shift"},
        _first_member,
    ),
    "zip, on disk": Target(
        "zip-deflated",
        "pictures.zip",
        of_headers.opening("folder:IN/pictures.zip", "--stream"),
        EXACT - {"longer", "shift"},
        _first_member,
    ),
    "tar": Target("cifar-tar", "cifar-10-binary.tar.gz", of_headers.opening("cifar10:IN"), EXACT - {"longer"}, _gz),
    "CIFAR records": Target("cifar", "data_batch_3.bin", of_headers.opening("cifar10:IN"), EXACT - {"zeros"}),
    "CIFAR records, test": Target(
        "cifar", "test_batch.bin", of_headers.opening("cifar10:IN"), EXACT - {"longer", "zeros"}
    ),
    "CelebA attributes": Target("celeba", "list_attr_celeba.txt", of_headers.opening("celeba:IN"), text=True),
    "CelebA partition": Target("celeba", "list_eval_partition.txt", of_headers.opening("celeba:IN"), text=True),
    "CelebA picture": Target("celeba", "img_align_celeba/000003.jpg", of_headers.opening("celeba:IN"), PICTURE),
    "CUB list": Target("cub", "images.txt", of_headers.opening("cub:IN"), text=True),
    "CUB splits": Target("cub", "train_test_split.txt", of_headers.opening("cub:IN"), text=True),
    "CUB classes": Target("cub", "classes.txt", of_headers.opening("cub:IN"), text=True, optional=True),
    "LFW list": Target("lfw", "parts_train.txt", of_headers.opening("lfw-parts:IN"), text=True),
    "LFW map": Target(
        "lfw", "parts_lfw_funneled_gt_images/Person_3_0001.ppm", of_headers.opening("lfw-parts:IN"), PICTURE
    ),
    "pairs, image": Target("pairs", "images/3.png", of_headers.opening("pairs:IN"), PICTURE | {"sum"}, _png),
    "pairs, mask": Target("pairs", "masks/3.png", of_headers.opening("pairs:IN"), PICTURE | {"sum"}, _png),
    "shards, records": Target("shards", "images-00000.array_record", of_headers.opening("shards:IN"), EXACT, _record),
    "shards, labels": Target("shards", "labels.npy", of_headers.opening("shards:IN"), EXACT),
    "compressed images": Target(
        "rpz", "images.rpz", ("decompress", "RUN", "IN/images.rpz", "--out", "OUT"), ALL_BYTES, _whole, run="run-ae"
    ),
    "picture to compress": Target(
        "single",
        "picture.png",
        ("compress", "RUN", "IN/picture.png", "--bytes", "90", "--out", "OUT"),
        PICTURE | {"sum"},
        _png,
        run="run-ae",
    ),
    "picture to complete": Target(
        "single",
        "photo.jpg",
        ("complete", "RUN", "IN/photo.jpg", "--mask", "IN/mask.png", "--samples", "1", "--out", "OUT/x.png"),
        PICTURE,
        run="run-boxes",
    ),
    "mask of it": Target(
        "single",
        "mask.png",
        (
            "complete",
            "RUN",
            "IN/picture.png",
            "--mask",
            "IN/mask.png",
            "--samples",
            "1",
            "--out",
            "OUT/x.png",
        ),
        PICTURE | {"sum"},
        _png,
        run="run-boxes",
    ),
    "picture to segment": Target(
        "single",
        "picture.png",
        ("segment", "RUN", "IN/picture.png", "--samples", "1", "--out", "OUT"),
        PICTURE | {"sum"},
        _png,
        run="run-segment",
    ),
}


def _placed(file: str, change: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda place: change(place / "in" / file)


def of_files(base: Path, random: Random) -> Iterator[Case]:
    for kind, target in TARGETS.items():
        data = (base / target.source / target.file).read_bytes()
        region = target.region(data) if target.region else None
        for name, changed, group in mutations.of_bytes(data, random, region):
            told = group in target.told and changed != data
            yield _case(kind, name, target, of_headers.written(target.file, changed), told)
        if target.text:
            for name, changed in mutations.of_lines(data.decode(), random):
                yield _case(f"{kind}, lines", name, target, of_headers.written(target.file, changed), False)
        for name, change in mutations.PLACES.items():
            absent = name == "missing" or "folder" in name.split(" to ")[-1]  # to a tree of files
            told = not (absent and (target.optional or target.command[1].startswith("folder:IN")))
            told |= target.file == "pictures.zip"
            yield _case(f"{kind}, place", name, target, _placed(target.file, change), told)
    yield from of_headers.of_headers()


def _case(kind: str, name: str, target: Target, damage: Callable[[Path], None], told: bool) -> Case:
    return Case(kind, name, target.command, target.source, target.run, damage, told)
