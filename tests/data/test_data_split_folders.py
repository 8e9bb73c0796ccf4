"""Folders that are splits, labels across them, and groups that stay together."""

import random
import re

import numpy as np
import pytest
from PIL import Image

from reparam.data import DataOptions, load
from reparam.data.sources.split_folders import split_of
from reparam.data.splitting import fill_splits, hold_out
from reparam.errors import DataError

SPLITS = ("train", "validation", "test")
RNG = np.random.default_rng(0)


def fill(folder, n, suffix="png"):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        Image.fromarray(RNG.integers(0, 256, (8, 8), np.uint8)).save(folder / f"{i}.{suffix}")
    return folder


def counts(data):
    return tuple(len(data.split(split)) for split in SPLITS)


def said(data, words):
    assert any(words in note for note in data.notes), data.notes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train", (0, "")),
        ("Training", (0, "")),
        ("training_set", (0, "")),
        ("TrainSet", (0, "")),
        ("train_data", (0, "")),
        ("seg_train", (0, "seg")),
        ("val2017", (1, "2017")),
        ("valid", (1, "")),
        ("dev", (1, "")),
        ("test-images", (2, "images")),
        ("testing", (2, "")),
        ("latest", None),
        ("strain", None),
        ("contest_photos", None),
        ("trains", None),
        ("invalid", None),
        ("validated", None),
        ("cat", None),
    ],
)
def test_the_split_that_a_name_states(name, expected):
    assert split_of(name) == expected


@pytest.mark.parametrize(
    ("folders", "sizes", "classes"),
    [
        ({"training_set/a": 12, "training_set/b": 8, "test_set/a": 3}, (18, 2, 3), "ab"),
        (
            {"seg_train/seg_train/a": 8, "seg_train/seg_train/b": 8, "seg_test/seg_test/a": 4, "seg_pred/seg_pred": 9},
            (14, 2, 4),
            "ab",
        ),
        ({"top/train2017": 8, "top/val2017": 4, "top/test2017": 4, "top/extra": 5}, (8, 4, 4), ""),
        ({"train_images": 8, "test_images": 4, "train_labels": 8, "test_labels": 4}, (7, 1, 4), ""),
        (
            {"bottle/train/good": 8, "bottle/test/bad": 4, "cable/train/good": 8, "cable/test/good": 2},
            (14, 2, 6),
            ("bottle", "cable"),
        ),
        ({"train/a": 20, "": 1}, (16, 2, 2), ""),
        ({"train": 6, "bus": 6, "car": 8}, (16, 2, 2), ("bus", "car", "train")),
        ({"val": 10, "test": 10}, (16, 2, 2), ("test", "val")),
    ],
)  # fmt: skip
def test_splits_under_usual_names(tmp_path, folders, sizes, classes):
    for name, n in folders.items():
        fill(tmp_path / name, n)
    data = load(f"folder:{tmp_path}")
    assert counts(data) == sizes
    assert data.classes == tuple(classes)
    if outside := sum(folders.values()) - sum(sizes):
        said(data, f"beside the folders of the splits are left out: {outside}")


def test_classes_with_names_of_splits_are_said(tmp_path):
    fill(tmp_path / "val", 10)
    fill(tmp_path / "test", 10)
    said(load(f"folder:{tmp_path}"), "classes whose names are those of splits: test, val")


def test_what_lies_beside_the_splits_has_no_influence(tmp_path):
    for name in ("train", "test"):
        fill(tmp_path / name, 8)
    plain = load(f"folder:{tmp_path}")
    Image.fromarray(RNG.integers(0, 256, (90, 50, 3), np.uint8)).save(tmp_path / "preview.png")
    fill(tmp_path / "docs", 3)
    (tmp_path / "docs" / "broken.png").write_text("no picture")
    data = load(f"folder:{tmp_path}")
    assert data.fingerprint == plain.fingerprint
    said(data, "left out: 5 (4 in docs/; 1 in no folder)")


def test_splits_hold_when_broken_pictures_are_left_out(tmp_path):
    """Those of training are all broken: nothing moves from one split to another, or to a wrong label, in silence."""
    for name in ("train", "train/deep", "test/a", "test/b"):
        fill(tmp_path / name, 6)
    for path in (tmp_path / "train").rglob("*.png"):
        path.write_text("broken")
    data = load(f"folder:{tmp_path}", DataOptions(damaged="skip"))
    said(data, "cannot be read are left out: 12")
    for split in SPLITS:
        part = data.split(split)
        names = data.files[sum(counts(data)[: SPLITS.index(split)]) :][: len(part)]
        assert [data.classes[label] for label in part.labels] == [name.split("/")[1] for name in names]


def tiny_imagenet(folder, listed):
    for name in ("n01", "n02"):
        fill(folder / "train" / name / "images", 10, "JPEG")
        (folder / "train" / name / f"{name}_boxes.txt").write_text("0.JPEG\t0\t0\t7\t7\n")
    fill(folder / "test" / "images", 4, "JPEG")
    fill(folder / "val" / "images", 6, "JPEG")
    if listed:
        rows = [f"{i}.JPEG\t{'n01' if i % 2 else 'n02'}\t0\t0\t7\t7" for i in range(6)]
        (folder / "val" / "val_annotations.txt").write_text("\n".join(rows))


@pytest.mark.parametrize("listed", [False, True])
def test_tiny_imagenet(tmp_path, listed):
    tiny_imagenet(tmp_path, listed)
    data = load(f"folder:{tmp_path}")
    assert data.classes == ("n01", "n02")
    assert counts(data) == (20, 6, 4)
    assert data.test.labels.tolist() == [-1] * 4
    of_name = dict(zip(data.files[20:26], data.validation.labels.tolist(), strict=True))
    assert of_name == {f"val/images/{i}.JPEG": (0 if i % 2 else 1) if listed else -1 for i in range(6)}
    said(data, "pictures without labels: all of " + ("test" if listed else "validation and test"))


def test_a_folder_that_is_no_class_of_training_is_none(tmp_path):
    for name in ("train/cat", "train/dog", "test/unknown"):
        fill(tmp_path / name, 10)
    data = load(f"folder:{tmp_path}")
    assert data.classes == ("cat", "dog")
    assert set(data.test.labels.tolist()) == {-1}
    said(data, "test: all pictures are in unknown/, which is no class of training")


def test_a_lone_class_of_training_stays_one(tmp_path):
    for name in ("train/cat", "train/dog", "test/dog"):
        fill(tmp_path / name, 10)
    assert load(f"folder:{tmp_path}").test.labels.tolist() == [1] * 10


def test_hidden_pictures_are_counted(tmp_path):
    fill(tmp_path, 10)
    fill(tmp_path / ".thumbnails", 2)
    fill(tmp_path / "__MACOSX", 1)
    said(load(f"folder:{tmp_path}"), "hidden pictures left out (a dot before the name, __MACOSX): 3")


# --- groups ---


def patients(folder, number=30):
    random.seed(0)
    for patient in range(number):
        for frame in range(random.randint(1, 6)):
            place = folder / f"class{patient % 2}" / f"patient{patient}_{frame}.png"
            place.parent.mkdir(exist_ok=True)
            Image.fromarray(RNG.integers(0, 256, (8, 8), np.uint8)).save(place)
    return folder


def groups_of(data, pattern=r"patient\d+"):
    """The groups of each split."""
    found, start = [], 0
    for n in counts(data):
        found.append({re.search(pattern, name)[0] for name in data.files[start : start + n]})
        start += n
    return found


@pytest.mark.parametrize("group", [r"patient\d+", r"(patient\d+)_\d", r"class\d/(.*)_"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_group_is_torn_apart(tmp_path, group, seed):
    data = load(f"folder:{patients(tmp_path)}", DataOptions(group=group, split_seed=seed))
    train, validation, test = groups_of(data)
    assert not train & validation
    assert not (train | validation) & test
    assert len(train | validation | test) == 30
    total = len(data.files)
    for n in counts(data)[1:]:
        assert abs(n - total / 10) <= 6  # a patient's pictures: no whole group is nearer
    said(data, "torn apart: 30, of")
    assert all({0, 1} == set(data.split(split).labels.tolist()) for split in SPLITS)  # by class


def test_without_group_they_are(tmp_path):
    train, _, test = groups_of(load(f"folder:{patients(tmp_path)}"))
    assert train & test


def test_groups_of_train_when_test_is_given(tmp_path):
    patients(made(tmp_path / "train"))
    fill(tmp_path / "test", 5)
    data = load(f"folder:{tmp_path}", DataOptions(group=r"patient\d+"))
    names = [name for name in data.files if "patient" in name]
    n = counts(data)[0]
    ours = [{re.search(r"patient\d+", name)[0] for name in part} for part in (names[:n], names[n:])]
    assert not ours[0] & ours[1]
    said(data, "stand alone: 5")


def made(folder):
    folder.mkdir(parents=True)
    return folder


def test_groups_that_folders_tear_apart_are_said(tmp_path):
    for split in ("train", "val", "test"):
        patients(made(tmp_path / split), 4)
    data = load(f"folder:{tmp_path}", DataOptions(group=r"patient\d+"))
    said(data, "groups in more than one split, as the folders have them: 4 (first patient0)")


def test_groups_that_cannot_be(tmp_path, refused):
    patients(tmp_path)
    with refused("is no regular expression"):
        load(f"folder:{tmp_path}", DataOptions(group="("))
    with refused("matches no name, such as 'class0/patient0_0.png'"):
        load(f"folder:{tmp_path}", DataOptions(group="xyz"))
    with refused("finds 2 groups, and 3 splits need one each"):
        load(f"folder:{tmp_path}", DataOptions(group=r"class\d"))


def test_whole_groups_are_as_near_as_may_be():
    """Against every way to cut the order in three."""
    rng = np.random.default_rng(1)
    for trial in range(50):
        sizes = rng.integers(1, 12, 9)
        groups = [f"g{place}" for place, size in enumerate(sizes) for _ in range(size)]
        keys = [str(i) for i in range(len(groups))]
        tenths = max(1, round(len(keys) / 10))
        parts = hold_out(keys, [0] * len(keys), tenths, tenths, seed=trial, groups=groups)
        assert sorted(np.concatenate(parts).tolist()) == list(range(len(keys)))
        assert all(len(part) for part in parts)
        owners = [{groups[i] for i in part} for part in parts]
        assert sum(map(len, owners)) == 9
        for part in parts[1:]:
            assert abs(len(part) - tenths) <= 2 * sizes.max()


def test_the_order_of_items_does_not_matter_to_groups():
    groups = [f"g{i // 3}" for i in range(60)]
    keys = [f"k{i}" for i in range(60)]
    first = hold_out(keys, [0] * 60, 6, 6, groups=groups)
    shuffled = list(np.random.default_rng(0).permutation(60))
    again = hold_out([keys[i] for i in shuffled], [0] * 60, 6, 6, groups=[groups[i] for i in shuffled])
    assert [{keys[i] for i in part} for part in first] == [{keys[shuffled[i]] for i in part} for part in again]


def test_groups_too_few_to_fill():
    with pytest.raises(DataError, match="finds 1 group, and 2 splits"):
        fill_splits([np.arange(20), np.array([], int), np.arange(20, 24)], ["a"] * 24, [0] * 24, "x", groups=["g"] * 24)
