"""Running the command in this process, and a small trained run to work on."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import reparam
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


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE on scikit-learn's digits, two latents, a few steps: read it, do not change it."""
    path = tmp_path_factory.mktemp("runs") / "trained"
    reparam.train("vae", data="digits", epochs=4, hidden=(32,), latent=2, pictures=3, out=path)
    return path
