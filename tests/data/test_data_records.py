"""Images, Dataset, DataOptions and the splits."""

import hashlib
from collections import Counter

import numpy as np
import pytest
import torch

from reparam.data import DataOptions, Dataset, Images
from reparam.data.dataset import cut
from reparam.data.splitting import hold_out, stratified_order, tenth


def images(n=4, side=8, channels=1, label=0):
    pixels = torch.arange(n * channels * side * side).reshape(n, channels, side, side) % 256
    return Images(pixels.byte(), torch.full((n,), label))


def dataset(**changes):
    parts = {"name": "x", "train": images(5), "validation": images(2), "test": images(3), "classes": ("a",)}
    return Dataset(**{**parts, **changes})


def test_shape_and_splits():
    data = dataset()
    assert data.shape == (1, 8, 8)
    assert [len(data.split(s)) for s in ("train", "validation", "test", "all")] == [5, 2, 3, 7]
    whole = data.split("all")
    assert torch.equal(whole.images, torch.cat([data.train.images, data.validation.images]))


def test_unknown_split(refused):
    with refused("did you mean 'validation'"):
        dataset().split("validaton")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Images(torch.zeros(2, 1, 8, 8).double(), torch.zeros(2, dtype=torch.int64)), "uint8"),
        (lambda: Images(torch.zeros(2, 8, 8).byte(), torch.zeros(2, dtype=torch.int64)), "[N, C, H, W]"),
        (lambda: Images(torch.zeros(2, 65, 8, 8).byte(), torch.zeros(2, dtype=torch.int64)), "give 1 to 64"),
        (lambda: Images(torch.zeros(2, 1, 8, 7).byte(), torch.zeros(2, dtype=torch.int64)), "8 x 7"),
        (lambda: Images(torch.zeros(1, 1, 8, 513).byte(), torch.zeros(1, dtype=torch.int64)), "8 to 512"),
        (lambda: images(side=7), "8 to 512"),
        (lambda: Images(torch.zeros(1, 1, 513, 513).byte(), torch.zeros(1, dtype=torch.int64)), "8 to 512"),
        (lambda: Images(torch.zeros(2, 1, 8, 8).byte(), torch.zeros(2)), "labels"),
        (lambda: Images(torch.zeros(2, 1, 8, 8).byte(), torch.zeros(3, dtype=torch.int64)), "labels"),
        (lambda: images(n=0), "no images"),
        (lambda: dataset(test=images(channels=3)), "one shape"),
        (lambda: dataset(validation=images(label=1)), "1 classes"),
        (lambda: dataset(validation=images(label=-2)), "-2"),
        (
            lambda: DataOptions(size=4),
            "option 'size': should have sides of 8 to 512 pixels, such as 64 or 48x64, got 4",
        ),
        (lambda: DataOptions(size=1024), "option 'size': should have sides of 8 to 512 pixels"),
        (lambda: DataOptions(size=-8), "option 'size': should have sides of 8 to 512 pixels"),
        (lambda: DataOptions(size="64x4"), "option 'size': should have sides of 8 to 512 pixels"),
        (lambda: DataOptions(size="9" * 5000), "option 'size': should be a side in pixels"),
        *(
            (lambda bad=bad: DataOptions(size=bad), "option 'size': should be a side in pixels, or height x width")
            for bad in ("48x", "x48", "48*64", "48x64x3", "", "wide", 8.5, True, (48,) * 3, ())
        ),
        (lambda: DataOptions(crop="middle"), "option 'crop': Input should be 'centre', 'none' or 'pad'"),
        (lambda: DataOptions(colour="red"), "option 'colour'"),
        (lambda: DataOptions(damaged="no"), "option 'damaged'"),
        (lambda: DataOptions(workers=65), "option 'workers'"),
        (lambda: DataOptions(ignore=256), "option 'ignore': Input should be less than or equal to 255, got 256"),
        (lambda: DataOptions(split_seed=-1), "option 'split_seed': Input should be greater than or equal to 0"),
        (lambda: DataOptions(split_sizes=(1, 2)), "split-sizes 1,2 are not three numbers"),
        (lambda: DataOptions(split_sizes=(5, 0, 5)), "split-sizes 5,0,5 are not three numbers from 1"),
    ],
)
def test_invariants_hold_by_construction(make, words, refused):
    with refused(words):
        make()


def test_fingerprint_is_the_hash_of_shapes_pixels_and_labels():
    data, digest = dataset(), hashlib.sha256()
    for name in ("train", "validation", "test"):
        part = data.split(name)
        digest.update(f"{name} {tuple(part.images.shape)};".encode())
        digest.update(part.images.numpy().tobytes() + part.labels.numpy().tobytes())
    assert data.fingerprint == digest.hexdigest()


def test_fingerprint_moves_with_any_pixel_and_label_and_not_with_the_name():
    data = dataset()
    assert dataset(name="y", classes=("b",)).fingerprint == data.fingerprint
    pixel = data.test.images.clone()
    pixel[2, 0, 7, 7] += 1
    assert dataset(test=Images(pixel, data.test.labels)).fingerprint != data.fingerprint
    assert dataset(test=images(3, label=-1)).fingerprint != data.fingerprint


def test_cut_gives_views_in_order():
    part = images(10)
    data = cut(part.images, part.labels, (6, 1, 3), ("a",))
    assert torch.equal(torch.cat([data.split(s).images for s in ("train", "validation", "test")]), part.images)
    assert data.train.images.data_ptr() == part.images.data_ptr()


def test_splits_are_stratified_and_do_not_depend_on_the_order_of_listing():
    keys = [f"{label}/{i}" for label, n in ((0, 500), (1, 300), (2, 200)) for i in range(n)]
    labels = [int(key[0]) for key in keys]
    parts = hold_out(keys, labels, 100, 100)
    assert sorted(np.concatenate(parts).tolist()) == list(range(1000))
    for part, share in zip(parts, (0.8, 0.1, 0.1), strict=True):
        counts = Counter(labels[i] for i in part)
        for label, n in ((0, 500), (1, 300), (2, 200)):
            assert abs(counts[label] - share * n) <= 1
    shuffled = np.random.default_rng(1).permutation(1000)
    again = hold_out([keys[i] for i in shuffled], [labels[i] for i in shuffled], 100, 100)
    for part, other in zip(parts, again, strict=True):
        assert {keys[i] for i in part} == {keys[shuffled[i]] for i in other}


def test_the_shuffle_is_a_shuffle_and_is_pinned():
    order = stratified_order([str(i) for i in range(1000)], [0] * 1000)
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.1
    assert order[:5].tolist() == [int(k) for k in sorted(map(str, range(1000)), key=_hash)[:5]]


def _hash(key):
    return hashlib.blake2b(key.encode(), digest_size=8).digest()


def test_adding_an_item_hardly_moves_the_others():
    keys = [str(i) for i in range(1000)]
    before, after = hold_out(keys, [0] * 1000, 100)[1], hold_out([*keys, "new"], [0] * 1001, 100)[1]
    assert len(set(before) ^ set(after)) <= 2


@pytest.mark.parametrize(("n", "share"), [(3, 1), (10, 1), (14, 1), (26, 3), (60_000, 6_000)])
def test_tenth(n, share):
    assert tenth(n) == share


def test_options_can_be_read_by_a_command():
    from pydantic import TypeAdapter, ValidationError

    adapter = TypeAdapter(DataOptions)
    assert adapter.validate_python({"size": 32, "attributes": ("Male",)}) == DataOptions(size=32, attributes=("Male",))
    with pytest.raises(ValidationError):
        adapter.validate_python({"size": 4})
    assert all("description" in field for field in adapter.json_schema()["properties"].values())
