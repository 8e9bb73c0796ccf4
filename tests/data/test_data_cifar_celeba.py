"""CIFAR-10 and CelebA in the layouts they are published in."""

import io
import os
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from reparam.data import DataOptions, load
from reparam.data.sources.cifar import CLASSES

RNG = np.random.default_rng(0)
TRAIN = [f"data_batch_{i}.bin" for i in range(1, 6)]


def binary(folder, each=4, test=6):
    """The official binary files in small: pixels and labels of train, then test."""
    folder.mkdir(parents=True, exist_ok=True)
    n = 5 * each + test
    pixels, labels = RNG.integers(0, 256, (n, 3, 32, 32), np.uint8), RNG.integers(0, 10, n, np.uint8)
    records = np.concatenate([labels[:, None], pixels.reshape(n, -1)], 1)
    for i, name in enumerate([*TRAIN, "test_batch.bin"]):
        (folder / name).write_bytes(records[i * each : (i + 1) * each if i < 5 else n].tobytes())
    return torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64))


def tarred(folder, target):
    with tarfile.open(target, "w:gz") as archive:
        archive.add(folder, "cifar-10-batches-bin")
    return target


@pytest.mark.parametrize("layout", ["files", "subfolder", "tar in folder", "tar"])
def test_binary_cifar_is_read_back_exactly(tmp_path, layout):
    root = tmp_path / "c"
    pixels, labels = binary(
        root / "cifar-10-batches-bin" if layout == "subfolder" else tmp_path / "b" if "tar" in layout else root
    )
    root.mkdir(exist_ok=True)
    if "tar" in layout:
        tarred(tmp_path / "b", root / "cifar-10-binary.tar.gz")
    data = load(f"cifar10:{root / 'cifar-10-binary.tar.gz' if layout == 'tar' else root}")
    for split, (start, stop) in {"train": (0, 18), "validation": (18, 20), "test": (20, 26)}.items():
        assert torch.equal(data.split(split).images, pixels[start:stop])
        assert torch.equal(data.split(split).labels, labels[start:stop])
    assert data.classes == CLASSES
    assert data.shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("data_batch_2.bin", lambda d: d[:-1], "truncated"),
        ("data_batch_2.bin", lambda d: d[:-3073], "differ in length"),
        ("data_batch_5.bin", lambda d: None, "data_batch_5.bin is missing"),
        ("test_batch.bin", lambda d: b"", "0 bytes"),
        ("test_batch.bin", lambda d: b"\x0a" + d[1:], "label 10"),
    ],
)
def test_malformed_binary_cifar_is_refused(tmp_path, name, change, words, refused):
    binary(tmp_path)
    path = tmp_path / name
    data = change(path.read_bytes())
    path.unlink() if data is None else path.write_bytes(data)
    with refused(words):
        load(f"cifar10:{tmp_path}")


def test_a_batch_that_is_no_plain_file_or_too_large_is_refused(tmp_path, refused):
    binary(tmp_path)
    os.truncate(tmp_path / "data_batch_3.bin", 2**40)  # a file with holes
    with refused("data_batch_3.bin has 1048576 MiB"):
        load(f"cifar10:{tmp_path}")


def test_a_tar_without_a_batch_is_refused(tmp_path, refused):
    binary(tmp_path / "b")
    (tmp_path / "b" / "data_batch_3.bin").unlink()
    with refused("data_batch_3.bin has 0 bytes"):
        load(f"cifar10:{tarred(tmp_path / 'b', tmp_path / 'cifar-10-binary.tar.gz')}")


def class_folders(folder, train=10, test=3):
    seen = {}
    for split, n in (("train", train), ("test", test)):
        for label, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for i in range(n):
                pixels = RNG.integers(0, 256, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i:04}.png")
                seen[pixels.transpose(2, 0, 1).tobytes()] = (split, label)
    return seen


@pytest.mark.parametrize("form", ["folders", "zips", "zips with train/ inside"])
def test_cifar_from_pictures(tmp_path, form):
    seen, root = class_folders(tmp_path / "p"), tmp_path / "p"
    if form != "folders":
        root = tmp_path / "z"
        root.mkdir()
        for split in ("train", "test"):
            with zipfile.ZipFile(root / f"{split}.zip", "w") as archive:
                for path in (tmp_path / "p" / split).rglob("*.png"):
                    archive.write(path, path.relative_to(tmp_path / "p" / ("" if "inside" in form else split)))
    data = load(f"cifar10:{root}")
    assert [len(data.split(s)) for s in ("train", "validation", "test")] == [90, 10, 30]
    assert torch.bincount(data.validation.labels).tolist() == [1] * 10
    for split in ("train", "validation", "test"):
        for x, y in zip(data.split(split).images, data.split(split).labels.tolist(), strict=True):
            assert seen[x.numpy().tobytes()] == ("test" if split == "test" else "train", y)
    assert any("not the official bytes" in note for note in data.notes)


def test_other_classes_and_empty_folders_are_refused(tmp_path, refused):
    with refused("no CIFAR-10"):
        load(f"cifar10:{tmp_path}")
    class_folders(tmp_path, train=1, test=1)
    (tmp_path / "train" / "dog").rename(tmp_path / "train" / "dogg")
    with refused("did you mean 'dog'"):
        load(f"cifar10:{tmp_path}")


NAMES = [f"{i:06}.jpg" for i in range(1, 13)]
MALE = [i % 2 for i in range(12)]
SMILING = [i // 2 % 2 for i in range(12)]
YOUNG = [i % 3 == 0 for i in range(12)]
PARTITION = [0, 0, 2, 0, 1, 0, 0, 0, 1, 2, 0, 0]


def celeba(root, zipped=True, deep=False, header="Male Smiling Young"):
    """The official layout with 12 pictures, the central square of picture i being uniformly 20 * i."""
    anno, partition, pictures = (root / d if deep else root for d in ("Anno", "Eval", "Img"))
    for folder in (anno, partition, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    rows = (
        f"{n}  " + "  ".join("1" if v else "-1" for v in values)
        for n, *values in zip(NAMES, MALE, SMILING, YOUNG, strict=True)
    )
    (anno / "list_attr_celeba.txt").write_text(f"12\n{header}\n" + "\n".join(rows) + "\n")
    (partition / "list_eval_partition.txt").write_text(
        "".join(f"{n} {s}\n" for n, s in zip(NAMES, PARTITION, strict=True))
    )
    (pictures / "img_align_celeba").mkdir()
    for i, name in enumerate(NAMES):
        pixels = np.full((218, 178, 3), 255, np.uint8)
        pixels[20:198] = 20 * i
        Image.fromarray(pixels).save(pictures / "img_align_celeba" / name, quality=95)
    if zipped:
        with zipfile.ZipFile(pictures / "img_align_celeba.zip", "w") as archive:
            for name in NAMES:
                archive.write(pictures / "img_align_celeba" / name, f"img_align_celeba/{name}")
                (pictures / "img_align_celeba" / name).unlink()
        (pictures / "img_align_celeba").rmdir()
    return root


@pytest.mark.parametrize(("zipped", "deep"), [(True, False), (False, False), (True, True)])
def test_celeba_splits_pictures_and_labels(tmp_path, zipped, deep):
    data = load(f"celeba:{celeba(tmp_path / 'c', zipped, deep)}")
    assert data.shape == (3, 64, 64)
    assert data.classes == ("not Male+not Smiling", "not Male+Smiling", "Male+not Smiling", "Male+Smiling")
    for number, split in enumerate(("train", "validation", "test")):
        members = [i for i in range(12) if PARTITION[i] == number]
        part = data.split(split)
        means = part.images.float().mean((1, 2, 3)).tolist()
        assert means == pytest.approx([20 * i for i in members], abs=2)  # and nothing of the white border
        assert part.labels.tolist() == [2 * MALE[i] + SMILING[i] for i in members]


@pytest.mark.parametrize(
    ("attributes", "classes", "labels"),
    [
        (("Young",), ("not Young", "Young"), [int(v) for v in YOUNG]),
        (("Smiling", "Young"), None, [2 * s + y for s, y in zip(SMILING, YOUNG, strict=True)]),
        (("Young", "Male", "Smiling"), None, [4 * y + 2 * m + s for y, m, s in zip(YOUNG, MALE, SMILING, strict=True)]),
    ],
)
def test_celeba_attributes(tmp_path, attributes, classes, labels):
    data = load(f"celeba:{celeba(tmp_path / 'c')}", DataOptions(attributes=attributes, size=16))
    assert data.shape == (3, 16, 16)
    assert len(data.classes) == 2 ** len(attributes)
    assert classes is None or data.classes == classes
    assert data.test.labels.tolist() == [labels[i] for i in range(12) if PARTITION[i] == 2]


def test_celeba_squeezed_keeps_the_border(tmp_path):
    data = load(f"celeba:{celeba(tmp_path / 'c')}", DataOptions(crop="none"))
    assert (data.test.images[:, :, :4] > 240).all()


def test_celeba_without_the_default_attributes_has_no_labels(tmp_path):
    data = load(f"celeba:{celeba(tmp_path / 'c', header='Bald Smiling Young')}")
    assert data.classes == ()
    assert bool((data.train.labels == -1).all())
    assert any("no labels" in note for note in data.notes)


def rewrite(name, change):
    def apply(root):
        path = root / name
        path.write_text(change(path.read_text()))

    return apply


@pytest.mark.parametrize(
    ("damage", "attributes", "words"),
    [
        (lambda root: None, ("Smilling",), "did you mean 'Smiling'"),
        (lambda root: None, ("Male", "Male"), "name each once"),
        (lambda root: (root / "img_align_celeba.zip").unlink(), (), "lacks img_align_celeba.zip"),
        (lambda root: (root / "list_attr_celeba.txt").unlink(), (), "lacks list_attr_celeba.txt"),
        (lambda root: (root / "list_eval_partition.txt").unlink(), (), "lacks list_eval_partition.txt"),
        (rewrite("list_attr_celeba.txt", lambda t: "13" + t[2:]), (), "as its first line says"),
        (rewrite("list_attr_celeba.txt", lambda t: t.replace("000003.jpg  -1", "000003.jpg  7")), (), "line 5"),
        (rewrite("list_attr_celeba.txt", lambda t: t.replace("000003.jpg  -1", "000003.jpg")), (), "line 5"),
        (rewrite("list_attr_celeba.txt", lambda t: t.replace("000003.jpg", "000099.jpg")), (), "lacks 1 pictures"),
        (rewrite("list_eval_partition.txt", lambda t: t.replace("000003.jpg 2", "000003.jpg 5")), (), "line 3"),
        (rewrite("list_eval_partition.txt", lambda t: t.replace(" 1\n", " 0\n")), (), "no picture into validation"),
        (rewrite("list_eval_partition.txt", lambda t: t + "000077.jpg 0\n"), (), "000077.jpg"),
        (rewrite("list_attr_celeba.txt", lambda t: "9" * 5000 + t[2:]), (), "as its first line says"),
        (rewrite("list_attr_celeba.txt", lambda t: "١٢" + t[2:]), (), "as its first line says"),
        (rewrite("list_attr_celeba.txt", lambda t: t + "\0\n"), (), "is not text (it holds NUL)"),
        (
            rewrite("list_attr_celeba.txt", lambda t: "13" + t[2:] + "000001.jpg  1  1  1\n"),
            (),
            "gives '000001.jpg' two different labels",
        ),
        (rewrite("list_eval_partition.txt", lambda t: t + "000001.jpg 1\n"), (), "puts '000001.jpg' into two splits"),
        (lambda root: (root / "list_attr_celeba.txt").write_bytes(b"12\n\xff"), (), "is not text (invalid start byte)"),
    ],
)
def test_malformed_celeba_is_refused(tmp_path, damage, attributes, words, refused):
    root = celeba(tmp_path / "c")
    damage(root)
    with refused(words):
        load(f"celeba:{root}", DataOptions(attributes=attributes))


def test_lists_with_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    plain, root = celeba(tmp_path / "plain"), celeba(tmp_path / "c")
    for name in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        (root / name).write_bytes(b"\xef\xbb\xbf" + (root / name).read_bytes().replace(b"\n", b"\r\n"))
    assert load(f"celeba:{root}").fingerprint == load(f"celeba:{plain}").fingerprint


def test_a_picture_missing_from_the_zip_is_named(tmp_path, refused):
    root = celeba(tmp_path / "c")
    with zipfile.ZipFile(root / "img_align_celeba.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members.pop("img_align_celeba/000004.jpg")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    (root / "img_align_celeba.zip").write_bytes(buffer.getvalue())
    with refused("lacks 1 of the 12 pictures in list_eval_partition.txt (first 000004.jpg)"):
        load(f"celeba:{root}")
