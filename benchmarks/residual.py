"""The residual VAE's training step on CIFAR-10 against the same network in a plain loop, and against its own convolutions.

    python benchmarks/residual.py [--rounds 5] [--steps 10] [--threads 2] [--out benchmarks/results/residual.json]

Ours is `reparam train vae --network residual --data cifar10 --batch-size 128`, eager and with `--compile`, by the public loop;
the plain loop is that of `peers.py`, around the network as it is described (`nn.Upsample`, then `nn.Conv2d`), and around our own
modules, which compute the same function. They take turns, and medians are compared. The bound is the time of the convolutions and
products that one of our eager steps performs, recorded with their operands and strides, and replayed alone.
"""

import argparse
import time
from pathlib import Path

import torch
from peers import BATCH, plain
from throughput import Recorder, bound, keep, spread
from torch import Tensor, nn

from reparam.config import RunConfig, resolve
from reparam.data import Images, load
from reparam.models import Schedule, Spec
from reparam.networks.residual import Upsample
from reparam.reproduce import machine
from reparam.training import Loop

SHAPE = (3, 32, 32)


def make(compiled: bool = False) -> tuple[RunConfig, nn.Module]:
    config = resolve(
        "vae", network="residual", batch_size=BATCH, epochs=1e3, keep="last", pictures=0, device="cpu", compile=compiled
    )
    torch.manual_seed(0)
    return config, config.family.build(config.options, Spec(SHAPE))


def make_loop(split: Images, compiled: bool = False) -> Loop:
    config, model = make(compiled)
    objective = config.family.objective(config.options, Schedule(1, 1))
    return Loop(model, objective, split, config.task, config.training, torch.device("cpu"))


class Network(nn.Module):
    """The same network, called as tutorials do."""

    def __init__(self) -> None:
        super().__init__()
        _, model = make()
        self.down, self.head, self.up = model.encoder.network, model.encoder.head, model.decoder.network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.head(self.down(x)).chunk(2, -1)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_var)
        return torch.sigmoid(self.up(z)), mean, log_var


class Described(Network):
    """With its upsampling in two layers."""

    def __init__(self) -> None:
        super().__init__()
        layers = self.up.network
        for place, layer in enumerate(layers):
            if isinstance(layer, Upsample):
                layers[place] = nn.Sequential(nn.Upsample(size=layer.side), layer.conv)


def ours(loop: Loop, steps: int) -> float:
    began = time.perf_counter()
    for _ in range(steps):
        loop.cycle()
    return steps / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "residual.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    split, steps = load("cifar10").train, arguments.steps
    loops = {"eager": make_loop(split), "compiled": make_loop(split, compiled=True)}
    peers = {
        name: plain(split.pixels[: BATCH * steps], network)
        for name, network in (("plain", Described), ("plain_our_modules", Network))
    }
    loops["eager"].cycle()
    with Recorder() as recorder:
        loops["eager"].cycle()
    ours(loops["compiled"], 2)
    rounds = []
    for number in range(arguments.rounds):
        row = {
            "bound": bound(recorder.calls, steps),
            **{name: one_pass() for name, one_pass in peers.items()},
            **{name: ours(loop, steps) for name, loop in loops.items()},
            "bound_after": bound(recorder.calls, steps),
        }
        rounds.append(row)
        print(f"round {number + 1}: " + ", ".join(f"{name} {rate:.3g}" for name, rate in row.items()), flush=True)
    result: dict = {
        "what": f"residual VAE (width 32, one block a side), 3 x 32 x 32, batch {BATCH}, float32",
        "machine": f"{machine()}, torch {torch.__version__}",
        "rounds": rounds,
    }
    for name in loops:
        result[name] = {
            **{f"times_{peer}": spread([row[name] / row[peer] for row in rounds]) for peer in peers},
            "share_of_bound": spread([row[name] * 2 / (row["bound"] + row["bound_after"]) for row in rounds]),
        }
        for what, ratio in result[name].items():
            print(f"{name}, {what}: {ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})")
    keep(result, arguments.out)


if __name__ == "__main__":
    main()
