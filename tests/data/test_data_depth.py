"""Images of any type and number of channels: which numbers become 0 and 1, and where the channels are."""

import json

import numpy as np
import pytest
import torch

from reparam.data import DataOptions, Dataset, depth, load
from reparam.data.dataset import SPLITS
from reparam.data.scale import EIGHT_BITS, Scale
from reparam.data.sources.shard_writing import write_shards
from reparam.data.tasks import to_float

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (20, 8, 8), np.uint8)
TWELVE = RNG.integers(0, 4096, (20, 9, 8), np.uint16)
TWELVE[:, 0, :2] = 0, 4095  # every picture holds both ends
FLOATS = RNG.random((20, 8, 8))


def saved(tmp_path, array=None, **arrays):
    """The spec of an array in a .npy, or of several in a .npz."""
    if arrays:
        np.savez(tmp_path / "a.npz", **arrays)
        return f"array:{tmp_path / 'a.npz'}"
    np.save(tmp_path / "a.npy", array)
    return f"array:{tmp_path / 'a.npy'}"


def pixels(data: Dataset) -> torch.Tensor:
    """Of all images, [N, C, H, W]."""
    return torch.cat([data.split(split).pixels for split in SPLITS])


def as_a_set(images) -> set[bytes]:
    return {np.ascontiguousarray(image).tobytes() for image in images}


@pytest.mark.parametrize("chunk", [2**24, 100])
@pytest.mark.parametrize("dtype", [np.uint16, ">u2", np.int16, np.int32, np.uint32, np.int64, np.float32, np.float64])
def test_whole_numbers_come_back_exactly(tmp_path, monkeypatch, dtype, chunk):
    monkeypatch.setattr(depth, "CHUNK", chunk)
    data = load(saved(tmp_path, TWELVE.astype(dtype)))
    assert data.scale == Scale(0, 4095, 4096)
    assert data.train.images.dtype == torch.float32
    assert any("whole numbers from 0 to 4095" in note and "4,096 levels; --range A,B" in note for note in data.notes)
    assert as_a_set((pixels(data)[:, 0] * 4095).round().numpy().astype(np.uint16)) == as_a_set(TWELVE)


def test_sixteen_bits_and_negative_numbers_come_back_exactly(tmp_path):
    for numbers in (np.arange(65536).reshape(16, 64, 64), np.arange(-3024, -3024 + 4096).reshape(16, 16, 16)):
        low, high = int(numbers.min()), int(numbers.max())
        data = load(saved(tmp_path, numbers), DataOptions(range=(low, high)))
        assert data.scale == Scale(low, high, high - low + 1)
        found = (pixels(data).double() * (high - low)).round() + low
        assert found.flatten().sort().values.long().equal(torch.arange(low, high + 1))


@pytest.mark.parametrize(
    "array",
    [
        BYTES.astype(np.int32),
        BYTES.astype(np.float64),
        BYTES.astype(np.uint16) * 257,
        (BYTES / 255).astype(np.float32),
        (BYTES / 255).astype(np.float16),
        BYTES / 255,
    ],
    ids=["int32", "whole floats", "uint16 * 257", "float32 / 255", "float16 / 255", "float64 / 255"],
)
def test_numbers_that_are_bytes_are_the_same_bytes(tmp_path, array):
    plain = load(saved(tmp_path, BYTES))
    data = load(saved(tmp_path, array))
    assert data.train.images.dtype == torch.uint8
    assert data.fingerprint == plain.fingerprint
    assert any("read as 8 bits" in note for note in data.notes)
    assert not any("8 bits" in note for note in plain.notes)


def test_bytes_of_a_set_that_has_others_too_are_numbers_of_it(tmp_path):
    """Small numbers in training do not make a test image's large ones wrap around."""
    data = load(saved(tmp_path, train=BYTES.astype(np.uint16) // 2, test=TWELVE[:, 1:]))
    assert data.scale == Scale(0, 127, 128)
    assert float(data.test.pixels.max()) == 1
    assert any("values of test lie outside 0 to 127" in note and "are cut off" in note for note in data.notes)


def test_a_dark_split_is_read_as_the_others_are(tmp_path):
    """A split of which the largest byte is 1 is no split in black and white."""
    dark = RNG.integers(0, 2, (5, 8, 8), np.uint8)
    for train, test in ((BYTES, dark), (BYTES.astype(np.float32), dark), (BYTES, dark.astype(np.int64))):
        data = load(saved(tmp_path, train=train, test=test))
        assert np.array_equal(data.test.pixels[:, 0].numpy(), dark)
        assert not any("black and white" in note for note in data.notes)


def test_one_number_beyond_1_does_not_part_the_splits_of_an_array(tmp_path):
    """Wherever it falls: in training it is the range's end, elsewhere it is cut off, and told of."""
    beyond = 0
    for place in range(len(FLOATS)):
        array = FLOATS.copy()
        array[place, 0, 0] = 1.5
        data = load(saved(tmp_path, array))
        assert data.scale in (Scale(0, 1, 0), Scale(float(data.scale.low), 1.5, 0))
        told = any("lie outside 0 to 1 (" in note and "are cut off" in note for note in data.notes)
        assert told == (data.scale == Scale(0, 1, 0))
        beyond += told
    assert beyond == 4  # as many as are in validation and test


def test_sixteen_bits_in_either_order_of_bytes(tmp_path):
    for dtype in ("<u2", ">u2"):
        assert load(saved(tmp_path, BYTES.astype(dtype) * 257)).scale == EIGHT_BITS
        assert load(saved(tmp_path, TWELVE.astype(dtype)), DataOptions(depth="8")).scale == Scale(0, 65535, 256)


@pytest.mark.parametrize(
    ("array", "scale"),
    [
        (FLOATS, Scale(0, 1, 0)),
        (FLOATS.astype(np.float32), Scale(0, 1, 0)),
        (FLOATS.astype(np.float16), Scale(0, 1, 0)),
        (FLOATS * (1 + 1e-7) - 1e-8, Scale(0, 1, 0)),  # what arithmetic leaves
        (np.where(FLOATS < 0.5, -1.5, 2.25), Scale(-1.5, 2.25, 0)),
        (np.where(FLOATS < 0.5, 3, 1_000_003), Scale(3, 1_000_003, 0)),  # more levels than are told apart
        (np.where(FLOATS < 0.5, 1000, 1255), Scale(1000, 1255, 256)),
    ],
)
def test_the_range_of_others(tmp_path, array, scale):
    data = load(saved(tmp_path, array))
    assert data.scale == scale
    expected = ((array - scale.low) / (scale.high - scale.low)).clip(0, 1)
    found = to_float(pixels(data)).flatten().sort().values
    torch.testing.assert_close(found, torch.from_numpy(np.sort(expected.ravel())).float(), rtol=0, atol=1e-6)


def test_a_given_range_cuts_off_and_counts(tmp_path):
    spec = saved(tmp_path, train=TWELVE[:10], val=TWELVE[10:15], test=TWELVE[15:])
    data = load(spec, DataOptions(range=(1000, 3000)))
    assert data.scale == Scale(1000, 3000, 2001)
    for split, part in zip(SPLITS, (TWELVE[:10], TWELVE[10:15], TWELVE[15:]), strict=True):
        outside = int(((part < 1000) | (part > 3000)).sum())
        assert any(note.startswith(f"{outside:,} of {part.size:,} values of {split}") for note in data.notes)
        expected = (part.clip(1000, 3000) - 1000.0) / 2000
        torch.testing.assert_close(
            data.split(split).pixels[:, 0].double(), torch.from_numpy(expected), rtol=0, atol=1e-7
        )


def test_the_range_is_that_of_training(tmp_path):
    data = load(saved(tmp_path, train=TWELVE[:10] // 2, test=TWELVE[10:]))
    assert data.scale == Scale(0, 2047, 2048)
    assert any("values of test lie outside 0 to 2047" in note for note in data.notes)
    assert not any("values of train" in note for note in data.notes)
    assert load(saved(tmp_path, train=TWELVE[:10], test=TWELVE[10:] // 2)).scale == Scale(0, 4095, 4096)


def test_eight_bits_by_choice(tmp_path):
    spec = saved(tmp_path, FLOATS)
    data = load(spec, DataOptions(depth="8"))
    assert data.train.images.dtype == torch.uint8
    assert as_a_set(pixels(data)[:, 0]) == as_a_set(np.rint(FLOATS * 255).astype(np.uint8))
    for options, range_ in (({}, (0, 65535)), ({"range": (0, 4095)}, (0, 4095))):
        data = load(saved(tmp_path, TWELVE), DataOptions(depth="8", **options))
        assert data.scale == Scale(*range_, 256)
        assert as_a_set(pixels(data)[:, 0]) == as_a_set(np.rint(TWELVE / range_[1] * 255).astype(np.uint8))


def test_bytes_of_a_given_range_have_its_levels(tmp_path):
    data = load(saved(tmp_path, BYTES), DataOptions(range=(50, 200)))
    assert data.scale == Scale(50, 200, 151)
    assert data.train.images.dtype == torch.float32
    assert load(saved(tmp_path, BYTES), DataOptions(range=(0, 255))).scale == EIGHT_BITS


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.full((20, 8, 8), 1000, np.uint16)}, "all pixels of the training images are 1000"),
        ({"train": FLOATS, "test": TWELVE[:, 1:]}, "some images are floats in [0, 1] and others are not"),
        ({"train": FLOATS, "test": np.full((3, 8, 8), np.nan)}, "'test' holds NaN"),
    ],
)
def test_numbers_without_a_common_range_are_refused(tmp_path, arrays, words, refused):
    with refused(words):
        load(saved(tmp_path, **arrays))


@pytest.mark.parametrize("given", [(1,), (1, 2, 3), (5, 5), (5, 4), (0, float("nan")), (0, float("inf")), (0, 1e300)])
def test_what_is_no_range_is_refused(given, refused):
    with refused("is not two numbers, the smaller one first: such as --range 0,4095"):
        DataOptions(range=given)


def test_dark_floats_are_told_of_and_the_remedy_works(tmp_path):
    spec = saved(tmp_path, FLOATS * 0.05)
    (note,) = [note for note in load(spec).notes if "--range" in note]
    low, high = map(float, note.partition("--range ")[2].split()[0].split(","))
    assert float(load(spec, DataOptions(range=(low, high))).train.pixels.max()) > 0.99


def test_a_few_bright_pixels_are_told_of_and_the_remedy_works(tmp_path):
    hot = TWELVE[:, 1:].repeat(8, 1)
    hot = hot.repeat(4, 2)
    hot[:, 0, 0] = 65535  # one pixel of 2,048 in an image
    (note,) = [note for note in load(saved(tmp_path, hot)).notes if "99.8 %" in note]
    low, high = map(float, note.partition("--range ")[2].split()[0].split(","))
    assert 0 <= low < 100
    assert 3900 < high <= 4095
    assert float(load(saved(tmp_path, hot), DataOptions(range=(low, high))).train.pixels.mean()) > 0.4
    assert not any("99.8 %" in note for note in load(saved(tmp_path, TWELVE)).notes)


def test_other_numbers_of_the_same_pixels_are_other_data(tmp_path):
    first = load(saved(tmp_path, TWELVE)).fingerprint
    assert load(saved(tmp_path, TWELVE)).fingerprint == first
    assert load(saved(tmp_path, TWELVE.astype(np.int32) + 100)).fingerprint != first
    assert load(saved(tmp_path, TWELVE), DataOptions(range=(0, 4095))).fingerprint == first


def test_resized_numbers_are_levels(tmp_path):
    data = load(saved(tmp_path, RNG.integers(0, 11, (20, 16, 24)) * 100), DataOptions(size=8, range=(0, 1000)))
    levels = pixels(data).double() * 1000
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    assert data.shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("stored", "layout", "shape"),
    [
        ((20, 5, 16, 16), "auto", (5, 16, 16)),
        ((20, 16, 16, 5), "auto", (5, 16, 16)),
        ((20, 2, 12, 16), "auto", (2, 12, 16)),
        ((20, 12, 16, 7), "auto", (7, 12, 16)),
        ((20, 10, 24, 24), "auto", (10, 24, 24)),
        ((20, 24, 24, 10), "auto", (10, 24, 24)),
        ((20, 10, 24, 80), "auto", (10, 24, 80)),
        ((20, 80, 24, 10), "auto", (10, 80, 24)),
        ((20, 10, 24, 16), "first", (10, 24, 16)),
        ((20, 10, 24, 16), "last", (16, 10, 24)),
        ((20, 16, 16, 16), "last", (16, 16, 16)),
        ((20, 64, 9, 8), "first", (64, 9, 8)),
    ],
)
def test_channels_are_found(tmp_path, stored, layout, shape):
    array = RNG.integers(0, 256, stored, np.uint8)
    data = load(saved(tmp_path, array), DataOptions(layout=layout))
    assert data.shape == shape
    first = array if stored[1] == shape[0] and layout != "last" else array.transpose(0, 3, 1, 2)
    assert as_a_set(pixels(data)) == as_a_set(first)


@pytest.mark.parametrize("stored", [(20, 10, 24, 16), (20, 16, 16, 16)])
def test_an_axis_that_could_be_either_is_asked_for(tmp_path, stored, refused):
    with refused("add --layout first for [N, C, H, W], --layout last for [N, H, W, C]"):
        load(saved(tmp_path, np.zeros(stored, np.uint8)))


def test_more_channels_than_there_may_be(tmp_path, refused):
    with refused("70 channels: give 64 at most"):
        load(saved(tmp_path, np.zeros((20, 24, 24, 70), np.uint8)))


def test_colours_of_other_channels(tmp_path, refused):
    rgba = RNG.integers(0, 256, (20, 4, 8, 8), np.uint8)
    on_white = load(saved(tmp_path, rgba), DataOptions(colour="rgb"))
    alpha = rgba[:, 3:] / 255
    expected = rgba[:, :3] * alpha + 255 * (1 - alpha)
    found = np.sort(pixels(on_white).numpy().astype(float), 0)
    assert np.abs(found - np.sort(expected, 0)).max() <= 0.501
    assert load(saved(tmp_path, rgba)).shape == (4, 8, 8)
    opaque = load(saved(tmp_path, BYTES), DataOptions(colour="rgba"))
    assert opaque.shape == (4, 8, 8)
    assert bool((opaque.train.pixels[:, 3] == 255).all())
    with refused("these images have 5 channels: leave it out"):
        load(saved(tmp_path, np.zeros((20, 5, 8, 8), np.uint8)), DataOptions(colour="grey"))


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (TWELVE, {}),
        (TWELVE, {"range": (0, 2000)}),
        (FLOATS, {}),
        (FLOATS * 9 - 3, {}),
        (RNG.integers(0, 256, (20, 5, 9, 8), np.uint8), {}),
        (RNG.integers(0, 60000, (20, 2, 9, 8)), {}),
    ],
    ids=["12 bits", "a range", "floats in [0, 1]", "floats", "five channels", "16 bits of two channels"],
)
def test_shards_hold_them_bit_for_bit(tmp_path, array, options):
    pytest.importorskip("array_record")
    memory = load(saved(tmp_path, array), DataOptions(**options))
    write_shards(memory, tmp_path / "shards", workers=0)
    disk = load(f"shards:{tmp_path / 'shards'}")
    assert disk.scale == memory.scale
    assert disk.shape == memory.shape
    for split in SPLITS:
        found = disk.split(split).images[:]
        assert found.dtype == memory.train.images.dtype
        assert torch.equal(found, memory.split(split).pixels)
    given = load(f"shards:{tmp_path / 'shards'}", DataOptions(range=(memory.scale.low, memory.scale.high)))
    assert given.fingerprint == disk.fingerprint


@pytest.mark.parametrize("options", [{}, {"depth": "8", "range": (0, 4095)}])
def test_shards_of_256_levels_keep_what_they_mean(tmp_path, options):
    pytest.importorskip("array_record")
    numbers = BYTES.astype(int) + 1000
    numbers[:, 0, :2] = 1000, 1255
    data = load(saved(tmp_path, TWELVE if options else numbers), DataOptions(**options))
    assert data.scale.levels == 256
    write_shards(data, tmp_path / "shards", workers=0)
    packed = load(f"shards:{tmp_path / 'shards'}")
    assert packed.scale == data.scale == Scale(*((0, 4095) if options else (1000, 1255)), 256)
    assert packed.train.take(torch.arange(len(data.train))).pixels.equal(data.train.pixels)


def test_shards_keep_the_range_that_they_were_packed_with(tmp_path, refused):
    pytest.importorskip("array_record")
    write_shards(load(saved(tmp_path, TWELVE)), tmp_path / "shards", workers=0)
    for options in ({"range": (0, 100)}, {"depth": "8"}):
        with refused("numbers from 0 to 4095, as settled when they were packed"):
            load(f"shards:{tmp_path / 'shards'}", DataOptions(**options))
    index = tmp_path / "shards" / "index.json"
    written = json.loads(index.read_text())
    assert written["format"] == 2
    for change in ({"values": "float32"}, {"scale": {"low": 5, "high": 5, "levels": 4096}}, {"shape": [65, 9, 8]}):
        index.write_text(json.dumps(written | change))
        with refused("its parts do not fit together"):
            load(f"shards:{tmp_path / 'shards'}")
    index.write_text(json.dumps(written | {"shape": [1, 9, 16]}))  # whose records are too short
    with refused("holds 144 bytes, not 288"):
        load(f"shards:{tmp_path / 'shards'}").train.take(torch.arange(2))


@pytest.mark.parametrize(
    "scale",
    [
        Scale(0, 4095, 4096),
        Scale(-1000, 3000, 4001),
        Scale(5, 70000, 69996 // 2),
        Scale(2**40, 2**40 + 100, 101),
        EIGHT_BITS,
    ],
)
def test_images_become_the_numbers_that_they_were(scale):
    levels = torch.arange(64).view(1, 1, 8, 8) * (scale.levels - 1) // 63
    images = (levels.double() / (scale.levels - 1)).float()
    found = depth.numbers_of(images, scale)
    expected = scale.low + levels.numpy() * (scale.high - scale.low) / (scale.levels - 1)
    assert np.array_equal(found, np.rint(expected))
    assert found.dtype.kind in "iu"


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64])
def test_bytes_that_are_all_dark_are_told_of(dtype, tmp_path):
    """As scikit-learn's digits, whose white is 16: what the note says makes it so."""
    images = np.random.default_rng(0).integers(0, 17, (30, 8, 8)).astype(dtype)
    np.save(tmp_path / "x.npy", images)
    data = load(f"array:{tmp_path / 'x.npy'}")
    assert "the lightest of them is 16 of 255: --range 0,16 makes that white" in data.notes
    spread = load(f"array:{tmp_path / 'x.npy'}", DataOptions(range=(0, 16)))
    assert not any("lightest" in note for note in spread.notes)
    assert sorted(spread.train.pixels.unique().tolist()) == pytest.approx([level / 16 for level in range(17)])
    np.save(tmp_path / "x.npy", (images * 15).astype(dtype))
    assert not any("lightest" in note for note in load(f"array:{tmp_path / 'x.npy'}").notes)
