"""The training step of the quadrant CVAE against its own matrix products.

    python benchmarks/structured.py [--rounds 5] [--threads 1] [--out benchmarks/results/structured.json]

The step is that of `reparam train cvae --data mnist --task quadrants --observed 1` through the one training loop, metrics and
checkpoints written as always. The bound is the time of the products that one such step performs, recorded with their operands and
strides, and replayed alone.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from contest import Contender, Rate, compare, keep, machine, take_turns
from throughput import loop_of, replayed, whole_run

from reparam.data import Images, load
from reparam.data.tasks import with_condition
from reparam.models import Spec
from reparam.run.config import resolve
from reparam.training import Loop


def make_loop(split: Images, folder: Path, epochs: float, compiled: bool = False) -> Loop:
    options = {"keep": "last", "patience": 0, "pictures": 0, "device": "cpu", "compile": compiled}
    config = resolve("cvae", data="mnist", epochs=epochs, **options)
    return loop_of(config, with_condition(Spec((1, 28, 28), 10), config.task), split, folder)


def eager(images: Images, epochs: float) -> dict[str, Rate]:
    with tempfile.TemporaryDirectory() as folder:
        loop = make_loop(images, Path(folder), 1)
        loop.cycle()
        bound = replayed(loop.cycle, 60)
    rate = whole_run(lambda folder: make_loop(images, folder, epochs))
    return {"bound": bound, "eager": rate, "bound_after": bound}


def compiled(images: Images, epochs: float) -> dict[str, Rate]:
    return {"compiled": whole_run(lambda folder: make_loop(images, folder, epochs, True))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "structured.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    split, threads, epochs = load("mnist").train, arguments.threads, arguments.epochs
    contenders = [Contender(threads, eager, split, epochs), Contender(threads, compiled, split, epochs)]
    rounds = take_turns(contenders, arguments.rounds, "steps/s")
    result: dict = {
        "what": "quadrant CVAE, default recipe, batch 128, float32",
        "machine": f"{machine()}, torch {torch.__version__}",
        "rounds": rounds,
        **compare(rounds, ["eager", "compiled"], []),
    }
    keep(result, arguments.out)


if __name__ == "__main__":
    main()
