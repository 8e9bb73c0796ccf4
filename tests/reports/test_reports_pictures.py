"""Tiles lie where they should, pixel by pixel, and pictures that training leaves can be read back."""

import numpy as np
import pytest
import torch
from PIL import Image

from reparam.data.selection import class_balanced_indices
from reparam.reports.pictures import GAP, Panel, cut_sheet, joined, legible, sheet, to_picture


def tiles(n: int, channels: int, side: int) -> torch.Tensor:
    levels = torch.randint(0, 256, (n, channels, side, side), generator=torch.Generator().manual_seed(n))
    return levels / 255


@pytest.mark.parametrize("channels", [1, 3])
def test_sheet_places_every_tile_exactly(channels: int) -> None:
    images = tiles(5, channels, 6)
    pixels = np.asarray(sheet(images, 3)).reshape(2 * 6 + GAP, 3 * 6 + 2 * GAP, channels)
    expected = np.full_like(pixels, 255)
    for number, image in enumerate((images * 255).round().to(torch.uint8)):
        row, column = divmod(number, 3)
        top, left = row * (6 + GAP), column * (6 + GAP)
        expected[top : top + 6, left : left + 6] = image.permute(1, 2, 0).numpy()
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_sheet_is_open_between_tiles_and_where_there_is_none(channels: int) -> None:
    alpha = np.asarray(sheet(tiles(3, channels, 6), 2, transparent=True).getchannel("A"))
    expected = np.zeros((14, 14), np.uint8)
    expected[:6, :6] = expected[:6, 8:] = expected[8:, :6] = 255
    assert np.array_equal(alpha, expected)


@pytest.mark.parametrize(("channels", "side", "columns"), [(1, 8, 8), (3, 6, 4)])
def test_cutting_a_sheet_gives_back_its_tiles(channels: int, side: int, columns: int) -> None:
    images = tiles(2 * columns, channels, side)
    cut = cut_sheet(sheet(images, columns), (channels, side, side))
    assert cut.shape == (2, columns, channels, side, side)
    torch.testing.assert_close(cut.flatten(0, 1), images)


def test_a_picture_of_another_size_is_no_sheet() -> None:
    with pytest.raises(ValueError, match="no sheet of 8 x 8 tiles"):
        cut_sheet(Image.new("L", (33, 18)), (1, 8, 8))


def test_values_outside_the_range_and_nan_are_drawn_as_the_nearest() -> None:
    image = torch.tensor([[[[-1.0, 2.0], [float("nan"), 0.5]]]])
    assert np.asarray(sheet(image, 1)).tolist() == [[0, 255], [0, 128]]


def test_small_tiles_grow_by_a_whole_number_without_smoothing() -> None:
    images = tiles(1, 1, 8)
    large = legible(images, 10)
    assert large.shape[-1] == 96
    assert torch.equal(large[..., ::12, ::12], images)
    assert set(large.unique().tolist()) == set(images.unique().tolist())


@pytest.mark.parametrize(
    ("side", "columns", "expected"), [(28, 10, 84), (28, 30, 28), (64, 10, 64), (128, 6, 128), (512, 6, 128)]
)
def test_tile_sizes(side: int, columns: int, expected: int) -> None:
    assert legible(torch.zeros(1, 3, side, side), columns).shape[-1] == expected


def test_a_labelled_picture_holds_the_tiles_unchanged() -> None:
    images = tiles(4, 3, 100)
    part = Panel(images, 2, ["one", "two"], ["left", ""])
    picture = np.asarray(to_picture([part, Panel(images, 2)]))
    bare = np.asarray(sheet(images, 2))
    height, width, _ = bare.shape
    bottom, right = picture.shape[0] - 8, picture.shape[1] - 8  # the margin
    assert np.array_equal(picture[bottom - height : bottom, right - width : right], bare)
    first = bottom - 2 * height - 16
    assert np.array_equal(picture[first : first + height, right - width : right], bare)
    assert (picture[first : first + height, : right - width] < 128).any()  # names of rows
    assert (picture[:first, right - width :] < 128).any()  # of columns


def test_captions_stand_below_their_tiles() -> None:
    images = tiles(4, 1, 72)
    pixels = np.asarray(Panel(images, 2, captions=["one", "", "", "four"]).image)[:, :, 0]
    for number, image in enumerate(images):
        top, left = (number // 2) * (72 + 14 + GAP), (number % 2) * (72 + GAP)
        assert np.array_equal(pixels[top : top + 72, left : left + 72], np.asarray(sheet(image[None], 1)))
        below = pixels[top + 72 : top + 86, left : left + 72]
        assert (below < 128).any() == (number in (0, 3))


def test_panels_of_several_runs_share_their_originals() -> None:
    original, one, two = tiles(9, 1, 8).split(3)
    panels = {
        "a": Panel(torch.cat([original, one]), 3, ["original", "rebuilt"]),
        "b": Panel(torch.cat([original, two]), 3, ["original", "rebuilt"]),
    }
    part = joined(panels)
    assert torch.equal(part.tiles, torch.cat([original, one, two]))
    assert part.rows == ["original", "a", "b"]
    other = joined({**panels, "c": Panel(torch.cat([two, two]), 3, ["original", "rebuilt"])})
    assert other.rows == ["original", "a", "b", "original", "c"]  # of other originals
    unnamed = joined({"a": Panel(torch.cat([one, one]), 3), "b": Panel(torch.cat([one, two]), 3)})
    assert unnamed.rows == ["a", "", "b", ""]
    assert len(unnamed.tiles) == 12


def test_class_balanced_indices_take_classes_in_turn_whatever_the_order() -> None:
    labels = torch.tensor([0] * 50 + [1] * 50 + [2])
    assert labels[class_balanced_indices(labels, 5)].tolist() == [0, 1, 2, 0, 1]
    assert class_balanced_indices(labels, 3).tolist() == [0, 50, 100]
    unlabelled = torch.full((4,), -1)
    assert class_balanced_indices(unlabelled, 9).tolist() == [0, 1, 2, 3]
