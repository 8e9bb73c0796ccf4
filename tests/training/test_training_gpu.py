"""On a CUDA GPU: steps that never wait for the host, and graphs that replay what steps do. Skipped where there is none."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from toys import family_loop

from reparam.models import MODELS
from reparam.training import Loop, Silent
from reparam.training.capture import CYCLES, Capture

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
needs_cuda = pytest.mark.skipif(not CUDA, reason="there is no CUDA GPU")

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("vae", {"binarise": "dynamic", "keep": "ema", "accumulate": 2, "clip": 5.0}),
    ("vae", {"precision": "bfloat16"}),
    ("vae", {"network": "residual", "width": 8, "shape": (3, 32, 32), "precision": "tf32"}),
    ("cvae", {"task": "labelled"}),
    ("gmvae", {"prior": "vamp"}),
    ("gan", {"network": "dcgan", "width": 4, "r1": 1.0, "shape": (1, 28, 28)}),
    ("vaegan", {"discriminator_widths": (4, 4)}),
]


def moved(loop: Loop, start: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """How far a loop's weights lie from `other`, in units of how far they are from `start`."""
    weights = {name: tensor for name, tensor in loop.state.weights().items() if tensor.is_floating_point()}
    apart, whole = (
        torch.stack([(tensor - at[name]).norm() for name, tensor in weights.items()]).norm() for at in (other, start)
    )
    return float(apart / whole)


def start_of(loop: Loop) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in loop.state.weights().items()}


def watched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps at which replays begin."""
    replays: list[int] = []
    replay = Capture.replay
    monkeypatch.setattr(Capture, "replay", lambda self: (replays.append(self.cycle.state.step), replay(self)))
    return replays


@needs_cuda
@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in MODELS), *KINDS])
def test_a_cycle_never_waits_for_the_host(name: str, options: dict) -> None:
    loop = family_loop(name, device=DEVICE, **options)
    for _ in range(2):  # optimisers and libraries make what they keep
        loop.cycle()
    loop.cycle.order(64, 64)  # the order of the next epoch, which is drawn on the CPU
    torch.cuda.set_sync_debug_mode("error")
    try:
        loop.cycle()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@needs_cuda
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize(("name", "options"), KINDS)
def test_graphs_replay_what_cycles_do(
    name: str, options: dict, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal random numbers, so that weights differ by what products round otherwise: less than a thousandth of the way that
    training takes them, where other random numbers or a step too many would be a tenth and more."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)  # else convolutions may add up in any order
    replays = watched(monkeypatch)
    options = {"epochs": 8, "log_every": 25, "compile": compiled, **options}
    loops = []
    for captured in (False, True):
        loop = family_loop(name, device=DEVICE, capture=captured, **options)
        start = start_of(loop)
        torch.manual_seed(1)
        assert loop.run().state == "finished"
        loops.append(loop)
    assert replays, "it fell back to single steps"
    assert moved(loops[1], start, loops[0].state.weights()) < 1e-3


@needs_cuda
def test_a_compiled_run_is_the_eager_one_up_to_rounding() -> None:
    loops = []
    for compiled in (False, True):
        loop = family_loop("vae", device=DEVICE, compile=compiled, epochs=2)
        start = start_of(loop)
        torch.manual_seed(1)
        loop.run()
        loops.append(loop)
    assert moved(loops[1], start, loops[0].state.weights()) < 1e-3


class Impatient(Silent):
    """Ctrl-C at a log point behind some replays."""

    def update(self, step: int, epoch: float, images_per_second: float, terms: dict[str, float]) -> None:
        if step == 3 * CYCLES:
            signal.raise_signal(signal.SIGINT)


@needs_cuda
def test_an_interrupted_captured_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replays = watched(monkeypatch)
    options: dict[str, Any] = {"epochs": 16, "log_every": CYCLES, "capture": True, "device": DEVICE}
    whole, cut, again = (family_loop("vae", folder=tmp_path / name, **options) for name in ("whole", "cut", "cut"))
    start = start_of(whole)
    torch.manual_seed(1)
    whole.run()
    cut.progress = Impatient()
    replays.clear()
    torch.manual_seed(1)
    assert cut.run().state == "interrupted"
    assert replays, "it fell back to single steps"
    again.restore()
    assert 0 < again.state.step == cut.state.step < again.steps
    assert again.run().state == "finished"
    assert moved(again, start, whole.state.weights()) < 1e-3
