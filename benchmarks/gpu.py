"""Training on a GPU: against its peers, against the kernels of its own step, and against the card's peak.

    python benchmarks/gpu.py [--rounds 3] [--steps 5000] [--device cuda] [--out benchmarks/results/gpu.json]

The notes network (784-400-20-400-784, Bernoulli, Adam, batch 128) on 60,000 random images of 28 x 28, step by step and as
graphs (`--capture`), also compiled and in lower precision, beside pythae 0.1.2, a plain loop and JAX's scan (`peers.py`), all in
float32; and the residual VAE on random 64 x 64 colour images in bfloat16 at batch 256, in two widths. Rates are read between log
points of the public loop. `kernels`: the rate if the kernels of captured steps, by the profiler, followed each other without a
gap. The card's peak is what a product of two large matrices reaches in the same precision. A peer that does not start is left
out. With `--device cpu` everything runs small, which shows that the script works and nothing else.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from contest import Contender, Rate, keep, machine, spread, take_turns
from peers import BATCH, PEERS
from throughput import loop_of
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from reparam.data import Images
from reparam.models import Spec
from reparam.run.config import resolve
from reparam.training import Loop, Silent
from reparam.training.capture import CYCLES, Capture

Options = dict[str, Any]
GRAPHS: Options = {"capture": True}
FUSED: Options = {"capture": True, "compile": True}
NOTES: dict[str, Options] = {
    "eager": {},
    "captured": GRAPHS,
    "compiled": FUSED,
    "compiled_tf32": {**FUSED, "precision": "tf32"},
    "compiled_bfloat16": {**FUSED, "precision": "bfloat16"},
}
RESIDUAL: dict[str, Options] = {
    f"{name}_width{width}": {
        "network": "residual",
        "precision": "bfloat16",
        "batch_size": 256,
        "width": width,
        "log_every": 10,
        **how,
    }
    for width in (32, 128)
    for name, how in (("eager", {}), ("compiled", FUSED))
}
TRIAL: Options = {"precision": "float32", "batch_size": 2, "log_every": 10}  # on a CPU


class Watch(Silent):
    """When the log points were: a log point waits for the device."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float]] = []

    def update(self, step: int, epoch: float, images_per_second: float, terms: dict[str, float]) -> None:
        self.seen.append((step, time.perf_counter()))


def ours(name: str, options: Options, shape: tuple[int, int, int], count: int, steps: int) -> dict[str, Rate]:
    """Steps a second of the public loop; of captured ones also the rate of their kernels."""
    watch = Watch()
    loop = make_loop(options, shape, count, watch)

    def rate() -> float:
        watch.seen.clear()
        for player in loop.state.players:
            player.recall(0)  # kernels that were timed alone are in its history
        loop.steps = loop.state.step + steps
        loop.run()
        (first, began), (last, ended) = watch.seen[0], watch.seen[-1]  # compiled and recorded before the first
        return (last - first) / (ended - began)

    return {name: rate, **({f"{name}_kernels": lambda: of_kernels(loop)} if loop.options.capture else {})}


def make_loop(options: Options, shape: tuple[int, int, int], count: int, watch: Watch | None = None) -> Loop:
    settings = {"epochs": 1e6, "keep": "last", "pictures": 0, "latent": 20, "hidden": (400,), "batch_size": BATCH}
    if "network" in options:
        del settings["hidden"]
    config = resolve("vae", **{**settings, **options})
    pixels = torch.randint(0, 256, (count, *shape), dtype=torch.uint8)
    return loop_of(config, Spec(shape), Images(pixels, torch.full((count,), -1)), progress=watch)


def of_kernels(loop: Loop, replays: int = 5) -> float:
    """Steps a second if the kernels of captured cycles (on a CPU: its operations) followed each other without a gap."""
    on_gpu = loop.device.type == "cuda"
    capture = Capture(loop.cycle)
    capture.replay()
    settle(loop.device.type)
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiler:
        for _ in range(replays):
            capture.replay()
        settle(loop.device.type)
    wanted = DeviceType.CUDA if on_gpu else DeviceType.CPU
    events = [
        event for event in profiler.key_averages() if event.device_type == wanted and not event.is_user_annotation
    ]
    busy = sum(event.self_device_time_total if on_gpu else event.self_cpu_time_total for event in events)
    return replays * CYCLES / (busy / 1e6)


def settle(device: str) -> None:
    """Waits until all that was asked of the device is done."""
    if device == "cuda":
        torch.cuda.synchronize()


def operations(options: Options, shape: tuple[int, int, int]) -> int:
    """Floating-point operations of the products and convolutions of one step, forward and backward."""
    loop = make_loop({**options, "capture": False, "compile": False}, shape, options["batch_size"])
    loop.cycle()
    with FlopCounterMode(display=False) as counter:
        loop.cycle()
    return counter.get_total_flops()


def peak(device: str) -> float:
    """Operations a second of a large product in bfloat16, the best of five stretches."""
    side = 8192 if device == "cuda" else 512
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best, products = 0.0, 10
    for _ in range(5):  # the first warms up
        settle(device)
        began = time.perf_counter()
        for _ in range(products):
            a @ b
        settle(device)
        best = max(best, products * 2 * side**3 / (time.perf_counter() - began))
    return best


def peer(name: str, count: int, device: str) -> dict[str, Rate]:
    pixels: Tensor = torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8)
    return {name: PEERS[name](pixels, device)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gpu.json")
    arguments = parser.parse_args()
    device, steps, threads = arguments.device, arguments.steps, torch.get_num_threads()
    trial = TRIAL if device == "cpu" else {}
    count, many = (1_280, 64) if trial else (60_000, 20_000)
    notes = {name: {**options, **trial, "device": device} for name, options in NOTES.items()}
    narrow = {"width": 8} if trial else {}
    residual = {name: {**options, **trial, **narrow, "device": device} for name, options in RESIDUAL.items()}
    result: dict[str, Any] = {
        "what": f"784-400-20-400-784, batch {BATCH}, {count:,} images; residual VAE, 3 x 64 x 64, batch 256, bfloat16",
        "machine": f"{machine()}, torch {torch.__version__}",
    }

    contenders = [Contender(threads, ours, name, options, (1, 28, 28), count, steps) for name, options in notes.items()]
    peers = []
    for name in PEERS:
        try:
            contenders.append(Contender(threads, peer, name, count, device))
            peers.append(name)
        except EOFError:  # it has said why
            print(f"left out, for it does not start: {name}")
    rounds = take_turns(contenders, arguments.rounds, "steps/s")
    of_notes = {}
    for name, options in notes.items():
        rates = [row[name] for row in rounds]
        of_notes[name] = {
            "images_per_second": spread([rate * options.get("batch_size", BATCH) for rate in rates]),
            "milliseconds_an_epoch": spread([1e3 * 60_000 / BATCH / rate for rate in rates]),
            **{f"times_{other}": spread([row[name] / row[other] for row in rounds]) for other in peers},
        }
        if "capture" in options:
            of_notes[name]["share_of_kernels"] = spread([row[name] / row[f"{name}_kernels"] for row in rounds])
    show(of_notes)
    keep(result | {"notes": of_notes, "rounds": rounds}, arguments.out)

    colour = (3, 64, 64)
    large = [Contender(threads, ours, name, options, colour, many, steps // 10) for name, options in residual.items()]
    rounds_64 = take_turns(large, arguments.rounds, "steps/s")
    highest = peak(device)
    of_residual = {}
    for name, options in residual.items():
        work = operations(options, colour)
        rates = [row[name] for row in rounds_64]
        of_residual[name] = {
            "images_per_second": spread([rate * options["batch_size"] for rate in rates]),
            "teraflops": spread([rate * work / 1e12 for rate in rates]),
            "share_of_peak": spread([rate * work / highest for rate in rates]),
        }
    show(of_residual)
    result |= {"notes": of_notes, "rounds": rounds, "residual_64": of_residual, "rounds_64": rounds_64}
    keep(result | {"peak_teraflops_bfloat16": highest / 1e12}, arguments.out)


def show(found: dict[str, dict[str, dict[str, float]]]) -> None:
    for name, figures in found.items():
        print(name, ", ".join(f"{what} {value['median']:.4g}" for what, value in figures.items()), flush=True)


if __name__ == "__main__":
    main()
