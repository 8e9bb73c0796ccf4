"""Pictures of more than 8 bits, floats, and with transparency, in folders and pairs."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from reparam.data import DataOptions, Dataset, load
from reparam.data.dataset import SPLITS
from reparam.data.new_pictures import read_new
from reparam.data.scale import EIGHT_BITS, Scale
from reparam.run.config import resolve
from reparam.run.data import fitting, open_data, stored_spec, with_found

RNG = np.random.default_rng(0)
TWELVE = RNG.integers(0, 4096, (20, 9, 12), np.uint16)
TWELVE[:, 0, :2] = 0, 4095
COLOUR = RNG.integers(0, 65536, (20, 9, 12, 3), np.uint16)
COLOUR[:, 0, :2] = np.array([0, 65535])[:, None]


def png(array: np.ndarray) -> bytes:
    """A PNG of 16 bits, [H, W, C]: Pillow writes none in colour. Specification: W3C, 2003."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width, channels = array.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(array: np.ndarray, order: str) -> bytes:
    """An uncompressed TIFF of 16 bits a channel, [H, W, 3]. Specification: Adobe, TIFF 6.0, 1992."""
    height, width, channels = array.shape
    data = array.astype(f"{order}u2").tobytes()
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, 0), (259, 3, 1, 1), (262, 3, 1, 2)]
    entries += [(273, 4, 1, 0), (277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, len(data))]
    bits = 8 + 2 + 12 * len(entries) + 4
    places = {258: bits, 273: bits + 2 * channels}
    out = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(entries))
    for tag, kind, count, value in entries:
        whole = kind == 4 or count > 2
        packed = struct.pack(
            f"{order}I" if whole else f"{order}HH", *([places.get(tag, value)] if whole else [value, 0])
        )
        out += struct.pack(f"{order}HHI", tag, kind, count) + packed
    return out + struct.pack(f"{order}I", 0) + struct.pack(f"{order}{channels}H", *[16] * channels) + data


def packed(array: np.ndarray, kind: str, **options: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, kind, **options)
    return out.getvalue()


def folder(tmp_path, files: list[bytes], suffix: str = "png") -> str:
    path = tmp_path / "pictures"
    path.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(files):
        (path / f"{number:03}.{suffix}").write_bytes(data)
    return f"folder:{path}"


def pixels(data: Dataset) -> np.ndarray:
    """Of all images in the order of their files, [N, C, H, W]."""
    images = torch.cat([data.split(split).pixels for split in SPLITS]).numpy()
    return images[np.argsort(data.files)]


@pytest.mark.parametrize(
    ("files", "suffix"),
    [
        ([png(x[..., None]) for x in TWELVE], "png"),
        ([packed(x, "PNG") for x in TWELVE], "png"),
        ([packed(x, "TIFF") for x in TWELVE], "tif"),
        ([packed(x, "TIFF", compression="tiff_lzw") for x in TWELVE], "tif"),
        ([packed(x.astype(np.int32), "TIFF") for x in TWELVE], "tif"),
        ([packed(x.astype(np.float32), "TIFF") for x in TWELVE], "tif"),
        ([b"P5\n12 9\n65535\n" + x.astype(">u2").tobytes() for x in TWELVE], "pgm"),
    ],
    ids=["png", "png by Pillow", "tiff", "lzw", "int32", "floats", "pgm"],
)
def test_twelve_bits_in_a_file_of_more_come_back_exactly(tmp_path, files, suffix):
    data = load(folder(tmp_path, files, suffix))
    assert data.scale == Scale(0, 4095, 4096)
    assert any(
        "whole numbers from 0 to 4095 in the training images become 0 to 1, 4,096 levels" in n for n in data.notes
    )
    assert np.array_equal((pixels(data)[:, 0].astype(float) * 4095).round(), TWELVE)


@pytest.mark.parametrize(
    ("files", "suffix"),
    [
        ([png(x) for x in COLOUR], "png"),
        ([png(np.concatenate([x, np.full_like(x[..., :1], 65535)], -1)) for x in COLOUR], "png"),
        ([tiff(x, "<") for x in COLOUR], "tif"),
        ([tiff(x, ">") for x in COLOUR], "tif"),
    ],
    ids=["png", "opaque png", "tiff", "big-endian tiff"],
)
def test_sixteen_bits_of_three_colours_come_back_exactly(tmp_path, files, suffix):
    data = load(folder(tmp_path, files, suffix))
    assert data.scale == Scale(0, 65535, 65536)
    assert data.shape == (3, 9, 12)
    assert np.array_equal((pixels(data).astype(float) * 65535).round(), COLOUR.transpose(0, 3, 1, 2))


def test_what_is_transparent_of_sixteen_bits_lies_on_white(tmp_path):
    clear = np.concatenate([COLOUR, np.zeros_like(COLOUR[..., :1])], -1)
    data = load(folder(tmp_path, [png(x) for x in clear]), DataOptions(range=(0, 65535)))
    assert float(data.train.pixels.min()) == 1


def test_int32_of_bytes_are_bytes(tmp_path):
    grey = RNG.integers(0, 256, (20, 8, 8), np.int32)
    data = load(folder(tmp_path, [packed(x, "TIFF") for x in grey], "tif"))
    assert data.scale == EIGHT_BITS
    assert np.array_equal(pixels(data)[:, 0], grey)


def test_bytes_in_sixteen_bits_are_bytes(tmp_path):
    grey = RNG.integers(0, 256, (20, 8, 8)).astype(np.uint16)
    data = load(folder(tmp_path, [packed(x * 257, "PNG") for x in grey]))
    assert data.train.images.dtype == torch.uint8
    assert np.array_equal(pixels(data)[:, 0], grey)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
@pytest.mark.parametrize(("largest", "scale"), [(255, EIGHT_BITS), (90, EIGHT_BITS), (1, Scale(0, 1, 2))])
def test_small_whole_numbers_in_files_of_more_bits_are_read_again_as_a_run_reads_them(tmp_path, dtype, largest, scale):
    """A run reads 16 bits as 8 where it knows bytes alone: then 255 of 65,535 is black."""
    numbers = RNG.integers(0, largest + 1, (20, 8, 8)).astype(dtype)
    spec = folder(tmp_path, [packed(x, "TIFF") for x in numbers], "tif")
    data = load(spec)
    assert data.scale == scale
    assert np.array_equal(pixels(data)[:, 0], numbers)
    config = with_found(resolve("vae", data=spec), data)
    again = open_data(config, stored_spec(data))
    assert again.fingerprint == data.fingerprint
    (tmp_path / "new.tif").write_bytes(packed(numbers[0], "TIFF"))
    new = read_new([tmp_path / "new.tif"], fitting(config, stored_spec(data))).images.pixels
    assert np.array_equal(new[0, 0], numbers[0])


def test_floats_in_0_to_1_stay_and_nan_is_refused(tmp_path, refused):
    floats = RNG.random((20, 8, 8)).astype(np.float32)
    data = load(folder(tmp_path, [packed(x, "TIFF") for x in floats], "tif"))
    assert data.scale == Scale(0, 1, 0)
    assert np.array_equal(pixels(data)[:, 0], floats)
    floats[3, 2, 1] = np.nan
    with refused("003.tif holds NaN or infinite pixels"):
        load(folder(tmp_path, [packed(x, "TIFF") for x in floats], "tif"))


def test_a_range_for_pictures_of_any_depth(tmp_path):
    files = [packed(x, "PNG") for x in TWELVE[:10]] + [packed((x // 16).astype(np.uint8), "PNG") for x in TWELVE[10:]]
    spec = folder(tmp_path, files)
    mixed = load(spec)
    assert mixed.scale == EIGHT_BITS  # as the first version read them: 16 bits as 8
    assert np.array_equal(pixels(mixed)[:10, 0], (TWELVE[:10].astype(int) * 255 + 32767) // 65535)
    assert any("10 of 20 pictures have more than 8 bits: all are read as 8 bits; --range A,B" in n for n in mixed.notes)
    data = load(spec, DataOptions(range=(0, 4095)))
    expected = np.concatenate([TWELVE[:10], TWELVE[10:] // 16])
    assert np.array_equal((pixels(data)[:, 0].astype(float) * 4095).round(), expected)


def test_eight_bits_by_choice_are_those_of_the_first_version(tmp_path):
    data = load(folder(tmp_path, [packed(x, "PNG") for x in TWELVE]), DataOptions(depth="8"))
    assert data.scale == EIGHT_BITS
    assert np.array_equal(pixels(data)[:, 0], (TWELVE.astype(int) * 255 + 32767) // 65535)


def test_floats_among_others_are_refused(tmp_path, refused):
    files = [packed(x.astype(np.float32), "TIFF") for x in TWELVE[:3]] + [packed(x, "TIFF") for x in TWELVE[3:]]
    with refused("holds 3 pictures that cannot be read", "holds floating-point pixels", "give --range A,B"):
        load(folder(tmp_path, files, "tif"))
    assert load(folder(tmp_path, files, "tif"), DataOptions(range=(0, 4095))).scale == Scale(0, 4095, 4096)


@pytest.mark.parametrize("given", [(), (-10, 5000)])
def test_padding_is_the_least_value_and_resizing_keeps_the_range(tmp_path, given):
    files = [packed(x + np.uint16(100), "PNG") for x in TWELVE]
    data = load(folder(tmp_path, files), DataOptions(size=16, crop="pad", range=given))
    images = pixels(data)
    assert data.shape == (1, 16, 16)
    assert not images[:, :, :2].any()
    assert not images[:, :, -2:].any()
    low, high = given or (100, 4195)
    levels = images[:, 0, 2:-2].astype(float) * (high - low)
    assert np.abs(levels - levels.round()).max() < 1e-3
    assert levels.min().round() >= 100 - low
    assert levels.max().round() <= 4195 - low


def test_pictures_on_disk_are_eight_bits_and_say_so(tmp_path, refused):
    spec = folder(tmp_path, [packed(x, "PNG") for x in TWELVE])
    data = load(spec, DataOptions(stream=True))
    assert any("more than 8 bits are read as 8 bits from disk" in note for note in data.notes)
    with refused("leave --range out, or --stream"):
        load(spec, DataOptions(stream=True, range=(0, 4095)))


def test_one_damaged_file_among_deep_ones_is_the_one_that_is_named(tmp_path, refused):
    files = [packed(x.astype(np.float32), "TIFF") for x in TWELVE]
    files[4] = files[4][:200]
    with refused("004.tif"):
        load(folder(tmp_path, files, "tif"))
    skipped = load(folder(tmp_path, files, "tif"), DataOptions(damaged="skip"))
    assert sum(len(skipped.split(split)) for split in SPLITS) == 19


def test_floats_on_disk_are_refused_at_the_start(tmp_path, refused):
    spec = folder(tmp_path, [packed(x.astype(np.float32), "TIFF") for x in TWELVE], "tif")
    with refused("000.tif holds floats, and pictures on disk are read as 8 bits: leave --stream out, or pack them"):
        load(spec, DataOptions(stream=True))


@pytest.mark.parametrize("options", [{}, {"range": (0, 4095)}, {"range": (0, 4095), "depth": "8"}])
def test_transparency_of_more_than_8_bits_is_refused_and_the_remedy_works(tmp_path, options, refused):
    spec = folder(tmp_path, [packed(x, "PNG") for x in TWELVE])
    with refused("leave --range out, and add --depth 8"):
        load(spec, DataOptions(colour="rgba", **options))
    assert load(spec, DataOptions(colour="rgba", depth="8")).shape == (4, 9, 12)


def test_transparency_is_kept_where_that_is_asked_for(tmp_path):
    rgba = RNG.integers(0, 256, (20, 8, 8, 4), np.uint8)
    spec = folder(tmp_path, [packed(x, "PNG") for x in rgba])
    assert load(spec).shape == (3, 8, 8)
    kept = load(spec, DataOptions(colour="rgba"))
    assert kept.shape == (4, 8, 8)
    assert np.array_equal(pixels(kept), rgba.transpose(0, 3, 1, 2))
    streamed = load(spec, DataOptions(colour="rgba", stream=True))
    assert streamed.train.images[:].equal(kept.train.images)


def test_pairs_of_sixteen_bits(tmp_path):
    for part in ("images", "masks"):
        (tmp_path / "pairs" / part).mkdir(parents=True)
    for number, image in enumerate(TWELVE):
        Image.fromarray(image).save(tmp_path / "pairs" / "images" / f"{number}.png")
        Image.fromarray((image > 2000).astype(np.uint8)).save(tmp_path / "pairs" / "masks" / f"{number}.png")
    data = load(f"pairs:{tmp_path / 'pairs'}")
    assert data.scale == Scale(0, 4095, 4096)
    for split in SPLITS:
        part = data.split(split)
        assert torch.equal((part.pixels * 4095).round() > 2000, part.maps == 1)
