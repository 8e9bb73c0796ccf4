"""Runs that are killed at random moments and resumed: are they bit for bit those that were not?

    python tests/kills.py OUT.json [--kills 100] [--seed 0] [--only WORD] [--readers 20] [--copies 10]

Every kind of training below runs whole once. Then it is ended with SIGKILL at random moments, again and again, and resumed,
until it had its share of the kills; weights, checkpoint, metrics and pictures must equal those of the whole run bit for bit.
Half of the kills strike the process alone, half its reading processes too. `--readers`: so many times another process reads a
run while it trains and is killed: that gives a result, or one line. `--copies`: so many copies of a run that trains: each
continues to the same bits, or is refused in one line. Prints a table, and a line for each thing that is wrong; then it ends
with 1.
"""

import argparse
import contextlib
import gc
import importlib
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # sums of several threads have no fixed order

SMALL = "--hidden 16 --latent 3"
PAIR = "--hidden 16,16 --latent 3"
# kind: model, its options, and how many epochs take a second or two
KINDS: dict[str, str] = {
    "ae": f"ae {SMALL} --epochs 8",
    "dae": f"dae {SMALL} --epochs 8",
    "vae": f"vae {SMALL} --epochs 6 --binarise dynamic --beta-warmup 3",
    "vae, convolutional": "vae --network conv --latent 2 --epochs 3",
    "vae, moving average": f"vae {SMALL} --epochs 6 --keep ema",
    "vae, stopping early": f"vae {SMALL} --epochs 29 --patience 2 --learning-rate 0.05 --validate-every 0.5",
    "vae, AdamW, warm-up, in parts": f"vae {SMALL} --epochs 5 --optimiser adamw --warmup 2 --accumulate 2 --clip 1",
    "vae, pictures on disk": f"vae {SMALL} --epochs 4 --data folder:BASE/pictures --stream --size 8",
    "vae, shards": f"vae {SMALL} --epochs 4 --data shards:BASE/shards",
    "vae, compiled": f"vae {SMALL} --epochs 9 --compile",
    "vae, products by oneDNN": "vae --hidden 600 --latent 3 --epochs 4 --products onednn",
    "gmvae": f"gmvae {SMALL} --epochs 5 --components 4",
    "gmvae, components placed": f"gmvae --recipe clusters {SMALL} --epochs 4 --components 4 --place-after 2",
    "cvae": f"cvae {PAIR} --epochs 4",
    "cvae by class": f"cvae {PAIR} --epochs 4 --task labelled",
    "gvae": f"gvae {SMALL} --epochs 4",
    "gvae, few labels": f"gvae {SMALL} --epochs 4 --labels-per-class 5",
    "gan": "gan --width 4 --latent 3 --epochs 3",
    "vaegan": "vaegan --network mlp --hidden 32 --latent 3 --discriminator-widths 4,4 --adversarial-from 1 --epochs 3",
    "gan, moving average": "gan --network mlp --hidden 16 --latent 3 --epochs 4 --keep ema",
    "hybrid": f"hybrid {PAIR} --epochs 4",
    "gsnn": f"gsnn {PAIR} --epochs 4",
    "sfnn": f"sfnn {PAIR} --epochs 4",
    "nn": "nn --hidden 16,16 --epochs 5",
    "classifier": "classifier --channels 4 --features 8 --epochs 6",
    "classifier, augmented": "classifier --channels 4 --features 8 --epochs 5 --augment pixels",
    "isda": "isda --channels 4 --features 8 --epochs 6",
}
IMPORTED = (
    "constriction", "matplotlib.pyplot", "sklearn.datasets", "tensorboardX", "torch._inductor.compile_fx", "reparam.api",
    "reparam.reports.compare", "reparam.reports.augmented", "reparam.reports.segmentation", "reparam.session",
    "reparam.cli.group", "reparam.data.sources.shard_writing", "array_record.python.array_record_module",
)  # fmt: skip

COMMON = "--data digits --batch-size 128 --log-every 1 --checkpoint-seconds 0 --pictures 2 --device cpu"
READ = (
    ("sample", "--n", "4", "--out", "OUT.png"),
    ("evaluate", "--metrics", "psnr", "--images", "20"),
    ("report",),
    ("resume",),
)
SHARED = (
    "vae",
    "vae, moving average",
    "gan",
    "vae, pictures on disk",
)  # kinds that are read and copied while they train
PATIENCE = 300.0  # seconds that anything may take
READING = 0.3  # seconds, about, that reading a run takes


@dataclass
class Row:
    kind: str
    seconds: float = 0.0  # of the whole run
    kills: int = 0
    in_writing: int = 0  # kills that left a file half-written
    runs: int = 0  # that were killed, and resumed to the end
    lost: int = 0  # of them, that could not be resumed
    equal: int = 0  # of them, bit for bit the whole run
    wrong: list[str] = field(default_factory=list)


def train_words(kind: str, base: Path, out: Path) -> list[str]:
    words = KINDS[kind].replace("BASE", str(base)).split()
    given = {word for word in words if word.startswith("--")}
    common = COMMON.split()
    rest = [word for i in range(0, len(common), 2) if common[i] not in given for word in common[i : i + 2]]
    return ["train", *words, *rest, "--out", str(out)]


class Child:
    """The command in a fork of this process, in a group of its own."""

    def __init__(self, words: list[str], errors: Path) -> None:
        self.errors = errors
        sys.stdout.flush()
        self.process = os.fork()
        self.code: int | None = None
        if not self.process:
            self._run(words)

    def _run(self, words: list[str]) -> None:
        code = 1
        try:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(os.open(self.errors, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 2)
            from reparam.cli import main

            sys.argv = ["reparam", *words]
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def ended(self) -> bool:
        if self.code is None:
            found, status = os.waitpid(self.process, os.WNOHANG)
            if found:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def wait(self, seconds: float) -> bool:
        """Whether it ended within them."""
        until = time.monotonic() + seconds
        while not self.ended() and time.monotonic() < until:
            time.sleep(0.002)
        return self.ended()

    def kill(self, with_readers: bool = True) -> None:
        """And waits until its reading processes are gone."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if with_readers else os.kill)(self.process, signal.SIGKILL)
        self.wait(PATIENCE)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                os.killpg(self.process, 0)
            except (ProcessLookupError, PermissionError):
                return
            time.sleep(0.005)
        raise SystemExit("reading processes stay behind a killed training")

    def text(self) -> str:
        return self.errors.read_text(errors="backslashreplace") if self.errors.exists() else ""


def half_written(run: Path) -> bool:
    return any(run.glob(".*.partial"))


def content(run: Path) -> dict[str, object]:
    """All that must be equal: tensors, metrics, pictures, how it ended."""
    from reparam.tensor_files import read_tensors

    found: dict[str, object] = {}
    for name in ("weights.safetensors", "checkpoint.safetensors"):
        tensors, facts = read_tensors(run / name)
        found |= {f"{name} {key}": (str(value.dtype), value.numpy().tobytes()) for key, value in tensors.items()}
        found[f"{name} facts"] = {
            key: value for key, value in facts.items() if key not in ("seconds", "metrics_bytes", "run")
        }
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("images_per_second", None)
    found["metrics"] = json.dumps(lines)
    found |= {f"picture {path.name}": path.read_bytes() for path in sorted((run / "pictures").glob("*"))}
    status = json.loads((run / "status.json").read_text())
    found["status"] = {key: value for key, value in status.items() if key != "seconds"}
    return found


def difference(whole: Path, run: Path, metrics: bool = True) -> str:
    """The first thing that differs, or nothing."""
    try:
        one, other = content(whole), content(run)
    except Exception as error:
        return f"cannot be read: {error!r}"
    for key in sorted(one.keys() | other.keys()):
        if one.get(key) != other.get(key) and (
            metrics or not key.startswith(("metrics", "checkpoint.safetensors facts"))
        ):
            return key
    return ""


def begun(kind: str, base: Path, run: Path) -> list[str]:
    """What continues a run, or begins it."""
    return ["resume", str(run)] if (run / "run.json").exists() else train_words(kind, base, run)


def whole_run(kind: str, base: Path) -> tuple[Path, float]:
    """It, and the seconds that it took."""
    out = base / "whole"
    shutil.rmtree(out, ignore_errors=True)
    began = time.monotonic()
    child = Child(train_words(kind, base, out), base / "errors")
    if not child.wait(PATIENCE) or child.code:
        raise SystemExit(f"{kind}: the whole run failed: {child.text()[-500:]}")
    return out, time.monotonic() - began


def killed(kind: str, base: Path, kills: int, clock: random.Random) -> Row:
    whole, seconds = whole_run(kind, base)
    row = Row(kind, seconds)
    while row.kills < kills:
        run = base / f"cut-{row.runs}"
        row.runs += 1
        while True:
            child = Child(begun(kind, base, run), base / "errors")
            last = row.kills >= kills
            if child.wait(PATIENCE if last else clock.uniform(0, seconds / 2)):
                break
            if last:
                child.kill()
                break
            child.kill(with_readers=clock.random() < 0.5)
            row.kills += 1
            row.in_writing += half_written(run)
        if child.code:
            row.lost += 1
            row.wrong.append(f"not resumed: exit code {child.code}: {child.text()[-300:]}")
        elif different := difference(whole, run):
            row.wrong.append(f"differs: {different}")
        else:
            row.equal += 1
        if half_written(run):
            row.wrong.append("half-written files stay")
        shutil.rmtree(run)
    return row


def in_order(child: Child, name: str) -> str:
    """What is wrong with how a reader ended: it gives a result, or one line."""
    text = child.text()
    if not child.ended():
        return f"{name}: no end after {PATIENCE:.0f} s"
    if child.code == 0 and "Traceback" not in text:
        return ""
    lines = text.strip().splitlines()
    if child.code == 2 and sum(line.startswith("error: ") for line in lines) == 1 and lines[-1].startswith("error: "):
        return ""
    return f"{name}: exit code {child.code}: {text[-300:]}"


def read(kind: str, base: Path, times: int, clock: random.Random) -> Row:
    """A run that is killed and read at the same time."""
    whole, seconds = whole_run(kind, base)
    row, run, count = Row(f"{kind}, read meanwhile", seconds), base / "read", 0
    while count < times:
        trainer = Child(begun(kind, base, run), base / "errors")
        while not trainer.wait(clock.uniform(0, seconds / 4)) and count < times:
            command, *options = READ[count % len(READ)]
            options = [option.replace("OUT", str(base / "reading")) for option in options]
            if command == "resume" and not (run / "status.json").exists():
                continue
            reader = Child([command, str(run), *options], base / "read-errors")
            strike = clock.random() < 0.5 and command != "resume"
            if not reader.wait(clock.uniform(0, READING) if strike else PATIENCE) and strike:
                trainer.kill()
                row.kills += 1
                row.in_writing += half_written(run)
                reader.wait(PATIENCE)
            if wrong := in_order(reader, command):
                row.wrong.append(wrong)
            if command == "resume" and not trainer.ended() and "another process is training" not in reader.text():
                row.wrong.append(f"resumed while it trained: exit code {reader.code}: {reader.text()[-300:]}")
            count += 1
        if trainer.ended() and not trainer.code and run.exists():  # it has finished: another one
            _compare(row, whole, run)
    if run.exists():
        trainer.kill()
        last = Child(begun(kind, base, run), base / "errors")
        if not last.wait(PATIENCE) or last.code:
            row.lost += 1
            row.wrong.append(f"not resumed: {last.text()[-300:]}")
        _compare(row, whole, run)
    return row


def _compare(row: Row, whole: Path, run: Path) -> None:
    row.runs += 1
    different = difference(whole, run)
    row.equal += not different
    if different:
        row.wrong.append(f"differs: {different}")
    shutil.rmtree(run)


def copied(kind: str, base: Path, times: int, clock: random.Random) -> Row:
    """Copies of a run that trains, file by file in a random order."""
    whole, seconds = whole_run(kind, base)
    row, run, copy = Row(f"{kind}, copied meanwhile", seconds), base / "copied", base / "copy"
    while row.runs < times:
        shutil.rmtree(run, ignore_errors=True)
        trainer = Child(train_words(kind, base, run), base / "errors")
        trainer.wait(clock.uniform(0, seconds))
        row.runs += 1
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        files = [path for path in run.rglob("*") if path.is_file()]
        clock.shuffle(files)
        for path in files:
            (copy / path.relative_to(run)).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # renamed since
                shutil.copyfile(path, copy / path.relative_to(run))
            time.sleep(clock.uniform(0, 0.02))
        trainer.kill()
        refused = not (copy / "run.json").exists()
        for command, *options in READ[:1] + READ[2:]:
            options = [option.replace("OUT", str(base / "reading")) for option in options]
            child = Child([command, str(copy), *options], base / "read-errors")
            child.wait(PATIENCE)
            if wrong := in_order(child, command):
                row.wrong.append(wrong)
            refused |= command == "resume" and child.code == 2
        if refused:
            continue
        different = difference(whole, copy, metrics=False)
        row.equal += not different
        if different:
            row.wrong.append(f"differs: {different}")
    return row


def inputs(base: Path) -> None:
    """Digits as pictures and as shards."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    from reparam.data import DataOptions, load
    from reparam.data.sources.shard_writing import write_shards

    for number, digit in enumerate(load_digits().images[:600]):
        path = base / "pictures" / str(number % 2) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digit * 15.9375).astype(np.uint8)).save(path)
    write_shards(load(f"folder:{base / 'pictures'}", DataOptions(size=8, colour="grey")), base / "shards", workers=0)


def warm() -> None:
    """Imports all that a command needs, once, for its forks."""
    import torch

    for name in IMPORTED:
        importlib.import_module(name)
    torch.set_num_threads(1)
    gc.freeze()  # a child that collects would copy all of it


def table(rows: list[Row]) -> str:
    lines = ["| training | kills | in writing | resumed to the end | lost | bit-equal |", "|---|---|---|---|---|---|"]
    total = Row("all")
    for row in rows:
        for name in ("kills", "in_writing", "runs", "lost", "equal"):
            setattr(total, name, getattr(total, name) + getattr(row, name))
    for row in [*rows, total]:
        lines.append(f"| {row.kind} | {row.kills} | {row.in_writing} | {row.runs} | {row.lost} | {row.equal} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds whose names contain this")
    parser.add_argument("--readers", type=int, default=20)
    parser.add_argument("--copies", type=int, default=10)
    options = parser.parse_args()
    warm()
    kinds = [kind for kind in KINDS if options.only in kind]
    shared = [kind for kind in SHARED if kind in kinds]
    jobs: list[tuple[Callable[..., Row], str, int]] = [
        (killed, kind, math.ceil(options.kills / len(kinds))) for kind in kinds
    ]
    for work, count in ((read, options.readers), (copied, options.copies)):
        jobs += [(work, kind, math.ceil(count / len(shared))) for kind in shared if count]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        os.environ |= {"REPARAM_CACHE": f"{base}/cache", "TORCHINDUCTOR_CACHE_DIR": f"{base}/inductor"}
        os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
        inputs(base)
        for work, kind, count in jobs:
            rows.append(work(kind, base, count, random.Random(f"{options.seed} {work.__name__} {kind}")))
            row = rows[-1]
            print(
                f"{row.kind}: {row.kills} kills, {row.in_writing} in writing, {row.equal} of {row.runs} equal",
                flush=True,
            )
            for wrong in row.wrong:
                print(f"  WRONG {wrong}", flush=True)
            options.out.write_text(json.dumps({"seed": options.seed, "rows": [asdict(row) for row in rows]}, indent=1))
    print(f"\n{table(rows)}")
    sys.exit(any(row.wrong for row in rows))


if __name__ == "__main__":
    main()
