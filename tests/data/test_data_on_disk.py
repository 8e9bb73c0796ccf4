"""Images that stay on disk: loose pictures and shards, whole and damaged."""

import importlib.util
import itertools
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import reparam
from reparam.cli.group import cli
from reparam.data import DataOptions, load
from reparam.data.dataset import SPLITS, cut
from reparam.data.io.on_disk import LOGGED, OnDiskImages, ReadAhead
from reparam.data.labels import few_labels
from reparam.data.selection import task_images
from reparam.data.sources import shards as shards_module
from reparam.data.sources.shard_writing import write_shards
from reparam.data.tasks import TaskOptions
from reparam.errors import ConfigError, DataError, ReparamError

RNG = np.random.default_rng(0)
RGB = DataOptions(colour="rgb")
needs_shards = pytest.mark.skipif(
    importlib.util.find_spec("array_record") is None, reason="array-record is not installed"
)


@pytest.fixture
def photos(tmp_path):
    """Thirty pictures of two classes, of several sizes, some grey."""
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(15):
            shape = (20, 24, 3) if i % 3 else (24, 20)
            Image.fromarray(RNG.integers(0, 256, shape, np.uint8)).save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path / "photos"


@pytest.fixture
def shards(photos, tmp_path):
    write_shards(load(f"folder:{photos}", DataOptions(stream=True)), tmp_path / "shards", workers=0)
    return tmp_path / "shards"


def same(found, expected):
    for split in SPLITS:
        part, wanted = found.split(split), expected.split(split)
        everything = torch.arange(len(wanted))
        assert torch.equal(part.take(everything).pixels, wanted.images)
        assert torch.equal(part.labels, wanted.labels)
        assert torch.equal(part.images[:], wanted.images)
    assert found.classes == expected.classes
    both = found.split("all")
    assert torch.equal(both.take(torch.arange(len(both))).pixels, expected.split("all").images)


def damage(path, record):
    """Breaks a record of the one file of `path`: every fifth byte from its picture's signature on is inverted."""
    data = bytearray(path.read_bytes())
    start = -1
    for _ in range(record + 1):
        start = data.index(b"\x89PNG", start + 1)
    for place in range(start + 20, start + 120, 5):
        data[place] ^= 255
    path.write_bytes(data)


@pytest.mark.parametrize("packed", [False, True])
def test_pictures_left_on_disk_are_those_of_memory(photos, tmp_path, packed):
    source = photos
    if packed:
        source = shutil.make_archive(str(tmp_path / "photos"), "zip", photos)
    found = load(f"folder:{source}", DataOptions(stream=True))
    same(found, load(f"folder:{source}", RGB))
    grey = load(f"folder:{source}", DataOptions(stream=True, colour="grey", size=16))
    same(grey, load(f"folder:{source}", DataOptions(colour="grey", size=16)))
    assert found.fingerprint != grey.fingerprint
    assert found.fingerprint == load(f"folder:{source}", DataOptions(stream=True)).fingerprint


@needs_shards
@pytest.mark.parametrize("workers", [0, 2])
def test_shards_hold_the_pictures_bit_for_bit(photos, tmp_path, workers):
    write_shards(load(f"folder:{photos}", DataOptions(stream=True)), tmp_path / "out", workers)
    same(load(f"shards:{tmp_path / 'out'}"), load(f"folder:{photos}", RGB))
    assert not list(tmp_path.glob("*.unfinished"))


@needs_shards
def test_many_small_files_hold_them_as_well_few_are_open_at_once_and_grey_images_stay_grey(tmp_path, monkeypatch):
    images, labels = torch.from_numpy(RNG.integers(0, 256, (900, 1, 64, 64), np.uint8)), torch.arange(900) % 3 - 1
    expected = cut(images, labels, (700, 100, 100), ("a", "b"))
    write_shards(expected, tmp_path / "out", workers=0, mebibytes=1)
    assert len(list((tmp_path / "out").glob("*.array_record"))) == 4  # noise does not get smaller: 3.6 MB and a little
    same(load(f"shards:{tmp_path / 'out'}"), expected)
    monkeypatch.setattr(shards_module, "OPEN_FILES", 2)
    found = load(f"shards:{tmp_path / 'out'}")
    same(found, expected)
    assert len(found.train.images.reader._open) == 2


@needs_shards
def test_equal_pictures_have_equal_fingerprints_and_a_label_changes_it(tmp_path):
    images, labels = torch.from_numpy(RNG.integers(0, 256, (9, 1, 8, 8), np.uint8)), torch.zeros(9, dtype=torch.int64)
    prints = []
    for number, label in enumerate((0, 0, 1)):
        labels[4] = label
        write_shards(cut(images, labels, (5, 2, 2), ("a", "b")), tmp_path / str(number), workers=0)
        prints.append(load(f"shards:{tmp_path / str(number)}").fingerprint)
    assert prints[0] == prints[1] != prints[2]


@needs_shards
def test_a_damaged_record_is_named_or_the_next_stands_in_with_its_own_label(shards, refused, caplog):
    whole = load(f"shards:{shards}").train
    (file,) = shards.glob("*.array_record")
    expected = whole.take(torch.arange(8))
    damage(file, 3)
    with refused("record 3 of", file.name, "damaged", "--damaged skip"):
        load(f"shards:{shards}").train.take(torch.arange(8))
    train = load(f"shards:{shards}", DataOptions(damaged="skip")).train
    found = train.take(torch.arange(8))
    assert "skipped (1 so far): record 3 of" in caplog.text
    caplog.clear()
    stands_in = torch.tensor([0, 1, 2, 4, 4, 5, 6, 7])
    assert torch.equal(found.pixels, expected.pixels[stands_in])
    assert torch.equal(found.labels, expected.labels[stands_in])
    train.take(torch.tensor([3, 3]))
    assert not caplog.records  # it has been said
    (line,) = train.skipped
    assert "record 3 of" in line


@needs_shards
def test_a_run_that_a_damaged_record_stopped_goes_on_without_it(shards, tmp_path):
    (file,) = shards.glob("*.array_record")
    damage(file, 3)
    options = {"hidden": (8,), "latent": 2, "batch_size": 4, "epochs": 3, "keep": "last", "pictures": 0}
    with pytest.raises(DataError, match="record 3 of"):
        reparam.train("vae", data=f"shards:{shards}", out=tmp_path / "run", **options)
    with pytest.raises(DataError, match="record 3 of"):
        reparam.resume(tmp_path / "run")
    run = reparam.resume(tmp_path / "run", damaged="skip")
    assert run.folder.status().state == "finished"
    (line,) = run.folder.status().skipped
    assert "record 3 of" in line
    assert run.folder.config().data.damaged == "skip"  # evaluation reads them the same way
    whole = reparam.train("vae", data=f"shards:{shards}", out=tmp_path / "whole", damaged="skip", **options)
    assert run.folder.fingerprint() == whole.folder.fingerprint()


def test_many_damaged_records_are_counted_and_not_all_told(caplog):
    stored = OnDiskImages(None, torch.arange(3))
    stored.tell([f"record {number}" for number in range(250)])
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == LOGGED + 1
    assert said[-1] == "skipped (100 so far): record 99"
    assert len(stored.skipped) == 250


class Heavy(torch.utils.data.Dataset):
    """More than a pipe holds."""

    def __getitem__(self, place):
        return np.zeros(1_000_000, np.uint8)


def read_a_little(pipe):
    items = ReadAhead(Heavy(), itertools.count(), workers=2, ahead=4)
    next(items)
    pipe.send([reader.pid for reader in multiprocessing.active_children()])
    time.sleep(600)


@pytest.mark.filterwarnings("error")
def test_more_workers_than_cores_are_what_was_asked_for():
    items = ReadAhead(Heavy(), range(3), workers=len(os.sched_getaffinity(0)) + 1, ahead=1)
    assert sum(len(item) for item in items) == 3_000_000


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_readers_end_with_the_process_that_they_read_for():
    """They would hold its locks and connections otherwise, for ever: what they write, nobody reads."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=read_a_little, args=(theirs,))
    child.start()
    readers = ours.recv()
    assert len(readers) == 2
    assert all(map(lives, readers))
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    end = time.monotonic() + 30
    while any(map(lives, readers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(lives, readers))


@needs_shards
def test_what_cannot_be_opened_is_not_called_damaged(shards):
    train = load(f"shards:{shards}", DataOptions(damaged="skip")).train
    (file,) = shards.glob("*.array_record")
    elsewhere = shards / "elsewhere"
    file.rename(elsewhere)
    with pytest.raises(ReparamError, match="cannot open .*: check that it is there"):
        train.take(torch.arange(3))
    assert not train.skipped
    elsewhere.rename(file)
    assert len(train.take(torch.arange(3))) == 3


@needs_shards
def test_shards_are_as_they_were_packed(shards, refused):
    for options in (DataOptions(size=24), DataOptions(colour="grey")):
        with refused("coloured images", "settled when they were packed"):
            load(f"shards:{shards}", options)
    side = load(f"shards:{shards}").shape[1]
    assert load(f"shards:{shards}", DataOptions(size=side, colour="rgb")).shape == (3, side, side)


def test_readers_travel_to_processes_that_are_started_anew(photos, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "photos"), "zip", photos)
    for source in (photos, archive):
        reader = load(f"folder:{source}", DataOptions(stream=True)).train.images.reader
        expected = reader.read(3)
        assert np.array_equal(pickle.loads(pickle.dumps(reader)).read(3), expected)


def test_a_task_reads_from_disk_what_is_asked_for_alone(photos, monkeypatch):
    train = load(f"folder:{photos}", DataOptions(stream=True, colour="grey", size=16)).train
    memory = load(f"folder:{photos}", DataOptions(colour="grey", size=16)).train
    places = []
    read = train.images.reader.read
    monkeypatch.setattr(train.images.reader, "read", lambda place: places.append(place) or read(place))
    which = torch.tensor([7, 2, 19])
    task = TaskOptions(binarise="dynamic")
    assert torch.equal(task_images(train, task, which).x, task_images(memory, task, which).x)
    assert len(places) == 3


@needs_shards
def test_where_all_is_damaged_skipping_ends(shards, refused):
    (file,) = shards.glob("*.array_record")
    for record in range(30):
        damage(file, record)
    with refused("24 images one after another"):
        load(f"shards:{shards}", DataOptions(damaged="skip")).train.take(torch.arange(1))


@needs_shards
def test_what_is_no_whole_set_of_shards_is_refused(shards, tmp_path, refused):
    (file,) = shards.glob("*.array_record")
    data, index = file.read_bytes(), json.loads((shards / "index.json").read_text())
    with refused("does not exist"):
        load(f"shards:{tmp_path / 'shard'}")
    with refused("holds no shards", "reparam data shard"):
        load(f"shards:{tmp_path}")
    file.write_bytes(data[:-1])
    with refused(file.name, "bytes"):
        load(f"shards:{shards}")
    file.unlink()
    with refused(file.name, "is missing", "reparam data shard"):
        load(f"shards:{shards}")
    file.write_bytes(data)
    for broken in (b"", b"no array"):
        (shards / "labels.npy").write_bytes(broken)
        with refused("labels.npy", "not a .npy that can be read", "reparam data shard"):
            load(f"shards:{shards}")
    (shards / "labels.npy").unlink()
    os.mkfifo(shards / "labels.npy")
    with refused("labels.npy is not a plain file"):
        load(f"shards:{shards}")
    (shards / "labels.npy").unlink()
    np.save(shards / "labels.npy", np.zeros(29, np.int64))
    with refused("29 labels for 30 records"):
        load(f"shards:{shards}")
    for broken in ({**index, "format": 9}, {**index, "files": 3}, {**index, "splits": {}}, {**index, "shape": None}):
        (shards / "index.json").write_text(json.dumps(broken))
        with refused():
            load(f"shards:{shards}")
    entry = index["files"][0]
    for changes in ({"name": f"../{entry['name']}"}, {"name": "index.json"}, {"records": -1}, {"bytes": "many"}):
        (shards / "index.json").write_text(json.dumps({**index, "files": [{**entry, **changes}]}))
        with refused("index.json is damaged (files.0.", "reparam data shard"):
            load(f"shards:{shards}")
    for changes in ({"shape": [3, 10**9, 10**9]}, {"shape": [2, 8, 8]}, {"splits": {"train": 30}}, {"classes": [1]}):
        (shards / "index.json").write_text(json.dumps({**index, **changes}))
        with refused("index.json is damaged (", "reparam data shard"):
            load(f"shards:{shards}")
    np.save(shards / "labels.npy", np.zeros(29, np.int64))
    counts = {**index["splits"], "train": index["splits"]["train"] - 1}
    (shards / "index.json").write_text(json.dumps({**index, "files": [{**entry, "records": 29}], "splits": counts}))
    with refused("holds 30 records, not 29"):
        load(f"shards:{shards}").train.take(torch.arange(1))
    for broken, why in (
        ("", "no valid JSON"),
        ("{", "no valid JSON"),
        ("[" * 10**5, "no valid JSON"),
        ("9" * 5000, "no valid JSON"),
        ("[]", "JSON object"),
        ("{}", "no format"),
    ):
        (shards / "index.json").write_text(broken)
        with refused("index.json", why, "reparam data shard"):
            load(f"shards:{shards}")


@needs_shards
def test_pictures_that_cannot_be_read_stop_the_packing_or_are_left_out(photos, tmp_path, refused):
    (photos / "cat" / "3.png").write_text("no picture")
    picture = photos / "dog" / "4.png"
    picture.write_bytes(picture.read_bytes()[:-300])  # its header is whole
    spec = f"folder:{photos}"
    with refused("3.png", "not a picture", "--damaged skip"):
        load(spec, DataOptions(stream=True))
    skipping = load(spec, DataOptions(stream=True, damaged="skip"))
    assert any("3.png" in note for note in skipping.notes)
    with refused("4.png", "--damaged skip"):
        write_shards(skipping, tmp_path / "out", workers=0)
    assert not list(tmp_path.glob("out*"))
    (line,) = write_shards(skipping, tmp_path / "out", workers=0, damaged="skip")
    assert "4.png" in line
    found = load(f"shards:{tmp_path / 'out'}")
    assert sum(len(found.split(split)) for split in SPLITS) == 28
    assert any("left out" in note and "1" in note for note in found.notes)


@needs_shards
def test_an_interrupted_packing_leaves_nothing_and_a_taken_folder_is_left_alone(photos, shards, tmp_path):
    def interrupted(places, what):
        yield from places[:5]
        raise KeyboardInterrupt

    dataset = load(f"folder:{photos}", DataOptions(stream=True))
    with pytest.raises(KeyboardInterrupt):
        write_shards(dataset, tmp_path / "out", workers=0, track=interrupted)
    assert not list(tmp_path.glob("out*"))
    before = sorted(shards.iterdir())
    with pytest.raises(ConfigError, match="not empty"):
        write_shards(dataset, shards, workers=0)
    assert sorted(shards.iterdir()) == before


@needs_shards
def test_a_name_that_is_not_utf8_is_refused(photos, shards, tmp_path, refused):
    with refused("is not UTF-8"):
        write_shards(load(f"folder:{photos}", DataOptions(stream=True)), tmp_path / "caf\udce9", workers=0)
    moved = shards.rename(tmp_path / "caf\udce9")
    with refused("is not UTF-8"):
        load(f"shards:{moved}").train.take(torch.arange(2))


@needs_shards
def test_label_maps_are_refused(tmp_path, refused):
    images = torch.zeros(6, 1, 8, 8, dtype=torch.uint8)
    pairs = cut(images, torch.full((6,), -1), (2, 2, 2), (), (), images, ("ground", "figure"))
    with refused("label maps"):
        write_shards(pairs, tmp_path / "out")


def test_without_the_package_the_remedy_is_said(monkeypatch, tmp_path, refused):
    monkeypatch.setitem(sys.modules, "array_record.python", None)
    with refused("pip install array-record"):
        load(f"shards:{tmp_path}")


@needs_shards
def test_the_command_packs_a_folder_and_says_what_to_do_next(photos, tmp_path, capsys):
    cli(
        ["data", "shard", str(photos), "--out", str(tmp_path / "out"), "--size", "16", "--workers", "0", "--json"],
        standalone_mode=False,
    )
    found = json.loads(capsys.readouterr().out)
    assert found["path"] == str(tmp_path / "out")
    assert (found["images"], found["skipped"]) == ([24, 3, 3], [])
    same(load(f"shards:{tmp_path / 'out'}"), load(f"folder:{photos}", DataOptions(colour="rgb", size=16)))
    cli(["data", "shard", "digits", "--out", str(tmp_path / "digits"), "--workers", "0"], standalone_mode=False)
    assert f"--data shards:{tmp_path / 'digits'}" in capsys.readouterr().out
    same(load(f"shards:{tmp_path / 'digits'}"), load("digits"))


@needs_shards
def test_processes_open_the_files_for_themselves(shards):
    images = load(f"shards:{shards}").train.images
    expected = images[:]
    parent = os.fork()
    if not parent:
        os._exit(0 if torch.equal(images[:], expected) else 1)
    assert os.waitpid(parent, 0)[1] == 0


def test_few_labels_leave_images_on_disk(photos):
    found = few_labels(load(f"folder:{photos}", DataOptions(stream=True)).train, 2, ("cat", "dog"), True, 0.3, 0)
    expected = few_labels(load(f"folder:{photos}", RGB).train, 2, ("cat", "dog"), True, 0.3, 0)
    assert not isinstance(found.images, torch.Tensor)
    assert torch.equal(found.images[:], expected.images)
    assert torch.equal(found.labels, expected.labels)
