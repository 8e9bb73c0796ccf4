"""Arrays that stay on disk: the same images as in memory, in little of it."""

import pickle
import tracemalloc

import numpy as np
import pytest
import torch

import reparam
from reparam.data import DataOptions, depth, load
from reparam.data.dataset import SPLITS
from reparam.data.sources.shard_writing import write_shards

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (40, 12, 16), np.uint8)
TWELVE = RNG.integers(0, 4096, (40, 12, 16), np.uint16)

KINDS = {
    "bytes": (BYTES, {}),
    "colour": (RNG.integers(0, 256, (40, 12, 16, 3), np.uint8), {}),
    "bytes as floats": (BYTES / 255, {}),
    "bytes * 257": (BYTES.astype(">u2") * 257, {}),
    "black and white": (BYTES > 99, {}),
    "12 bits": (TWELVE, {}),
    "12 bits as 8": (TWELVE, {"depth": "8", "range": (0, 4095)}),
    "floats": (RNG.standard_normal((40, 12, 16)).astype(np.float32), {}),
    "resized": (TWELVE, {"size": 8, "range": (100, 4000)}),
    "padded": (BYTES, {"size": 16, "crop": "pad"}),
    "as colour": (BYTES, {"colour": "rgb"}),
    "a layout": (RNG.integers(0, 256, (40, 16, 16, 16), np.uint8), {"layout": "last"}),
    "by column": (np.asfortranarray(BYTES), {}),
}


def stored(tmp_path, array, folder="a.npy"):
    np.save(tmp_path / folder, array)
    return f"array:{tmp_path / folder}"


def images(data, split):
    part = data.split(split)
    return part.take(torch.arange(len(part))).pixels


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_those_of_memory(tmp_path, kind):
    array, options = KINDS[kind]
    spec = stored(tmp_path, array)
    held, streamed = load(spec, DataOptions(**options)), load(spec, DataOptions(stream=True, **options))
    assert (streamed.shape, streamed.scale, streamed.notes) == (held.shape, held.scale, held.notes)
    for split in SPLITS:
        assert images(streamed, split).dtype == images(held, split).dtype
        assert images(streamed, split).equal(images(held, split))
        assert streamed.split(split).labels.equal(held.split(split).labels)


def test_splits_and_labels_in_a_folder(tmp_path):
    for name, array in {"x_train": BYTES[:30], "y_train": np.arange(30) % 3, "x_test": BYTES[30:] // 2}.items():
        np.save(tmp_path / f"{name}.npy", array)
    held, streamed = (load(f"array:{tmp_path}", DataOptions(stream=stream)) for stream in (False, True))
    for split in SPLITS:
        assert images(streamed, split).equal(images(held, split))
        assert streamed.split(split).labels.equal(held.split(split).labels)


def test_other_processes_map_the_file_themselves(tmp_path):
    reader = load(stored(tmp_path, BYTES), DataOptions(stream=True)).train.images.reader
    reader.read(0)
    packed = pickle.dumps(reader)
    assert len(packed) < BYTES.nbytes
    assert np.array_equal(pickle.loads(packed).read(7)[0], BYTES[7])


def test_little_of_it_is_in_memory(tmp_path, monkeypatch):
    """Also where its numbers are 16 bits, of which memory would hold float32."""
    monkeypatch.setattr(depth, "CHUNK", 2**16)
    monkeypatch.setattr(depth, "SAMPLED", 2**14)
    array = np.tile(TWELVE, (50, 4, 4))
    spec = stored(tmp_path, array)
    tracemalloc.start()
    data = load(spec, DataOptions(stream=True))
    data.train.take(torch.arange(10))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert array.nbytes > 10 * 2**20
    assert peak < array.nbytes / 4


def test_other_contents_are_other_data(tmp_path):
    first = load(stored(tmp_path, BYTES), DataOptions(stream=True)).fingerprint
    assert load(stored(tmp_path, BYTES, "b.npy"), DataOptions(stream=True)).fingerprint == first
    changed = BYTES.copy()
    changed[3, 4, 5] ^= 1
    assert load(stored(tmp_path, changed), DataOptions(stream=True)).fingerprint != first


def test_what_is_packed_stays_in_memory(tmp_path, refused):
    np.savez(tmp_path / "a.npz", images=BYTES)
    with refused("cannot be read at random places: numpy.save the images as a .npy"):
        load(f"array:{tmp_path / 'a.npz'}", DataOptions(stream=True))


def test_a_run_on_it_goes_on_and_shards_are_made_of_it(tmp_path):
    pytest.importorskip("array_record")
    spec = stored(tmp_path, TWELVE)
    small = {"network": "mlp", "hidden": "8", "latent": 2, "recipe": "default", "pictures": 0, "least_steps": 0}
    runs = [
        reparam.train(
            "vae", spec, out=tmp_path / str(stream), epochs=2, stream=stream, progress=False, device="cpu", **small
        )
        for stream in (False, True)
    ]
    first, second = (run.history["train"] for run in runs)
    assert first["total"].tolist() == second["total"].tolist()
    assert runs[1].dataset.fingerprint == runs[1].document.data.fingerprint
    write_shards(load(spec, DataOptions(stream=True)), tmp_path / "shards", workers=0)
    assert images(load(f"shards:{tmp_path / 'shards'}"), "test").equal(images(load(spec), "test"))
