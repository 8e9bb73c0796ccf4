"""The rows of the table in docs/data.md ("What to type for which data"): for each, a small input and what is read of it.

A row's second cell is run as it stands, in a folder that holds the input.
"""

import io
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import h5py
import numpy as np
import torch
from PIL import Image

RNG = np.random.default_rng(0)


class Kind(NamedTuple):
    """`make(folder)` writes the input, or returns what the row names in Python. counts: images of training, validation and test;
    `refused`: words of the error instead."""

    make: Callable[[Path], object]
    counts: tuple[int, int, int] = (0, 0, 0)
    shape: tuple[int, int, int] = (1, 16, 16)
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # words of which a note holds each
    refused: str = ""


def grey(n: int) -> np.ndarray:
    """uint8 [n, 16, 16]"""
    return RNG.integers(0, 256, (n, 16, 16), np.uint8)


def deep(n: int) -> np.ndarray:
    """uint16 [n, 16, 16] of 12 bits, each with both ends"""
    found = RNG.integers(0, 4096, (n, 16, 16), np.uint16)
    found[:, 0, :2] = 0, 4095
    return found


def files(folder: Path, arrays: Iterable[np.ndarray], suffix: str = "png") -> None:
    """Picture files in `pics`."""
    (folder / "pics").mkdir()
    for number, array in enumerate(arrays):
        Image.fromarray(array).save(folder / "pics" / f"{number:02}.{suffix}")


def labels(n: int) -> np.ndarray:
    return np.arange(n) % 3


def medical(folder: Path) -> None:
    sizes = {"train": 40, "val": 10, "test": 10}
    arrays = {f"{split}_images": grey(n) for split, n in sizes.items()}
    np.savez(folder / "med.npz", **arrays, **{f"{split}_labels": labels(n)[:, None] for split, n in sizes.items()})


def keras(folder: Path) -> None:
    np.savez(folder / "k.npz", x_train=grey(40), y_train=labels(40), x_test=grey(10), y_test=labels(10))


def sprites(folder: Path) -> None:
    metadata = np.array({"author": "someone"}, dtype=object)
    np.savez(folder / "sprites.npz", imgs=grey(40) > 99, latents_classes=np.zeros((40, 6), int), metadata=metadata)


def positional(folder: Path) -> None:
    np.savez(folder / "arrays.npz", grey(40), labels(40))


def unnamed(folder: Path) -> None:
    np.savez(folder / "a.npz", stuff=grey(40))


def several(folder: Path) -> None:
    (folder / "arrays").mkdir()
    for name, array in {"X_train": grey(40), "y_train": np.eye(3)[labels(40)], "X_test": grey(10)}.items():
        np.save(folder / "arrays" / f"{name}.npy", array)


def pickled(folder: Path) -> None:
    np.save(folder / "objects.npy", np.array([grey(2), None], dtype=object))


def from_1(folder: Path) -> None:
    np.savez(folder / "letters.npz", images=grey(40), label=labels(40) + 1)


def pictures(folder: Path, n: int, name: str = "{}.png", side: int = 16) -> None:
    """n grey pictures below `folder`, of these names."""
    for i in range(n):
        path = folder / name.format(i)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (side, side), np.uint8)).save(path)


def tree(**folders: int) -> Callable[[Path], None]:
    """So many pictures in each folder of `pics`; `__` stands for `/`, and `loose` for no folder."""

    def make(folder: Path) -> None:
        for name, n in folders.items():
            pictures(folder / "pics" / name.replace("__", "/").replace("loose", ""), n)

    return make


def tiny_imagenet(folder: Path) -> None:
    for name in ("n01", "n02"):
        pictures(folder / "tiny" / "train" / name / "images", 10, "{}.JPEG")
    pictures(folder / "tiny" / "val" / "images", 6, "{}.JPEG")
    pictures(folder / "tiny" / "test" / "images", 4, "{}.JPEG")
    rows = [f"{i}.JPEG\tn0{i % 2 + 1}\t0\t0\t9\t9\n" for i in range(6)]
    (folder / "tiny" / "val" / "val_annotations.txt").write_text("".join(rows))


def frames(folder: Path) -> None:
    for video in range(10):
        pictures(folder / "frames", 4, f"video{video}_{{}}.png")


def broken(folder: Path) -> None:
    pictures(folder / "pics", 5)
    for name in ("a.png", "b.png"):
        (folder / "pics" / name).write_text("no picture")


def competition(folder: Path) -> None:
    head = ",".join(["label", *(f"pixel{i}" for i in range(256))])
    rows = [",".join(map(str, [i % 3, *image.flatten()])) for i, image in enumerate(grey(20))]
    (folder / "train.csv").write_text("\n".join([head, *rows]))


def emotions(folder: Path) -> None:
    usages = ["Training"] * 12 + ["PublicTest"] * 4 + ["PrivateTest"] * 4
    rows = [
        f'{i % 3},"{" ".join(map(str, x.flatten()))}",{usage}'
        for i, (x, usage) in enumerate(zip(grey(20), usages, strict=True))
    ]
    (folder / "fer.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]))


def colours(folder: Path) -> None:
    (folder / "colours.csv").write_text("\n".join(",".join(["7"] * 768) for _ in range(9)))


def stacks(folder: Path) -> None:
    (folder / "stacks").mkdir()
    for i in range(10):
        first, *others = map(Image.fromarray, grey(3))
        first.save(folder / "stacks" / f"{i}.tif", save_all=True, append_images=others)


def windows_zip(folder: Path) -> None:
    pictures(folder / "here", 10)
    with zipfile.ZipFile(folder / "pics.zip", "w") as archive:
        for i, path in enumerate(sorted((folder / "here").iterdir())):
            info = zipfile.ZipInfo("x")
            info.filename = f"pics\\{('cat', 'dog')[i % 2]}\\{path.name}"  # as written, without its change to slashes
            archive.writestr(info, path.read_bytes())


def zip_in_zip(folder: Path) -> None:
    pictures(folder / "here", 4)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        for path in sorted((folder / "here").iterdir()):
            archive.write(path, path.name)
    with zipfile.ZipFile(folder / "outer.zip", "w") as archive:
        archive.writestr("inner.zip", inner.getvalue())


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def dotted_idx(folder: Path) -> None:
    (folder / "digits").mkdir()
    for part, n in (("train", 18), ("t10k", 4)):
        (folder / "digits" / f"{part}-images.idx3-ubyte").write_bytes(idx(grey(n)))
        (folder / "digits" / f"{part}-labels.idx1-ubyte").write_bytes(idx(labels(n).astype(np.uint8)))


def own_module(folder: Path) -> None:
    (folder / "mine.py").write_text(
        "import torch\nfrom torch.utils.data import TensorDataset\n\n"
        "def faces():\n    return TensorDataset(torch.arange(40 * 256).view(40, 1, 16, 16).byte(), torch.arange(40) % 3)\n"
    )


def tensors(folder: Path) -> dict[str, object]:
    return {"images": torch.from_numpy(grey(40)), "labels": torch.from_numpy(labels(40))}


def torch_dataset(folder: Path) -> dict[str, object]:
    data = [(torch.from_numpy(image[None]), int(label)) for image, label in zip(grey(40), labels(40), strict=True)]
    return {"train_set": data[:30], "test_set": data[30:]}


def pillow(folder: Path) -> dict[str, object]:
    return {"pictures": [Image.fromarray(image) for image in grey(40)]}


def hdf5(folder: Path) -> None:
    with h5py.File(folder / "a.h5", "w") as file:
        file["train/images"], file["train/labels"] = grey(30), labels(30)
        file.create_dataset("test/images", data=grey(10), compression="gzip")
        file["test/labels"] = labels(10)
        file["about"] = "words"


class OfHuggingFace:
    """What `datasets.load_from_disk` returns, as far as it is asked: items are dicts, and features name the classes."""

    def __init__(self, number: int) -> None:
        self.images = grey(number)
        self.features = {"image": object(), "label": SimpleNamespace(names=["cat", "dog", "hen"])}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> dict[str, object]:
        return {"image": Image.fromarray(self.images[place]), "label": place % 3}


def hugging_face(folder: Path) -> dict[str, object]:
    return {"faces": {"train": OfHuggingFace(30), "test": OfHuggingFace(10)}}


DIGITS = ("0", "1", "2")


def shaped(*sizes: tuple[int, int]) -> Callable[[Path], None]:
    """Ten grey pictures of each (height, width)."""

    def make(folder: Path) -> None:
        (folder / "pics").mkdir()
        for number in range(10 * len(sizes)):
            array = RNG.integers(0, 256, sizes[number % len(sizes)], np.uint8)
            Image.fromarray(array).save(folder / "pics" / f"{number}.png")

    return make


MIXED = shaped((30, 50), (50, 30), (40, 40), (24, 80))


def pairs(values: tuple[object, ...], suffix: str = "png") -> Callable[[Path], None]:
    """Ten pictures in pets/images, and in pets/masks label maps of rows of these values, grey or colours."""

    def make(folder: Path) -> None:
        rows = np.array(values, np.uint8)[(np.arange(16) + 3) % 16 * len(values) // 16]  # in no block of JPEG
        mask = np.repeat(rows[:, None], 16, 1)
        for side in ("images", "masks"):
            (folder / "pets" / side).mkdir(parents=True)
        for number, picture in enumerate(grey(10)):
            Image.fromarray(picture).save(folder / "pets" / "images" / f"{number}.png")
            Image.fromarray(mask).save(
                folder / "pets" / "masks" / f"{number}.{suffix}", **({"quality": 50} if suffix == "jpg" else {})
            )

    return make


def named_pairs(folder: Path) -> None:
    pairs((0, 1, 2))(folder)
    (folder / "pets" / "classes.csv").write_text("value,name\n0,nothing\n1,cat\n2,dog\n")


KINDS = {
    "images in one array": Kind(lambda folder: np.save(folder / "images.npy", grey(40)), (32, 4, 4)),
    "the same, larger than memory": Kind(lambda folder: np.save(folder / "images.npy", grey(40)), (32, 4, 4)),
    "arrays of splits (MedMNIST)": Kind(medical, (40, 10, 10), classes=DIGITS),
    "arrays of splits (Keras), one missing": Kind(keras, (36, 4, 10), classes=DIGITS, notes=("validation: 10 %",)),
    "images among other arrays (dSprites)": Kind(
        sprites, (32, 4, 4), notes=("not used: 'latents_classes', 'metadata'", "black and white")
    ),
    "arrays in HDF5": Kind(hdf5, (27, 3, 10), classes=DIGITS, notes=("not used: 'about'",)),
    "arrays saved without names": Kind(positional, (32, 4, 4), classes=DIGITS),
    "arrays of other names": Kind(unnamed, refused="holds stuff: name the images 'images'"),
    "a folder of arrays, labels one-hot": Kind(
        several, (36, 4, 10), classes=DIGITS, notes=("images without labels: those of test",)
    ),
    "numbers of more than 8 bits": Kind(
        lambda folder: np.save(folder / "ct.npy", deep(40).astype(np.int16) - 1024),
        (32, 4, 4),
        notes=("whole numbers from -1024 to 3071 in the training images become 0 to 1, 4,096 levels",),
    ),
    "the same, with a range": Kind(
        lambda folder: np.save(folder / "ct.npy", deep(40).astype(np.int16) - 1024),
        (32, 4, 4),
        notes=("values of train lie outside -1000 to 1000",),
    ),
    "floats in [0, 1]": Kind(lambda folder: np.save(folder / "floats.npy", RNG.random((40, 16, 16))), (32, 4, 4)),
    "floats in [0, 1], in a quarter of the memory": Kind(
        lambda folder: np.save(folder / "floats.npy", RNG.random((40, 16, 16))), (32, 4, 4)
    ),
    "floats of another range": Kind(
        lambda folder: np.save(folder / "z.npy", RNG.standard_normal((40, 16, 16))),
        (32, 4, 4),
        notes=("in the training images become 0 to 1",),
    ),
    "bytes in another type (0 to 255 as int32 or floats, / 255, * 257)": Kind(
        lambda folder: np.save(folder / "int32.npy", grey(40).astype(np.int32)),
        (32, 4, 4),
        notes=("whole numbers of 0 to 255: read as 8 bits",),
    ),
    "images of one value": Kind(
        lambda folder: np.save(folder / "flat.npy", np.full((40, 16, 16), 1000)), refused="tells no range: give one"
    ),
    "NaN or infinite pixels": Kind(
        lambda folder: np.save(folder / "gaps.npy", np.full((40, 16, 16), np.nan)), refused="NaN or infinite pixels"
    ),
    "pictures of more than 8 bits (PNG, TIFF, PGM)": Kind(
        lambda folder: files(folder, deep(40)),
        (32, 4, 4),
        notes=("whole numbers from 0 to 4095 in the training images become 0 to 1, 4,096 levels",),
    ),
    "the same, as 8 bits": Kind(
        lambda folder: files(folder, deep(40)), (32, 4, 4), notes=("more than 8 bits are rounded to them",)
    ),
    "some pictures of more than 8 bits": Kind(
        lambda folder: files(folder, [*deep(20), *grey(20)]),
        (32, 4, 4),
        notes=("20 of 40 pictures have more than 8 bits: all are read as 8 bits",),
    ),
    "TIFFs of floats": Kind(
        lambda folder: files(folder, RNG.random((40, 16, 16)).astype(np.float32), "tif"), (32, 4, 4)
    ),
    "pictures that are transparent in parts": Kind(
        lambda folder: files(folder, RNG.integers(0, 256, (40, 16, 16, 4), np.uint8)), (32, 4, 4), (3, 16, 16)
    ),
    "the same, with what is transparent": Kind(
        lambda folder: files(folder, RNG.integers(0, 256, (40, 16, 16, 4), np.uint8)), (32, 4, 4), (4, 16, 16)
    ),
    "any number of channels": Kind(
        lambda folder: np.save(folder / "bands.npy", RNG.integers(0, 256, (40, 5, 16, 16), np.uint8)),
        (32, 4, 4),
        (5, 16, 16),
    ),
    "channels last": Kind(
        lambda folder: np.save(folder / "bands.npy", RNG.integers(0, 256, (40, 16, 16, 12), np.uint8)),
        (32, 4, 4),
        (12, 16, 16),
    ),
    "a shape that does not tell the channels": Kind(
        lambda folder: np.save(folder / "bands.npy", RNG.integers(0, 256, (40, 10, 24, 16), np.uint8)),
        refused="add --layout first for [N, C, H, W]",
    ),
    "the same, told": Kind(
        lambda folder: np.save(folder / "bands.npy", RNG.integers(0, 256, (40, 10, 24, 16), np.uint8)),
        (32, 4, 4),
        (10, 24, 16),
    ),
    "labels from 1": Kind(from_1, (32, 4, 4), classes=(*DIGITS, "3"), notes=("do labels run from 1? subtract 1",)),
    "arrays of Python objects": Kind(pickled, refused="holds Python objects"),
    "a folder of pictures": Kind(tree(loose=20), (16, 2, 2)),
    "a folder a class (torchvision's ImageFolder)": Kind(tree(cat=10, dog=10), (16, 2, 2), classes=("cat", "dog")),
    "folders of splits, with other things beside them": Kind(
        tree(train__cat=10, train__dog=10, test__cat=3, test__dog=3, docs=2, loose=1),
        (18, 2, 6),
        classes=("cat", "dog"),
        notes=("left out: 3 (2 in docs/; 1 in no folder)",),
    ),
    "folders of splits under other names": Kind(
        tree(seg_train__seg_train__cat=10, seg_train__seg_train__dog=10, seg_test__seg_test__cat=4, seg_pred=5),
        (18, 2, 4),
        classes=("cat", "dog"),
        notes=("left out: 5 (5 in seg_pred/)",),
    ),
    "a class that training lacks": Kind(
        tree(train__a=10, train__b=10, test__b=2, test__c=2),
        (18, 2, 4),
        classes=("a", "b", "c"),
        notes=("classes without a training image, which no model can learn: c",),
    ),
    "Tiny ImageNet": Kind(
        tiny_imagenet, (20, 6, 4), classes=("n01", "n02"), notes=("pictures without labels: all of test",)
    ),
    "video frames, or several pictures of a patient": Kind(
        frames, (32, 4, 4), notes=("none of which is torn apart: 10, of 40 pictures",)
    ),
    "a zip that Windows made": Kind(windows_zip, (8, 1, 1), classes=("cat", "dog")),
    "a zip in a zip": Kind(zip_in_zip, refused="holds no pictures but 1 .zip (first 'inner.zip'): unpack it"),
    "TIFFs with several pages": Kind(stacks, (8, 1, 1), notes=("20 are left out", "--pages images")),
    "pages of TIFFs as pictures": Kind(stacks, (24, 3, 3), notes=("30 of 10 TIFFs",)),
    "pages of TIFFs as pictures, a file in one split": Kind(stacks, (24, 3, 3), notes=("torn apart: 10",)),
    "pages of TIFFs as channels": Kind(stacks, (8, 1, 1), shape=(3, 16, 16), notes=("their channels",)),
    "a table of pixels with labels (Kaggle)": Kind(competition, (16, 2, 2), classes=DIGITS),
    "a table with pixels in one column and splits (FER2013)": Kind(emotions, (12, 4, 4), classes=DIGITS),
    "a table of pixels in colour": Kind(colours, refused="768 columns of pixels, which are no square of grey"),
    "MNIST's files with a dot in their names": Kind(dotted_idx, (15, 3, 4), classes=tuple("0123456789")),
    "a torch Dataset of one's own": Kind(own_module, (32, 4, 4), classes=DIGITS),
    "a tensor or an array in Python": Kind(tensors, (32, 4, 4)),
    "images and labels in Python": Kind(tensors, (32, 4, 4), classes=DIGITS),
    "torch Datasets in Python, a split each": Kind(
        torch_dataset, (27, 3, 10), classes=DIGITS, notes=("validation: 10 %",)
    ),
    "a data set of Hugging Face": Kind(
        hugging_face, (27, 3, 10), classes=("cat", "dog", "hen"), notes=("validation: 10 %",)
    ),
    "a list of pictures in Python": Kind(pillow, (32, 4, 4)),
    "faces in one array, 28 x 20 (Frey)": Kind(
        lambda folder: np.save(folder / "frey.npy", RNG.integers(0, 256, (40, 28, 20), np.uint8)),
        (32, 4, 4),
        shape=(1, 28, 20),
    ),
    "pictures of one size, such as microscopy of 120 x 200": Kind(
        shaped((120, 200)), (8, 1, 1), shape=(1, 120, 200), notes=("keep the shape of the pictures, 120 x 200",)
    ),
    "larger pictures of one size, such as street scenes": Kind(
        shaped((256, 512)), (8, 1, 1), shape=(1, 64, 128), notes=("256 x 512 pixels (height x width)", "--size")
    ),
    "the same as squares": Kind(shaped((256, 512)), (8, 1, 1), shape=(1, 64, 64), notes=("the central square",)),
    "pictures of several shapes": Kind(
        MIXED, (32, 4, 4), shape=(1, 24, 24), notes=("24 x 80 pixels (height x width)",)
    ),
    "the same as rectangles": Kind(MIXED, (32, 4, 4), shape=(1, 24, 40), notes=("central part of that shape",)),
    "the same, with nothing cut off": Kind(MIXED, (32, 4, 4), shape=(1, 24, 40), notes=("with black beside them",)),
    "broken pictures": Kind(broken, refused="2 pictures that cannot be read: a.png"),
    "broken pictures, left out": Kind(broken, (3, 1, 1), notes=("that cannot be read are left out: 2",)),
    "pictures with label maps": Kind(pairs((0, 1, 2)), (8, 1, 1), notes=("masks hold 3 values, 0 to 2",)),
    "label maps of two values, such as 0 and 128": Kind(
        pairs((0, 128)), (8, 1, 1), notes=("0 and 128: background and foreground",)
    ),
    "label maps from 1 (Oxford pets)": Kind(pairs((1, 2, 3)), (8, 1, 1), notes=("1 to 3, which become labels 0 to 2",)),
    "label maps in colours": Kind(
        pairs(((0, 0, 0), (255, 0, 0), (0, 0, 255))), (8, 1, 1), notes=("3 colours: 0 black, 1 blue, 2 red",)
    ),
    "label maps that JPEG has blurred": Kind(
        pairs((0, 255), "jpg"), refused="(JPEG makes such values): --mask-levels 0,255"
    ),
    "the same, with the values that were drawn": Kind(
        pairs((0, 255), "jpg"), (8, 1, 1), notes=("the nearest of 0, 255: background and foreground",)
    ),
    "label maps of values that leave gaps": Kind(pairs((0, 3, 9)), refused="--remap 0:0,3:1,9:2"),
    "the same, with a label for each": Kind(pairs((0, 3, 9)), (8, 1, 1), notes=("--remap makes 2 labels",)),
    "label maps with names of their values": Kind(named_pairs, (8, 1, 1), notes=("masks hold 3 values",)),
}
