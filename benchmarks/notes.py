"""The recipe `notes` after 10 epochs on MNIST: test ELBO and NLL over seeds.

    python benchmarks/notes.py [--seeds 3] [--out benchmarks/results/notes.json]

The same as `reparam train vae --data mnist --recipe notes --epochs 10 --seed N` and `reparam evaluate` for each seed.
"""

import argparse
import dataclasses
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from contest import keep, machine

import reparam

METRICS = ("elbo", "nll", "reconstruction", "kl", "active_units")


def trained(seed: int, metrics: Sequence[str], **options: Any) -> tuple[dict[str, dict[str, Any]], float]:
    """The figures of the recipe's run of a seed, and the seconds of its training."""
    with tempfile.TemporaryDirectory() as folder:
        run = reparam.train(
            "vae", data="mnist", recipe="notes", epochs=10, seed=seed, pictures=0, out=f"{folder}/run", **options
        )
        measures = run.evaluate(metrics, samples=500, nll_images=1000)
        figures = {name: dataclasses.asdict(measure) for name, measure in measures.items()}
        return figures, run.folder.status()["seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description="The notes recipe over seeds")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "notes.json")
    arguments = parser.parse_args()
    figures, seconds = [], []
    for seed in range(arguments.seeds):
        found, took = trained(seed, METRICS)
        figures.append(found)
        seconds.append(took)
        print(
            f"seed {seed}: "
            + ", ".join(f"{n} {f['value']:.2f}" for n, f in figures[-1].items())
            + f", {seconds[-1]:.0f} s"
        )
    summary = {}
    for name in METRICS:
        values = [figure[name]["value"] for figure in figures]
        summary[name] = {"mean": statistics.mean(values), "low": min(values), "high": max(values)}
        print(f"{name}: {summary[name]['mean']:.2f} ({summary[name]['low']:.2f} to {summary[name]['high']:.2f})")
    document = {
        "what": "784-400-20-400-784, grey values, 60,000 digits, 10 epochs; 10,000 test digits, nll on 1,000 with S = 500",
        "machine": f"{machine()}, torch {torch.__version__}",
        "seconds": seconds,
        "summary": summary,
        "seeds": figures,
    }
    keep(document, arguments.out)


if __name__ == "__main__":
    main()
