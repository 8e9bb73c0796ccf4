"""What to expect after so many minutes of training on photographs, beside the plain baseline.

    python benchmarks/expect.py --data-root DIR [--data celeba cifar10] [--arms vae ae gan] [--minutes 1 3 10]
        [--seeds 0 1 2] [--inception] [--runs DIR] [--out benchmarks/results]

Each cell is `reparam train MODEL --recipe ... --minutes N` and `reparam evaluate`, kept as a file of its own as soon as it is
there; what is there is not run again. `vae` is measured twice, with the prior fitted after training and with N(0, I). The
baseline, a Gaussian in as many principal components as there are latents, is measured by `evaluate` itself, on the same images.
Runs and a picture of 36 samples, not chosen, are left in `--runs`. DIR holds `celeba-5k`, in CelebA's layout, and `cifar10`.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from contest import keep, machine

import reparam
from reparam.reports.pictures import sheet, write_png

DATA: dict[str, dict[str, Any]] = {"celeba": {"data": "celeba-5k", "size": 64}, "cifar10": {"data": "cifar10"}}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", {"recipe": "photos"}),
    "ae": ("ae", {"recipe": "photos"}),
    "gan": ("gan", {"flip": True}),
}
METRICS = ("psnr", "fid_classifier", "kid_classifier", "kid_random")
INCEPTION = ("kid_inception",)
SAMPLES = 36


def measured(run: reparam.Run, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    able = [name for name in names if name != "psnr" or run.model.has("encoder")]
    return {name: dataclasses.asdict(measure) for name, measure in run.evaluate(able).items()}


def of_components(metrics: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The baseline's figure beside each of the run's."""
    return {
        name: baseline
        for name, measure in metrics.items()
        for baseline in measure["baselines"]
        if "principal components" in baseline["name"]
    }


def typed(model: str, data: str, options: dict[str, Any], minutes: float, seed: int) -> str:
    chosen = {**DATA[data], "data": f"{data}:{DATA[data]['data']}", **options, "minutes": f"{minutes:g}", "seed": seed}
    words = ["--flip" if value is True else f"--{name} {value}" for name, value in chosen.items()]
    return " ".join(["reparam train", model, *words])


def cell(
    data: str, arm: str, minutes: float, seed: int, root: Path, folder: Path, names: tuple[str, ...]
) -> dict[str, Any]:
    model, options = ARMS[arm]
    images = {**DATA[data], "data": f"{data}:{root / DATA[data]['data']}"}
    run = reparam.train(model, **images, **options, minutes=minutes, seed=seed, pictures=0, out=folder)
    status = run.folder.status()
    found = {
        "data": data,
        "arm": arm,
        "minutes": minutes,
        "seed": seed,
        "machine": f"{machine()}, torch {torch.__version__}",
        "command": typed(model, data, options, minutes, seed),
        "steps": status.step,
        "epochs": status.epoch,
        "seconds": status.seconds,
        "prior": run.kept.prior,
        "metrics": measured(run, names),
    }
    found["components"] = of_components(found["metrics"])
    run.report()
    write_png(folder / "samples.png", sheet(run.sample(SAMPLES), 12))
    if arm == "vae":
        run.fit_prior("own")
        found["standard_normal"] = measured(run, tuple(name for name in names if name != "psnr"))
        run.fit_prior()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--minutes", nargs="+", type=float, default=[1.0, 3.0, 10.0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--inception", action="store_true")
    parser.add_argument("--runs", type=Path, default=Path("runs/expect"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    names = METRICS + (INCEPTION if arguments.inception else ())
    for seed in arguments.seeds:
        for minutes in arguments.minutes:
            for data in arguments.data:
                for arm in arguments.arms:
                    name = f"{data}-{arm}-{minutes:g}min-seed{seed}"
                    out = arguments.out / f"expect-{name}.json"
                    if out.exists():
                        continue
                    found = cell(data, arm, minutes, seed, arguments.data_root, arguments.runs / name, names)
                    keep(found, out)
                    print(json.dumps({k: round(v["value"], 3) for k, v in found["metrics"].items()}), flush=True)


if __name__ == "__main__":
    main()
