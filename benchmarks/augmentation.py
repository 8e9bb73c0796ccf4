"""What `--augment RUN` adds to the training step of the small CNN.

    python benchmarks/augmentation.py [--rounds 5] [--threads 2] [--out benchmarks/results/augmentation.json]

The step is that of `reparam train classifier --data mnist` at batch 64 through the one training loop, without augmentation, and
with a G-VAE of the default recipe that augments half of each batch (the command's default), or all of it. Weights of the G-VAE
are its initial ones: the cost does not depend on them. The loops take turns, `--steps` steps each.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from contest import keep, machine, spread

from reparam.data import Images, load
from reparam.latent.augmentation import Augmenter, Compose
from reparam.models import Schedule, Spec
from reparam.run.config import resolve
from reparam.run.folder import RunFolder
from reparam.training import Loop

SPEC = Spec((1, 28, 28), 10)
# The network whose stored results these are.
THEN = {"convolutions": 3, "regions": 4, "features": 64, "dropout": 0.0, "learning_rate": 2e-3}
SHARES = {"half": 0.5, "all": 1.0}


def make_loop(split: Images, folder: Path, augment: Compose | None, channels: int) -> Loop:
    config = resolve(
        "classifier",
        data="mnist",
        channels=channels,
        **THEN,
        epochs=100.0,
        batch_size=64,
        keep="last",
        pictures=0,
        device="cpu",
    )
    torch.manual_seed(0)
    model = config.family.build(config.options, SPEC)
    objective = config.family.objective(config.options, Schedule(1, 1))
    return Loop(
        model,
        objective,
        split,
        config.task,
        config.training,
        torch.device("cpu"),
        folder=RunFolder(folder),
        augment=augment,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channels", type=int, default=32, help="of the CNN's first convolution")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "augmentation.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    split = load("mnist").train
    config = resolve("gvae", data="mnist")
    augmenters = {
        name: Compose([Augmenter(config.family.build(config.options, SPEC))], share) for name, share in SHARES.items()
    }
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        loops = {
            name: make_loop(split, Path(folder) / name, move, arguments.channels)
            for name, move in {"none": None, **augmenters}.items()
        }
        for loop in loops.values():  # before anything is timed
            loop.cycle()
        for number in range(arguments.rounds):
            row = {}
            for name, loop in loops.items():
                began = time.perf_counter()
                for _ in range(arguments.steps):
                    loop.cycle()
                row[name] = (time.perf_counter() - began) / arguments.steps
            rounds.append(row)
            print(
                f"round {number + 1}: " + ", ".join(f"{name} {1000 * s:.1f} ms" for name, s in row.items()), flush=True
            )
    ratios = {name: spread([row[name] / row["none"] for row in rounds]) for name in SHARES}
    for name, ratio in ratios.items():
        print(
            f"{name} of a batch augmented: {ratio['median']:.2f} of the step ({ratio['low']:.2f} to {ratio['high']:.2f})"
        )
    result = {
        "what": f"classifier of {arguments.channels} channels, mnist, batch 64, float32; G-VAE of the default recipe",
        "machine": f"{machine()}, torch {torch.__version__}",
        "step_ms": 1000 * statistics.median(row["none"] for row in rounds),
        "ratio_to_the_step_without": ratios,
        "rounds": rounds,
    }
    keep(result, arguments.out)


if __name__ == "__main__":
    main()
