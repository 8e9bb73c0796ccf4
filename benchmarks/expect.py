"""What to expect after so many minutes of training on photographs, beside the plain baseline.

    python benchmarks/expect.py --data-root DIR [--data celeba cifar10] [--arms vae ae gan] [--minutes 1 3 10]
        [--seeds 0 1 2] [--inception] [--runs DIR] [--out benchmarks/results]
    python benchmarks/expect.py --data-root DIR [--data ...] [--runs DIR] --draw docs/images

Each cell is `reparam train MODEL --recipe ... --minutes N` and `reparam evaluate`, kept as a file of its own as soon as it is
there; what is there is not run again, and a run that is there is measured. Of several seeds the first cell that is there has the
minutes, and the others take as many epochs: the spread over seeds is that of equal work, whatever else the machine does. `vae` is
measured twice, with the prior fitted after training and with N(0, I). The baseline, a Gaussian in as many principal components as
there are latents, is measured by `evaluate` itself, on the same images. Runs and a picture of 36 samples, not chosen, are left in
`--runs`. DIR holds `celeba-5k`, in CelebA's layout, and `cifar10`.

`--draw` writes `expect.json`, medians and ranges over seeds, of `fid_classifier` as a share of the baseline's, since its network
is trained on the machine that measures; `expect-DATA.svg`, figures over minutes with a point for each seed and a line through
their means; and `expect-DATA.jpg`, the first samples of each arm's longest run in `--runs`, in a row, below those of the
baseline.
"""

import argparse
import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from contest import keep, machine, spread
from PIL import Image

import reparam
from reparam.core.options import lengths
from reparam.data import DataOptions, load
from reparam.data.tasks import to_float
from reparam.evaluation.baselines import principal_components
from reparam.reports import charts
from reparam.reports.pictures import sheet, write_png
from reparam.run.config import resolve
from reparam.training.length import stretched

DATA: dict[str, dict[str, Any]] = {"celeba": {"data": "celeba-5k", "size": 64}, "cifar10": {"data": "cifar10"}}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", {"recipe": "photos"}),
    "ae": ("ae", {"recipe": "photos"}),
    "gan": ("gan", {"flip": True}),
    "vaegan": ("vaegan", {}),
}
METRICS = ("psnr", "sharpness", "sharpness_samples", "fid_classifier", "kid_classifier", "kid_random")
INCEPTION = ("kid_inception",)
SAMPLES = 36
LATENTS = 64
COLUMNS = 12


def measured(run: reparam.Run, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    able = [name for name in names if name not in ("psnr", "sharpness") or run.model.has("encoder")]
    return {name: dataclasses.asdict(measure) for name, measure in run.evaluate(able).items()}


def of_components(metrics: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The baseline's figure beside each of the run's."""
    return {
        name: baseline
        for name, measure in metrics.items()
        for baseline in measure["baselines"]
        if "principal components" in baseline["name"]
    }


def typed(model: str, data: str, options: dict[str, Any]) -> str:
    chosen = {**DATA[data], "data": f"{data}:{DATA[data]['data']}", **options}
    words = ["--flip" if value is True else f"--{name} {value}" for name, value in chosen.items()]
    return " ".join(["reparam train", model, *words])


def length(data: str, arm: str, minutes: float, options: dict[str, Any], results: Path) -> dict[str, float]:
    """The minutes, or all lengths in epochs that a cell of another seed had in them."""
    for path in sorted(results.glob(f"expect-{cell_name(data, arm, minutes, '*')}.json")):
        config = stretched(resolve(ARMS[arm][0], **options), json.loads(path.read_text())["epochs"])
        return {name: getattr(part, name) for part in (config.options, config.training) for name in lengths(type(part))}
    return {"minutes": minutes}


def cell(
    data: str, arm: str, minutes: float, seed: int, arguments: argparse.Namespace, names: tuple[str, ...]
) -> dict[str, Any]:
    model, options = ARMS[arm]
    folder = arguments.runs / cell_name(data, arm, minutes, seed)
    images = {**DATA[data], "data": f"{data}:{arguments.data_root / DATA[data]['data']}"}
    options = {**options, **length(data, arm, minutes, {**images, **options}, arguments.out), "seed": seed}
    there = (folder / "run.json").exists()
    run = reparam.load(folder) if there else reparam.train(model, **images, **options, pictures=0, out=folder)
    status = run.folder.status()
    if status.state not in ("finished", "stopped early"):
        raise SystemExit(f"{folder}: {status.state} after {status.step:,} steps; run this again after 'reparam resume'")
    found = {
        "data": data,
        "arm": arm,
        "minutes": minutes,
        "seed": seed,
        "machine": f"{machine()}, torch {torch.__version__}",
        "command": typed(model, data, options),
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
        of_samples = tuple(name for name in names if name not in ("psnr", "sharpness"))
        found["standard_normal"] = measured(run, of_samples)
        run.fit_prior()
    return found


PANELS = {
    "psnr": "PSNR of reconstructions (dB)",
    "fid_classifier": "fid_classifier of samples / baseline's",
    "kid_random": "kid_random of samples",
}
NAMES = {
    "vae": "VAE",
    "standard_normal": "VAE with N(0, I)",
    "ae": "AE with a fitted prior",
    "gan": "GAN",
    "vaegan": "VAE with a discriminator",
}


def cells(data: str, results: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(results.glob(f"expect-{data}-*.json"))]


def points(data: str, results: Path) -> dict[str, dict[float, dict[str, list[float]]]]:
    """The figures of all seeds by arm, minutes and metric; those of the plain baseline, which no minutes change, under 0."""
    found: dict[str, dict[float, dict[str, list[float]]]] = {}

    def add(arm: str, minutes: float, metrics: dict[str, Any], unit: float) -> None:
        for metric in PANELS:
            if metric in metrics:
                value = metrics[metric]["value"] / (unit if metric == "fid_classifier" else 1.0)
                found.setdefault(arm, {}).setdefault(minutes, {}).setdefault(metric, []).append(value)

    for one in cells(data, results):
        unit = one["components"]["fid_classifier"]["value"]
        add(one["arm"], one["minutes"], one["metrics"], unit)
        add("standard_normal", one["minutes"], one.get("standard_normal", {}), unit)
        add("components", 0, one["components"], unit)
        found[one["arm"]][one["minutes"]].setdefault("steps", []).append(one["steps"])
    return found


def summary(data: str, results: Path) -> dict[str, Any]:
    """Medians and ranges over seeds."""
    return {
        arm: {
            f"{minutes:g}": {name: {"seeds": len(values), **spread(values)} for name, values in sorted(metrics.items())}
            for minutes, metrics in sorted(by_minutes.items())
        }
        for arm, by_minutes in points(data, results).items()
    }


def draw_figures(data: str, results: Path, out: Path) -> None:
    """A panel for each of `PANELS`."""
    found = points(data, results)
    with charts.styled_canvas(920, 320) as canvas:
        for number, (metric, title) in enumerate(PANELS.items()):
            axes = canvas.add_subplot(1, len(PANELS), number + 1, title=title, xlabel="minutes", xscale="log")
            for colour, (arm, name) in zip(charts.PALETTE, NAMES.items(), strict=False):
                values = {m: metrics[metric] for m, metrics in sorted(found.get(arm, {}).items()) if metric in metrics}
                if values:
                    means = [statistics.fmean(each) for each in values.values()]
                    axes.plot(list(values), means, color=colour, label=name)
                    axes.plot(
                        *zip(*((m, v) for m, each in values.items() for v in each), strict=True),
                        "o",
                        color=colour,
                        ms=4,
                    )
            plain = statistics.fmean(found["components"][0][metric])
            axes.axhline(plain, color=charts.INK, linestyle="--", linewidth=1, label="Gaussian in components")
            axes.set_xticks(sorted({m for arm in found.values() for m in arm if m}))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.tick_params(length=0)
        handles, labels = canvas.axes[1].get_legend_handles_labels()
        canvas.legend(handles, labels, frameon=False, loc="outside lower center", ncols=5)
        (out / f"expect-{data}.svg").write_text(charts.to_chart(canvas).svg)


def draw_samples(data: str, root: Path, results: Path, runs: Path, out: Path) -> None:
    """Rows of `COLUMNS`: the baseline and each arm."""
    longest: dict[str, dict[str, Any]] = {}
    for one in sorted(cells(data, results), key=lambda one: (one["minutes"], -one["seed"])):
        if (runs / cell_name(data, one["arm"], one["minutes"], one["seed"])).exists():
            longest[one["arm"]] = one
    images = load(f"{data}:{root / DATA[data]['data']}", DataOptions(size=DATA[data].get("size")))
    train = to_float(images.train.images)
    rows = [principal_components(train, LATENTS).sample(COLUMNS, 0)]
    for arm in ARMS:
        if arm in longest:
            one = longest[arm]
            rows.append(reparam.load(runs / cell_name(data, arm, one["minutes"], one["seed"])).sample(COLUMNS))
    write_png(out / f"expect-{data}.png", sheet(torch.cat(rows), COLUMNS))
    with Image.open(out / f"expect-{data}.png") as picture:
        picture.convert("RGB").save(out / f"expect-{data}.jpg", quality=85)
    (out / f"expect-{data}.png").unlink()


def cell_name(data: str, arm: str, minutes: float, seed: int | str) -> str:
    return f"{data}-{arm}-{minutes:g}min-seed{seed}"


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
    parser.add_argument("--draw", type=Path)
    arguments = parser.parse_args()
    if arguments.draw:
        keep({data: summary(data, arguments.out) for data in arguments.data}, arguments.out / "expect.json")
        for data in arguments.data:
            draw_figures(data, arguments.out, arguments.draw)
            draw_samples(data, arguments.data_root, arguments.out, arguments.runs, arguments.draw)
        return
    names = METRICS + (INCEPTION if arguments.inception else ())
    for seed in arguments.seeds:
        for minutes in arguments.minutes:
            for data in arguments.data:
                for arm in arguments.arms:
                    out = arguments.out / f"expect-{cell_name(data, arm, minutes, seed)}.json"
                    if out.exists():
                        continue
                    found = cell(data, arm, minutes, seed, arguments, names)
                    keep(found, out)
                    print(json.dumps({k: round(v["value"], 3) for k, v in found["metrics"].items()}), flush=True)


if __name__ == "__main__":
    main()
