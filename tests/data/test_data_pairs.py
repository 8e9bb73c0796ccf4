"""Images with label maps: pairs:PATH, cub:PATH, lfw-parts:PATH, and the options that choose splits."""

import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from reparam.data import DATASETS, DataOptions, load
from reparam.importing import TYPED
from reparam.run.config import from_json, resolve

RNG = np.random.default_rng(0)
SPLITS = ("train", "validation", "test")
SHADES = np.array([20, 90, 160, 230], np.uint8)  # what images show where their mask holds 0, 1, 2, 3


def blocks(side=16, values=2, width=None):
    """A mask of 4 x 4 blocks, each value in it."""
    small = RNG.integers(0, values, (side // 4, (width or side) // 4))
    small.flat[:values] = np.arange(values)
    return np.kron(small, np.ones((4, 4), int)).astype(np.uint8)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def fill(folder, n=10, values=2, stored=None, below="", **shape):
    """n pairs whose images tell their masks; `stored` are the mask files' values in place of 0, 1, ..."""
    for i in range(n):
        mask = blocks(values=values, **shape)
        save(folder / "images" / below / f"{i}.png", SHADES[mask])
        save(folder / "masks" / below / f"{i}.png", mask if stored is None else np.array(stored, np.uint8)[mask])
    return folder


def read(folder, **options):
    return load(f"pairs:{folder}", DataOptions(**options))


def sizes(data):
    return [len(data.split(s)) for s in SPLITS]


def every(data):
    """Images and maps of all splits, as arrays."""
    parts = [data.split(s) for s in SPLITS]
    return torch.cat([p.images for p in parts]).numpy(), torch.cat([p.maps for p in parts]).numpy()


def pixels(data, split):
    return {x.numpy().tobytes() for x in data.split(split).images}


# --- what masks hold ---


@pytest.mark.parametrize("stored", [(0, 1), (0, 255)])
def test_two_values_are_background_and_foreground(tmp_path, stored):
    data = read(fill(tmp_path, stored=stored))
    assert data.map_values == ("background", "foreground")
    assert data.shape == (1, 16, 16)
    assert sizes(data) == [8, 1, 1]
    assert data.classes == ()
    assert all(bool((data.split(s).labels == -1).all()) for s in SPLITS)
    images, maps = every(data)
    assert np.array_equal(images, SHADES[maps])


def test_more_values_and_those_that_do_not_count(tmp_path):
    fill(tmp_path, 10, values=4, stored=(0, 1, 2, 255))
    data = read(tmp_path)
    assert data.map_values == ("0", "1", "2")
    images, maps = every(data)
    assert np.array_equal(images, SHADES[np.where(maps == 255, 3, maps)])
    assert any("masks hold 3 values, 0 to 2; where they hold 255, pixels do not count" in note for note in data.notes)


@pytest.mark.parametrize(
    ("stored", "ignore", "wanted"),
    [
        ((0, 1, 2), 2, (0, 1, 255)),
        ((0, 255, 128), 128, (0, 1, 255)),  # black, white, and a grey edge
        ((0, 1, 255), None, (0, 1, 255)),
        ((1, 0, 7), 7, (1, 0, 255)),
    ],
)
def test_ignore_takes_a_value_out_before_the_others_are_read(tmp_path, stored, ignore, wanted):
    data = read(fill(tmp_path, values=3, stored=stored), ignore=ignore)
    assert data.map_values == ("background", "foreground")
    images, maps = every(data)
    assert np.array_equal(images, SHADES[np.argsort(wanted)][np.searchsorted(np.sort(wanted), maps)])


def test_a_set_of_black_and_white_has_nothing_to_ignore(tmp_path, refused):
    fill(tmp_path, stored=(0, 255))
    with refused("one value (0) that counts", "leave --ignore out"):
        read(tmp_path, ignore=255)


def test_kinds_of_mask_files(tmp_path):
    """Grey, palette, 1 bit, 16 bits, equal channels, with alpha, and other formats: all hold the same values."""
    mask = blocks()
    palette = Image.new("P", mask.shape[::-1])
    palette.putdata(mask.ravel().tolist())
    palette.putpalette([250, 0, 0, 0, 0, 250])  # colours that are not the indices
    grey = Image.fromarray(mask)
    kinds = {
        "palette.png": palette,
        "grey.png": grey,
        "sixteen.png": Image.fromarray(mask.astype(np.uint16)),
        "equal.png": Image.merge("RGB", [grey] * 3),
        "alpha.png": Image.merge("RGBA", [grey, grey, grey, Image.new("L", grey.size, 128)]),
        "plain.pgm": grey,
        "float.tif": Image.fromarray(mask.astype(np.float32)),
    }
    (tmp_path / "masks").mkdir()
    for name, picture in kinds.items():
        picture.save(tmp_path / "masks" / name)
        save(tmp_path / "images" / f"{name.split('.')[0]}.png", SHADES[mask])
    assert all(np.array_equal(x[0], mask) for x in every(read(tmp_path))[1])


def test_one_bit_is_black_and_white(tmp_path):
    fill(tmp_path, 4, stored=(0, 255))
    Image.open(tmp_path / "masks" / "0.png").convert("1").save(tmp_path / "masks" / "0.png")
    images, maps = every(read(tmp_path))
    assert np.array_equal(images, SHADES[maps])


# --- in register ---


@pytest.mark.parametrize("crop", ["centre", "none"])
@pytest.mark.parametrize("size", [24, 36, 48, 96])
def test_maps_are_cut_and_resized_with_their_images(tmp_path, crop, size):
    fill(tmp_path, 5, stored=(0, 255), side=48, width=64)
    images, maps = every(read(tmp_path, size=size, crop=crop))
    assert set(np.unique(maps)) == {0, 1}
    shown = images > SHADES[:2].mean()  # resized images are mixtures at edges; values of maps never are
    assert (shown == maps).mean() > (0.9 if size > 24 or crop == "centre" else 0.8)
    for axis in (2, 3):  # and there is no better place
        for step in (-1, 1):
            assert (shown == np.roll(maps, step, axis)).mean() < (shown == maps).mean()
    if size == 48 and crop == "centre":
        assert np.array_equal(images, SHADES[maps])


def test_a_corner_that_only_the_mask_shows_survives(tmp_path):
    """Truth by hand: a 20 x 40 mask with one foreground column at 29, cut to columns 10 to 29."""
    for i in range(3):
        mask = np.zeros((20, 40), np.uint8)
        mask[:, 29] = 1
        save(tmp_path / "images" / f"{i}.png", SHADES[mask])
        save(tmp_path / "masks" / f"{i}.png", mask)
    images, maps = every(read(tmp_path, size=20))
    assert (maps[..., -1] == 1).all()
    assert (maps[..., :-1] == 0).all()
    assert np.array_equal(images, SHADES[maps])
    squeezed = every(read(tmp_path, size=10, crop="none"))[1]
    # columns of 4, of which the nearest is the third: 29 is the second of its four
    assert (squeezed == 0).all()
    assert (every(read(tmp_path, size=40, crop="none"))[1][..., 29] == 1).all()


def test_pictures_turned_by_exif_keep_their_masks(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    for i in range(3):
        mask = blocks(side=32, width=16)
        save(tmp_path / "images" / f"{i}.png", np.rot90(SHADES[mask]).copy(), exif=exif)
        save(tmp_path / "masks" / f"{i}.png", mask)
    images, maps = every(read(tmp_path, size=16))
    assert np.array_equal(images, SHADES[maps])


def test_colour_and_default_size_are_those_of_a_folder(tmp_path):
    fill(tmp_path, 4, side=200)
    assert read(tmp_path).shape == (1, 64, 64)
    assert read(tmp_path, colour="rgb").shape == (3, 64, 64)
    assert read(tmp_path, colour="rgb").train.maps.shape == (2, 1, 64, 64)
    assert load(f"folder:{tmp_path / 'images'}").shape == (1, 64, 64)


# --- layouts ---


def test_a_zip_reads_as_the_folder(tmp_path):
    fill(tmp_path / "set", 12, values=3, stored=(0, 1, 255))
    for name in ("images/.DS_Store", "readme.txt"):
        (tmp_path / "set" / name).write_text("x")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for path in sorted((tmp_path / "set").rglob("*.*")):
            archive.write(path, f"top/{path.relative_to(tmp_path / 'set')}")
    assert read(tmp_path / "z.zip").fingerprint == read(tmp_path / "set").fingerprint


def test_names_match_whatever_the_suffix_and_the_splits_are_those_of_the_images_folder(tmp_path):
    for i in range(30):
        mask = blocks()
        save(tmp_path / "images" / f"a.{i}.jpg", np.stack([SHADES[mask]] * 3, 2), quality=95)
        save(tmp_path / "masks" / f"a.{i}.png", mask)
    data, folder = read(tmp_path), load(f"folder:{tmp_path / 'images'}")
    assert all(torch.equal(data.split(s).images, folder.split(s).images) for s in SPLITS)
    images, maps = every(data)
    assert (np.abs(images.astype(int) - SHADES[maps])).max() < 30


def test_subfolders_are_classes(tmp_path):
    for name, n in (("cow", 10), ("horse", 20)):
        fill(tmp_path, n, below=f"{name}/deeper")
    data = read(tmp_path)
    assert data.classes == ("cow", "horse")
    assert torch.bincount(data.train.labels).tolist() == [8, 16]
    images, maps = every(data)
    assert np.array_equal(images, SHADES[maps])


@pytest.mark.parametrize("layout", ["{split}/images", "images/{split}"])
def test_folders_of_splits(tmp_path, layout):
    for name, n in (("train", 8), ("val", 3), ("test", 4)):
        for i in range(n):
            mask = blocks()
            below = layout.format(split=name)
            save(tmp_path / below / f"{i}.png", SHADES[mask])
            save(tmp_path / below.replace("images", "masks") / f"{i}.png", mask)
    data = read(tmp_path)
    assert sizes(data) == [8, 3, 4]
    assert data.classes == ()
    there = {np.asarray(Image.open(p)).tobytes() for p in tmp_path.rglob("test/**/*.png") if "images" in p.parts}
    assert pixels(data, "test") == there
    images, maps = every(data)
    assert np.array_equal(images, SHADES[maps])


def test_pictures_elsewhere_are_noted(tmp_path):
    fill(tmp_path)
    save(tmp_path / "preview.png", blocks())
    assert any("outside images/ and masks/ ignored: 1" in note for note in read(tmp_path).notes)


# --- splits that are asked for ---


@pytest.mark.parametrize("kind", ["folder", "pairs"])
def test_split_sizes_and_seeds(tmp_path, kind):
    fill(tmp_path, 60, side=32)
    where = f"{kind}:{tmp_path / 'images' if kind == 'folder' else tmp_path}"
    everything = {np.asarray(Image.open(p)).tobytes() for p in (tmp_path / "images").iterdir()}
    seen = set()
    for seed in range(4):
        data = load(where, DataOptions(split_sizes=(30, 10, 20), split_seed=seed))
        assert sizes(data) == [30, 10, 20]
        found = [pixels(data, s) for s in SPLITS]
        assert set.union(*found) == everything
        assert sum(map(len, found)) == 60
        assert load(where, DataOptions(split_sizes=(30, 10, 20), split_seed=seed)).fingerprint == data.fingerprint
        seen.add(data.fingerprint)
    assert len(seen) == 4
    assert load(where, DataOptions(split_seed=0)).fingerprint == load(where).fingerprint
    assert load(where, DataOptions(split_seed=1)).fingerprint != load(where).fingerprint
    fewer = load(where, DataOptions(split_sizes=(20, 10, 5), split_seed=3))
    assert sizes(fewer) == [20, 10, 5]
    assert len(set.union(*(pixels(fewer, s) for s in SPLITS))) == 35
    assert any("20 / 10 / 5" in note and "seed 3; 25 pictures are left out" in note for note in fewer.notes)


def test_the_first_split_is_what_it_always_was(tmp_path):
    """Names of a folder's test pictures, as they were before there were seeds."""
    for i in range(20):
        save(tmp_path / f"{i}.png", np.full((8, 8), i, np.uint8))
    data = load(f"folder:{tmp_path}")
    assert data.test.images[:, 0, 0, 0].tolist() == [18, 5]
    assert data.validation.images[:, 0, 0, 0].tolist() == [2, 7]


def test_splits_of_sizes_are_stratified(tmp_path):
    for name, n in (("a", 40), ("b", 20)):
        fill(tmp_path, n, below=name)
    data = read(tmp_path, split_sizes=(30, 15, 9), split_seed=2)
    assert [torch.bincount(data.split(s).labels).tolist() for s in SPLITS] == [[20, 10], [10, 5], [6, 3]]


def test_values_of_left_out_masks_count(tmp_path):
    """What values mean must not depend on the split."""
    fill(tmp_path, 40)
    fill(tmp_path, 1, values=4, below="z")
    fill(tmp_path, 39, below="z/y")
    named = {read(tmp_path, split_sizes=(4, 2, 2), split_seed=s).map_values for s in range(4)}
    assert named == {("0", "1", "2", "3")}


def test_folders_that_are_the_splits_leave_nothing_to_choose(tmp_path, refused):
    for name in ("train", "validation", "test"):
        fill(tmp_path / name, 5)
    for options in ({"split_sizes": (5, 5, 5)}, {"split_seed": 1}):
        with refused("the splits are the folders train/, validation/, test/", "--split-sizes"):
            read(tmp_path, **options)
    for path in (tmp_path / "validation").rglob("*.png"):
        path.unlink()
    with refused("the splits are the folders train/, test/"):
        read(tmp_path, split_sizes=(5, 5, 5))
    assert sizes(read(tmp_path, split_seed=1)) == [4, 1, 5]


def test_more_than_there_are(tmp_path, refused):
    fill(tmp_path, 10)
    with refused("split-sizes 8,2,1 are 11 together and there are 10 pictures"):
        read(tmp_path, split_sizes=(8, 2, 1))


def test_the_options_are_the_commands():
    config = resolve("vae", data="pairs:p", split_sizes="200,28,100", split_seed=3, ignore=255)
    assert (config.data.split_sizes, config.data.split_seed, config.data.ignore) == ((200, 28, 100), 3, 255)
    assert from_json(config.to_json(), TYPED) == config


# --- what is refused ---


def test_missing_partners(tmp_path, refused):
    fill(tmp_path, 10)
    for name in ("masks/3.png", "masks/4.png", "images/7.png"):
        (tmp_path / name).unlink()
    with refused(
        "2 images without a mask (first 'images/3.png') and 1 masks without an image (first 'masks/7.png')", "name both"
    ):
        read(tmp_path)


@pytest.mark.parametrize(("kept", "missing"), [("images", "masks"), ("masks", "images")])
def test_a_missing_side(tmp_path, kept, missing, refused):
    fill(tmp_path)
    for path in (tmp_path / missing).iterdir():
        path.unlink()
    with refused(f"{tmp_path} has no pictures in {missing}/", "named alike"):
        read(tmp_path)


def test_an_unequal_size(tmp_path, refused):
    fill(tmp_path, 5)
    save(tmp_path / "masks" / "2.png", blocks(32))
    with refused(
        f"{tmp_path}/masks/2.png has 32 x 32 pixels (height x width) and its image, 'images/2.png', 16 x 16",
        "as large as",
    ):
        read(tmp_path)


def test_two_files_of_a_stem(tmp_path, refused):
    fill(tmp_path, 5)
    save(tmp_path / "images" / "1.jpg", blocks())
    with refused("images/1.png has the name of 'images/1.jpg' but another suffix: remove one"):
        read(tmp_path)


def test_too_few_pairs(tmp_path, refused):
    fill(tmp_path, 2)
    with refused("holds 2 pairs: give at least 3"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("stored", "remedy"),
    [
        ((0, 0), "check the masks"),
        ((1, 1), "check the masks"),
        ((255, 255), "check the masks"),
        ((7, 255), "--remap 7:0,255:1 lets both count"),
    ],
)
def test_masks_of_one_value(tmp_path, stored, remedy, refused):
    fill(tmp_path, 5, stored=stored)
    with refused("value", "that counts", remedy):
        read(tmp_path)
    if "--remap" in remedy:
        assert read(tmp_path, remap=("7:0", "255:1")).map_values == ("background", "foreground")


@pytest.mark.parametrize(
    ("stored", "first", "remedy"),
    [((0, 1, 3), 3, "0:0,1:1,3:2"), ((2, 3, 4), 2, "2:0,3:1,4:2"), ((0, 128, 255), 128, "0:0,128:1,255:2")],
)
def test_masks_with_gaps(tmp_path, stored, first, remedy, refused):
    """The remedy works."""
    fill(tmp_path, 5, values=3, stored=stored)
    with refused(f"masks/0.png holds value {first}", f"--remap {remedy} "):
        read(tmp_path)
    images, maps = every(read(tmp_path, remap=tuple(remedy.split(","))))
    assert np.array_equal(images, SHADES[maps])


def test_the_file_that_holds_the_value_is_named(tmp_path, refused):
    fill(tmp_path, 9)
    save(tmp_path / "masks" / "6.png", np.where(blocks() == 1, 9, 0).astype(np.uint8))
    with refused(f"{tmp_path}/masks/6.png holds value 9"):
        read(tmp_path, split_sizes=(2, 1, 1))


def test_too_many_values(tmp_path, refused):
    for i in range(3):
        save(tmp_path / "images" / f"{i}.png", blocks())
        save(tmp_path / "masks" / f"{i}.png", np.arange(256, dtype=np.uint8).reshape(16, 16) % 65)
    with refused("holds value 64, and all masks 65 values", "at most 64"):
        read(tmp_path)


def test_masks_saved_as_jpeg(tmp_path, refused):
    for i in range(3):
        mask = blocks()
        save(tmp_path / "images" / f"{i}.png", SHADES[mask])
        save(tmp_path / "masks" / f"{i}.jpg", mask * 255, quality=50)
    with refused("holds value", "JPEG", "--mask-levels 0,255 makes of each the nearest"):
        read(tmp_path)
    images, maps = every(read(tmp_path, mask_levels=("0", "255")))
    assert np.array_equal(images, SHADES[maps])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((16, 16), 300, np.uint16), "masks/0.png holds value 300"),
    ],
)
def test_masks_that_hold_no_values(tmp_path, array, words, refused):
    fill(tmp_path, 5)
    save(tmp_path / "masks" / "0.png", array)
    with refused(words, "save masks as PNG"):
        read(tmp_path)


def test_a_damaged_mask_is_named(tmp_path, refused):
    fill(tmp_path, 5)
    (tmp_path / "masks" / "0.png").write_text("text")
    with refused("masks/0.png is not a picture"):
        read(tmp_path)


def test_a_bare_path_with_masks_is_recognised(tmp_path, refused):
    fill(tmp_path)
    with refused(f"--data pairs:{tmp_path}"):
        load(str(tmp_path))


# --- birds ---


def cub(folder, n=40, classes=True):
    """The official layout: odd pictures are for training."""
    inside, lists = folder / "CUB_200_2011", {"images": [], "train_test_split": []}
    for i in range(1, n + 1):
        name = f"{1 + i // 21:03d}.Bird/Bird_{i:04d}"
        mask = blocks(side=20, width=24)
        save(inside / "images" / f"{name}.jpg", np.stack([SHADES[mask]] * 3, 2), quality=100, subsampling=0)
        save(folder / "segmentations" / f"{name}.png", np.array([127, 128], np.uint8)[mask])
        lists["images"].append(f"{i} {name}.jpg")
        lists["train_test_split"].append(f"{i} {i % 2}")
    if classes:
        lists["classes"] = ["1 001.Bird", "2 002.Bird"]
    for name, lines in lists.items():
        (inside / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("classes", [True, False])
def test_cub(tmp_path, classes):
    data = load(f"cub:{cub(tmp_path, classes=classes)}", DataOptions(size=20))
    assert sizes(data) == [18, 2, 20]
    assert data.shape == (3, 20, 20)
    assert data.classes == ("001.Bird", "002.Bird")
    assert torch.bincount(data.test.labels).tolist() == [10, 10]
    assert torch.bincount(data.validation.labels).tolist() == [1, 1]
    assert data.map_values == ("background", "foreground")
    images, maps = every(data)
    assert np.abs(images[:, :1].astype(int) - SHADES[maps]).max() < 20
    there = {
        np.asarray(Image.open(p))[:, 2:22].transpose(2, 0, 1).tobytes() for p in tmp_path.rglob("Bird_*[02468].jpg")
    }
    assert pixels(data, "test") == there


def test_cub_in_one_folder(tmp_path):
    first = load(f"cub:{cub(tmp_path)}", DataOptions(size=20))
    (tmp_path / "segmentations").rename(tmp_path / "CUB_200_2011" / "segmentations")
    assert load(f"cub:{tmp_path / 'CUB_200_2011'}", DataOptions(size=20)).fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: (p / "CUB_200_2011" / "images.txt").unlink(), ("lacks images.txt", "CaltechDATA")),
        (lambda p: (p / "CUB_200_2011" / "images.txt").write_text("\n"), ("images.txt is empty",)),
        (lambda p: (p / "CUB_200_2011" / "images.txt").write_text("1\n"), ("not two words",)),
        (lambda p: (p / "CUB_200_2011" / "images.txt").write_bytes(b"1 \xe9.jpg\n"), ("is not text",)),
        (
            lambda p: (p / "CUB_200_2011" / "images.txt").write_text("1 a/a.jpg\n1 a/b.jpg"),
            ("numbers two lines alike",),
        ),
        (lambda p: (p / "CUB_200_2011" / "train_test_split.txt").write_text("1 1\n"), ("has no 0 or 1 for",)),
        (lambda p: (p / "CUB_200_2011" / "classes.txt").write_text("1 001.Bird\n"), ("lacks '002.Bird'",)),
        (lambda p: (p / "segmentations").rename(p / "masks"), ("lacks segmentations/", "and 39 more files")),
        (
            lambda p: save(p / "segmentations" / "001.Bird" / "Bird_0001.png", blocks()),
            ("Bird_0001.png has 16 x 16 pixels", "20 x 24"),
        ),
    ],
)
def test_cub_with_faults(tmp_path, change, words, refused):
    change(cub(tmp_path))
    with refused(*words):
        load(f"cub:{tmp_path}")


# --- parts of faces ---

COLOURS = np.array([(0, 0, 255), (0, 255, 0), (255, 0, 0)], np.uint8)


def lfw(folder, lists=(("train", 12), ("validation", 4), ("test", 6))):
    number = 0
    for title, n in lists:
        lines = []
        for _ in range(n):
            number += 1
            name, mask = f"Some_One_{number}", blocks(values=3)
            save(folder / "lfw_funneled" / name / f"{name}_0002.jpg", np.stack([SHADES[mask]] * 3, 2), quality=100)
            save(folder / "parts_lfw_funneled_gt_images" / f"{name}_0002.ppm", COLOURS[mask])
            lines.append(f"{name} 2")
        (folder / f"parts_{title}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize(
    ("lists", "wanted"),
    [
        ((("train", 12), ("validation", 4), ("test", 6)), [12, 4, 6]),
        ((("train_validation", 20), ("test", 6)), [18, 2, 6]),
    ],
)
def test_lfw_parts(tmp_path, lists, wanted):
    data = load(f"lfw-parts:{lfw(tmp_path, lists)}")
    assert sizes(data) == wanted
    assert data.shape == (3, 16, 16)
    assert data.map_values == ("background", "skin", "hair")
    assert data.classes == ()
    images, maps = every(data)
    assert np.abs(images[:, :1].astype(int) - SHADES[maps]).max() < 20
    assert len({x.tobytes() for x in images}) == sum(wanted)


def test_lfw_parts_with_faults(tmp_path, refused):
    lfw(tmp_path)
    path = tmp_path / "parts_lfw_funneled_gt_images" / "Some_One_1_0002.ppm"
    strange = np.asarray(Image.open(path)).copy()
    strange[3, 4] = 12, 34, 56
    save(path, strange)
    with refused("Some_One_1_0002.ppm holds the colour (12, 34, 56)", "red (hair)"):
        load(f"lfw-parts:{tmp_path}")
    path.unlink()
    with refused("lacks parts_lfw_funneled_gt_images/Some_One_1_0002.ppm: get the funneled images"):
        load(f"lfw-parts:{tmp_path}")
    (tmp_path / "parts_test.txt").write_text("Some_One two\n")
    with refused("parts_test.txt has 'two' for a number"):
        load(f"lfw-parts:{tmp_path}")
    (tmp_path / "parts_test.txt").write_text("Some_One " + "9" * 5000)
    with refused("for a number"):
        load(f"lfw-parts:{tmp_path}")
    (tmp_path / "parts_test.txt").unlink()
    with refused("lacks parts_test.txt"):
        load(f"lfw-parts:{tmp_path}")


def test_these_sets_want_a_path(refused):
    for name in ("pairs", "cub", "lfw-parts"):
        assert DATASETS[name].path == "given"
        with refused(f"--data {name}:PATH"):
            load(name)


# --- real data, where a copy lies beside the checkout ---


def test_horses(shared_data):
    path = shared_data / "weizmann-horses"
    if not path.is_dir():
        pytest.skip(f"no copy of the horses at {path}")
    data = read(path, size=32)
    assert data.shape == (3, 32, 32)
    assert data.map_values == ("background", "foreground")
    assert sizes(data) == [262, 33, 33]
    folder = load(f"folder:{path / 'images'}", DataOptions(size=32))
    assert torch.equal(data.test.images, folder.test.images)
    share = every(data)[1].mean()
    stored = np.mean([np.asarray(Image.open(p)).mean() / 255 for p in sorted((path / "masks").iterdir())])
    assert share == pytest.approx(stored, abs=0.005)
    everything, tests = sorted(x.tobytes() for x in every(data)[0]), set()
    for seed in range(5):
        other = read(path, size=32, split_sizes=(200, 28, 100), split_seed=seed)
        assert sizes(other) == [200, 28, 100]
        assert sorted(x.tobytes() for x in every(other)[0]) == everything
        tests.add(frozenset(pixels(other, "test")))
    assert len(tests) == 5
