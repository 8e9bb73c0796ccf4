"""The recipe `clusters` beside k-means and Gaussian mixtures, on pixels and on a plain VAE's latents.

    python benchmarks/clusters.py [--sets digits,mnist,...] [--seeds 3] [--out benchmarks/results/clusters.json]

Ours is `reparam train gmvae --data SET --recipe clusters --seed N`, evaluated on the test images. What is in the results already,
of the same code, is not trained again: delete the file to begin anew. Labels are read for the accuracies alone.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contest import keep, machine, spread
from threadpoolctl import threadpool_limits

import reparam
from reparam.data import Dataset
from reparam.data.loading import load
from reparam.metrics.clusters import best_assignment, normalised_information

SETS = ("digits", "mnist-unequal", "fashion-mnist", "mnist")
CLUSTERS, LATENT = 10, 10
VAE: dict[str, Any] = {"latent": LATENT, "batch_size": 256, "learning_rate": 2e-3, "epochs": 16, "least_steps": 3000}
FITTED = 10_000  # training images, at most, that a baseline is fitted to
COMPONENTS = 50  # principal ones, in which a mixture with full covariances of pixels is fitted
STARTS = {"k-means": 10, "mixture": 3}
WHAT = (
    "share of test images whose cluster is that of their class, one to one, of 10 clusters; mnist-unequal: class k of MNIST has "
    "(k + 1)/10 of its images, test images too; mixtures of pixels: of 50 principal components (digits: of all 64)"
)


def unequal(path: Path) -> None:
    """MNIST of which class k has the first (k + 1)/10 of its images, in every split."""
    mnist, arrays = load("mnist"), {}
    for split in ("train", "validation", "test"):
        images = mnist.split(split)
        places = [(images.labels == k).nonzero()[:, 0] for k in range(10)]
        kept = torch.cat([own[: len(own) * (k + 1) // 10] for k, own in enumerate(places)]).sort().values
        arrays[f"{split}_images"] = images.pixels[kept, 0].numpy()
        arrays[f"{split}_labels"] = images.labels[kept].numpy()
    np.savez(path, **arrays)


def score(chosen: np.ndarray, labels: torch.Tensor) -> dict[str, float]:
    clusters = torch.as_tensor(chosen, dtype=torch.long)
    counts = torch.zeros(CLUSTERS, CLUSTERS, dtype=torch.long)
    counts.index_put_((clusters, labels), torch.ones_like(labels), accumulate=True)
    accuracy = float((best_assignment(counts)[labels] == clusters).double().mean())
    return {"accuracy": accuracy, "information": normalised_information(counts)}


def fitted(space: str, points: np.ndarray, test: np.ndarray, labels: torch.Tensor, seed: int) -> dict[str, Any]:
    """Scores of k-means and of a mixture with full covariances, fitted to training points."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    means = KMeans(CLUSTERS, n_init=STARTS["k-means"], random_state=seed).fit(points)
    found = {f"k-means, {space}": score(means.predict(test), labels)}
    if points.shape[1] > COMPONENTS:
        components = PCA(min(COMPONENTS, points.shape[1]), random_state=seed).fit(points)
        points, test = components.transform(points), components.transform(test)
    ridge = 1e-4 * float(points.var(0).mean())
    mixture = GaussianMixture(CLUSTERS, n_init=STARTS["mixture"], reg_covar=ridge, random_state=seed).fit(points)
    return found | {f"mixture, {space}": score(mixture.predict(test), labels)}


def finished(run: reparam.Run) -> Any:
    """Its status. Raises SystemExit where the training was interrupted."""
    status = run.folder.status()
    if status.state != "finished":
        sys.exit(f"training ended '{status.state}': run this again, it continues with what is missing")
    return status


def ours(data: str, seed: int, folder: Path) -> dict[str, Any]:
    run = reparam.train("gmvae", data=data, recipe="clusters", seed=seed, pictures=0, out=folder / "clusters")
    images = run.dataset.test
    chosen = run.responsibilities(images.pixels.float() / 255).argmax(-1)
    figures = score(chosen.numpy(), images.labels)
    status = finished(run)
    weights = run.model.prior().mixture_distribution.probs.detach()  # type: ignore[attr-defined]
    shares = sorted((round(float(weight), 3) for weight in weights), reverse=True)
    return {"clusters": figures | {"steps": status.step, "seconds": status.seconds, "weights": shares}}


def baselines(data: str, dataset: Dataset, seed: int, folder: Path) -> dict[str, Any]:
    train, test = dataset.train.pixels[:FITTED].float() / 255, dataset.test.pixels.float() / 255
    labels = dataset.test.labels
    run = reparam.train("vae", data=data, seed=seed, pictures=0, out=folder / "vae", **VAE)
    finished(run)
    latents = [run.encode(images)[0].numpy().astype(np.float64) for images in (train, test)]
    pixels = [images.flatten(1).numpy().astype(np.float64) for images in (train, test)]
    with threadpool_limits(torch.get_num_threads()):
        return fitted("pixels", *pixels, labels, seed) | fitted("latents", *latents, labels, seed)


def jobs(data: str, seed: int, folder: Path) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    yield "clusters", lambda: ours(data, seed, folder)
    yield "k-means, pixels", lambda: baselines(data, load(data), seed, folder)


def summarise(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Of each set and way the accuracies over seeds, and in how many seeds ours is above all baselines."""
    summary: dict[str, Any] = {}
    for name in SETS:
        seeds = [run for key, run in runs.items() if key.rsplit(" ", 1)[0] == name]
        ways = sorted({way for run in seeds for way in run})
        accuracies = {way: [run[way]["accuracy"] for run in seeds if way in run] for way in ways}
        if accuracies:
            summary[name] = {way: spread(found) | {"seeds": len(found)} for way, found in accuracies.items()}
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description="Clusters beside k-means and mixtures")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "clusters.json")
    arguments = parser.parse_args()
    document: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"runs": {}}
    with tempfile.TemporaryDirectory() as temporary:
        for seed in range(arguments.seeds):
            for name in arguments.sets.split(","):
                data = name
                if name == "mnist-unequal":
                    path = Path(temporary) / "unequal.npz"
                    data = f"array:{path}"
                    if not path.exists():
                        unequal(path)
                found = document["runs"].setdefault(f"{name} {seed}", {})
                for first, job in jobs(data, seed, Path(temporary) / f"{name}-{seed}"):
                    if first in found:
                        continue
                    began = time.monotonic()
                    found |= (new := job())
                    took = time.monotonic() - began
                    scores = ", ".join(f"{way} {figures['accuracy']:.3f}" for way, figures in new.items())
                    print(f"{name}, seed {seed}: {scores} ({took:.0f} s)", flush=True)
                    document |= {"what": WHAT, "machine": f"{machine()}, torch {torch.__version__}"}
                    keep(document | {"summary": summarise(document["runs"])}, arguments.out)


if __name__ == "__main__":
    main()
