"""Malformed input of every kind that the package reads: is each refused in one line, in time, without a trace?

    python tests/malformed/sweep.py OUT.json [--each 5] [--seed 0] [--only WORD] [--sample N]

Every case is a small valid input with one thing wrong and the command that reads it, in a process of its own. It has to end
with exit code 0, or 2 and one line on stderr; within 20 s of processor time and 1 GiB; write nothing but what it was asked to;
and refuse what a checksum, a header or a type says is wrong. `--each`: at most so many cases of a kind, drawn by the seed;
`--sample`: so many in all. Prints the faults and a table, which OUT.json holds too; ends with 1 where there is a fault.
"""

import argparse
import gc
import importlib
import json
import os
import random
import re
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import click
import of_documents
import of_files
import of_options
import of_python
from cases import Case, chosen
from inputs import SOURCES, make, needed
from sandbox import Ended, Sandbox

GROUPS = {
    "data files": of_files.of_files,
    "documents": of_documents.of_documents,
    "options": of_options.of_options,
    "Python": of_python.of_python,
}

QUICK = ("run-vae", "run-ae")  # runs that a sample is of: making all of them takes seconds
IMPORTED = (
    "constriction", "matplotlib.pyplot", "sklearn.datasets", "tensorboardX", "torch._inductor.compile_fx", "reparam.api",
    "reparam.reports.compare", "reparam.reports.augmented", "reparam.reports.segmentation", "reparam.session",
    "reparam.cli.group", "reparam.data.sources.shard_writing", "array_record.python.array_record_module",
)  # fmt: skip

FROM = {
    of_files.of_files: {target.source for target in of_files.TARGETS.values()},
    of_documents.of_documents: of_documents.FROM,
}


@click.command(name="open")
@click.argument("spec")
@click.option("--stream", is_flag=True)
def open_data(spec: str, stream: bool) -> None:
    """Reads a data set and every image of it."""
    import torch

    from reparam.data import DataOptions, load

    data = load(spec, DataOptions(**({"stream": True, "workers": 0} if stream else {})))
    for split in ("train", "validation", "test"):
        part = data.split(split)
        part.take(torch.arange(len(part)))
    click.echo(f"{data.fingerprint} {data.notes}")


@click.command(name="use")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("call", required=False)
@click.argument("thing", required=False)
def use_run(run: Path, call: str | None, thing: str | None) -> None:
    """Loads a run and calls it in Python."""
    of_python.use(run, call, thing)


def command() -> None:
    """The command, with two more: reading data, calls in Python."""
    from reparam.cli import main
    from reparam.cli.group import cli

    main(click.Group("reparam", commands={**cli.commands, "open": open_data, "use": use_run}))


def ensure(base: Path, name: str) -> None:
    """Makes an input or run at its first use, in a process of its own, so that this one stays as it is."""
    if (base / name).exists():
        return
    for other in needed(name):
        ensure(base, other)
    child = os.fork()
    if not child:
        code = 1
        try:
            make(base, name)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"the valid input {name} could not be made")


def warm() -> None:
    """Imports all that cases need, once, for its forks."""
    import torch

    for name in IMPORTED:
        importlib.import_module(name)
    torch.set_num_threads(1)
    gc.freeze()  # a child that collects would copy all of it


def uses(case: Case) -> list[str]:
    """The inputs and runs of a case."""
    named = [found for word in case.command for found in re.findall(r"BASE/([\w-]+)", word)]
    return [name for name in (case.source, case.run, *named) if name]


def table(found: dict[str, list[Ended]]) -> str:
    lines = ["| input | cases | refused | accepted | faults |", "|---|---|---|---|---|"]
    for group, ended in [*found.items(), ("all", [one for of_group in found.values() for one in of_group])]:
        count = Counter(one.outcome for one in ended)
        lines.append(
            f"| {group} | {len(ended):,} | {count['refused']:,} | {count['accepted']:,} | {count['fault']:,} |"
        )
    return "\n".join(lines)


def recorded(ended: Ended) -> dict[str, object]:
    words = [word.encode("utf-8", "backslashreplace").decode() for word in ended.case.command]
    return {
        "kind": ended.case.kind,
        "name": ended.case.name,
        "command": words,
        "outcome": ended.outcome,
        "text": ended.text,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--each", type=int, default=5, help="cases of a kind, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds whose group or name contains this")
    parser.add_argument("--sample", type=int, default=0, help="so many in all (0: as many as --each allows)")
    options = parser.parse_args()
    began = time.monotonic()
    warm()
    found: dict[str, list[Ended]] = {}
    with tempfile.TemporaryDirectory() as folder:
        base, home = Path(folder, "base"), Path(folder, "sandbox", "home")
        os.environ |= {"REPARAM_CACHE": str(home / "cache"), "HOME": str(home), "TMPDIR": folder}
        os.environ |= {"PIP_INDEX_URL": "http://127.0.0.1:9", "no_proxy": "*"}
        sandbox = Sandbox(base, Path(folder, "sandbox"), command)
        base.mkdir()
        every = [(group, case) for group, make_cases in GROUPS.items() for case in listed(make_cases, base, options)]
        if options.sample:
            every = [(group, case) for group, case in every if set(uses(case)) <= {*SOURCES, *QUICK}]
            random.Random(options.seed).shuffle(every)
            every = sorted(every[: options.sample], key=lambda one: one[0])
        for number, (group, case) in enumerate(every, 1):
            if number % 100 == 0:
                print(f"{number:,} of {len(every):,} cases", flush=True)
            for name in uses(case):
                ensure(base, name)
            ended = sandbox.run(case)
            found.setdefault(group, []).append(ended)
            if ended.outcome == "fault":
                print(f"FAULT {case.kind}: {case.name}: {ended.text}\n      {' '.join(case.command)}"[:900], flush=True)
    print(f"\n{table(found)}\n\n{time.monotonic() - began:.0f} s, seed {options.seed}")
    records = [{"group": group, **recorded(one)} for group, cases in found.items() for one in cases]
    options.out.write_text(json.dumps({"table": table(found), "seed": options.seed, "cases": records}, indent=1))
    sys.exit(any(record["outcome"] == "fault" for record in records))


def listed(make: object, base: Path, options: argparse.Namespace) -> list[Case]:
    draw = random.Random(options.seed)
    for name in FROM.get(make, ()):
        ensure(base, name)
    cases = [case for case in make(base, draw) if options.only in case.kind]  # type: ignore[operator]
    return chosen(cases, options.each, draw)


if __name__ == "__main__":
    main()
