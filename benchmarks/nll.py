"""Importance-sampled NLL of the notes network: rate, value and memory beside pythae's `get_nll` on the same weights.

    python benchmarks/nll.py [--rounds 5] [--threads 2] [--out benchmarks/results/nll.json]

S = 5,000 on both sides, same trained weights. The two alternate on a few images, and medians of the ratios are given; values are
compared on the same images, with the error of repeated estimates of ours. Then all 10,000 test digits, with the peak
memory above that of a process that has loaded torch, the data and the model.
"""

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

import torch
from contest import keep, machine, spread
from peers import pythae_trainer

import reparam
from reparam.evaluation import likelihood

SAMPLES = 5000
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def ours(model: object, x: torch.Tensor, precision: str, seed: int = 0) -> torch.Tensor:
    with torch.autocast("cpu", PRECISIONS[precision], enabled=precision == "bfloat16"):
        return likelihood.importance_nll(model, x, SAMPLES, seed)[0]  # type: ignore[arg-type]


def same_weights(model: object, images: torch.Tensor) -> object:
    """pythae's model with our weights: its encoder gives a log variance, ours a log deviation."""
    peer = pythae_trainer(images).model  # type: ignore[attr-defined]
    own = model.state_dict()  # type: ignore[attr-defined]
    weights = [name.rpartition(".")[0] for name in own if name.endswith("weight")]
    hidden, head, back, pixels = weights
    latent = own[f"{head}.weight"].shape[0] // 2
    with torch.no_grad():
        for part in ("weight", "bias"):
            getattr(peer.encoder.hidden, part).copy_(own[f"{hidden}.{part}"])
            getattr(peer.encoder.mean, part).copy_(own[f"{head}.{part}"][:latent])
            getattr(peer.encoder.log_var, part).copy_(2 * own[f"{head}.{part}"][latent:])
            getattr(peer.decoder.hidden, part).copy_(own[f"{back}.{part}"])
            getattr(peer.decoder.pixels, part).copy_(own[f"{pixels}.{part}"])
    return peer.eval()


def peak() -> float:
    """Largest resident size of this process so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=100, help="a round of ours; of pythae's a tenth")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=float, default=10)
    parser.add_argument("--all", type=int, default=10_000, help="test digits of the full measurement")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "nll.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    with tempfile.TemporaryDirectory() as folder:
        run = reparam.train(
            "vae", data="mnist", recipe="notes", epochs=arguments.epochs, pictures=0, out=f"{folder}/run"
        )
        model, test = run.model, run.dataset.test.images
    x = test[: arguments.all].float() / 255
    before = peak()
    full = {}
    for precision in PRECISIONS:
        began = time.perf_counter()
        values = ours(model, x, precision).double()
        full[precision] = {
            "nll": float(values.mean()),
            "stderr": float(values.std() / len(values) ** 0.5),
            "seconds": time.perf_counter() - began,
            "gib_above": peak() - before,
            "values": values,
        }
        print(
            f"{len(x)} digits, {precision}: "
            + ", ".join(f"{k} {v:.4g}" for k, v in full[precision].items() if k != "values")
        )
    difference = full["bfloat16"].pop("values") - full["float32"].pop("values")
    full["bfloat16"]["difference"] = {"mean": float(difference.mean()), "deviation": float(difference.std())}
    print(f"bfloat16 - float32: {full['bfloat16']['difference']}")

    peer, rounds = same_weights(model, test[:256]), []
    few, many = x[: arguments.images // 10], x[: arguments.images]
    theirs, repeated = [], []
    for number in range(arguments.rounds):
        row = {}
        for precision in PRECISIONS:
            began = time.perf_counter()
            values = ours(model, many, precision, seed=number)
            row[precision] = len(many) / (time.perf_counter() - began)
            if precision == "float32":
                repeated.append(float(values[: len(few)].double().mean()))
        began = time.perf_counter()
        theirs.append(-float(peer.get_nll(few, n_samples=SAMPLES, batch_size=100)))  # type: ignore[attr-defined]
        row["pythae"] = len(few) / (time.perf_counter() - began)
        rounds.append(row)
        print(
            f"round {number + 1}: " + ", ".join(f"{name} {rate:.1f}" for name, rate in row.items()) + " images/s",
            flush=True,
        )

    result = {
        "what": f"784-400-20-400-784 after {arguments.epochs:g} epochs, grey values, S = {SAMPLES}",
        "machine": f"{machine()}, torch {torch.__version__}",
        "rounds": rounds,
        "times_pythae": {name: spread([row[name] / row["pythae"] for row in rounds]) for name in PRECISIONS},
        "same_images": {
            "ours": statistics.mean(repeated),
            "pythae_negated": statistics.mean(theirs),
            "error_of_difference": ((statistics.variance(repeated) + statistics.variance(theirs)) / len(rounds)) ** 0.5,
        },
        "all": {"images": len(x), **full},
    }
    for name, ratio in result["times_pythae"].items():  # type: ignore[attr-defined]
        print(f"{name}: {ratio['median']:.1f} x pythae ({ratio['low']:.1f} to {ratio['high']:.1f})")
    print(f"on {len(few)} images: {result['same_images']}")
    keep(result, arguments.out)


if __name__ == "__main__":
    main()
