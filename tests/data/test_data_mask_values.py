"""What the values of label maps mean: truth by hand, on masks of which each is known."""

import numpy as np
import pytest
import torch
from PIL import Image

from reparam.data import DataOptions, Dataset, load
from reparam.data.options import spelled_value, value_code
from reparam.data.sources.mask_values import StoredMasks
from reparam.errors import DataError

SPLITS = ("train", "validation", "test")
MASK = np.arange(64).reshape(8, 8) // 8 % 4  # places 0 to 3, in rows


def make(folder, stored, n=4, suffix="png", **save):
    """n pairs; `stored` are the values, grey or [.., 3] colours, of places 0 to 3. The pictures tell nothing."""
    for side in ("images", "masks"):
        (folder / side).mkdir(parents=True, exist_ok=True)
    for i in range(n):
        Image.fromarray(np.full((8, 8), 9 * i, np.uint8)).save(folder / "images" / f"{i}.png")
        mask = np.array(stored, np.uint8)[MASK % len(stored)]
        Image.fromarray(mask).save(folder / "masks" / f"{i}.{suffix}", **save)
    return folder


def read(folder, **options) -> Dataset:
    return load(f"pairs:{folder}", DataOptions(**options))


def labels_of(data: Dataset, count: int) -> list[int]:
    """The label of each place 0 to count - 1, the same in all masks."""
    maps = torch.cat([data.split(split).maps for split in SPLITS])[:, 0].numpy()
    places = MASK % count
    assert all((one[places == place] == one[places == place][0]).all() for one in maps for place in range(count))
    assert (maps == maps[0]).all()
    return [int(maps[0][places == place][0]) for place in range(count)]


def notes(data: Dataset) -> str:
    return "; ".join(data.notes)


@pytest.mark.parametrize("stored", [(0, 128), (1, 2), (3, 7), (254, 255), (10, 200)])
def test_two_values_of_any_kind_are_background_and_foreground(tmp_path, stored):
    """(254, 255) is no exception that is made: 255 may be what does not count, and 254 alone is no label."""
    make(tmp_path, stored)
    if 255 in stored:
        with pytest.raises(Exception, match="--remap 254:0,255:1"):
            read(tmp_path)
        return
    data = read(tmp_path)
    assert data.map_values == ("background", "foreground")
    assert labels_of(data, 2) == [0, 1]
    assert f"{stored[0]} " in notes(data)
    assert "background and foreground" in notes(data)


@pytest.mark.parametrize(
    ("stored", "wanted", "names"),
    [((1, 2, 3), [0, 1, 2], ("1", "2", "3")), ((2, 255, 1, 3), [1, 255, 0, 2], ("1", "2", "3"))],
)
def test_values_from_1_are_renumbered_and_a_note_says_so(tmp_path, stored, wanted, names):
    data = read(make(tmp_path, stored))
    assert (labels_of(data, len(stored)), data.map_values) == (wanted, names)
    assert "1 to 3, which become labels 0 to 2" in notes(data)


def test_what_was_found_is_remembered_for_data_that_hold_fewer_values(tmp_path):
    """Of masks with 2 and 3 alone, 2 is still label 1."""
    found = read(make(tmp_path / "a", (1, 2, 3)))
    assert found.remap == ("1:0", "2:1", "3:2", "255:ignore")
    again = read(tmp_path / "a", remap=found.remap)
    assert (again.fingerprint, again.map_values) == (found.fingerprint, found.map_values)
    fewer = read(make(tmp_path / "b", (2, 3)), remap=found.remap)
    assert (labels_of(fewer, 2), fewer.map_values) == ([1, 2], found.map_values)
    assert read(make(tmp_path / "c", (0, 1, 2))).remap == ()  # such files say it themselves
    assert read(make(tmp_path / "d", (0, 255))).remap == ()


@pytest.mark.parametrize(
    ("levels", "stored", "wanted", "names"),
    [
        # by hand: 127 is nearer to 0 than to 255, 128 is nearer to 255
        ("0,255", (3, 127, 128, 250), [0, 0, 1, 1], ("background", "foreground")),
        ("255,0", (3, 127, 128, 250), [1, 1, 0, 0], ("background", "foreground")),
        # the middles are 64 (the first of two that are as near) and 191.5
        ("0,128,255", (64, 65, 191, 192), [0, 1, 1, 2], ("0", "128", "255")),
    ],
)
def test_levels_take_the_nearest(tmp_path, levels, stored, wanted, names):
    data = read(make(tmp_path, stored), mask_levels=tuple(levels.split(",")))
    assert (labels_of(data, 4), data.map_values) == (wanted, names)
    assert "nearest of " + levels.replace(",", ", ") in notes(data)


def test_a_level_may_be_what_does_not_count(tmp_path):
    data = read(make(tmp_path, (2, 120, 250)), mask_levels=("0", "128", "255"), ignore=128)
    assert labels_of(data, 3) == [0, 255, 1]
    assert data.map_values == ("background", "foreground")


def test_an_edge_between_black_and_white_is_asked_for_and_both_answers_work(tmp_path):
    values = make(tmp_path, (0, 128, 255))
    with pytest.raises(DataError, match="value 128, and all masks 3 values") as caught:
        read(values)
    two, three = (words.split()[0] for words in str(caught.value).split("--remap ")[1:])
    assert labels_of(read(values, remap=tuple(two.split(","))), 3) == [0, 255, 1]
    assert labels_of(read(values, remap=tuple(three.split(","))), 3) == [0, 1, 2]
    assert labels_of(read(values, ignore=128), 3) == [0, 255, 1]


def test_remap_says_the_label_of_each_value(tmp_path, refused):
    make(tmp_path, (1, 2, 3, 9))
    data = read(tmp_path, remap=("1:0", "2:1", "3:ignore", "9:1"))
    assert labels_of(data, 4) == [0, 1, 255, 1]
    assert data.map_values == ("background", "foreground")
    with refused("masks/", ".png holds value 9, which --remap does not name: --remap 1:0,2:1,3:2,9:ignore"):
        read(tmp_path, remap=("1:0", "2:1", "3:2"))
    assert labels_of(read(tmp_path, remap=("1:0", "2:1", "3:2", "9:ignore")), 4) == [0, 1, 2, 255]


COLOURS = [(255, 0, 0), (0, 0, 0), (18, 52, 86), (255, 255, 255)]


def test_colours_are_values_black_first_named_by_their_colour(tmp_path):
    data = read(make(tmp_path, COLOURS))
    # codes: 000000, 123456, ff0000, ffffff
    assert labels_of(data, 4) == [2, 0, 1, 3]
    assert data.map_values == ("black", "#123456", "red", "white")
    assert data.map_colours == ("000000", "123456", "ff0000", "ffffff")
    assert "4 colours: 0 black, 1 #123456, 2 red, 3 white" in notes(data)
    fewer = read(make(tmp_path / "fewer", [COLOURS[0], COLOURS[1]]), remap=data.remap)
    assert (labels_of(fewer, 2), fewer.map_values) == ([2, 0], data.map_values)


def test_a_mask_without_its_colour_is_one_of_coloured_masks(tmp_path):
    """Some masks show black alone, which their writers store as grey."""
    make(tmp_path, COLOURS)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "masks" / "0.png")
    assert read(tmp_path).map_values == ("black", "#123456", "red", "white")


def test_blurred_colours(tmp_path, refused):
    """Gradients between red and black, as resizing makes: refused, and the remedy that is named gives the truth."""
    make(tmp_path, [(255, 0, 0), (0, 0, 0)])
    with Image.open(tmp_path / "masks" / "0.png") as mask:
        blurred = np.array(mask)
    blurred[:, :, 0] = np.where(MASK % 2, 0, 255 - 2 * np.arange(64).reshape(8, 8))  # 32 reds
    blurred[:, :, 1] = np.arange(64).reshape(8, 8)  # and 64 colours more
    Image.fromarray(blurred).save(tmp_path / "masks" / "0.png")
    with refused("65 colours, more than 64: --mask-levels 0,ff0000 makes of each the nearest"):
        read(tmp_path)
    assert labels_of(read(tmp_path, mask_levels=("ff0000", "000000")), 2) == [0, 1]


def test_more_colours_than_can_be_told_apart(tmp_path, refused):
    make(tmp_path, [(255, 0, 0), (0, 0, 0)], n=9)
    noise = np.random.default_rng(0)
    for i in range(9):
        Image.fromarray(noise.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / "masks" / f"{i}.png")
    with refused("more than 256 colours", "--mask-levels "):
        read(tmp_path)


def test_the_nearest_colour_is_by_squared_distance():
    """(100, 0, 0) is 100^2 from black and 155^2 from red; (200, 90, 90) is 55^2 + 2 * 90^2 from red and more from black."""
    masks = StoredMasks([0x000000, 0xFF0000])
    picture = Image.fromarray(np.array([[(100, 0, 0), (200, 90, 90)]], np.uint8))
    places = masks(picture, "here")
    assert [masks.codes[place] for place in places[0]] == [0x000000, 0xFF0000]


# --- names ---


def test_names_and_colours_of_a_file(tmp_path):
    make(tmp_path, (0, 1, 2))
    (tmp_path / "classes.csv").write_text(
        "value,name,r,g,b\n0,nothing,9,9,9\n2,dog,0,0,255\n1,cat,255,128,0\n7,hen,1,1,1\n"
    )
    data = read(tmp_path)
    assert data.map_values == ("nothing", "cat", "dog")
    assert data.map_colours == ("090909", "ff8000", "0000ff")
    assert ".csv" not in notes(data)  # it is not among the files that are left out
    (tmp_path / "classes.csv").write_text("value;name\n0;nothing\n2;dog\n")
    data = read(tmp_path)
    assert data.map_values == ("nothing", "1", "dog")
    assert "classes.csv does not name 1" in notes(data)
    assert read(tmp_path, remap=("0:0", "1:1", "2:0")).map_values == ("nothing/dog", "1")


def test_names_by_colour(tmp_path):
    make(tmp_path, COLOURS)
    (tmp_path / "classes.csv").write_text("name,r,g,b\nsea,18,52,86\nland,255,0,0\nedge,0,0,0\nsky,255,255,255\n")
    data = read(tmp_path)
    assert data.map_values == ("edge", "sea", "land", "sky")
    assert data.map_colours == ("000000", "123456", "ff0000", "ffffff")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("value,name\n0,a\n0,b\n", "the value 0 comes twice"),
        ("value,name\n0,\n", "give a name of 1 to 80 characters"),
        ("value,name\n300,a\n", "no value of a mask"),
        ("name,r,g,b\na,1,2\n", "whole numbers from 0 to 255"),
        ("name,r,g,b\na,1,2,3\nb,1,2,3\n", "comes twice"),
    ],
)
def test_a_file_of_names_with_faults(tmp_path, text, words, refused):
    make(tmp_path, (0, 1, 2))
    (tmp_path / "classes.csv").write_text(text)
    with refused(f"{tmp_path}/classes.csv, row", words):
        read(tmp_path)


def test_a_table_of_another_kind_is_left_out_as_before(tmp_path):
    make(tmp_path, (0, 1, 2))
    (tmp_path / "classes.csv").write_text("file,breed\n1.png,pug\n")
    data = read(tmp_path)
    assert data.map_values == ("0", "1", "2")
    assert "no columns value (or r, g, b) and name, and is left out" in notes(data)


# --- options ---


@pytest.mark.parametrize(("text", "code"), [("0", 0), ("128", 0x808080), ("ff0010", 0xFF0010), ("#00FF00", 0x00FF00)])
def test_values_are_grey_levels_or_colours(text, code):
    assert value_code(text) == code
    assert value_code(spelled_value(code)) == code


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mask_levels": ("0",)}, "not 2 to 64 different values"),
        ({"mask_levels": ("0", "0")}, "not 2 to 64 different values"),
        ({"mask_levels": ("0", "256")}, "no value of a mask"),
        ({"mask_levels": ("0", "red")}, "no value of a mask"),
        ({"remap": ("1:0",)}, "leaves out a label, or all but one"),
        ({"remap": ("1:0", "2:2")}, "leaves out a label, or all but one"),
        ({"remap": ("1:0", "1:1")}, "names value 1 twice"),
        ({"remap": ("1:0", "2")}, "is no value and label"),
        ({"remap": ("1:0", "2:x")}, "is no value and label"),
        ({"remap": ("1:0", "2:64")}, "is no value and label"),
    ],
)
def test_options_that_mean_nothing(options, words, refused):
    with refused(words):
        DataOptions(**options)
