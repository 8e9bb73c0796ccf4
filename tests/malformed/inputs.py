"""Small valid inputs, and small runs: made once, copied for each case."""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)
SIDE = 16
PICTURES = 12
CIFAR = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
MNIST = {
    "train-images-idx3-ubyte": 30,
    "train-labels-idx1-ubyte": 30,
    "t10k-images-idx3-ubyte": 6,
    "t10k-labels-idx1-ubyte": 6,
}
FORMATS = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "tif": "TIFF", "bmp": "BMP", "webp": "WEBP", "ppm": "PPM"}


def pixels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, np.uint8)


def packed(picture: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, kind, **options)
    return out.getvalue()


def _arrays(folder: Path) -> None:
    images, labels = pixels(30, 8, 8), np.arange(30) % 3
    np.save(folder / "bytes.npy", images)
    np.save(folder / "floats.npy", (images / 255).astype(np.float32))
    np.savez(folder / "plain.npz", images=images, labels=labels)
    np.savez_compressed(folder / "compressed.npz", images=images, labels=labels)
    np.savez(folder / "splits.npz", x_train=images[:20], y_train=labels[:20], x_test=images[20:], y_test=labels[20:])


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def _mnist(pack: Callable[[bytes], bytes], suffix: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name, n in MNIST.items():
            array = pixels(n, 28, 28) if "images" in name else np.arange(n).astype(np.uint8) % 10
            (folder / f"{name}{suffix}").write_bytes(pack(idx(array)))

    return make


def _folder(suffix: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for i in range(PICTURES):
            path = folder / "ab"[i % 2] / f"{i}.{suffix}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(packed(pixels(SIDE, SIDE, 3), FORMATS[suffix]))

    return make


def _zip(compression: int) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        with zipfile.ZipFile(folder / "pictures.zip", "w", compression) as archive:
            for i in range(PICTURES):
                archive.writestr(f"{'ab'[i % 2]}/{i}.bmp", packed(pixels(SIDE, SIDE, 3), "BMP"))

    return make


def _cifar(folder: Path) -> None:
    for name in CIFAR:
        records = np.concatenate([np.arange(10, dtype=np.uint8)[:, None], pixels(10, 3072)], 1)
        (folder / name).write_bytes(records.tobytes())


def _cifar_tar(folder: Path) -> None:
    plain = folder / "plain"
    plain.mkdir()
    _cifar(plain)
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        archive.add(plain, "cifar-10-batches-bin")
    for path in plain.iterdir():
        path.unlink()
    plain.rmdir()


def _celeba(folder: Path) -> None:
    names = [f"{i:06}.jpg" for i in range(1, PICTURES + 1)]
    (folder / "img_align_celeba").mkdir()
    for name in names:
        (folder / "img_align_celeba" / name).write_bytes(packed(pixels(218, 178, 3), "JPEG"))
    rows = [f"{name} {(-1) ** i} {(-1) ** (i // 2)} 1" for i, name in enumerate(names)]
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(PICTURES), "Male Smiling Young", *rows]) + "\n")
    splits = [f"{name} {0 if i < 8 else 1 if i < 10 else 2}" for i, name in enumerate(names)]
    (folder / "list_eval_partition.txt").write_text("\n".join(splits) + "\n")


def _pairs(folder: Path) -> None:
    for side in ("images", "masks"):
        (folder / side).mkdir()
    for i in range(PICTURES):
        mask = np.kron(RNG.integers(0, 2, (4, 4)), np.ones((4, 4))).astype(np.uint8)
        (folder / "images" / f"{i}.png").write_bytes(packed(pixels(SIDE, SIDE)))
        (folder / "masks" / f"{i}.png").write_bytes(packed(mask * 255))


def _cub(folder: Path) -> None:
    names = [f"00{i % 2 + 1}.bird/{i}.jpg" for i in range(PICTURES)]
    for name in names:
        for side, data in (
            ("images", packed(pixels(SIDE, SIDE, 3), "JPEG")),
            ("segmentations", packed(np.tile(np.uint8([0, 255]), (SIDE, SIDE // 2)))),
        ):
            path = folder / side / (name if side == "images" else name.replace(".jpg", ".png"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    (folder / "images.txt").write_text("".join(f"{i + 1} {name}\n" for i, name in enumerate(names)))
    (folder / "train_test_split.txt").write_text("".join(f"{i + 1} {int(i < 8)}\n" for i in range(PICTURES)))
    (folder / "classes.txt").write_text("1 001.bird\n2 002.bird\n")


def _lfw(folder: Path) -> None:
    lists: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for i in range(PICTURES):
        person = f"Person_{i}"
        lists["train" if i < 8 else "validation" if i < 10 else "test"].append(f"{person} 1")
        image = folder / "lfw_funneled" / person / f"{person}_0001.jpg"
        image.parent.mkdir(parents=True)
        image.write_bytes(packed(pixels(SIDE, SIDE, 3), "JPEG"))
        mask = np.zeros((SIDE, SIDE, 3), np.uint8)
        mask[:8, :, 0], mask[8:, :, 2] = 255, 255
        path = folder / "parts_lfw_funneled_gt_images" / f"{person}_0001.ppm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(packed(mask, "PPM"))
    for name, rows in lists.items():
        (folder / f"parts_{name}.txt").write_text("\n".join(rows) + "\n")


def _shards(folder: Path) -> None:
    from reparam.data import DataOptions, load
    from reparam.data.sources.shard_writing import write_shards

    (folder.parent / "to-pack").mkdir(exist_ok=True)
    _folder("png")(folder.parent / "to-pack")
    folder.rmdir()
    write_shards(load(f"folder:{folder.parent / 'to-pack'}", DataOptions()), folder, workers=0)


def _single(folder: Path) -> None:
    (folder / "picture.png").write_bytes(packed(pixels(8, 8)))
    (folder / "photo.jpg").write_bytes(packed(pixels(20, 20, 3), "JPEG"))
    (folder / "mask.png").write_bytes(packed(np.kron(np.eye(2), np.ones((4, 4))).astype(np.uint8) * 255))


def _compressed(folder: Path) -> None:
    import torch

    import reparam

    run = reparam.load(folder.parent / "run-ae", device="cpu")
    (folder / "images.rpz").write_bytes(run.compress(torch.rand(20, 1, 8, 8)))


SOURCES: dict[str, Callable[[Path], None]] = {
    "arrays": _arrays,
    "mnist": _mnist(bytes, ""),
    "mnist-gz": _mnist(lambda data: gzip.compress(data, 1), ".gz"),
    **{f"folder-{suffix}": _folder(suffix) for suffix in FORMATS},
    "zip-stored": _zip(zipfile.ZIP_STORED),
    "zip-deflated": _zip(zipfile.ZIP_DEFLATED),
    "cifar": _cifar,
    "cifar-tar": _cifar_tar,
    "celeba": _celeba,
    "pairs": _pairs,
    "cub": _cub,
    "lfw": _lfw,
    "shards": _shards,
    "single": _single,
    "rpz": _compressed,
}

DATA = "array:{base}/arrays/plain.npz"
_SMALL = {"epochs": 1, "pictures": 0, "batch_size": 8, "device": "cpu", "log_every": 1, "latent": 2, "hidden": (8,)}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", _SMALL),
    "vae-again": ("vae", {**_SMALL, "seed": 1}),
    "ae": ("ae", _SMALL),
    "gmvae": ("gmvae", {**_SMALL, "components": 3}),
    "gvae": ("gvae", _SMALL),
    "gan": ("gan", {**_SMALL, "network": "mlp"}),
    "boxes": ("cvae", {**_SMALL, "task": "boxes", "hidden": (8, 8)}),
    "classes": ("cvae", {**_SMALL, "task": "labelled", "hidden": (8, 8)}),
    "segment": (
        "cvae",
        {**_SMALL, "task": "segmentation", "data": "pairs:{base}/pairs", "size": 8, "network": "mlp", "hidden": (8, 8)},
    ),
    "shards": ("vae", {**_SMALL, "data": "shards:{base}/shards", "workers": 0}),
}


def make(base: Path, name: str) -> None:
    """The input or run `name` in the folder `base`."""
    (_make_run if name.startswith("run-") else _make_source)(base, name)


def needed(name: str) -> list[str]:
    """What has to be there before an input or run can be made."""
    if name == "rpz":
        return ["run-ae"]
    if not name.startswith("run-"):
        return []
    data = RUNS[name.removeprefix("run-")][1].get("data", DATA)
    return [data.split("{base}/")[1].split("/")[0]]


def _make_source(base: Path, name: str) -> None:
    (base / name).mkdir()
    SOURCES[name](base / name)


def _make_run(base: Path, name: str) -> None:
    """With a page and figures, and as if it was cut off at its last checkpoint: `resume` has something to do."""
    import reparam

    model, options = RUNS[name.removeprefix("run-")]
    options = {"data": DATA, **options}
    data = options.pop("data").format(base=base)
    run = reparam.train(model, data=data, out=base / name, **options)
    if name == "run-vae":
        run.evaluate(["psnr", "kl"])
    status = run.path / "status.json"
    status.write_text(json.dumps({**json.loads(status.read_text()), "state": "running"}))
