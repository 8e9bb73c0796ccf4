"""Whatever stands in the terminal's place, the exit code is right, a result is never lost with its text, and nothing but one line
is said."""

import errno
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from reparam.progress import RichProgress
from reparam.terminal import printable

# A command that makes a file, says so, and writes more than a pipe holds.
COMMAND = """
import sys, time
from pathlib import Path
import click
from reparam.cli import main
from reparam.progress import RichProgress
from reparam.terminal import output, say

@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--wait", is_flag=True)
def command(out, wait):
    out.write_text("made")
    try:
        say("noted \\u00b1")
        while wait:
            time.sleep(0.01)
    finally:
        if wait:
            out.unlink()
    output("5 \\u00b1 1 \\udce9\\x1b[2J" + "." * 200_000)

main(command, "command")
"""
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")


def begin(*words: object, code: str = COMMAND, **settings: Any) -> subprocess.Popen[bytes]:
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], **settings)


def test_a_closed_reader_is_no_error(tmp_path: Path) -> None:
    child = begin(tmp_path / "out")
    assert child.stdout
    assert child.stderr
    child.stdout.close()
    assert child.stderr.read().decode() == "noted ±\n"
    assert child.wait(30) == 0
    assert (tmp_path / "out").read_text() == "made"


@needs_full
def test_a_full_device_is_one_line_and_what_was_made_is_kept(tmp_path: Path) -> None:
    with FULL.open("w") as full:
        child = begin(tmp_path / "out", stdout=full)
        _, err = child.communicate(timeout=30)
        assert child.returncode == 2
        assert err.decode().splitlines()[1:] == [
            "error: the output cannot be written (No space left on device): what the command has made is kept, but not this text"
        ]
        assert (tmp_path / "out").read_text() == "made"
        out, _ = begin(tmp_path / "more", stderr=full).communicate(timeout=30)
        assert out.startswith("5 ± 1".encode())


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_closed_stream_is_not_taken_for_a_file(number: int, tmp_path: Path) -> None:
    child = begin(tmp_path / "out", preexec_fn=lambda: os.close(number))
    out, err = child.communicate(timeout=30)
    assert child.returncode == 0
    assert out.startswith("5 ± 1".encode()) == (number != 1)
    assert err == (b"" if number == 2 else "noted ±\n".encode())
    assert (tmp_path / "out").read_text() == "made"


def test_any_encoding_prints(tmp_path: Path) -> None:
    child = begin(tmp_path / "out", env={**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    out, err = child.communicate(timeout=30)
    assert child.returncode == 0
    assert out.startswith(b"5 +- 1 \\udce9\\x1b[2J...")
    assert err == b"noted +-\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_cleans_up_and_five_are_one(number: signal.Signals, code: int, tmp_path: Path) -> None:
    child = begin(tmp_path / "out", "--wait")
    assert child.stderr
    assert child.stderr.readline().decode() == "noted ±\n"
    time.sleep(0.1)
    for _ in range(1 if number == signal.SIGINT else 5):
        child.send_signal(number)
    _, err = child.communicate(timeout=30)
    assert child.returncode == code
    assert err.decode().strip() == "interrupted"
    assert not list(tmp_path.iterdir())


def test_a_signal_that_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    child = begin(tmp_path / "out", "--wait", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert child.stderr
    child.stderr.readline()
    child.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert child.poll() is None
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=30)
    assert child.returncode == 143


def test_a_current_folder_that_was_removed_is_said(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    code = f"import os; os.chdir({str(tmp_path / 'gone')!r}); os.rmdir(os.getcwd())\n{COMMAND}"
    child = begin("out", code=code)
    _, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (2, b"error: the current folder has been removed: change to another one\n")


def test_control_characters_are_shown_not_sent() -> None:
    assert printable("a\x1b[31mb\x07\x9b\n\tc[/b]") == "a\\x1b[31mb\\x07\\x9b\n\tc[/b]"
    assert printable("1 ± 2 – 3 中", "ascii") == "1 +- 2 - 3 \\u4e2d"
    assert printable("caf\udce9") == "caf\\udce9"
    assert printable("\x1b[1mbold\x1b[0m ±", "latin-1", styled=True) == "\x1b[1mbold\x1b[0m ±"


def test_a_bar_takes_no_name_for_markup_and_outlives_its_terminal() -> None:
    written = io.StringIO()
    bar = RichProgress(Console(file=written, width=80))
    bar.note("class [/b] :smile: \x1b[2J [red]x")
    assert written.getvalue() == "class [/b] :smile: \\x1b[2J [red]x\n"
    assert list(bar.track([1, 2], "of [/b]")) == [1, 2]

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    RichProgress(Console(file=Closed())).note("x")
