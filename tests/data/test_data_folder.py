"""folder:PATH: a person's own pictures, of every kind and every kind of broken."""

import io
import os
import stat
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from reparam.data import DataOptions, load
from reparam.data.io.resize import conform

RNG = np.random.default_rng(0)
SPLITS = ("train", "validation", "test")


def noise(*shape):
    return RNG.integers(0, 256, shape, np.uint8)


def put(path, array=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(16, 16, 3) if array is None else array).save(path, **options)
    return path


def fill(folder, n=10, side=16):
    for i in range(n):
        put(folder / f"{i}.png", noise(side, side, 3))
    return folder


def pack(folder, target, prefix=""):
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, prefix + str(path.relative_to(folder)))
    return target


def together(data):
    return [x.numpy() for s in SPLITS for x in data.split(s).images]


def read_one(path, **options):
    """The picture at `path` through the loader, [C, H, W]: the folder holds it three times."""
    folder = path.parent
    for i in range(2):
        (folder / f"copy{i}{path.suffix}").write_bytes(path.read_bytes())
    first, *others = together(load(f"folder:{folder}", DataOptions(**options)))
    assert all(np.array_equal(first, other) for other in others)
    return first


@pytest.mark.parametrize(("channels", "side"), [(3, 16), (1, 28), (3, 128)])
def test_native_size_is_bit_exact(tmp_path, channels, side):
    arrays = noise(12, side, side, channels)
    for i, array in enumerate(arrays):
        put(tmp_path / f"{i}.png", array.squeeze())
    data = load(f"folder:{tmp_path}")
    assert data.shape == (channels, side, side)
    assert {x.tobytes() for x in together(data)} == {x.transpose(2, 0, 1).tobytes() for x in arrays}
    assert [len(data.split(s)) for s in SPLITS] == [10, 1, 1]
    assert data.classes == ()
    assert bool((data.train.labels == -1).all())


def test_classes_follow_subfolders_and_splits_are_stratified(tmp_path):
    value = {}
    for name, n in (("10", 40), ("9", 20), ("cat", 20)):
        for i in range(n):
            array = noise(8, 8, 3)
            value[array.transpose(2, 0, 1).tobytes()] = name
            put(tmp_path / name / "deeper" / f"{i}.png", array)
    data = load(f"folder:{tmp_path}")
    assert data.classes == ("9", "10", "cat")
    for split, counts in zip(SPLITS, ((16, 32, 16), (2, 4, 2), (2, 4, 2)), strict=True):
        part = data.split(split)
        assert torch.bincount(part.labels).tolist() == list(counts)
        for x, y in zip(part.images, part.labels, strict=True):
            assert value[x.numpy().tobytes()] == data.classes[y]


def test_classes_without_a_training_picture_are_noted(tmp_path):
    for part, classes in {"train": "ab", "validation": "ac", "test": "bd"}.items():
        for name in classes:
            fill(tmp_path / part / name, 2)
    assert "classes without a training image, which no model can learn: c, d" in load(f"folder:{tmp_path}").notes


def test_a_zip_and_a_wrapped_zip_read_as_the_folder(tmp_path):
    for name in "ab":
        fill(tmp_path / "pictures" / name)
    plain = load(f"folder:{tmp_path / 'pictures'}")
    for prefix in ("", "top/", "./top/"):
        zipped = load(f"folder:{pack(tmp_path / 'pictures', tmp_path / 'z.zip', prefix)}")
        assert zipped.fingerprint == plain.fingerprint
        assert zipped.classes == plain.classes


def test_order_of_listing_does_not_matter(tmp_path, monkeypatch):
    fill(tmp_path, 30)
    first, walk = load(f"folder:{tmp_path}"), os.walk

    def backwards(*args, **kwargs):
        for folder, folders, files in walk(*args, **kwargs):
            yield folder, folders, sorted(files, reverse=True)

    monkeypatch.setattr(os, "walk", backwards)
    assert load(f"folder:{tmp_path}").fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("folders", "sizes"),
    [
        ({"train": 8, "validation": 3, "test": 4}, (8, 3, 4)),
        ({"Train": 8, "val": 3, "test": 4}, (8, 3, 4)),
        ({"train": 20, "test": 4}, (18, 2, 4)),
        ({"train": 20, "valid": 5}, (18, 5, 2)),
        ({"train": 20}, (16, 2, 2)),
        ({"test": 10, "other": 10}, (16, 2, 2)),
    ],
)
def test_given_splits_are_respected(tmp_path, folders, sizes):
    for name, n in folders.items():
        fill(tmp_path / name / "a", n // 2)
        fill(tmp_path / name / "b", n - n // 2)
    data = load(f"folder:{tmp_path}")
    assert tuple(len(data.split(s)) for s in SPLITS) == sizes
    assert data.classes == (("a", "b") if "other" not in folders else ("other", "test"))
    if "test" in folders and "other" not in folders:
        there = {np.asarray(Image.open(p)).transpose(2, 0, 1).tobytes() for p in tmp_path.glob("test/*/*.png")}
        assert {x.numpy().tobytes() for x in data.test.images} == there


def test_strays_singles_and_other_files_are_noted(tmp_path):
    fill(tmp_path / "a", 12)
    fill(tmp_path / "b", 1)
    put(tmp_path / "stray.png")
    for name in (".hidden.png", "__MACOSX/a/._0.png", "Thumbs.db", "a/.DS_Store", "labels.csv", "a/read.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    data = load(f"folder:{tmp_path}")
    assert sum(len(data.split(s)) for s in SPLITS) == 14
    notes = " / ".join(data.notes)
    assert "2 files of other kinds (1 .txt, 1 .csv)" in notes
    assert "unlabelled: 1" in notes
    assert "one split only: b" in notes
    assert sum(int((data.split(s).labels == -1).sum()) for s in SPLITS) == 1


def test_transparency_is_laid_on_white(tmp_path):
    rgba = noise(16, 16, 4)
    got = read_one(put(tmp_path / "a.png", rgba))
    alpha = rgba[..., 3:].astype(float) / 255
    expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(got.transpose(1, 2, 0) - expected).max() <= 1


def test_palette_with_a_transparent_colour(tmp_path):
    image = Image.new("P", (16, 16), 1)
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.paste(0, (0, 0, 8, 16))
    image.save(tmp_path / "a.png", transparency=0)
    got = read_one(tmp_path / "a.png")
    assert (got[:, :, :8] == 255).all()
    assert (got[:, :, 8:] == np.array([200, 100, 0])[:, None, None]).all()


def test_grey_with_alpha_stays_grey(tmp_path):
    image = Image.merge("LA", [Image.new("L", (16, 16), 40), Image.new("L", (16, 16), 255)])
    image.save(tmp_path / "a.png")
    assert (read_one(tmp_path / "a.png") == np.full((1, 16, 16), 40)).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_become_eight(tmp_path, suffix):
    levels = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / f"a{suffix}")
    assert np.array_equal(read_one(tmp_path / f"a{suffix}")[0], np.arange(256).reshape(16, 16))


def test_black_and_white_cmyk_and_others(tmp_path):
    bits = noise(16, 16) > 127
    Image.fromarray(bits).save(tmp_path / "a.png")
    assert np.array_equal(read_one(tmp_path / "a.png")[0], bits * 255)
    for i, (mode, suffix) in enumerate(
        (("CMYK", "jpg"), ("YCbCr", "jpg"), ("RGB", "webp"), ("P", "gif"), ("L", "pgm"), ("RGB", "bmp"))
    ):
        (tmp_path / str(i)).mkdir()
        path = tmp_path / str(i) / f"a.{suffix}"
        Image.new("RGB", (16, 16), (250, 10, 10)).convert(mode).save(path)
        got = read_one(path, colour="rgb").mean((1, 2))
        expected = (82, 82, 82) if mode == "L" else (250, 10, 10)
        assert np.abs(got - expected).max() < 12, (mode, suffix, got)


def test_a_phone_s_multi_picture_jpeg(tmp_path):
    first, second = (Image.new("RGB", (16, 16), colour) for colour in ((250, 10, 10), (0, 0, 0)))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    assert np.abs(read_one(tmp_path / "a.jpg").mean((1, 2)) - (250, 10, 10)).max() < 12


def test_exif_orientation_is_applied(tmp_path):
    array = noise(16, 16, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    got = read_one(put(tmp_path / "a.png", array, exif=exif))
    assert np.array_equal(got.transpose(1, 2, 0), np.rot90(array, -1))


def test_colour_choices(tmp_path):
    grey = noise(16, 16)
    put(tmp_path / "grey.png", grey)
    put(tmp_path / "equal.png", np.repeat(grey[..., None], 3, 2))
    put(tmp_path / "x.png", grey)
    assert load(f"folder:{tmp_path}").shape == (1, 16, 16)
    rgb = load(f"folder:{tmp_path}", DataOptions(colour="rgb"))
    assert all(np.array_equal(x, np.stack([grey] * 3)) for x in together(rgb))
    put(tmp_path / "x.png")
    mixed = load(f"folder:{tmp_path}")
    assert mixed.shape == (3, 16, 16)
    assert any("2 of 3 pictures are grey" in note for note in mixed.notes)
    one = load(f"folder:{tmp_path}", DataOptions(colour="grey"))
    luma = np.asarray(Image.open(tmp_path / "x.png").convert("L"))
    assert {x.tobytes() for x in together(one)} == {grey.tobytes(), luma.tobytes()}


def test_mixed_sizes_are_cut_and_resized_and_that_is_said(tmp_path):
    for i, (width, height) in enumerate(((40, 30), (30, 40), (100, 50), (64, 64), (31, 31))):
        put(tmp_path / f"{i}.png", noise(height, width, 3))
    data = load(f"folder:{tmp_path}")
    assert data.shape == (3, 24, 24)  # the median shorter side is 31
    assert any("31 x 31 to 50 x 100 pixels (height x width)" in note and "--size" in note for note in data.notes)
    assert load(f"folder:{tmp_path}", DataOptions(size=40)).shape == (3, 40, 40)
    assert any("3 of 5 enlarged" in n for n in load(f"folder:{tmp_path}", DataOptions(size=40)).notes)


def test_large_pictures_default_to_64(tmp_path):
    fill(tmp_path, 3, side=200)
    assert load(f"folder:{tmp_path}").shape == (3, 64, 64)


def test_centre_crop_and_squeeze(tmp_path):
    array = np.zeros((20, 40, 3), np.uint8)
    array[:, 10:30] = 255  # the central square is white
    path = put(tmp_path / "a.png", array)
    assert (read_one(path, size=20) == 255).all()
    squeezed = read_one(path, size=20, crop="none")[0]
    assert (squeezed[:, :3] == 0).all()
    assert (squeezed[:, 8:12] == 255).all()


def test_jpeg_at_reduced_scale_is_close_to_full_decoding(tmp_path):
    smooth = F.interpolate(
        torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)), (400, 400), mode="bicubic"
    )
    picture = Image.fromarray((smooth[0].clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy())
    picture.save(tmp_path / "a.jpg", quality=95)
    full = Image.open(tmp_path / "a.jpg").resize((32, 32), Image.Resampling.BICUBIC)
    got = read_one(tmp_path / "a.jpg", size=32).transpose(1, 2, 0)
    assert np.abs(got.astype(int) - np.asarray(full)).mean() < 1.5


@pytest.mark.parametrize(("side", "size"), [(40, 16), (16, 40), (28, 32)])
def test_arrays_are_resized_as_pictures_are(side, size):
    array = noise(side, side) // 2 + 64  # no overshoot, which Pillow clips between its two passes
    ours = conform(torch.from_numpy(array)[None, None], DataOptions(size=size))[0, 0].numpy()
    pillow = np.asarray(Image.fromarray(array).resize((size, size), Image.Resampling.BICUBIC))
    assert np.abs(ours.astype(int) - pillow).max() <= 1


def test_grey_of_arrays_is_that_of_pictures():
    array = noise(16, 16, 3)
    ours = conform(torch.from_numpy(array.transpose(2, 0, 1).copy())[None], DataOptions(colour="grey"))[0, 0].numpy()
    assert np.abs(ours.astype(int) - np.asarray(Image.fromarray(array).convert("L"))).max() <= 1


def test_many_pictures_decode_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr("reparam.data.io.pictures._WORTH_THREADS", 0)
    monkeypatch.setattr("reparam.data.io.pictures._CHUNK", 3)
    for i in range(100):
        put(tmp_path / f"{i % 4}" / f"{i}.png", np.full((8, 8), i, np.uint8))
    data = load(f"folder:{tmp_path}")
    for split in SPLITS:
        part = data.split(split)
        assert (part.images.float().mean((1, 2, 3)).long() % 4).tolist() == part.labels.tolist()


def png(width, height):
    """A PNG of a few bytes that declares any size."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))  # noqa: E731
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def jpeg(side=64):
    buffer = io.BytesIO()
    Image.fromarray(noise(side, side, 3)).save(buffer, "JPEG")
    return buffer.getvalue()


def tiff_of_floats():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((16, 16), np.float32)).save(buffer, "TIFF")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.png", b"just text", "not a picture"),
        ("a.png", b"", "not a picture"),
        ("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        ("a.jpg", jpeg()[:-400], "damaged or cut short"),
        ("a.jpg", jpeg()[:30], "a.jpg"),
        ("a.png", png(16, 16), "damaged or cut short"),
        ("a.png", png(1, 1), "1 x 1 pixels"),
        ("a.png", png(500, 7), "7 x 500 pixels (height x width)"),
        ("a.png", png(9000, 9000), "more than 64 million"),
        ("a.png", png(20_000, 20_000), "more than 64 million"),
        ("a.png", png(10_000, 9_500), "more than 64 million"),
        ("a.tif", tiff_of_floats(), "8 or 16 bits"),
    ],
)
def test_a_bad_picture_is_named(tmp_path, name, content, words, refused):
    fill(tmp_path / "p", 3, side=8)
    (tmp_path / "p" / name).write_bytes(content)
    for path in (tmp_path / "p", pack(tmp_path / "p", tmp_path / "p.zip")):
        with refused(f"{path}/{name}", words), warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow's own warning would be a second line
            load(f"folder:{path}")


def test_a_link_that_leads_nowhere_is_no_damaged_picture(tmp_path, refused):
    fill(tmp_path, 3)
    (tmp_path / "x.png").symlink_to(tmp_path / "gone" / "x.png")
    with refused("x.png is not there, or a link that leads nowhere"):
        load(f"folder:{tmp_path}")


def test_a_name_with_a_newline_stays_on_one_line(tmp_path, refused):
    fill(tmp_path, 3)
    (tmp_path / "a\nb.png").write_text("text")
    with refused("a\\nb.png"):
        load(f"folder:{tmp_path}")


def test_a_real_9000_pixel_picture(tmp_path, refused):
    fill(tmp_path, 3)
    Image.new("1", (9000, 9000)).save(tmp_path / "huge.png")
    with refused("huge.png has 9000 x 9000 pixels"):
        load(f"folder:{tmp_path}")


def test_folders_without_enough_pictures(tmp_path, refused):
    with refused("is empty"):
        load(f"folder:{tmp_path}")
    (tmp_path / "a.heic").write_text("x")
    with refused("no pictures but 1 file of other kinds (1 .heic)"):
        load(f"folder:{tmp_path}")
    put(tmp_path / "1.png")
    with refused("1 picture:"):
        load(f"folder:{tmp_path}")
    put(tmp_path / "2.png")
    with refused("2 pictures:"):
        load(f"folder:{tmp_path}")
    put(tmp_path / "3.png")
    assert [len(load(f"folder:{tmp_path}").split(s)) for s in SPLITS] == [1, 1, 1]


def test_too_small_a_train_folder(tmp_path, refused):
    fill(tmp_path / "train", 1)
    fill(tmp_path / "test", 5)
    with refused("train/ holds 1 images to split into 2"):
        load(f"folder:{tmp_path}")


def test_paths_that_are_not_there(tmp_path, refused):
    fill(tmp_path / "holiday")
    with refused("did you mean 'holiday'"):
        load(f"folder:{tmp_path / 'holidya'}")
    with refused("nor does"):
        load(f"folder:{tmp_path / 'no' / 'where'}")
    with refused("neither a folder nor a .zip"):
        load(f"folder:{tmp_path / 'holiday' / '0.png'}")


def test_links_are_followed_once(tmp_path):
    fill(tmp_path / "elsewhere", 5)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "p" / "loop").symlink_to(tmp_path / "p")
    data = load(f"folder:{tmp_path / 'p'}")
    assert sum(len(data.split(s)) for s in SPLITS) == 5


def test_what_cannot_be_read_is_named(tmp_path, refused):
    fill(tmp_path, 3)
    os.mkfifo(tmp_path / "pipe.png")
    with refused("not a plain file"):
        load(f"folder:{tmp_path}")
    (tmp_path / "pipe.png").unlink()
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere.png")
    with refused("broken.png"):
        load(f"folder:{tmp_path}")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_permissions(tmp_path, refused):
    fill(tmp_path / "a", 3)
    (tmp_path / "a" / "0.png").chmod(0)
    with refused("permission denied"):
        load(f"folder:{tmp_path}")
    (tmp_path / "a").chmod(0)
    try:
        with refused("cannot list"):
            load(f"folder:{tmp_path}")
    finally:
        (tmp_path / "a").chmod(stat.S_IRWXU)
