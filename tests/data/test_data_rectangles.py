"""Images that are not square: what is cut, stretched or padded, and what they come out as where nobody asks."""

import numpy as np
import pytest
import torch
from PIL import Image

from reparam.data import DataOptions, load
from reparam.data.io.archives import FolderTree
from reparam.data.io.resize import choose_sides, conform, fit
from reparam.data.io.single_picture import read_mask, read_picture, read_windows
from reparam.data.options import DepthOptions, FolderOptions, ImageOptions, sides_of
from reparam.distributions import IGNORED

RNG = np.random.default_rng(5)
SPLITS = ("train", "validation", "test")


def noise(*shape):
    return RNG.integers(1, 256, shape, np.uint8)


def fill(folder, sizes, colour=3):
    """Pictures of these (height, width), as the arrays that they hold."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = [noise(*size, *([3] if colour == 3 else [])) for size in sizes]
    for number, array in enumerate(arrays):
        Image.fromarray(array).save(folder / f"{number}.png")
    return arrays


def every(data):
    return {x.numpy().tobytes() for split in SPLITS for x in data.split(split).images}


def planes(array):
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


# --- how a size is written ---


@pytest.mark.parametrize("size", ["48x64", "48X64", " 48 x 64 ", "48×64", (48, 64), [48, 64]])
def test_a_size_is_height_by_width_however_it_is_written(size):
    assert sides_of(size) == (48, 64)
    assert ImageOptions(size=size).sides == (48, 64)


@pytest.mark.parametrize("size", [64, "64", "64x64", (64, 64), (64,)])
def test_one_number_is_a_square(size):
    assert ImageOptions(size=size).sides == (64, 64)


def test_a_configuration_holds_one_spelling():
    from reparam.importing import TYPED
    from reparam.run.config import from_json, resolve

    for typed, stored in (("48x64", "48x64"), ((48, 64), "48x64"), ("64x64", 64), ("64", 64), (64, 64)):
        config = resolve("vae", data="digits", size=typed)
        assert config.data.size == stored
        assert from_json(config.to_json(), TYPED) == config


# --- what is kept of a picture ---


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (100, 50), (64, 64), (178, 218), (8, 511)])
@pytest.mark.parametrize("side", [8, 24, 64])
def test_a_square_is_the_central_one(size, side):
    width, height = size
    edge = min(size)
    left, top = (width - edge) // 2, (height - edge) // 2
    found = fit(size, (side, side), "centre")
    assert found.box == (left, top, left + edge, top + edge)
    assert found.place == (0, 0, side, side)


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (100, 50), (64, 64), (8, 400), (400, 8), (1000, 999)])
@pytest.mark.parametrize("sides", [(48, 64), (64, 48), (28, 20), (8, 512), (100, 100)])
def test_nothing_is_stretched_unless_that_is_asked_for(size, sides):
    """What is kept has the shape of the other, as large as it fits, to the nearest pixel and of one pixel at least."""
    rows, columns = sides
    for crop, outer, other in (("centre", size, (columns, rows)), ("pad", (columns, rows), size)):
        found = fit(size, sides, crop)
        left, top, right, bottom = found.box if crop == "centre" else found.place
        assert 0 <= left < right <= outer[0]
        assert 0 <= top < bottom <= outer[1]
        assert abs(left - (outer[0] - right)) <= 1
        assert abs(top - (outer[1] - bottom)) <= 1
        scale = min(outer[0] / other[0], outer[1] / other[1])
        for kept, whole in ((right - left, other[0]), (bottom - top, other[1])):
            assert abs(kept - max(1, scale * whole)) <= 0.5 + 1e-9
    assert fit(size, sides, "none").box == (0, 0, *size)
    assert fit(size, sides, "none").place == (0, 0, *sides[::-1])
    assert fit(size, sides, "pad").box == (0, 0, *size)
    assert (fit(size, sides, "pad").sizes[1][0] == sides[1]) or (fit(size, sides, "pad").sizes[1][1] == sides[0])


def test_a_cut_a_stretch_and_a_pad_by_hand(tmp_path):
    """A white bar on 20 x 40; of the shape 20 x 20 its middle is all white."""
    array = np.full((20, 40), 9, np.uint8)
    array[:, 10:30] = 255
    for number in range(3):
        Image.fromarray(array).save(tmp_path / f"{number}.png")

    def read(**options):
        return load(f"folder:{tmp_path}", DataOptions(**options)).train.pixels[0, 0].numpy()

    assert (read(size=20) == 255).all()
    assert np.array_equal(read(), array)
    assert np.array_equal(read(size="20x40"), array)
    assert np.array_equal(read(size="20x30"), array[:, 5:35])
    assert np.array_equal(read(size="10x40"), array[5:15])
    padded = read(size=40, crop="pad")
    assert np.array_equal(padded[10:30], array)
    assert (padded[:10] == 0).all()
    assert (padded[30:] == 0).all()
    stretched = read(size="40x20", crop="none")
    assert stretched.shape == (40, 20)
    assert (stretched[:, 6:14] == 255).all()
    assert (stretched[:, [0, -1]] == 9).all()


@pytest.mark.parametrize("crop", ["centre", "none", "pad"])
@pytest.mark.parametrize("size", ["24x40", "40x24", "16x16"])
def test_arrays_are_fitted_as_pictures_are(tmp_path, crop, size):
    array = noise(30, 50) // 2 + 64  # no overshoot, which Pillow clips between its two passes
    for number in range(3):
        Image.fromarray(array).save(tmp_path / f"{number}.png")
    options = DataOptions(size=size, crop=crop)
    ours = conform(torch.from_numpy(array)[None, None], options)[0]
    theirs = load(f"folder:{tmp_path}", options).train.pixels[0]
    assert ours.shape == theirs.shape
    inner = (..., slice(2, -2), slice(2, -2)) if crop == "centre" else ...  # Pillow looks beyond the part that is cut
    assert (ours.int() - theirs.int())[inner].abs().max() <= 1


# --- what images come out as where nobody asks ---


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        ((20, 28), (28, 20)),  # faces
        ((200, 120), (120, 200)),  # microscopy
        ((178, 218), (218, 178)),
        ((256, 8), (8, 256)),
        ((2048, 1024), (64, 128)),  # street scenes
        ((4000, 3000), (64, 88)),  # photographs of one camera: 85.3, to the nearest multiple of 8
        ((257, 128), (64, 128)),
        ((48, 300), (304, 48)),
        ((10, 2000), (512, 8)),
        ((128, 128), (128, 128)),
        ((130, 130), (64, 64)),
        ((8, 8), (8, 8)),
    ],
)
def test_pictures_of_one_size_keep_their_shape(size, sides):
    found, notes = choose_sides([size] * 3, ImageOptions())
    assert found == sides
    square = size[0] == size[1]
    assert (not notes) == (square and size == sides[::-1])
    assert square or any("height x width" in note and "--size" in note for note in notes)


def test_of_pictures_of_several_sizes_the_central_squares_are_taken():
    for sizes in ([(40, 30), (30, 40), (100, 50)], [(40, 30), (80, 60), (40, 30)]):
        sides, notes = choose_sides(sizes, ImageOptions())
        assert sides[0] == sides[1]
        assert "central square" in notes[0]
        assert "(height x width)" in notes[0]
    assert choose_sides([(400, 300), (300, 400)], ImageOptions(size="48x64"))[0] == (48, 64)
    note = choose_sides([(400, 300), (30, 40)], ImageOptions(size="48x64"))[1][0]
    assert "cut to the central part of that shape and resized to 48 x 64 (1 of 2 enlarged)" in note


@pytest.mark.parametrize("colour", [1, 3])
def test_a_folder_of_one_shape_comes_out_in_it(tmp_path, colour):
    arrays = fill(tmp_path, [(28, 20)] * 10, colour)
    data = load(f"folder:{tmp_path}")
    assert data.shape == (colour, 28, 20)
    assert every(data) == {planes(array).tobytes() for array in arrays}
    assert any("28 x 20" in note and "--size N makes squares" in note for note in data.notes)
    square = load(f"folder:{tmp_path}", DataOptions(size=20))
    assert every(square) == {planes(array[4:24]).tobytes() for array in arrays}


def test_streamed_and_packed_images_are_those_in_memory(tmp_path):
    from reparam.data.sources.shard_writing import write_shards

    fill(tmp_path / "photos", [(12, 40), (40, 12), (30, 30), (9, 90), (16, 20)])
    for crop in ("centre", "none", "pad"):
        options = {"size": "16x24", "crop": crop, "colour": "rgb"}
        memory = load(f"folder:{tmp_path / 'photos'}", DataOptions(**options))
        streamed = load(f"folder:{tmp_path / 'photos'}", DataOptions(**options, stream=True))
        write_shards(streamed, tmp_path / crop, workers=0)
        packed = load(f"shards:{tmp_path / crop}")
        assert load(f"shards:{tmp_path / crop}", DataOptions(size="16x24")).shape == packed.shape == (3, 16, 24)
        for split in SPLITS:
            for other in (streamed, packed):
                assert torch.equal(other.split(split).images[:], memory.split(split).pixels)


def test_a_packed_shape_is_settled(tmp_path, refused):
    from reparam.data.sources.shard_writing import write_shards

    fill(tmp_path / "photos", [(16, 24)] * 4)
    write_shards(load(f"folder:{tmp_path / 'photos'}", DataOptions(stream=True)), tmp_path / "packed", workers=0)
    for size in (16, 24, "24x16"):
        with refused("16 x 24 (height x width)", "leave --size and --colour out"):
            load(f"shards:{tmp_path / 'packed'}", DataOptions(size=size))


def test_a_photograph_held_upright_is_decoded_large_enough(tmp_path):
    """JPEG files are decoded at a part of their size where that suffices; EXIF may swap their sides."""
    smooth = np.linspace(0, 255, 640)[None, :] * np.ones((480, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(3):
        Image.fromarray(smooth.astype(np.uint8)).save(tmp_path / f"{number}.jpg", quality=95, exif=exif)
    found = load(f"folder:{tmp_path}", DataOptions(size="128x96")).train.pixels[0, 0].numpy()
    expected = np.linspace(1, 254, 128)[:, None]
    assert found.shape == (128, 96)
    assert np.abs(found - expected).max() < 4


def test_celeba_and_cifar_take_rectangles(tmp_path):
    from tests.data.test_data_cifar_celeba import celeba

    path = celeba(tmp_path / "c")
    whole = load(f"celeba:{path}", DataOptions(size="218x178"))
    assert whole.shape == (3, 218, 178)
    assert any("218 x 178" in note for note in whole.notes)
    assert load(f"celeba:{path}").shape == (3, 64, 64)


# --- label maps ---


def pair(folder, sizes, stored):
    for number, (height, width) in enumerate(sizes):
        mask = np.array(stored, np.uint8)[RNG.integers(0, len(stored), (height // 2, width // 2))]
        mask = mask.repeat(2, 0).repeat(2, 1)
        for kind, array in (("images", mask // 4 + 100), ("masks", mask)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / kind / f"{number}.png")


@pytest.mark.parametrize("stored", [(0, 255), (0, 1, 2), (0, 1, 255, 2)])
def test_beside_a_padded_picture_nothing_counts(tmp_path, stored):
    """Also where 255 is the foreground."""
    pair(tmp_path, [(16, 16), (16, 32), (32, 16), (8, 16)], stored)
    data = load(f"pairs:{tmp_path}", DataOptions(size="16x32", crop="pad"))
    for split in SPLITS:
        part = data.split(split)
        black = part.pixels == 0  # no pixel of these pictures is
        if 255 not in stored[1:] or stored == (0, 255):
            assert torch.equal(part.maps == IGNORED, black)
        else:
            assert (part.maps[black] == IGNORED).all()
    assert any(bool((data.split(split).pixels == 0).any()) for split in SPLITS)


def test_maps_come_out_in_the_shape_of_their_pictures(tmp_path):
    pair(tmp_path, [(24, 40)] * 6, (0, 1, 2))
    data = load(f"pairs:{tmp_path}")
    assert data.shape == (1, 24, 40)
    for split in SPLITS:
        part = data.split(split)
        assert torch.equal(part.pixels, part.maps // 4 + 100)


# --- one picture, and back to its own size ---


@pytest.mark.parametrize("crop", ["centre", "none", "pad"])
@pytest.mark.parametrize("size", [(40, 30), (30, 40), (64, 24), (24, 16), (16, 160), (500, 31)])
def test_a_label_map_comes_back_at_the_size_of_its_picture(tmp_path, crop, size):
    """Left half one value, right half the other, and all of it is seen: at the picture's own size the border is where it was, to
    a pixel of the model's."""
    width, height = size
    array = np.zeros((height, width), np.uint8)
    array[:, width // 2 :] = 255
    Image.fromarray(array).save(tmp_path / "a.png")
    windows = read_windows(FolderTree(tmp_path, ["a.png"]), "a.png", (1, 16, 24), DepthOptions(crop=crop))
    assert windows.size == size
    assert windows.pixels.shape[1:] == (1, 16, 24)
    assert (len(windows.pixels) == 1) == (crop != "centre" or size in ((24, 16),))
    found = windows.enlarged(torch.cat([1 - windows.pixels, windows.pixels], 1)).argmax(0)
    assert found.shape == (height, width)
    scale = width / (windows.place[2] - windows.place[0])
    wrong = (found != torch.from_numpy(array > 0).long()).any(0).nonzero().flatten()
    assert ((wrong - width // 2).abs() <= max(1, scale)).all()


@pytest.mark.parametrize("size", [(48, 16), (24, 48), (24, 16), (60, 16), (240, 160)])
def test_windows_cover_a_picture_without_a_stretch(tmp_path, size):
    """Each is the part of the reduced picture at its corner; what they hold, joined, is that picture."""
    array = noise(size[1], size[0]) // 2 + 64
    Image.fromarray(array).save(tmp_path / "a.png")
    windows = read_windows(FolderTree(tmp_path, ["a.png"]), "a.png", (1, 16, 24), DepthOptions())
    rows, columns = windows.sides
    assert (rows == 16) or (columns == 24)
    assert abs(rows * size[0] - columns * size[1]) <= max(size) / 2
    torch.testing.assert_close(
        windows.joined(windows.pixels)[0].numpy() * 255,
        np.asarray(Image.fromarray(array).resize((columns, rows), Image.Resampling.BICUBIC), np.float32),
        atol=1e-3,
        rtol=0,
    )
    for axis, (whole, part) in enumerate(((rows, 16), (columns, 24))):
        starts = sorted({corner[axis] for corner in windows.corners})
        assert (starts[0], starts[-1]) == (0, whole - part)
        assert len(starts) == -(-whole // part)  # no more than it takes
        assert all(after - before <= part for before, after in zip(starts, starts[1:], strict=False))


def test_what_lies_beside_a_padded_picture_is_known(tmp_path):
    Image.fromarray(noise(16, 16)).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "mask.png")
    options = FolderOptions(crop="pad")
    picture = read_picture(tmp_path / "a.png", (1, 16, 24), options)
    mask = read_mask(tmp_path / "mask.png", picture, (1, 16, 24), options)
    assert torch.equal(mask > 0, picture.pixels == 0)
    assert mask.shape == (1, 1, 16, 24)
