"""One case in a process of its own, with limits, and what is wrong with how it ended."""

import contextlib
import os
import re
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cases import Case

SECONDS = 20  # of processor time
WAIT = 30  # seconds by the clock, on a machine that is busy: longer is waiting for something that does not come
MEMORY = 2**30  # bytes beyond those of a process that has everything imported
ADDRESSES = 4 * MEMORY  # bytes of address space beyond: threads reserve some that they do not use
LINE = 1000  # characters of an error, at most
NOISE = re.compile(r"^\S+:\d+: \w*Warning: |Exception ignored|Fatal Python error", re.MULTILINE)
OUT_OF_MEMORY = "error: not enough memory"


@dataclass(frozen=True)
class Ended:
    """How a case ended: `outcome` is refused, accepted or fault, `text` the error's line or what is wrong."""

    case: Case
    outcome: str
    text: str


def _listing(folder: Path, apart: Sequence[Path]) -> dict[str, tuple]:
    """What lies below a folder but for some places: files by name with size and time of change."""
    found: dict[str, tuple] = {}
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if Path(where, name) not in apart]
        for name in (*folders, *files):
            path = Path(where, name)
            if path not in apart:
                status = path.lstat()
                found[os.fsencode(path).decode("utf-8", "backslashreplace")] = (
                    () if path.is_dir() else (status.st_size, status.st_mtime_ns)
                )
    return found


class Sandbox:
    """A folder with valid inputs and runs; `run` copies what a case needs, damages it and tries the command."""

    def __init__(self, base: Path, folder: Path, command: Any) -> None:
        self.base, self.folder, self.command = base, folder, command
        folder.mkdir()

    def run(self, case: Case) -> Ended:
        place = self.folder / "case"
        work, out = place / "work", place / "out"
        work.mkdir(parents=True)
        if case.source:
            shutil.copytree(self.base / case.source, place / "in", symlinks=True)
        if case.run:
            shutil.copytree(self.base / case.run, place / "run")
        if case.damage:
            case.damage(place)
        names = {"IN": place / "in", "RUN": place / "run", "OUT": out, "BASE": self.base}
        words = [re.sub(r"\b(IN|RUN|OUT|BASE)\b", lambda found: str(names[found[0]]), word) for word in case.command]
        apart = [out, self.folder / "home", *(place / name for name in case.writes)]
        before = _listing(self.folder, apart)
        code, output, errors, used = self._try(words, work)
        after = _listing(self.folder, apart)
        changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        wrong = judged(case, code, output, errors)
        if used > MEMORY and not case.large:
            wrong.append(f"{used // 2**20:,} MiB")
        if changed:
            wrong.append(f"written outside OUT: {', '.join(changed)[:300]}")
        if code == 2 and case.command[0] not in ("train", "resume") and "run" not in case.writes and _holds(out):
            wrong.append(f"refused, and left {', '.join(map(str, sorted(out.rglob('*'))))[:300] or out}")
        shutil.rmtree(place)
        lines = errors.strip().splitlines()
        text = "; ".join(wrong) or (lines[-1] if code and lines else "")
        return Ended(case, "fault" if wrong else "refused" if code else "accepted", text)

    def _try(self, words: list[str], work: Path) -> tuple[int, str, str, int]:
        """(exit code, or minus a signal; stdout; stderr; bytes of memory) of a command, in a child."""
        paths = [self.folder / "stdout", self.folder / "stderr"]
        sys.stdout.flush()
        sys.stderr.flush()
        before = _pages(1)
        child = os.fork()
        if not child:
            self._child(words, work, paths)
        _, status, usage = os.wait4(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what it may have started
        texts = [path.read_bytes().decode("utf-8", "backslashreplace") for path in paths]
        for path in paths:
            path.unlink()
        return os.waitstatus_to_exitcode(status), texts[0], texts[1], usage.ru_maxrss * 1024 - before

    def _child(self, words: list[str], work: Path, paths: list[Path]) -> None:
        code = 1
        try:
            os.setpgid(0, 0)
            os.chdir(work)
            for number, path in enumerate(paths, 1):
                os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY), number)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            signal.alarm(WAIT)
            resource.setrlimit(resource.RLIMIT_CPU, (_processor_seconds() + SECONDS,) * 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            limit = _pages(0) + ADDRESSES
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            sys.argv = ["reparam", *words]
            self.command()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _processor_seconds() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int(used.ru_utime + used.ru_stime) + 1


def _pages(column: int) -> int:
    """Bytes of this process: 0, of addresses; 1, of memory."""
    return int(Path("/proc/self/statm").read_text().split()[column]) * resource.getpagesize()


def _holds(path: Path) -> bool:
    return path.exists() and (path.is_file() or any(path.iterdir()))


def judged(case: Case, code: int, output: str, errors: str) -> list[str]:
    """What is wrong with how a command ended."""
    if code < 0:
        name = signal.Signals(-code).name
        why = {"SIGALRM": f"nothing after {WAIT} s", "SIGXCPU": f"over {SECONDS} s", "SIGKILL": f"over {SECONDS} s"}
        return [f"ended by {name}: {why.get(name, 'a crash')}: {errors.strip()[-300:]}"]
    wrong = []
    if "Traceback" in errors or code not in (0, 2):
        wrong.append(f"exit code {code}: {errors.strip()[-400:]}")
        return wrong
    if noise := NOISE.search(errors):
        wrong.append(f"noise: {errors[noise.start() :][:300]}")
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    if code == 2:
        last = errors.rstrip("\n").split("\n")[-1]
        if len(lines) != 1 or last != lines[0]:
            wrong.append(f"not one line: {errors.strip()[-300:]}")
        elif len(last) > LINE:
            wrong.append(f"a line of {len(last):,} characters: {last[:200]}")
        elif not last.isprintable():
            wrong.append(f"a line that is not printable: {last!r}"[:300])
        if last.startswith(OUT_OF_MEMORY) and not case.large:
            wrong.append(f"out of {ADDRESSES // 2**20:,} MiB")
    elif lines:
        wrong.append(f"an error and exit code 0: {lines[0]}")
    if code == 0 and case.told:
        wrong.append(f"accepted: {(errors + output).strip()[-200:]}")
    return wrong
