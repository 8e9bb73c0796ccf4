"""What products in bfloat16 cost in the test ELBO: the notes recipe after 10 epochs, paired with float32 over seeds.

    python benchmarks/precision.py [--seeds 3] [--out benchmarks/results/precision.json]

Both train from the same initial weights on the same images in the same order; the ELBO is measured in float32 on the 10,000 test
digits. A processor without bfloat16 products computes the same, slowly.
"""

import argparse
from pathlib import Path

import torch
from contest import keep, machine, spread
from notes import trained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "precision.json")
    arguments = parser.parse_args()
    rows: list[dict[str, float]] = []
    for seed in range(arguments.seeds):
        row: dict[str, float] = {}
        for precision in ("float32", "bfloat16"):
            figures, _ = trained(seed, ["elbo"], precision=precision)
            row[precision] = figures["elbo"]["value"]
        rows.append(row)
        difference = spread([row["bfloat16"] - row["float32"] for row in rows])
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.2f}" for name, value in row.items()), flush=True)
        result: dict[str, object] = {
            "what": "784-400-20-400-784, grey values, 60,000 digits, 10 epochs; ELBO of 10,000 test digits, nats an image",
            "machine": f"{machine()}, torch {torch.__version__}",
            "bfloat16_minus_float32": difference,
            "seeds": rows,
        }
        keep(result, arguments.out)
    print(f"bfloat16 - float32: {difference['median']:.2f} ({difference['low']:.2f} to {difference['high']:.2f}) nats")


if __name__ == "__main__":
    main()
