"""Pictures that a run has not seen: all of what is given, in its order, fitted to the run, with names and classes."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reparam.data.new_pictures import NewPictures, read_new
from reparam.data.options import DataOptions
from reparam.errors import DataError

OPTIONS = DataOptions(size=8, colour="grey")
CLASSES = ("cat", "dog")


def picture(path: Path, value: int, size: tuple[int, int] = (8, 8), mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, value, value)).save(path)
    return path


def values(found: NewPictures) -> list[int]:
    """Of pictures that are of one grey each."""
    pixels = found.images.pixels.flatten(1)
    assert bool((pixels == pixels[:, :1]).all())
    return pixels[:, 0].tolist()


def test_files_folders_zips_and_arrays_follow_each_other_in_the_order_given(tmp_path: Path) -> None:
    one = picture(tmp_path / "z.png", 10)
    folder = picture(tmp_path / "holiday" / "b.jpg", 20).parent
    picture(folder / "deep" / "a.png", 30)
    inside = picture(tmp_path / "c.png", 40)
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(inside, "c.png")
    np.savez(tmp_path / "some.npz", x_train=np.full((1, 8, 8), 50, np.uint8), x_test=np.full((2, 8, 8), 60, np.uint8))
    np.save(tmp_path / "single.npy", np.full((1, 8, 8), 70, np.uint8))
    given = [one, folder, tmp_path / "more.zip", tmp_path / "some.npz", tmp_path / "single.npy", one]
    found = read_new(given, OPTIONS)
    assert values(found) == [10, 20, 30, 40, 50, 60, 60, 70, 10]
    arrays = ["some.npz/0", "some.npz/1", "some.npz/2", "single.npy/0"]
    assert found.names == ("z.png", "b.jpg", "deep/a.png", "c.png", *arrays, "z.png")
    assert values(read_new([f"folder:{folder}", f"array:{tmp_path / 'single.npy'}"], OPTIONS)) == [20, 30, 70]


GREYS = torch.arange(4, dtype=torch.uint8)[:, None, None, None].expand(4, 1, 8, 8) * 10


class Named(torch.utils.data.Dataset):
    classes = ("hen", "cat", "dog")

    def __len__(self) -> int:
        return 4

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        return GREYS[place], place % 3


@pytest.mark.parametrize(
    ("given", "classes"),
    [
        (GREYS, None),
        (GREYS.numpy(), None),
        (GREYS / 255, None),
        (list(GREYS), None),
        ({"train": GREYS[:1], "test": GREYS[1:]}, None),
        ((GREYS, torch.tensor([0, 1, -1, 0])), ["cat", "dog", None, "cat"]),
        ((GREYS, [0, 2, 1, 0]), ["0", "2", "1", "0"]),  # the run has two classes
        (Named(), ["hen", "cat", "dog", "hen"]),
        (torch.utils.data.Subset(Named(), range(4)), ["hen", "cat", "dog", "hen"]),
        (torch.utils.data.DataLoader(Named(), 2), ["hen", "cat", "dog", "hen"]),
    ],
)
def test_images_in_python_are_all_taken_in_their_order_with_their_labels(
    given: object, classes: list[str | None] | None
) -> None:
    """Labels are numbers of the run's classes, unless the data set names its own."""
    found = read_new(given, OPTIONS, CLASSES)
    assert values(found) == [0, 10, 20, 30]
    assert found.names == ("python/0", "python/1", "python/2", "python/3")
    labels = found.images.labels.tolist()
    assert [found.classes[label] if label >= 0 else None for label in labels] == (classes or [None] * 4)


def test_images_in_python_are_fitted_and_what_may_be_one_or_three_is_asked() -> None:
    found = read_new(GREYS.repeat_interleave(2, 2).repeat_interleave(2, 3), OPTIONS)
    assert values(found) == [0, 10, 20, 30]
    assert "images of 16 x 16 pixels (height x width)" in found.notes[0]
    colour = DataOptions(size=8, colour="rgb")
    assert tuple(read_new(GREYS, colour).images.images.shape) == (4, 3, 8, 8)
    with pytest.raises(
        DataError, match=r"may be one picture in colour, or grey ones: of one picture give images\[None\]"
    ):
        read_new(torch.zeros(3, 8, 8, dtype=torch.uint8), colour)
    for nothing in (3, None, [], "a\0b"):
        with pytest.raises(DataError, match=r"no images|no pictures|NUL"):
            read_new(nothing, OPTIONS)


def test_pictures_of_other_sizes_and_colours_are_fitted_and_one_note_counts_them(tmp_path: Path) -> None:
    same, wide, coloured = (
        picture(tmp_path / "same.png", 10),
        picture(tmp_path / "wide.png", 20, (40, 12)),
        picture(tmp_path / "colour.png", 30, (5 * 8, 5 * 8), "RGB"),
    )
    found = read_new([same, wide, coloured], OPTIONS)
    assert values(found) == [10, 20, 30]
    assert found.notes == ("2 of 3 pictures are cut to the central square and resized to 8 x 8, as the run's were",)
    tall = read_new([wide], DataOptions(size="16x8", colour="rgb"))
    assert tuple(tall.images.images.shape) == (1, 3, 16, 8)
    assert not read_new([same], OPTIONS).notes


def test_a_folder_that_is_called_as_a_class_is_one_at_any_depth(tmp_path: Path) -> None:
    for number, place in enumerate(("new/dog/1.png", "new/set-2/cat/2.png", "new/loose.png")):
        picture(tmp_path / place, number)
    found = read_new([tmp_path / "new"], OPTIONS, CLASSES)
    labelled = dict(zip(found.names, found.images.labels.tolist(), strict=True))
    assert labelled == {"dog/1.png": 1, "set-2/cat/2.png": 0, "loose.png": -1}
    assert found.classes == CLASSES


def test_pictures_with_another_class_have_classes_of_their_own(tmp_path: Path) -> None:
    for number, place in enumerate(("new/dog/1.png", "new/10/2.png", "new/9/3.png")):
        picture(tmp_path / place, number)
    found = read_new([tmp_path / "new"], OPTIONS, CLASSES)
    assert found.classes == ("9", "10", "dog")  # numbers first, as numbers
    assert dict(zip(found.names, found.images.labels.tolist(), strict=True)) == {
        "dog/1.png": 2,
        "10/2.png": 1,
        "9/3.png": 0,
    }


def test_a_data_set_is_taken_whole(tmp_path: Path) -> None:
    found = read_new(["digits"], OPTIONS, tuple("0123456789"))
    assert len(found.images) == 1797
    assert (found.names[0], found.names[-1]) == ("train/0", "test/299")
    assert found.classes == tuple("0123456789")
    assert torch.bincount(found.images.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_a_run_s_options_that_other_data_does_not_read_are_left_out(tmp_path: Path) -> None:
    """Nobody has typed them for this data, so that an error could name no remedy."""
    of_pairs = replace(OPTIONS, remap=("1:0", "2:1"), mask_levels=("1", "2"), ignore=3, group="a", range=(0, 9))
    assert len(read_new(["digits"], of_pairs).images) == 1797
    assert len(read_new(["digits"], replace(OPTIONS, pages="channels", damaged="skip", layout="first")).images) == 1797
    for number in range(3):
        picture(tmp_path / "images" / f"{number}.png", number)
        mask = picture(tmp_path / "masks" / f"{number}.png", 2)
        Image.fromarray(np.repeat([[1], [2]], 4, 0).repeat(8, 1).astype(np.uint8)).save(mask)
    found = read_new(
        [f"pairs:{tmp_path}"], replace(of_pairs, mask_levels=(), group=None, range=(), layout="last", pages="images")
    )
    assert found.images.maps is not None
    assert found.images.maps[0, 0, :, 0].tolist() == [0] * 4 + [1] * 4


def test_labels_of_arrays_are_classes_by_number(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 8, 8), np.uint8), labels=[1, -1, 0])
    found = read_new([tmp_path / "a.npz"], OPTIONS, ("0", "1", "2"))
    assert (found.images.labels.tolist(), found.classes) == ([1, -1, 0], ("0", "1", "2"))
    np.savez(tmp_path / "a.npz", images=np.zeros((1, 8, 8), np.uint8), labels=[9])  # more than there are images
    assert read_new([tmp_path / "a.npz"], OPTIONS, tuple("0123456789")).images.labels.tolist() == [9]


def test_test_images_alone_are_enough(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_test=np.full((2, 8, 8), 9, np.uint8))
    assert values(read_new([tmp_path / "a.npz"], OPTIONS)) == [9, 9]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder / "none.png", "does not exist"),
        (lambda folder: folder, "is empty"),
        (lambda folder: _written(folder / "a.txt"), "not a picture"),
        (lambda folder: _written(folder / "a.png").parent, "a.png is not a picture"),
    ],
)
def test_what_cannot_be_read_is_named(make: object, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        read_new([make(tmp_path)], OPTIONS)  # type: ignore[operator]


def test_notes_on_the_range_of_new_images_name_no_option_of_training(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.linspace(-3, 3, 192).reshape(3, 8, 8))
    (note,) = read_new([tmp_path / "a.npy"], OPTIONS).notes
    assert note == "numbers from -3 to 3 in these images become 0 to 1"


def test_nothing_given_is_no_set_of_pictures() -> None:
    with pytest.raises(DataError, match="no pictures are given"):
        read_new([], OPTIONS)


def _written(path: Path) -> Path:
    path.write_text("words")
    return path
