"""Where the time of `make demo` goes: the commands as a person gives them, on an empty cache, and the parts of each.

    python benchmarks/demo.py [--rounds 3] [--beside SRC] [--out benchmarks/results/demo.json]

A part begins with the line that announces it. `--beside`: the `src` folder of another checkout, whose commands take turns with
these.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from contest import keep, machine, spread

HERE = Path(__file__).resolve().parents[1] / "src"
COMMANDS = {
    "train": "train vae --data mnist --recipe notes --epochs 20 --out run",
    "evaluate": "evaluate run",
    "report": "report run",
}
# Of a line that begins a part, its name.
PARTS = re.compile(r"\[\d+/\d+\] (\w+):|(training the feature network)|(finished at epoch)")


def parts(command: str, source: Path, folder: Path) -> Iterator[tuple[str, float]]:
    """Name and seconds of a command's parts, one after another; the first, `start`, lasts until a line announces another."""
    settings = {"PYTHONPATH": str(source), "REPARAM_CACHE": str(folder / "cache"), "PYTHONUNBUFFERED": "1"}
    began, name = time.perf_counter(), "start"
    line = [sys.executable, "-m", "reparam", *command.split()]
    process = subprocess.Popen(
        line, cwd=folder, env={**os.environ, **settings}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout
    for said in process.stdout:
        if found := PARTS.match(said):
            now = time.perf_counter()
            yield name, now - began
            began, name = now, next(group for group in found.groups() if group)
    if process.wait():
        raise SystemExit(f"'reparam {command}' failed")
    yield name, time.perf_counter() - began


def demo(source: Path) -> dict[str, float]:
    """Seconds of each command, and of each of its parts, `command_part`."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, command in COMMANDS.items():
            found[name] = 0.0
            for part, seconds in parts(command, source, Path(folder)):
                found[name] += seconds
                key = f"{name}_{part}".replace(" ", "_")
                found[key] = found.get(key, 0.0) + seconds
    found["all"] = sum(found[name] for name in COMMANDS)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "demo.json")
    arguments = parser.parse_args()
    sources = {"here": HERE} | ({"beside": arguments.beside.resolve()} if arguments.beside else {})
    rounds = []
    for number in range(arguments.rounds):
        rounds.append({name: demo(source) for name, source in sources.items()})
        for name, found in rounds[-1].items():
            print(
                f"round {number + 1}, {name}: {found['all']:.0f} s, "
                + ", ".join(f"{c} {found[c]:.1f}" for c in COMMANDS)
            )
    result = {
        "what": "the commands of make demo, without set-up, on an empty cache",
        "machine": f"{machine()}, torch {torch.__version__}",
        "seconds": {
            name: {part: spread([one[name].get(part, 0.0) for one in rounds]) for part in rounds[0][name]}
            for name in sources
        },
    }
    if arguments.beside:
        result["share_of_beside"] = {
            name: spread([one["here"][name] / one["beside"][name] for one in rounds]) for name in (*COMMANDS, "all")
        }
    keep(result, arguments.out)


if __name__ == "__main__":
    main()
