"""Whether augmentation helps on few labels, as `reparam augment-test` answers it.

    python benchmarks/augment_test.py [--seeds 3] [--sets fashion-mnist:50,digits:10,mnist:50] [--runs DIR] [--out FILE]

For each set and number of labels a class: classifiers without augmentation, with pixel moves, with a G-VAE's and with both, the
defaults of the command; accuracies and paired gains on all test images. Runs are left in `--runs`; the same command goes on. Sets
that are in FILE already stay there.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import torch
from contest import keep, machine

import reparam


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", default="fashion-mnist:50,digits:10,mnist:50")
    parser.add_argument("--runs", type=Path, default=Path("runs/augment-test"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/augment_test.json"))
    options = parser.parse_args()
    found: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    found["machine"] = f"{machine()}, torch {torch.__version__}"
    for one in options.sets.split(","):
        name, labels = one.split(":")
        began = time.process_time()
        answer = reparam.augment_test(
            name, out=options.runs / f"{name}-{labels}", labels_per_class=int(labels), seeds=options.seeds
        )
        arms = {arm.name: dataclasses.asdict(arm) for arm in answer.arms}
        for arm in arms.values():
            del arm["name"], arm["command"]  # which names folders of this machine
        seconds = round(time.process_time() - began, 1)
        facts = {"seeds": options.seeds, "test_images": answer.images, "processor_seconds": seconds}
        found[f"{name}-{labels}"] = {**facts, "arms": arms}
        print(one, {name: (arm["accuracy"], arm["verdict"]) for name, arm in arms.items()}, flush=True)
        keep(found, options.out)


if __name__ == "__main__":
    main()
