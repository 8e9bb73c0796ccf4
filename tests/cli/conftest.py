"""Running the command in this process."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from reparam.cli import main


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """`command("train", "vae", ...)` runs as the shell would."""

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["reparam", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        found = capsys.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0 if code is None else 1, found.out, found.err)

    return run
