"""Pages of TIFFs, and images in tables of text."""

import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from reparam.data import DataOptions, load
from reparam.data.io.archives import open_tree
from reparam.data.io.csv_pixels import read_csv
from reparam.data.io.pages import PagedTree
from reparam.data.io.single_picture import read_picture
from reparam.data.new_pictures import read_new

SPLITS = ("train", "validation", "test")
RNG = np.random.default_rng(0)


def stack(path, pages):
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = map(Image.fromarray, pages)
    first.save(path, save_all=True, append_images=others)


def by_file(data):
    return dict(zip(data.files, torch.cat([data.split(split).images for split in SPLITS]).numpy(), strict=True))


@pytest.mark.parametrize("stream", [False, True])
def test_each_page_is_read_exactly(tmp_path, stream):
    pages = {name: RNG.integers(0, 256, (n, 16, 16), np.uint8) for name, n in (("a", 12), ("b", 2), ("c", 1))}
    for name, own in pages.items():
        stack(tmp_path / "k" / f"{name}.tif", own)
    data = load(f"folder:{tmp_path}", DataOptions(pages="images", stream=stream, colour="grey"))
    expected = {f"k/a#{i + 1:02}.tif": page for i, page in enumerate(pages["a"])}
    expected |= {"k/b#1.tif": pages["b"][0], "k/b#2.tif": pages["b"][1], "k/c.tif": pages["c"][0]}
    if stream:
        found = {name: data.split(s).images[:].numpy() for s, name in zip(SPLITS, SPLITS, strict=True)}
        stored = [x for split in SPLITS for x in found[split]]
        found = dict(zip(data.files, stored, strict=True))
    else:
        found = by_file(data)
    assert found.keys() == expected.keys()
    for name, page in expected.items():
        assert np.array_equal(found[name][0], page)


def test_pages_are_read_in_other_processes(tmp_path):
    stack(tmp_path / "a.tif", RNG.integers(0, 256, (3, 16, 16), np.uint8))
    with open_tree(tmp_path) as tree:
        copy = pickle.loads(pickle.dumps(PagedTree(tree, "images")))
    assert np.asarray(Image.open(copy.open("a#2.tif"))).shape == (16, 16)


def test_pages_keep_their_bits(tmp_path):
    deep = RNG.integers(0, 65536, (2, 16, 16)).astype(np.uint16)
    stack(tmp_path / "a.tif", deep)
    with open_tree(tmp_path) as tree:
        paged = PagedTree(tree, "images")
        assert [np.array_equal(np.asarray(Image.open(paged.open(f"a#{i + 1}.tif"))), deep[i]) for i in (0, 1)] == [
            True
        ] * 2


def stacks(folder, count, dtype=np.uint8, top=256, n=6, side=16):
    """Files of so many pages, by name."""
    pages = {f"{i}.tif": RNG.integers(0, top, (count, side, side)).astype(dtype) for i in range(n)}
    for name, own in pages.items():
        stack(folder / name, own)
    return pages


@pytest.mark.parametrize("count", [2, 3, 4, 5, 12, 64])
@pytest.mark.parametrize("stream", [False, True])
def test_pages_as_channels(tmp_path, count, stream):
    pages = stacks(tmp_path, count)
    data = load(f"folder:{tmp_path}", DataOptions(pages="channels", stream=stream))
    assert data.shape == (count, 16, 16)
    found = dict(zip(data.files, np.concatenate([data.split(s).images[:].numpy() for s in SPLITS]), strict=True))
    assert found.keys() == pages.keys()
    assert all(np.array_equal(found[name], own) for name, own in pages.items())
    assert "the pages of 6 TIFFs are their channels" in data.notes


@pytest.mark.parametrize(("dtype", "top"), [(np.uint16, 4096), (np.int32, 4096), (np.float32, 4096)])
def test_channels_of_more_than_8_bits_keep_them(tmp_path, dtype, top):
    pages = stacks(tmp_path, 5, dtype, top)
    data = load(f"folder:{tmp_path}", DataOptions(pages="channels", range=(0, top - 1)))
    assert data.scale.levels == top
    found = by_file(data)
    for name, own in pages.items():
        assert np.array_equal((found[name].astype(float) * (top - 1)).round(), own)


def test_channels_are_resized_each_as_a_grey_picture(tmp_path):
    pages = stacks(tmp_path, 5, side=24)
    found = by_file(load(f"folder:{tmp_path}", DataOptions(pages="channels", size=8)))
    for name, own in pages.items():
        for page, channel in zip(own, found[name], strict=True):
            small = Image.fromarray(page).resize((8, 8), Image.Resampling.BICUBIC)
            assert np.array_equal(channel, np.asarray(small))


def test_new_pictures_have_pages_as_the_run_s_have(tmp_path):
    pages = stacks(tmp_path / "new", 5, n=2)
    options = DataOptions(size=16, pages="channels", depth="8")
    for given in ([tmp_path / "new"], [tmp_path / "new" / "0.tif", tmp_path / "new" / "1.tif"]):
        found = read_new(given, options)
        assert np.array_equal(found.images.pixels.numpy(), np.stack([*pages.values()]))
    assert np.array_equal(
        read_new([tmp_path / "new"], replace(options, pages="images", colour="grey")).images.pixels[:, 0].numpy(),
        np.concatenate([*pages.values()]),
    )
    one = read_picture(tmp_path / "new" / "0.tif", (5, 16, 16), options)
    assert np.array_equal((one.pixels * 255).round().numpy()[0], pages["0.tif"])


def test_pages_that_are_no_channels(tmp_path, refused):
    options = DataOptions(pages="channels")
    stacks(tmp_path / "a", 3)
    stack(tmp_path / "a" / "7.tif", RNG.integers(0, 256, (2, 16, 16), np.uint8))
    with refused("7.tif has 2 pages and '5.tif' 3: as channels all files have equally many"):
        load(f"folder:{tmp_path / 'a'}", options)
    stacks(tmp_path / "b", 65, n=3)
    with refused("has 65 pages, more than 64: use --pages images"):
        load(f"folder:{tmp_path / 'b'}", options)
    stack(tmp_path / "c" / "0.tif", RNG.integers(0, 256, (2, 16, 16, 3), np.uint8))
    stacks(tmp_path / "c" / "more", 2)
    with refused("0.tif has pages in colour, which are no channels: use --pages images"):
        load(f"folder:{tmp_path / 'c'}", options)
    assert len(load(f"folder:{tmp_path / 'c'}", replace(options, damaged="skip")).files) == 6
    stack(tmp_path / "d" / "0.tif", [np.zeros((16, 16), np.uint8), np.zeros((8, 16), np.uint8)])
    stacks(tmp_path / "d" / "more", 2)
    with refused("0.tif has pages of several sizes, which are no channels: use --pages images"):
        load(f"folder:{tmp_path / 'd'}", options)
    with refused("leave --colour out"):
        load(f"folder:{tmp_path / 'a'}", replace(options, colour="rgb"))
    stack(tmp_path / "a" / "7#1.tif", RNG.integers(0, 256, (1, 16, 16), np.uint8))
    with refused("holds '7#1.tif', as a page of '7.tif' is called: rename it"):
        load(f"folder:{tmp_path / 'a'}", options)


def test_a_broken_stack_is_named(tmp_path, refused):
    for name in "abc":
        stack(tmp_path / f"{name}.tif", RNG.integers(0, 256, (3, 16, 16), np.uint8))
    (tmp_path / "b.tif").write_bytes((tmp_path / "b.tif").read_bytes()[:300])
    with refused("b"):
        load(f"folder:{tmp_path}", DataOptions(pages="images"))


def test_a_lone_stack_is_told_of_pages(tmp_path, refused):
    stack(tmp_path / "a.tif", RNG.integers(0, 256, (9, 16, 16), np.uint8))
    with refused("holds 1 picture", "--pages images"):
        load(f"folder:{tmp_path}")


# --- tables ---

IMAGES = RNG.integers(0, 256, (12, 8, 8), np.uint8)
LABELS = np.arange(12) % 4


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("head", ["label,{}", "{},y", "id,label,{}", "", "{}"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_are_read_exactly(tmp_path, delimiter, head, end):
    names = head.format(",".join(f"p{i}" for i in range(64))).split(",")
    lines = [] if not head else [names]
    for i, image in enumerate(IMAGES):
        pixels = list(map(str, image.flatten()))
        before = {"label,{}": [LABELS[i]], "id,label,{}": [i + 900, LABELS[i]], "": [LABELS[i]]}.get(head, [])
        lines.append([*map(str, before), *pixels, *([str(LABELS[i])] if head == "{},y" else [])])
    text = end.join(delimiter.join(line) for line in lines) + end
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    found = read_csv(tmp_path / "t.csv")
    assert np.array_equal(found["images"], IMAGES)
    assert found["images"].dtype == np.uint8
    assert ("labels" in found) == (head != "{}")
    if "labels" in found:
        assert np.array_equal(found["labels"], LABELS)


def test_a_table_of_fractions(tmp_path):
    np.savetxt(tmp_path / "t.csv", (IMAGES / 255).reshape(12, 64), delimiter=",", fmt="%.9g")
    data = load(f"array:{tmp_path / 't.csv'}")
    assert {x.tobytes() for x in by_split(data)} == {x.tobytes() for x in IMAGES}


def by_split(data):
    return torch.cat([data.split(split).images for split in SPLITS]).numpy()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no square"),
        ("label," + ",".join(["p"] * 64) + "\n", "is empty"),
        ("1,2,3\n4,5,6", "3 columns of pixels"),
        ("label," + ",".join(["p"] * 64) + "\n0," + ",".join(["1"] * 63), "no table of numbers"),
        ("label," + ",".join(["p"] * 64) + "\nx," + ",".join(["1"] * 64), "no table of numbers"),
        ("emotion,pixels\n0,1 2 3", "rows of [3] pixels"),
        ("emotion,pixels\n0,1 2 x", "no table of pixels"),
        ("emotion,pixels\n0,1 2 3 4\n0,1", "rows of [1, 4] pixels"),
        ("emotion,pixels\nsad,1 2 3 4", "labels that are no numbers"),
        ("emotion,pixels\n0", "no table of pixels"),
        ("emotion,pixels\n", "rows of [] pixels"),
        (",".join(["999"] * 64) + "\n" + ",".join(["3"] * 64), "holds 2 images to split into 3"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_other_tables_are_refused(tmp_path, text, words, refused):
    (tmp_path / "t.csv").write_text(text)
    with refused(words):
        load(f"array:{tmp_path / 't.csv'}")


def test_bytes_that_are_no_text(tmp_path, refused):
    (tmp_path / "t.csv").write_bytes(bytes(range(256)) * 4)
    with refused("t.csv"):
        load(f"array:{tmp_path / 't.csv'}")


def test_a_csv_is_known_as_an_array(tmp_path, refused):
    (tmp_path / "t.csv").write_text("1")
    with refused(re.escape("--data array:").replace("\\", "")):
        load(str(tmp_path / "t.csv"))
    with refused("t.csv is a file, neither a folder nor a .zip", "--data array:"):
        load(f"folder:{tmp_path / 't.csv'}")
