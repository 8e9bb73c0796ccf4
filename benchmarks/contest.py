"""Contenders that take turns, each in its own process, whose settings do not affect the others."""

import contextlib
import json
import multiprocessing
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for `experiments`, which is beside this folder

from experiments.provenance import machine

__all__ = ["Contender", "Rate", "compare", "keep", "machine", "spread", "take_turns"]

Rate = Callable[[], float]  # runs for a while and gives a rate


class Contender:
    """A process that has called `make(*arguments)`, which returns rates by name; `contender(name)` measures one."""

    def __init__(self, threads: int, make: Callable[..., dict[str, Rate]], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        context.Process(target=_serve, args=(theirs, threads, make, arguments), daemon=True).start()
        theirs.close()
        self.names: list[str] = self.pipe.recv()

    def __call__(self, name: str) -> float:
        self.pipe.send(name)
        return self.pipe.recv()


def _serve(pipe: Any, threads: int, make: Callable[..., dict[str, Rate]], arguments: tuple) -> None:
    torch.set_num_threads(threads)
    offered = make(*arguments)
    pipe.send(list(offered))
    with contextlib.suppress(EOFError):  # nobody asks any more
        while True:
            pipe.send(offered[pipe.recv()]())


def take_turns(contenders: list[Contender], rounds: int, unit: str) -> list[dict[str, float]]:
    """The rates of all that they offer, round by round, behind one that warms everything up and is not counted."""
    found: list[dict[str, float]] = []
    for number in range(rounds + 1):
        row = {name: contender(name) for contender in contenders for name in contender.names}
        if not number:
            continue
        found.append(row)
        print(
            f"round {number}: " + ", ".join(f"{name} {rate:.3g}" for name, rate in row.items()) + f" {unit}",
            flush=True,
        )
    return found


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def keep(result: dict[str, object], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(out)


def compare(
    rounds: list[dict[str, float]], ours: list[str], peers: list[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """Of each of ours: how many times as fast as each peer, and its share of `bound`, which is timed before and after; ratios of
    rates of the same round."""
    found = {}
    for name in ours:
        found[name] = {
            **{f"times_{peer}": spread([row[name] / row[peer] for row in rounds]) for peer in peers},
            "share_of_bound": spread([row[name] * 2 / (row["bound"] + row["bound_after"]) for row in rounds]),
        }
        for what, ratio in found[name].items():
            print(f"{name}, {what}: {ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})")
    return found
