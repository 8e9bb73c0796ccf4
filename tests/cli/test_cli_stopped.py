"""A training that ends by what a person can mend outside names the command that continues it then: each test follows it."""

import contextlib
import errno
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import advised, refused

from reparam.tensor_files import read_tensors
from reparam.training.loop import Loop

SMALL = ("--latent", "2", "--epochs", "2", "--pictures", "0", "--device", "cpu")
DIGITS = ("train", "vae", "--data", "digits", "--hidden", "400", *SMALL)  # weights of 0.4 MB, a checkpoint of 1.2


@contextlib.contextmanager
def room_for(size: int) -> Iterator[None]:
    """In files of at most so many bytes, as on a disk that is almost full."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module", params=["best", "last", "ema"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Which weights are kept, and a run that nothing stopped."""
    import reparam

    out = tmp_path_factory.mktemp("whole") / "run"
    options = {"hidden": (400,), "latent": 2, "epochs": 2, "pictures": 0, "device": "cpu", "keep": request.param}
    reparam.train("vae", data="digits", out=out, **options)
    return request.param, out


def test_without_room_for_the_first_checkpoint(whole: tuple[str, Path], command: Callable, tmp_path: Path) -> None:
    keep, uninterrupted = whole
    words = (*DIGITS, "--keep", keep, "--out", tmp_path / "a run")
    with room_for(600_000):
        done = command(*words)
    refused(done, "checkpoint.safetensors", "raise 'ulimit -f'")
    assert "intact" not in done.err  # there was none before
    refused(command(*words), "holds a run already")
    assert advised(done.err, command).code == 0
    found, expected = (read_tensors(path / "weights.safetensors")[0] for path in (tmp_path / "a run", uninterrupted))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_without_room_for_a_later_checkpoint(command: Callable, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert command(*DIGITS, "--out", run).code == 0
    before = (run / "checkpoint.safetensors").read_bytes()
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "state": "interrupted"}))
    with room_for(600_000):
        done = command("resume", run)
    refused(done, "checkpoint.safetensors", "what was written before is intact")
    assert (run / "checkpoint.safetensors").read_bytes() == before
    assert advised(done.err, command).code == 0


def test_what_fails_before_the_first_step_is_begun_again(command: Callable, tmp_path: Path) -> None:
    words = (*DIGITS, "--out", tmp_path / "run")
    with room_for(100):
        done = command(*words)
    refused(done, "raise 'ulimit -f'")
    assert "reparam resume" not in done.err
    assert command(*words).code == 0


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("validation", 3), ("test", 3)):
        folder = tmp_path / "photos" / split
        folder.mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(folder / f"{i}.png")
    return tmp_path / "photos"


def damage(picture: Path) -> bytes:
    """As a bad sector does, behind the header; returns what it was."""
    data = picture.read_bytes()
    picture.write_bytes(data[:50] + bytes(len(data) - 50))
    return data


STREAMED = ("--stream", "--workers", "0", "--hidden", "8", "--batch-size", "4", *SMALL)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_read_any_more(
    workers: int, command: Callable, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, picture, validate = tmp_path / "run", photos / "train" / "1.png", Loop._validate
    whole = picture.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(Loop, "_validate", lambda self: (validate(self), damage(picture)))
        words = (*STREAMED, "--workers", workers, "--epochs", "9")
        done = command("train", "vae", "--data", f"folder:{photos}", *words, "--out", run)
    refused(done, "1.png", "once the image is as it was")
    (plain,) = re.findall(r"'reparam (resume [^']+)' continues", done.err)
    other = shutil.copytree(run, tmp_path / "other")
    assert command(*shlex.split(plain)).code == 2
    assert advised(done.err, command).code == 0  # without the image
    assert json.loads((run / "status.json").read_text())["skipped"]
    picture.write_bytes(whole)
    assert command(*shlex.split(plain.replace(str(run), str(other)))).code == 0


def test_an_image_that_cannot_be_read_in_the_first_batch(command: Callable, photos: Path, tmp_path: Path) -> None:
    damage(photos / "train" / "1.png")
    words = ("train", "vae", "--data", f"folder:{photos}", *STREAMED, "--batch-size", "12", "--out", tmp_path / "run")
    done = command(*words)
    refused(done, "1.png", "--damaged skip")
    assert "reparam resume" not in done.err
    assert not (tmp_path / "run").exists()
    assert command(*words, "--damaged", "skip").code == 0


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (MemoryError(), "--accumulate parts of a batch; or free some, and"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE), "some file"), "cannot read some file: too many files"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "free space or memory"),
    ],
    ids=["memory", "files", "unnamed"],
)
def test_what_the_system_lacks(
    error: Exception, why: str, command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Loop) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Loop, "_validate", fail)
        done = command(*DIGITS, "--out", tmp_path / "run")
    refused(done, why)
    assert advised(done.err, command).code == 0
