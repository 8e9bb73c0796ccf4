"""Training from shards larger than memory: private memory, rate beside training from memory, damaged records.

    python benchmarks/streaming.py --folder /some/large/disk [--gigabytes 20] [--seconds 60] [--rounds 3]

Makes shards of random 64 x 64 RGB images (PNGs of noise: incompressible) once, a quarter anew and the rest as copies of those
files, and damages ten records. Then the residual VAE trains on them with `--damaged skip`, and on as many images as fit into
memory easily; the two take turns. Memory is what training and its workers hold for themselves (private pages, from /proc,
sampled twice a second, all processes summed) beyond what a process holds that has only imported torch and made one product.
Rates are images a second after a warm-up.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch
from contest import keep, machine, spread
from throughput import loop_of

from reparam.data import DataOptions, Images, load
from reparam.data.dataset import cut
from reparam.data.io.on_disk import OnDiskImages
from reparam.data.sources.shard_writing import write_shards
from reparam.models import Spec
from reparam.run.config import resolve
from reparam.training import LineProgress, Loop

SIDE, DAMAGED, RESIDENT, COPIES = 64, 10, 20_000, 4
EACH = SIDE * SIDE * 3 + 200  # bytes of a record, about


class Noise:
    """Images that are made as they are asked for."""

    shape, identity = (3, SIDE, SIDE), "noise"

    def __init__(self, images: int) -> None:
        self.images = images

    def __len__(self) -> int:
        return self.images

    def read(self, place: int) -> np.ndarray:
        return np.random.Generator(np.random.PCG64(place)).integers(0, 256, self.shape, np.uint8)


def make_shards(folder: Path, gigabytes: float) -> None:
    count = int(gigabytes * 1e9 / EACH / COPIES)
    stored = OnDiskImages(Noise(count), torch.arange(count))
    held = max(1, min(1000, count // 10))
    dataset = cut(stored, torch.full((count,), -1), (count - 2 * held, held, held), ())
    began = time.perf_counter()
    write_shards(dataset, folder, workers=2, track=LineProgress(30).track)
    multiply(folder)
    print(f"made {count:,} images in {time.perf_counter() - began:.0f} s", flush=True)


def multiply(folder: Path) -> None:
    """Copies each file of shards, so that there are `COPIES` of it."""
    index = json.loads((folder / "index.json").read_text())
    files = index["files"]
    index["files"] = [{**file, "name": f"{copy}-{file['name']}"} for copy in range(COPIES) for file in files]
    for file in index["files"]:
        shutil.copyfile(folder / file["name"].partition("-")[2], folder / file["name"])
    for file in files:
        (folder / file["name"]).unlink()
    labels = np.tile(np.load(folder / "labels.npy"), COPIES)
    np.save(folder / "labels.npy", labels)
    held = index["splits"]["test"]
    index["splits"]["train"] = len(labels) - 2 * held
    (folder / "index.json").write_text(json.dumps(index))


def damage(folder: Path, records: int) -> None:
    """Inverts bytes inside of that many records of the training images, once; they lie far apart."""
    mark = folder / "damaged"
    if mark.exists():
        return
    files = json.loads((folder / "index.json").read_text())["files"]
    for number in range(records):
        path = folder / files[number * len(files) // records]["name"]
        with path.open("r+b") as file:
            file.seek(int(path.stat().st_size * (0.1 + 0.07 * number)))
            found = file.read(64)
            file.seek(-64, os.SEEK_CUR)
            file.write(bytes(byte ^ 255 for byte in found))
    mark.touch()


def private(pid: int) -> int:
    """Bytes of private pages of a process and of all below it."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_"):
                total += int(line.split()[1]) * 1024
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return total
    return total + sum(private(int(child)) for child in children)


class Watch(threading.Thread):
    """The largest private memory while it runs."""

    def __init__(self, every: float) -> None:
        super().__init__(daemon=True)
        self.every, self.largest, self.ended = every, 0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(self.every):
            self.largest = max(self.largest, private(os.getpid()))


def baseline() -> int:
    """Of a process that has imported torch and used it once."""
    code = (
        "import torch, sys; torch.set_num_threads(2); torch.rand(256, 256) @ torch.rand(256, 256); "
        "print(); sys.stdout.flush(); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        found = private(process.pid)
        process.communicate(b"")
    return found


def train_for(loop: Loop, seconds: float, every: float) -> tuple[float, int]:
    """Seconds a step after a warm-up, and the largest private memory, looked at so often."""
    watch = Watch(every)
    watch.start()
    for _ in range(3):
        loop.cycle()
    began, first = time.perf_counter(), loop.state.step
    while time.perf_counter() - began < seconds:
        loop.cycle()
    each = (time.perf_counter() - began) / (loop.state.step - first)
    watch.ended.set()
    return each, max(watch.largest, private(os.getpid()))


def measure(split: Images, batch: int, seconds: float) -> dict[str, float]:
    """Rate and memory of so many seconds of training, in a process of its own."""
    config = resolve(
        "vae", network="residual", latent=64, likelihood="discretised-logistic", batch_size=batch, epochs=1e3, keep="last",
        pictures=0, device="cpu", log_every=10,
    )  # fmt: skip
    loop = loop_of(config, Spec((3, SIDE, SIDE)), split)
    each, largest = train_for(loop, seconds, 0.5)
    loop.cycle.stop_reading()
    return {"rate": batch / each, "private": float(largest), "skipped": len(split.skipped)}


def from_disk(folder: Path, batch: int, seconds: float, queue: multiprocessing.Queue) -> None:
    split = load(f"shards:{folder}", DataOptions(damaged="skip")).train
    queue.put(measure(split, batch, seconds))


def from_memory(folder: Path, batch: int, seconds: float, queue: multiprocessing.Queue) -> None:
    train = load(f"shards:{folder}", DataOptions(damaged="skip")).train
    queue.put(measure(train.take(torch.arange(min(RESIDENT, len(train)))), batch, seconds))


def apart(work: object, *arguments: object) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=work, args=(*arguments, queue))  # type: ignore[arg-type]
    process.start()
    found = queue.get()
    process.join()
    return found


def read_all_damaged(folder: Path) -> list[str]:
    """What is said when each training image is read once, from the first to the last."""
    images = load(f"shards:{folder}", DataOptions(damaged="skip")).train.images
    assert isinstance(images, OnDiskImages)
    for start in range(0, len(images.places), 256):
        _ = images[start : start + 256]
    return list(images.skipped)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--gigabytes", type=float, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "streaming.json")
    arguments = parser.parse_args()
    folder = arguments.folder / f"noise-{arguments.gigabytes:g}"
    if not folder.exists():
        make_shards(folder, arguments.gigabytes)
    damage(folder, DAMAGED)
    size = sum(path.stat().st_size for path in folder.iterdir())
    images = len(load(f"shards:{folder}").train)
    base = baseline()
    rounds = []
    for number in range(arguments.rounds):
        row = {
            name: apart(work, folder, arguments.batch, arguments.seconds)
            for name, work in (("disk", from_disk), ("memory", from_memory))
        }
        rounds.append(row)
        above = (row["disk"]["private"] - base) / 1e6
        print(
            f"round {number + 1}: {row['disk']['rate']:.1f} images/s from disk, {row['memory']['rate']:.1f} from memory; "
            f"{above:.0f} MB above torch's {base / 1e6:.0f}",
            flush=True,
        )
    began = time.perf_counter()
    said = read_all_damaged(folder)
    alone = images / (time.perf_counter() - began)
    result = {
        "what": f"residual VAE, 3 x {SIDE} x {SIDE}, batch {arguments.batch}, shards of {size / 1e9:.1f} GB, {images:,} images",
        "machine": f"{machine()}, torch {torch.__version__}",
        "baseline_bytes": base,
        "share_of_rate_from_memory": spread([row["disk"]["rate"] / row["memory"]["rate"] for row in rounds]),
        "bytes_above_baseline": spread([row["disk"]["private"] - base for row in rounds]),
        "damaged": {"made": DAMAGED, "named_in_one_pass": said},
        "images_per_second_read_alone": alone,
        "median_rate": statistics.median(row["disk"]["rate"] for row in rounds),
        "rounds": rounds,
    }
    share, above = result["share_of_rate_from_memory"], result["bytes_above_baseline"]
    print(f"share of the rate from memory: {share['median']:.2f} ({share['low']:.2f} to {share['high']:.2f})")
    print(f"memory above torch: {above['median'] / 1e6:.0f} MB ({above['low'] / 1e6:.0f} to {above['high'] / 1e6:.0f})")
    print(f"{len(said)} damaged records named in one pass at {alone:,.0f} images/s")
    keep(result, arguments.out)


if __name__ == "__main__":
    main()
