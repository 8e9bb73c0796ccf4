"""Two processes of one thread each against one process of two threads, at equal effective batch.

    python benchmarks/processes.py [--rounds 3] [--out benchmarks/results/processes.json]

Each side is the command `python -m reparam train vae`, alone or under torchrun: MNIST by the notes recipe, CIFAR-10 by the
residual network; rates are those that the run writes to metrics.jsonl, without their first half.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from contest import keep, machine, spread

WORK = {
    "notes": "--data mnist --recipe notes --epochs 1",
    "residual": "--data cifar10 --network residual --batch-size 32 --epochs 0.05 --log-every 5",
}
TRAIN = "-m reparam train vae --keep last --pictures 0 --validate-every 100"


def rate(work: str, processes: int) -> float:
    """Images a second of a run."""
    torchrun = f"-m torch.distributed.run --standalone --nproc-per-node {processes}".split()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            *(torchrun if processes > 1 else []),
            *TRAIN.split(),
            *work.split(),
            "--out",
            f"{folder}/run",
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": str(2 // processes)}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        lines = [json.loads(line) for line in Path(folder, "run", "metrics.jsonl").read_text().splitlines()]
    rates = [line["images_per_second"] for line in lines if "images_per_second" in line]
    return statistics.median(rates[len(rates) // 2 :])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "processes.json")
    arguments = parser.parse_args()
    result: dict = {"machine": f"{machine()}, torch {torch.__version__}"}
    for name, work in WORK.items():
        rounds = [{"one": rate(work, 1), "two": rate(work, 2)} for _ in range(arguments.rounds)]
        ratio = spread([row["two"] / row["one"] for row in rounds])
        result[name] = {"command": work, "two_over_one": ratio, "rounds": rounds}
        print(f"{name}: two processes {ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f}) of one's rate")
    keep(result, arguments.out)


if __name__ == "__main__":
    main()
