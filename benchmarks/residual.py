"""The residual VAE's training step on CIFAR-10 against the same network in a plain loop, and against its own convolutions.

    python benchmarks/residual.py [--rounds 15] [--steps 3] [--threads 2] [--out benchmarks/results/residual.json]

Ours is `reparam train vae --network residual --data cifar10 --batch-size 128`, eager and with `--compile`, by the public loop;
the plain loop is that of `peers.py`, around the network as usually written (`nn.Upsample`, then `nn.Conv2d`), and around our own
modules, which compute the same function. They take turns, and medians are compared. The bound is the time of the convolutions and
products that one of our eager steps performs, recorded with their operands and strides, and replayed alone.
"""

import argparse
import time
from pathlib import Path

import torch
from contest import Contender, Rate, compare, keep, machine, take_turns
from peers import BATCH, plain
from throughput import loop_of, replayed
from torch import Tensor, nn

from reparam.data import Images, load
from reparam.models import Spec
from reparam.networks.residual import Upsample
from reparam.run.config import RunConfig, resolve
from reparam.training import Loop

SHAPE = (3, 32, 32)


def make_config(compiled: bool = False) -> RunConfig:
    return resolve(
        "vae", network="residual", batch_size=BATCH, epochs=1e3, keep="last", pictures=0, device="cpu", compile=compiled
    )


class Network(nn.Module):
    """The same network, called as tutorials do."""

    def __init__(self) -> None:
        super().__init__()
        config = make_config()
        model = config.family.build(config.options, Spec(SHAPE))
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
                layers[place] = nn.Sequential(nn.Upsample(size=layer.sides), layer.conv)


def cycles(loop: Loop, steps: int) -> Rate:
    def rate() -> float:
        began = time.perf_counter()
        for _ in range(steps):
            loop.cycle()
        return steps / (time.perf_counter() - began)

    return rate


def eager(images: Images, steps: int) -> dict[str, Rate]:
    loop = loop_of(make_config(), Spec(SHAPE), images)
    loop.cycle()
    bound = replayed(loop.cycle, steps)
    return {"bound": bound, "eager": cycles(loop, steps), "bound_after": bound}


def compiled(images: Images, steps: int) -> dict[str, Rate]:
    loop = loop_of(make_config(compiled=True), Spec(SHAPE), images)
    cycles(loop, 2)()
    return {"compiled": cycles(loop, steps)}


def peer(name: str, network: type[Network], pixels: Tensor) -> dict[str, Rate]:
    return {name: plain(pixels, network=network)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "residual.json")
    arguments = parser.parse_args()
    split, steps, threads = load("cifar10").train, arguments.steps, arguments.threads
    some = split.pixels[: BATCH * steps].clone()
    contenders = [
        Contender(threads, eager, split, steps),
        Contender(threads, compiled, split, steps),
        Contender(threads, peer, "plain", Described, some),
        Contender(threads, peer, "plain_our_modules", Network, some),
    ]
    rounds = take_turns(contenders, arguments.rounds, "steps/s")
    result: dict = {
        "what": f"residual VAE (width 32, one block a side), 3 x 32 x 32, batch {BATCH}, float32",
        "machine": f"{machine()}, torch {torch.__version__}",
        "rounds": rounds,
        **compare(rounds, ["eager", "compiled"], ["plain", "plain_our_modules"]),
    }
    keep(result, arguments.out)


if __name__ == "__main__":
    main()
