"""Numbers of every family, to hold two checkouts side by side: is a change of the code's shape a change of nothing else?

    python tests/equal_numbers.py numbers.json                  # in each checkout, on one machine: four minutes on one core
    python tests/equal_numbers.py --compare before.json after.json

Each case trains for two epochs on scikit-learn's digits, is evaluated, and draws every picture that its model can be asked for.
Written down are the kept weights, the logged terms and the figures as numbers, and everything that lies in a picture or an
array as a digest. `--compare` prints what differs (weights: by more than 1e-6) and ends with 1 where anything does; `--losses`
lets weights, figures and pictures differ (another order of random numbers) and holds training losses to 5%.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # sums of several threads have no fixed order

import numpy as np
import torch
from PIL import Image

torch.set_num_threads(1)

Options = dict[str, Any]
SMALL: Options = {"hidden": "32", "latent": 4}
NARROW: Options = {"hidden": "32,32", "latent": 4}
IMAGES: Options = {"size": 28, "network": "residual", "width": 8, "latent": 4, "batch-size": 256}

# name: (model, options, the pictures and arrays that its commands make)
PLAIN = ("sample", "draw", "reconstruct", "grid", "interpolate", "traverse", "encode", "compress")
CASES: dict[str, tuple[str, Options, tuple[str, ...]]] = {
    "ae": ("ae", SMALL, ("reconstruct", "traverse", "encode", "compress")),
    "dae": ("dae", SMALL, ("reconstruct",)),
    "vae": ("vae", SMALL, (*PLAIN, "augment")),
    **{
        f"vae-{name}": ("vae", {**SMALL, "likelihood": name}, ("draw", "reconstruct"))
        for name in (
            "continuous-bernoulli", "gaussian", "gaussian-learned", "gaussian-pixel", "laplace", "discretised-logistic"
        )
    },
    "vae-warm": ("vae", {**SMALL, "beta-warmup": 1, "free-bits": 0.1, "keep": "ema", "samples": 2}, ("sample",)),
    "vae-path": ("vae", {**SMALL, "gradient": "path", "train-on": "all", "binarise": "dynamic"}, ("sample", "draw")),
    "vae-iwae": ("vae", {**SMALL, "k": 5, "gradient": "path", "schedule": "constant"}, ("sample",)),
    "vae-conv": ("vae", {"network": "conv", "latent": 2, "clip": 10}, ("grid", "traverse")),
    "vae-residual": ("vae", {**IMAGES, "likelihood": "gaussian-learned", "flip": True}, ("sample", "reconstruct")),
    "gmvae": ("gmvae", {**SMALL, "components": 5}, (*PLAIN, "components")),
    "gmvae-vamp": ("gmvae", {**SMALL, "recipe": "vamp", "components": 20}, ("sample", "components")),
    "gmvae-clusters": ("gmvae", {**SMALL, "recipe": "clusters", "place-after": 1, "components": 5}, ("components",)),
    "gmvae-report": ("gmvae", {"hidden": "32", "latent": 2, "kl": "report", "components": 4}, ("grid", "components")),
    **{
        f"{name}-quadrants": (name, {**NARROW, **options}, ("complete",))
        for name, options in {
            "cvae": {"free-bits": 0.01, "guess-weight": 0.5},
            "gsnn": {"prior-draws": 2},
            "hybrid": {"prior-draws": 2, "alpha": 0.3},
            "sfnn": {"prior-draws": 3},
        }.items()
    },
    "nn-quadrants": ("nn", {"hidden": "32,32"}, ("complete",)),
    "cvae-half": ("cvae", {**NARROW, "task": "half", "first-guess": False, "prior": "standard"}, ("complete",)),
    "cvae-boxes": ("cvae", {**NARROW, "task": "boxes", "omission-noise": 0.3, "dropout": 0.1}, ("complete",)),
    "cvae-classes": ("cvae", {**NARROW, "task": "labelled"}, ("sample", "sevens", "augment")),
    "cvae-discs": (
        "cvae",
        {"data": "reparam.testing:discs", "task": "segmentation", "width": 8, "latent": 4, "multi-scale": True},
        (),
    ),
    "gvae": ("gvae", {**SMALL, "latent": 12}, ("sample", "traverse-classes", "augment", "augment-neutral", "augment-means")),
    "gan": ("gan", {"network": "mlp", "hidden": "32", "latent": 4}, ("sample", "grid", "interpolate")),
    "gan-dcgan": ("gan", {"width": 8, "latent": 4, "loss": "hinge", "normalise": "spectral", "r1": 0.1}, ("sample",)),
    "classifier": ("classifier", {"channels": 4, "features": 8}, ()),
    "classifier-augmented": (
        "classifier",
        {"channels": 4, "features": 8, "augment": "pixels,{vae}", "labels-per-class": 10, "unlabelled": "drop"},
        (),
    ),
    "isda": ("isda", {"channels": 4, "features": 8}, ()),
}  # fmt: skip

COMMANDS = {
    "sample": "sample {run} --n 9 --seed 3 --out {out}.png",
    "draw": "sample {run} --n 9 --seed 3 --draw --out {out}.png",
    "sevens": "sample {run} --n 9 --class 7 --out {out}.png",
    "components": "sample {run} --components --n 5 --out {out}.png",
    "reconstruct": "reconstruct {run} --n 6 --out {out}.png",
    "grid": "grid {run} --steps 5 --out {out}.png",
    "interpolate": "interpolate {run} --steps 4 --out {out}.png",
    "traverse": "traverse {run} --index 3 --count 3 --steps 5 --out {out}.png",
    "traverse-classes": "traverse {run} --classes --out {out}.png",
    "encode": "encode {run} --out {out}.npz",
    "complete": "complete {run} --n 3 --samples 3 --out {out}.png",
    "augment": "augment {run} --images 120 --per-image 2 --strength 2 --out {out}",
    "augment-neutral": "augment {run} --images 20 --directions neutral --keep-class --apply change --out {out}",
    "augment-means": "augment {run} --images 20 --directions class-means --change 1.5 --out {out}",
    "compress": "compress {run} --n 100 --bytes 30 --out {out}.rpz",
}
EVALUATION = "--samples 20 --nll-images 120 --images 200"


def command(line: str) -> None:
    from reparam.cli.group import cli

    cli.main(line.split(), prog_name="reparam", standalone_mode=False)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def content(path: Path) -> dict[str, str]:
    """Digests of what lies in a file, or in each file of a folder, whatever its compression."""
    if path.is_dir():
        return {
            f"{path.name}/{p.relative_to(path)}": v
            for p in sorted(path.rglob("*"))
            if p.is_file()
            for v in content(p).values()
        }
    if path.suffix == ".png":
        with Image.open(path) as image:
            return {path.name: digest(f"{image.mode} {image.size}".encode() + image.tobytes())}
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {f"{path.name}/{name}": digest(arrays[name].tobytes()) for name in arrays.files}
    return {path.name: digest(path.read_bytes())}


def numbers(folder: Path) -> dict[str, dict[str, Any]]:
    """What each case comes to, by name."""
    from safetensors.torch import load_file

    found: dict[str, dict[str, Any]] = {}
    for name, (model, options, pictures) in CASES.items():
        print(name, file=sys.stderr, flush=True)
        run = folder / name
        chosen = {"data": "digits", "epochs": 2, "batch-size": 128, "log-every": 5, "pictures": 3, **options}
        if "recipe" not in chosen and model != "gan":
            chosen.setdefault("learning-rate", 3e-3)
        words = []
        for option, value in chosen.items():
            if isinstance(value, bool):
                words.append(f"--{option}" if value else f"--no-{option}")
            else:
                words.append(f"--{option} {str(value).format(**{case: folder / case for case in CASES})}")
        command(f"train {model} {' '.join(words)} --device cpu --out {run}")
        command(f"evaluate {run} {EVALUATION}")
        command(f"report {run}")
        values: dict[str, Any] = {}
        for tensor, value in load_file(run / "weights.safetensors").items():
            each = value.double().flatten()
            values[f"weight {tensor} {list(value.shape)}"] = [float(each.norm()), float(each.sum())]
        for line in (run / "metrics.jsonl").read_text().splitlines():
            entry = json.loads(line)
            values |= {f"{entry['phase']} {entry['step']} {term}": value for term, value in entry["terms"].items()}
        evaluation = json.loads((run / "evaluation.json").read_text())
        values |= {
            f"figure {key}": [measure["value"], measure["stderr"]] for key, measure in evaluation["metrics"].items()
        }
        values |= {f"diagnosis {i}": finding["state"] for i, finding in enumerate(evaluation.get("diagnosis", []))}
        for i, uri in enumerate(re.findall(r"data:image/[^\"')]+", (run / "report.html").read_text())):
            values[f"page {i}"] = digest(uri.encode())
        for path in sorted((run / "pictures").glob("*.png")):
            values |= {f"training {key}": value for key, value in content(path).items()}
        for picture in pictures:
            out = folder / f"{name}-{picture}"
            command(COMMANDS[picture].format(run=run, out=out))
            for path in sorted(folder.glob(f"{out.name}*")):
                if path == out or path.stem == out.name:
                    values |= content(path)
        found[name] = values
    return found


def differences(before: dict[str, Any], after: dict[str, Any], losses: bool) -> list[str]:
    lines = []
    for case in sorted(before.keys() | after.keys()):
        a, b = before.get(case, {}), after.get(case, {})
        for key in sorted(a.keys() | b.keys()):
            if losses and not key.startswith("train "):
                continue
            one, other = a.get(key), b.get(key)
            same = json.dumps(one) == json.dumps(other)
            if (
                key.startswith("weight ") and one and other
            ):  # kernels add up in an order that memory's alignment decides
                same = all(abs(x - y) <= 1e-6 * max(abs(one[0]), 1.0) for x, y in zip(one, other, strict=True))
            if losses and isinstance(one, float) and isinstance(other, float):
                same = abs(one - other) <= 0.05 * max(abs(one), 1.0)
            if not same:
                lines.append(f"{case}: {key}: {one} -> {other}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, help="where the numbers of this checkout go")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("BEFORE", "AFTER"))
    parser.add_argument("--losses", action="store_true", help="with --compare: training losses alone, to 5%%")
    parser.add_argument("--cases", default="", help="A,B,...: these alone")
    chosen = parser.parse_args()
    if chosen.compare:
        lines = differences(*(json.loads(path.read_text()) for path in chosen.compare), chosen.losses)
        print("\n".join(lines) or "no difference")
        sys.exit(1 if lines else 0)
    if wanted := [name for name in chosen.cases.split(",") if name]:
        for name in set(CASES) - set(wanted):
            del CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["REPARAM_CACHE"] = f"{folder}/cache"
        found = numbers(Path(folder))
    chosen.out.write_text(json.dumps(found, indent=1))
    print(f"{sum(map(len, found.values())):,} numbers of {len(found)} cases: {chosen.out}")


if __name__ == "__main__":
    main()
