"""Training throughput of the notes network against its peers, and against the step's own matrix products.

    python benchmarks/throughput.py [--rounds 5] [--threads 2] [--out benchmarks/results/throughput.json]

All train 784-400-20-400-784 with a Bernoulli likelihood, Adam, batch 128, float32, on the 60,000 MNIST images: ours through the
public loop, pythae 0.1.2 through its own trainer, a plain loop over a DataLoader, and JAX's compiled scan (`peers.py`). They take
turns, and medians are compared. The bound is the time of the matrix products that one of our steps performs, recorded from that
step with their operands and strides, and replayed alone.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from peers import PEERS
from torch.utils._python_dispatch import TorchDispatchMode

from reparam.config import resolve
from reparam.data import load
from reparam.models import Schedule, Spec
from reparam.reproduce import machine
from reparam.runs import RunFolder
from reparam.training import Loop

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "convolution", "convolution_backward")


def make_loop(split: object, epochs: float, folder: Path, compiled: bool = False) -> Loop:
    """The notes recipe through the one training loop, metrics and checkpoints written as always."""
    config = resolve(
        "vae", "notes", epochs=epochs, gradient="analytic", keep="last", pictures=0, device="cpu", compile=compiled
    )
    torch.manual_seed(0)
    model = config.family.build(config.options, Spec((1, 28, 28)))
    objective = config.family.objective(config.options, Schedule(1, 1))
    return Loop(model, objective, split, config.task, config.training, torch.device("cpu"), folder=RunFolder(folder))  # type: ignore[arg-type]


def ours(split: object, epochs: float, compiled: bool = False) -> float:
    """Steps a second of `Loop.run` to its last checkpoint, without the first step, which makes optimiser state or compiles."""
    with tempfile.TemporaryDirectory() as folder:
        loop = make_loop(split, epochs, Path(folder), compiled)
        loop.cycle()
        began = time.perf_counter()
        loop.run()
        return (loop.steps - 1) / (time.perf_counter() - began)


class Recorder(TorchDispatchMode):
    """Keeps the arguments of every matrix product and convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in PRODUCTS:
            self.calls.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def record_products(split: object) -> list[tuple]:
    with tempfile.TemporaryDirectory() as folder:
        loop = make_loop(split, 1, Path(folder))
        loop.cycle()
        with Recorder() as recorder:
            loop.cycle()
    return recorder.calls


def bound(calls: list[tuple], steps: int) -> float:
    """Steps a second if a step were its products alone."""
    with torch.no_grad():
        began = time.perf_counter()
        for _ in range(steps):
            for func, args, kwargs in calls:
                func(*args, **kwargs)
        return steps / (time.perf_counter() - began)


def products_share(split: object, threads: int, steps: int = 100) -> float:
    """The share of an eager step's time that its products take where they stand in it, with the caches as they are there."""
    from torch.profiler import ProfilerActivity, profile

    with tempfile.TemporaryDirectory() as folder:
        loop = make_loop(split, 1, Path(folder))
        for _ in range(20):
            loop.cycle()
        began = time.perf_counter()
        for _ in range(steps):
            loop.cycle()
        whole = time.perf_counter() - began
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            for _ in range(steps):
                loop.cycle()
    names = {f"aten::{name}" for name in PRODUCTS}
    products = sum(event.self_cpu_time_total for event in profiler.key_averages() if event.key in names)
    return products / 1e6 / whole


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def keep(result: dict[str, object], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "throughput.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)

    split = load("mnist").split("all")
    calls = record_products(split)
    peers = {name: make(split.pixels) for name, make in PEERS.items()}
    rounds = []
    for number in range(arguments.rounds):
        row = {
            "bound": bound(calls, 300),
            "eager": ours(split, arguments.epochs),
            **{name: one_pass() for name, one_pass in peers.items()},
            "compiled": ours(split, arguments.epochs, compiled=True),
            "bound_after": bound(calls, 300),
        }
        rounds.append(row)
        print(
            f"round {number + 1}: " + ", ".join(f"{name} {rate:.0f}" for name, rate in row.items()) + " steps/s",
            flush=True,
        )

    result: dict = {
        "what": "784-400-20-400-784, batch 128, float32, 60,000 images",
        "machine": f"{machine()}, torch {torch.__version__}",
        "products_within_a_step": products_share(split, arguments.threads),
        "rounds": rounds,
    }
    for kind in ("eager", "compiled"):
        floor = [row[kind] / statistics.mean((row["bound"], row["bound_after"])) for row in rounds]
        result[kind] = {
            **{f"times_{name}": spread([row[kind] / row[name] for row in rounds]) for name in PEERS},
            "share_of_bound": spread(floor),
        }
        for what, ratio in result[kind].items():
            print(f"{kind}, {what}: {ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})")
    print(f"products take {result['products_within_a_step']:.2f} of an eager step where they stand in it")
    keep(result, arguments.out)


if __name__ == "__main__":
    main()
