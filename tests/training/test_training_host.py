"""What training asks of the process that it runs in."""

import contextlib
import os
import platform
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from reparam.data import Images
from reparam.errors import ConfigError
from reparam.models import Schedule, Spec
from reparam.run.config import resolve
from reparam.training import Loop, Silent, process_settings, settle_process

PAGE = 4096


def make(shape: tuple[int, int, int], images: int, **options: Any) -> Loop:
    config = resolve("vae", keep="last", device="cpu", **options)
    model = config.family.build(config.options, Spec(shape))
    objective = config.family.objective(config.options, Schedule(1, 1))
    split = Images(torch.randint(0, 256, (images, *shape), dtype=torch.uint8), torch.full((images,), -1))
    return Loop(model, objective, split, config.task, config.training, torch.device("cpu"))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of another C library")
def test_memory_that_a_step_frees_serves_the_next() -> None:
    """A step's activations are tens of megabytes; once they have been had, hardly a page is asked of the system."""
    resource = pytest.importorskip("resource")
    loop = make((3, 32, 32), 64, network="residual", batch_size=32, epochs=100)
    faults = []
    for _ in range(6):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        loop.cycle()
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

    widest = 32 * 32 * 32 * 32 * 4  # bytes of one map at full resolution
    assert min(faults[3:]) < widest // PAGE // 20


def test_denormal_numbers_are_zero() -> None:
    settle_process()
    smallest = torch.tensor([torch.finfo(torch.float32).tiny])
    assert float(smallest / 2) == 0


@pytest.mark.parametrize(("has", "notes"), [(True, 0), (False, 1)])
def test_slow_products_are_announced(has: bool, notes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    monkeypatch.setattr(process_settings, "multiplies_bfloat16", lambda: has)
    monkeypatch.setattr(Silent, "note", lambda self, text: said.append(text))
    make((1, 28, 28), 8, hidden=(8,), precision="bfloat16")

    assert len(said) == notes
    assert all("bfloat16" in line for line in said)


def test_float32_means_float32_unless_tf32_is_asked_for() -> None:
    """torch itself rounds in convolutions unless told otherwise."""
    torch.backends.cudnn.allow_tf32 = True
    make((1, 28, 28), 8, hidden=(8,))
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32

    with pytest.raises(ConfigError, match="tf32"):
        make((1, 28, 28), 8, hidden=(8,), precision="tf32")


@contextlib.contextmanager
def training_in_another_thread() -> Iterator[None]:
    begun, end = threading.Event(), threading.Event()

    def train() -> None:
        with process_settings.training_alone(lambda _: None):
            begun.set()
            end.wait()

    other = threading.Thread(target=train)
    other.start()
    begun.wait()
    try:
        yield
    finally:
        end.set()
        other.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.parametrize(
    "where",
    [training_in_another_thread, lambda: process_settings.training_alone(print)],
    ids=["another thread", "this"],
)
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_a_training_that_it_does_not_have(where: Any) -> None:
    with where():
        if not (child := os.fork()):
            with contextlib.suppress(BaseException):
                with process_settings.training_alone(lambda _: os._exit(3)):  # it would wait for ever
                    pass
                os._exit(0)
            os._exit(4)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
