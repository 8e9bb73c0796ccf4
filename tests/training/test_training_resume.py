"""Resume is bit for bit what an uninterrupted run is: killed at any moment, with one player and with two."""

import multiprocessing
import random
import signal
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import digits, duel_loop

from reparam.models import Schedule, Spec
from reparam.run.config import resolve
from reparam.run.folder import RunFolder
from reparam.tensor_files import read_tensors
from reparam.training import Loop
from reparam.training.interruption import InterruptListener

KILLS, MOST_KILLS = 20, 200  # so many, and more until one falls into the writing of a checkpoint


def vae_loop(folder: Path | None) -> Loop:
    config = resolve(
        "vae", hidden=(64,), latent=3, epochs=12, batch_size=16, beta_warmup=2.0, binarise="dynamic", clip=5.0, keep="best",
        pictures=0, log_every=1, checkpoint_seconds=0.0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = config.family.build(config.options, Spec((1, 8, 8)))
    objective = config.family.objective(config.options, Schedule(4, 48))

    def validate(model: torch.nn.Module) -> dict[str, float]:
        return {"total": float(sum(p.square().sum() for p in model.parameters()))}

    return Loop(
        model, objective, digits(), config.task, config.training, torch.device("cpu"),
        folder=RunFolder(folder) if folder else None, validate=validate,
    )  # fmt: skip


def averaged_loop(folder: Path | None) -> Loop:
    return duel_loop(folder, keep="ema", epochs=8)


def _train(make: Callable[[Path], Loop], folder: Path) -> None:
    torch.set_num_threads(1)
    loop = make(folder)
    loop.restore()
    loop.run()


@pytest.mark.parametrize("make", [vae_loop, averaged_loop], ids=["one player", "two players"])
def test_killed_at_random_moments_it_ends_with_the_same_bits(make: Callable[[Path], Loop], tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    began = time.monotonic()
    _train(make, whole)
    duration = time.monotonic() - began
    expected, facts = read_tensors(RunFolder(whole).checkpoint_path)

    context = multiprocessing.get_context("fork")
    clock = random.Random(0)
    kills, rounds, in_writing = 0, 0, 0

    def enough() -> bool:
        return kills >= (KILLS if in_writing else MOST_KILLS)

    while not enough():
        folder = tmp_path / f"cut-{rounds}"
        rounds += 1
        finished = False
        while not finished:
            child = context.Process(target=_train, args=(make, folder))
            child.start()
            # Every checkpoint is a step here, so most of these moments fall into the writing of one.
            child.join(None if enough() else clock.uniform(0.0, duration / 3))
            if child.is_alive():
                child.kill()
                child.join()
                kills += 1
                in_writing += any(path.name.startswith(".") for path in folder.glob(".*"))
            else:
                assert child.exitcode == 0
                finished = True
        found, found_facts = read_tensors(RunFolder(folder).checkpoint_path)
        assert found.keys() == expected.keys()
        for name in expected:
            assert torch.equal(found[name], expected[name]), name
        assert found_facts["best"] == facts["best"]
        kept, expected_kept = RunFolder(folder).weights(), RunFolder(whole).weights()
        assert kept[1] == expected_kept[1]
        assert all(torch.equal(kept[0][name], expected_kept[0][name]) for name in expected_kept[0])
        losses = [line.terms for line in RunFolder(folder).metrics()]
        assert losses == [line.terms for line in RunFolder(whole).metrics()]
    assert in_writing > 0, "no kill fell into the writing of a checkpoint: the test proves less than it says"


def test_a_second_signal_stops_it_at_once_and_is_told_apart_from_a_kill(tmp_path: Path) -> None:
    def strike(model: torch.nn.Module, epoch: float) -> None:
        if epoch > 2:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    loop = duel_loop(tmp_path, pictures=5, checkpoint_seconds=0, log_every=7)
    loop.draw = strike
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    assert RunFolder(tmp_path).status().state == "interrupted"
    again = duel_loop(tmp_path, checkpoint_seconds=1e9, log_every=7)
    again.restore()
    assert 0 < again.state.step < loop.state.step, "it stopped behind a checkpoint"
    assert again.run().state == "finished"


def test_a_second_signal_in_a_finaliser_is_no_noise_and_is_not_lost(capsys: pytest.CaptureFixture) -> None:
    """An exception there would be printed and lost: reading processes are ended by one. It comes a little later."""

    class Ending:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    # As importlib drops the lock of a module: Python prints what a callback of a weak reference raises, too.
    made: dict[str, Any] = {"signal": signal}
    exec(compile("def cb(_): signal.raise_signal(signal.SIGINT)", "<frozen importlib._bootstrap>", "exec"), made)
    ending = Ending()
    reference = weakref.ref(ending, made["cb"])
    with InterruptListener(lambda text: None) as listener:
        signal.raise_signal(signal.SIGINT)
        del ending
        assert reference() is None
        assert listener.asked
        with pytest.raises(KeyboardInterrupt):
            time.sleep(10)
    assert "Exception ignored" not in capsys.readouterr().err


def test_interrupted_by_a_signal_it_writes_a_checkpoint_and_continues(tmp_path: Path) -> None:
    def strike(model: torch.nn.Module, epoch: float) -> None:
        if 2 < epoch < 6:
            signal.raise_signal(signal.SIGINT)

    loop = duel_loop(tmp_path / "cut", pictures=5, checkpoint_seconds=1e9, log_every=7)
    loop.draw = strike
    before = signal.getsignal(signal.SIGINT)
    outcome = loop.run()
    assert outcome.state == "interrupted"
    assert 0 < outcome.step < loop.steps
    assert signal.getsignal(signal.SIGINT) is before
    assert RunFolder(tmp_path / "cut").status().state == "interrupted"
    again = duel_loop(tmp_path / "cut", checkpoint_seconds=1e9, log_every=7)
    again.restore()
    assert again.state.step == outcome.step
    assert again.run().state == "finished"
    whole = duel_loop(None, checkpoint_seconds=1e9, log_every=7)
    whole.run()
    for name, tensor in whole.state.weights().items():
        assert torch.equal(tensor, again.state.weights()[name]), name


def _clusters(place_at: int) -> dict:
    options = {"components": 3, "agreement": 5.0, "place_after": place_at / 4, "keep": "ema"}
    return {"model": "gmvae", "hidden": (16,), **options}


@pytest.mark.parametrize(
    "options",
    [
        {"recipe": "document", "hidden": (16,), "keep": "ema"},
        {"recipe": "document", "hidden": (16,), "momentum": 0.0},
        {"recipe": "hinge", "width": 4, "discriminator_steps": 2},
        {"recipe": "default", "width": 4},
        {"model": "vaegan", "network": "mlp", "hidden": (16,), "discriminator_widths": (4, 4), "adversarial_from": 0.5},
        _clusters(3),
        _clusters(4),
        _clusters(6),
        {**_clusters(3), "neighbours": 3},
    ],
    ids=[
        "momentum",
        "without momentum",
        "batch and spectral norms",
        "convolutions under Adam",
        "a decoder that is judged",
        "placed before",
        "placed just then",
        "placed after",
        "copies of neighbours",
    ],
)
def test_others_go_on_with_the_same_bits(options: dict, tmp_path: Path) -> None:
    options = {"model": "gan", "recipe": None, **options}
    config = resolve(
        options.pop("model"), options.pop("recipe"), latent=3, batch_size=16, log_every=1, epochs=20, **options
    )

    def loop(folder: str) -> Loop:
        torch.manual_seed(0)
        schedule = Schedule(4, 80)
        model = config.family.build(config.options, Spec((1, 8, 8)))
        objective = config.family.objective(config.options, schedule)
        callbacks = config.family.callbacks(config.options, schedule)
        where, device = RunFolder(tmp_path / folder), torch.device("cpu")
        return Loop(model, objective, digits(), config.task, config.training, device, folder=where, callbacks=callbacks)

    def run(loop: Loop, cycles: int) -> None:
        loop._start_clocks()
        for _ in range(cycles):
            loop._run_callbacks()
            loop.cycle()
            loop._log()
        loop.save()

    whole = loop("whole")
    run(whole, 9)
    run(loop("cut"), 4)
    torch.randn(7)  # whatever else the process draws
    continued = loop("cut")
    continued.restore()
    run(continued, 5)
    expected, _ = read_tensors(RunFolder(tmp_path / "whole").checkpoint_path)
    found, _ = read_tensors(RunFolder(tmp_path / "cut").checkpoint_path)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    if config.model == "gan":
        assert any(name.startswith("optimiser.discriminator") for name in expected) == bool(config.training.momentum)
    elif config.model == "gmvae":  # placed: no longer where it began
        assert not torch.equal(expected["model.prior.loc"], loop("new").state.weights()["prior.loc"])
