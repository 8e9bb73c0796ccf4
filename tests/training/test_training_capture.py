"""What a CUDA graph would hold, run as it is on the CPU: the same bits as cycle by cycle, whatever lies in between."""

from functools import partial
from pathlib import Path

import pytest
import torch
from toys import CallAt, duel_loop, family_loop

from reparam.errors import ConfigError
from reparam.run.folder import RunFolder
from reparam.training import capture
from reparam.training.capture import CYCLES, Capture

vae_loop = partial(
    family_loop, "vae", epochs=12, binarise="dynamic", clip=5.0, keep="ema", ema=0.9, accumulate=2, warmup=2.0
)


@pytest.mark.parametrize("make", [vae_loop, duel_loop], ids=["one player", "two players"])
def test_a_replay_has_the_bits_of_its_cycles(make: object) -> None:
    one, other = (make(folder=None) for _ in range(2))  # type: ignore[operator]
    torch.manual_seed(1)
    for _ in range(2 * CYCLES + 3):
        one.cycle()
    torch.manual_seed(1)
    for _ in range(3):  # what optimisers keep is made in the first step
        other.cycle()
    replay = Capture(other.cycle)
    replay.replay()
    replay.replay()
    assert other.state.step == one.state.step
    assert torch.equal(other.state.clock, one.state.clock)
    for name, tensor in one.state.weights().items():
        assert torch.equal(other.state.weights()[name], tensor), name
    for (
        name,
        tensor,
    ) in one.state.average.items():  # a weight on the device is rounded to float32, one of the host is not
        torch.testing.assert_close(other.state.average[name], tensor, rtol=1e-5, atol=1e-6)


def test_a_run_by_replays_logs_and_keeps_what_one_by_cycles_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replays = []
    monkeypatch.setattr(capture, "obstacle", lambda cycle: "")
    monkeypatch.setattr(
        Capture, "replay", lambda self, run=Capture.replay: (replays.append(self.cycle.state.step), run(self))
    )
    loops = {}
    for name in ("cycles", "replays"):
        loops[name] = vae_loop(folder=tmp_path / name, capture=name == "replays", log_every=14)
        torch.manual_seed(2)
        assert loops[name].run().state == "finished"
    assert replays == [3, 14, 28]  # warm-up, and what is left before a window's end, go one by one
    lines = [[line.terms for line in RunFolder(tmp_path / name).metrics()] for name in loops]
    assert lines[0] == lines[1]
    for name, tensor in loops["cycles"].state.weights().items():
        assert torch.equal(loops["replays"].state.weights()[name], tensor), name


def test_where_it_cannot_be_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    loop = duel_loop(None, capture=True)
    monkeypatch.setattr(loop.progress, "note", notes.append)
    assert loop.run().state == "finished"
    assert notes == ["not captured, for graphs are for CUDA devices: training goes on step by step"]

    def fails(self: Capture) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(capture, "obstacle", lambda cycle: "")
    monkeypatch.setattr(Capture, "__init__", lambda self, cycle, stream: fails(self))
    with pytest.raises(ConfigError, match=r"cannot be captured \(operation not permitted when.*--capture"):
        duel_loop(None, capture=True).run()


def test_a_callback_is_run_between_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "obstacle", lambda cycle: "")
    seen = []
    weights = {}
    for captured in (False, True):
        loop = vae_loop(capture=captured)
        loop.callbacks = (CallAt(24, lambda model, x: seen.append(len(x))),)
        torch.manual_seed(2)
        loop.run()
        weights[captured] = loop.state.weights()
    assert seen == [64, 64]
    assert all(torch.equal(weights[True][name], weights[False][name]) for name in weights[True])
