"""Training rate beside another state of this repository: has a change made training slower?

    python benchmarks/beside.py --beside SRC [--rounds 10] [--out benchmarks/results/beside.json]

SRC is the `src` folder of the other checkout. Both train recipe `notes` on MNIST, images of 8 bits, in turn, the other one first
in every second round. The rate of a training is the median of its log points. Given is the mean ratio of the two rates of a
round with its 95% confidence interval (Student's t).
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
from contest import keep, machine
from scipy import stats

HERE = Path(__file__).resolve().parents[1] / "src"
COMMAND = "train vae --data mnist --recipe notes --epochs 2 --pictures 0 --products mkl --out run"


def rate(source: Path) -> float:
    """Images a second."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {**os.environ, "PYTHONPATH": str(source)}
        subprocess.run([sys.executable, "-m", "reparam", *COMMAND.split()], cwd=folder, env=settings, check=True)
        lines = [json.loads(line) for line in (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()]
    return statistics.median(line["images_per_second"] for line in lines if line["phase"] == "train")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--beside", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "beside.json")
    arguments = parser.parse_args()
    sources = {"here": HERE, "beside": arguments.beside.resolve()}
    rounds = []
    for number in range(arguments.rounds):
        order = list(sources) if number % 2 else list(reversed(sources))
        rounds.append({name: rate(sources[name]) for name in order})
    ratios = [one["here"] / one["beside"] for one in rounds]
    mean, error = statistics.fmean(ratios), statistics.stdev(ratios) / len(ratios) ** 0.5
    low, high = stats.t.interval(0.95, len(ratios) - 1, loc=mean, scale=error)
    print(f"rate here over beside: {mean:.3f} (95%: {low:.3f} to {high:.3f})")
    result = {
        "what": f"reparam {COMMAND}: images a second",
        "machine": f"{machine()}, torch {torch.__version__}",
        "rounds": rounds,
        "ratio": {"mean": mean, "low": low, "high": high},
    }
    keep(result, arguments.out)


if __name__ == "__main__":
    main()
