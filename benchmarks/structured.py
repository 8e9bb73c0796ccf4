"""The training step of the quadrant CVAE against its own matrix products.

    python benchmarks/structured.py [--rounds 5] [--threads 1] [--out benchmarks/results/structured.json]

The step is that of `reparam train cvae --data mnist --task quadrants --observed 1` through the one training loop, metrics and
checkpoints written as always. The bound is the time of the products that one such step performs, recorded with their operands and
strides, and replayed alone.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from contest import keep, spread
from throughput import loop_of, replayed

from reparam.config import resolve
from reparam.data import Images, load
from reparam.data.tasks import with_condition
from reparam.models import Spec
from reparam.reproduce import machine
from reparam.training import Loop


def make_loop(split: Images, folder: Path, epochs: float) -> Loop:
    config = resolve("cvae", data="mnist", epochs=epochs, keep="last", patience=0, pictures=0, device="cpu")
    return loop_of(config, with_condition(Spec((1, 28, 28), 10), config.task), split, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "structured.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    split = load("mnist").train
    with tempfile.TemporaryDirectory() as folder:
        loop = make_loop(split, Path(folder), 1)
        loop.cycle()
        bound = replayed(loop.cycle, 60)
    rounds = []
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            loop = make_loop(split, Path(folder), arguments.epochs)
            loop.cycle()
            before = bound()
            began = time.perf_counter()
            loop.run()
            rate = (loop.steps - 1) / (time.perf_counter() - began)
        row = {"bound": before, "step": rate, "bound_after": bound()}
        rounds.append({**row, "share": rate / statistics.mean((row["bound"], row["bound_after"]))})
        print(
            f"round {number + 1}: " + ", ".join(f"{key} {value:.3g}" for key, value in rounds[-1].items()), flush=True
        )
    shares = spread([row["share"] for row in rounds])
    print(f"share of the float32 bound: {shares['median']:.2f} ({shares['low']:.2f} to {shares['high']:.2f})")
    result = {
        "what": f"quadrant CVAE, default recipe, batch {loop.options.batch_size}, float32",
        "machine": f"{machine()}, torch {torch.__version__}",
        "share_of_bound": shares,
        "rounds": rounds,
    }
    keep(result, arguments.out)


if __name__ == "__main__":
    main()
