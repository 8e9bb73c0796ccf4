"""Training throughput of the notes network against its peers, and against the step's own matrix products.

    python benchmarks/throughput.py [--rounds 5] [--threads 2] [--precision float32] [--out benchmarks/results/throughput.json]

All train 784-400-20-400-784 with a Bernoulli likelihood, Adam, batch 128, float32, on the 60,000 MNIST images: ours through the
public loop, pythae 0.1.2 through its own trainer, a plain loop over a DataLoader, and JAX's compiled scan (`peers.py`), each in a
process of its own. They take turns, and medians are compared. The bound is the time of the matrix products that one of our steps
performs, recorded from that step with their operands and strides, and replayed alone in the same process, each by the faster
of the libraries at hand: the one that torch is built with, or oneDNN. Under --precision
bfloat16 ours and the bound have it, and the peers stay in float32, which is all that they offer.
"""

import argparse
import tempfile
import time
import timeit
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from contest import Contender, Rate, compare, keep, machine, take_turns
from peers import PEERS
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from reparam.data import Images, load
from reparam.models import Schedule, Spec
from reparam.networks.products import has_onednn, multiply, use_onednn
from reparam.run.config import RunConfig, resolve
from reparam.run.device import choose_device
from reparam.run.folder import RunFolder
from reparam.training import Loop, Progress
from reparam.training.products import choose_products

PRODUCTS = ("mm", "addmm", "product", "bmm", "baddbmm", "convolution", "convolution_backward")

LONG = 10**6  # steps: a run in which it is worth it to measure libraries


def loop_of(
    config: RunConfig, spec: Spec, split: Images, folder: Path | None = None, progress: Progress | None = None
) -> Loop:
    """A new model of a configuration in the public loop, with the products that a run would choose; with a folder, metrics and
    checkpoints are written as always."""
    torch.manual_seed(0)
    model = config.family.build(config.options, spec)
    objective = config.family.objective(config.options, Schedule(1, 1))
    where = RunFolder(folder) if folder else None
    device = choose_device(config.training.device)
    rows = config.training.batch_size
    if config.training.precision == "float32" and choose_products(model, rows, LONG, print) == "onednn":
        use_onednn(model)
    return Loop(model, objective, split, config.task, config.training, device, folder=where, progress=progress)


def make_loop(split: Images, epochs: float, folder: Path, precision: str, compiled: bool = False) -> Loop:
    """The notes recipe through the one training loop, metrics and checkpoints written as always."""
    options = {"precision": precision, "compile": compiled, "device": "cpu", "keep": "last", "pictures": 0}
    config = resolve("vae", "notes", epochs=epochs, gradient="analytic", **options)
    return loop_of(config, Spec((1, 28, 28)), split, folder)


class Recorder(TorchDispatchMode):
    """Keeps the arguments of every matrix product and convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in PRODUCTS:
            self.calls.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def replayed(cycle: Callable[[], None], steps: int) -> Rate:
    """Steps a second if a step were its products alone: those of the given one, each by the fastest library at hand."""
    with Recorder() as recorder:
        cycle()
    calls = [fastest(*call) for call in recorder.calls]

    def rate() -> float:
        with torch.no_grad():
            began = time.perf_counter()
            for _ in range(steps):
                for call in calls:
                    call()
            return steps / (time.perf_counter() - began)

    return rate


@torch.no_grad()
def fastest(func: Callable[..., Tensor], args: tuple, kwargs: dict[str, object]) -> Callable[[], Tensor]:
    """A recorded product by torch's own library or by oneDNN, whichever takes less time."""
    name = func.overloadpacket.__name__  # type: ignore[attr-defined]
    ways = [partial(func, *args, **kwargs)]
    if name in ("mm", "addmm") and args[-1].dtype == torch.float32 and has_onednn():
        bias, a, b = args if name == "addmm" else (None, *args)
        ways.append(partial(multiply, a, b.t(), bias))
    elif name == "product":
        ways.append(partial(F.linear, *args))
    return min(ways, key=lambda way: min(timeit.repeat(way, number=20, repeat=5)))


def eager(images: Images, epochs: float, precision: str) -> dict[str, Rate]:
    """The loop as it is, between two timings of its products."""
    with tempfile.TemporaryDirectory() as folder:
        loop = make_loop(images, 1, Path(folder), precision)
        loop.cycle()
        bound = replayed(loop.cycle, 300)
    rate = whole_run(lambda folder: make_loop(images, epochs, folder, precision))
    return {"bound": bound, "eager": rate, "bound_after": bound}


def compiled(images: Images, epochs: float, precision: str) -> dict[str, Rate]:
    return {"compiled": whole_run(lambda folder: make_loop(images, epochs, folder, precision, True))}


def compiled_by_torch(images: Images, epochs: float, precision: str) -> dict[str, Rate]:
    """The loop around `torch.compile` of its step: what our own compilation of forward and backward at once is against."""

    def make(folder: Path) -> Loop:
        loop = make_loop(images, epochs, folder, precision)
        (player,) = loop.state.players
        player.call = torch.compile(player.step)  # type: ignore[assignment]
        return loop

    return {"torch_compile": whole_run(make)}


def peer(name: str, pixels: Tensor) -> dict[str, Rate]:
    return {name: PEERS[name](pixels, "cpu")}


def whole_run(make: Callable[[Path], Loop]) -> Rate:
    """Steps a second of `Loop.run` to its last checkpoint, without the first step, which makes optimiser state or compiles."""

    def rate() -> float:
        with tempfile.TemporaryDirectory() as folder:
            loop = make(Path(folder))
            loop.cycle()
            began = time.perf_counter()
            loop.run()
            return (loop.steps - 1) / (time.perf_counter() - began)

    return rate


def products_share(split: Images, precision: str, steps: int = 100) -> float:
    """The share of an eager step's time that its products take where they stand in it, with the caches as they are there."""
    from torch.profiler import ProfilerActivity, profile

    with tempfile.TemporaryDirectory() as folder:
        loop = make_loop(split, 1, Path(folder), precision)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "throughput.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    split = load("mnist").split("all")
    contenders = [
        Contender(arguments.threads, eager, split, arguments.epochs, arguments.precision),
        Contender(arguments.threads, compiled, split, arguments.epochs, arguments.precision),
        Contender(arguments.threads, compiled_by_torch, split, arguments.epochs, arguments.precision),
        *(Contender(arguments.threads, peer, name, split.pixels) for name in PEERS),
    ]
    rounds = take_turns(contenders, arguments.rounds, "steps/s")
    result: dict = {
        "what": f"784-400-20-400-784, batch 128, {arguments.precision}, 60,000 images",
        "machine": f"{machine()}, torch {torch.__version__}",
        "products_within_a_step": products_share(split, arguments.precision),
        "rounds": rounds,
        **compare(rounds, ["eager", "compiled", "torch_compile"], list(PEERS)),
    }
    print(f"products take {result['products_within_a_step']:.2f} of an eager step where they stand in it")
    keep(result, arguments.out)


if __name__ == "__main__":
    main()
