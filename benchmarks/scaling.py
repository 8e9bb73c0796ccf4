"""Cost as work grows: time and memory of training against batch size, latent size, image size and number of images.

    python benchmarks/scaling.py [--threads 2] [--seconds 4] [--out benchmarks/results/scaling.json]

Each point is a process of its own that trains on random images for so many seconds after a warm-up: milliseconds a step, and the
private memory at its peak (pages that are the process's own, from /proc) beyond what the same process held after importing
Reparam. The base is the notes network (784-400-20-400-784) at batch 128 on 60,000 images; image sizes are those of the residual
network at batch 16. The figure is `scaling.svg` beside the results.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import torch
from contest import keep, machine
from streaming import apart, private, train_for
from throughput import loop_of

from reparam.data import Images
from reparam.models import Spec
from reparam.run.config import resolve
from reparam.training import Loop

BASE = {"batch": 128, "latent": 20, "side": 28, "images": 60_000}
GROWN: dict[str, tuple[str, tuple[int, ...]]] = {
    "batch": ("images a batch", (8, 32, 128, 512, 2048)),
    "latent": ("latents", (2, 20, 200, 2000)),
    "side": ("image side, residual network", (32, 48, 64, 96, 128)),
    "images": ("images in memory", (1_000, 10_000, 60_000, 240_000, 960_000)),
}


def make_loop(of: dict[str, int], residual: bool) -> Loop:
    network = {"network": "residual"} if residual else {"hidden": (400,)}
    config = resolve(
        "vae", latent=of["latent"], batch_size=of["batch"], epochs=1e4, keep="last", pictures=0, device="cpu", **network
    )
    shape = (3 if residual else 1, of["side"], of["side"])
    images = torch.randint(0, 256, (of["images"], *shape), dtype=torch.uint8)
    return loop_of(config, Spec(shape), Images(images, torch.full((of["images"],), -1)))


def measure(of: dict[str, int], residual: bool, threads: int, seconds: float, queue: Any) -> None:
    torch.set_num_threads(threads)
    before = private(os.getpid())
    loop = make_loop(of, residual)
    each, _ = train_for(loop, seconds, seconds)
    _, largest = train_for(loop, seconds / 4, 0.05)  # to look this often takes time
    queue.put({**of, "milliseconds": each * 1e3, "megabytes": (largest - before) / 1e6})


def draw(found: dict[str, list[dict[str, float]]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(GROWN), sharex="col", sharey="row")
    for column, (name, (called, _)) in enumerate(GROWN.items()):
        for row, (what, unit) in enumerate((("milliseconds", "ms a step"), ("megabytes", "MB of private memory"))):
            one = axes[row, column]
            one.loglog(
                [point[name] for point in found[name]], [point[what] for point in found[name]], "o-", color="#2a6f97"
            )
            one.minorticks_off()
            one.set_xticks([point[name] for point in found[name]], [f"{point[name]:,}" for point in found[name]])
            one.tick_params("x", labelrotation=30)
            one.grid(alpha=0.3)
            if not column:
                one.set_ylabel(unit)
            if row:
                one.set_xlabel(called)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "scaling.json")
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {}
    for name, (_, values) in GROWN.items():
        for value in values:
            residual = name == "side"
            of = {**BASE, **({"batch": 16, "images": 500} if residual else {}), name: value}
            point = apart(measure, of, residual, arguments.threads, arguments.seconds)
            found.setdefault(name, []).append(point)
            print(f"{name} {value:,}: {point['milliseconds']:.2f} ms a step, {point['megabytes']:.0f} MB", flush=True)
    result: dict[str, object] = {
        "what": "training step, float32; see the figure's axes",
        "machine": f"{machine()}, torch {torch.__version__}",
        "threads": arguments.threads,
        "found": found,
    }
    keep(result, arguments.out)
    draw(found, arguments.out.with_suffix(".svg"))


if __name__ == "__main__":
    main()
