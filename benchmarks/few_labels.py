"""The default classifier with few labels, beside a plain one that is written here.

    python benchmarks/few_labels.py [--seeds 3] [--sets fashion-mnist:50,digits:10,mnist:50] [--out FILE]

Both are trained on the same N labelled images of each class, chosen by the seed, and tested on all test images: `reparam train
classifier --labels-per-class N --unlabelled drop` with nothing else, and a plain torch loop: two convolutions, dropout, Adam with
a cosine, 800 steps of 64 images, its last weights. Differences are paired: seeds choose the labels of both.
"""

import argparse
import math
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from contest import keep, machine
from torch import Tensor, nn

import reparam
from reparam.data import Dataset, load
from reparam.latent.generation import classify
from reparam.trial import paired_gain

STEPS, BATCH, RATE = 800, 64, 1e-3


def plain_hits(dataset: Dataset, index: Tensor, seed: int) -> Tensor:
    """Whether each test image is classified rightly, [N], after training on the images of `index`."""
    torch.manual_seed(seed)
    channels, height, width = dataset.shape
    network = nn.Sequential(
        *(nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64 * (height // 4) * (width // 4), 128), nn.ReLU()),
        *(nn.Dropout(0.5), nn.Linear(128, len(dataset.classes))),
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    x, y = dataset.train.images[index].float() / 255, dataset.train.labels[index]
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = RATE * (1 + math.cos(math.pi * step / STEPS)) / 2
        rows = torch.randint(len(x), (BATCH,))
        loss = F.cross_entropy(network(x[rows]), y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()
    test = dataset.test
    with torch.no_grad():
        read = torch.cat([network(part.float() / 255).argmax(1) for part in test.images.split(1000)])
    return read == test.labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", default="fashion-mnist:50,digits:10,mnist:50")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/few_labels.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = {}
    for one in options.sets.split(","):
        name, labels = one.split(":")
        dataset = load(name)
        ours, plain, seconds = [], [], {"ours": 0.0, "plain": 0.0}
        for seed in range(options.seeds):
            began = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                few = {"labels_per_class": int(labels), "unlabelled": "drop"}
                run = reparam.train(
                    "classifier", data=name, seed=seed, pictures=0, device="cpu", out=f"{folder}/run", **few
                )
                parts = dataset.test.images.split(1000)
                ours.append(
                    torch.cat([classify(run.model, part.float() / 255) for part in parts]) == dataset.test.labels
                )
                index = run.config.labelled_index(dataset, "train")
            seconds["ours"] += time.process_time() - began
            began = time.process_time()
            plain.append(plain_hits(dataset, index, seed))
            seconds["plain"] += time.process_time() - began
        gain, stderr = paired_gain(torch.stack(ours), torch.stack(plain))
        results[f"{name}-{labels}"] = {
            "ours": [float(hits.float().mean()) for hits in ours],
            "plain": [float(hits.float().mean()) for hits in plain],
            "difference": gain,
            "stderr": stderr,
            "test_images": len(dataset.test),
            "processor_seconds": {kind: round(value, 1) for kind, value in seconds.items()},
        }
        print(one, results[f"{name}-{labels}"], flush=True)
    keep({"machine": f"{machine()}, torch {torch.__version__}", "seeds": options.seeds, **results}, options.out)


if __name__ == "__main__":
    main()
