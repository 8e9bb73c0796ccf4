"""The step as one function: its trace has the bits of the step as it is, for every family; compiled it rounds otherwise."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch._inductor
from toys import Adversarial, Duel, as_traced, digits, duel_loop, family_loop

import reparam
from reparam.core.batch import Batch
from reparam.errors import ConfigError
from reparam.models import MODELS
from reparam.objectives import Player, Term, Terms
from reparam.training import Loop
from reparam.training.capture import CYCLES, Capture
from reparam.training.compiled import Compiled
from reparam.training.step import Step


def train(loop: Loop, cycles: int = 3) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    for _ in range(cycles):
        loop.cycle()
    return {"logged": loop.state.players[0].history, **loop.state.weights()}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in MODELS),
        *((name, {"task": task}) for name, task in (("cvae", "labelled"), ("hybrid", "boxes"), ("nn", "half"))),
        ("cvae", {"network": "residual", "width": 8, "task": "labelled", "shape": (1, 28, 28)}),
        ("vae", {"accumulate": 2, "clip": 1.0, "binarise": "dynamic"}),
        ("vae", {"k": 3, "gradient": "path"}),  # a hook on a gradient
        ("vae", {"precision": "bfloat16"}),
        ("gmvae", {"prior": "vamp"}),
        # Gradients of gradients, running means.
        ("gan", {"network": "dcgan", "width": 4, "r1": 1.0, "shape": (1, 28, 28)}),
        ("gan", {"network": "dcgan", "width": 4, "normalise": "spectral", "shape": (1, 28, 28)}),
    ],
)
def test_the_trace_of_a_step_has_its_bits(name: str, options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._inductor, "compile", as_traced)
    plain, traced = (train(family_loop(name, compile=compiled, **options)) for compiled in (False, True))
    for key, value in plain.items():
        assert torch.equal(traced[key], value), key
        assert traced[key].stride() == value.stride(), key


def test_replays_of_compiled_steps_have_the_bits_of_their_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._inductor, "compile", as_traced)
    one, other = (family_loop("gmvae", compile=True, keep="ema") for _ in range(2))
    expected = train(one, 3 + CYCLES)
    train(other, 3)  # what optimisers keep is made in the first step
    Capture(other.cycle).replay()
    for key, value in expected.items():
        assert torch.equal({"logged": other.state.players[0].history, **other.state.weights()}[key], value), key


def test_compiled_training_differs_by_rounding() -> None:
    """After one step of plain descent at learning rate 1, weights differ as their gradients do: sums of 64 pixels' terms, then of
    16 images', each rounded by at most half of 2^-23 of a sum below 64 (what is logged) or 1 (a gradient)."""
    options = {"optimiser": "sgd", "momentum": 0.0, "learning_rate": 1.0, "gradient": "analytic"}
    plain, compiled = (train(family_loop("vae", compile=which, **options), cycles=1) for which in (False, True))
    for key, value in plain.items():
        largest = 64 if key == "logged" else 1
        error = (compiled[key] - value).abs().max()
        assert error <= (64 + 16) * 2**-24 * largest, f"{key}: {error:.2g}"


def test_another_form_of_batch_is_another_function(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(torch._inductor, "compile", lambda graph, inputs, options: (made.append(1), graph)[1])
    torch.manual_seed(0)
    duel, objective = Duel(), Adversarial(noise=False)
    step = Step(duel, objective, objective.players[0])
    compiled = Compiled(step, list(duel.critic.parameters()))
    for count in (4, 6, 4):
        batch = Batch(digits().take(torch.arange(count)).pixels / 255, None, torch.zeros(count), torch.arange(count))
        duel.zero_grad()
        means = compiled(batch, torch.tensor(0))
        found = [parameter.grad for parameter in duel.critic.parameters()]
        duel.zero_grad()
        total, expected = step(batch, torch.tensor(0))
        total.backward()
        assert torch.equal(means, expected)
        for parameter, gradient in zip(duel.critic.parameters(), found, strict=True):
            assert torch.equal(gradient, parameter.grad)
    assert len(made) == 2
    # The critic's loss does not reach the maker.
    assert all(parameter.grad is None for parameter in duel.maker.parameters())


class Summed(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.critic = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(64)) for _ in range(2)])


class OfTheSum(Adversarial):
    """Two parameters with one gradient."""

    players = (Player("critic", ("critic",)),)

    def __call__(self, player: str, model: Any, batch: Batch, step: Any, generator: Any = None) -> Terms:
        return Terms(batch.x.flatten(1) @ (model.critic[0] + model.critic[1]), {})


def test_parameters_of_one_gradient_have_each_their_own() -> None:
    objective = OfTheSum()
    batch = Batch(digits().take(torch.arange(4)).pixels / 255, None, torch.zeros(4), torch.arange(4))
    model = Summed()
    compiled = Compiled(Step(model, objective, objective.players[0]), list(model.critic))
    for times in (1, 2):  # as of parts of a batch, which are added up
        compiled(batch, torch.tensor(0))
        for parameter in model.critic:
            # A mean of four numbers, in whatever order.
            torch.testing.assert_close(parameter.grad, times * batch.x.flatten(1).mean(0), rtol=4 * 2**-24, atol=0)


class Forgetful(Adversarial):
    """Counts its steps in a buffer that is another one each time."""

    def __call__(self, player: str, model: Any, batch: Batch, step: Any, generator: Any = None) -> Terms:
        model.count = model.count + 1
        return super().__call__(player, model, batch, step, generator)


def test_a_buffer_that_is_not_changed_in_place_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toys.Adversarial", Forgetful)
    loop = duel_loop(None, compile=True)
    loop.state.model.register_buffer("count", torch.zeros(()))
    for player in loop.state.players:
        player.compiled = Compiled(player.step, player.own)
    with pytest.raises(ConfigError, match=r"assigns 'count' anew.*in place, or leave --compile out"):
        loop.cycle()


class Curious(Adversarial):
    """Asks for a number."""

    def __call__(self, player: str, model: Any, batch: Batch, step: Any, generator: Any = None) -> Terms:
        total = model.critic(batch.x.flatten(1))[:, 0]
        return Terms(total * float(total.detach().mean()), {"critic": Term(total, "logit")})


class Counting(Adversarial):
    """Counts its steps itself."""

    steps = 0

    def __call__(self, player: str, model: Any, batch: Batch, step: Any, generator: Any = None) -> Terms:
        self.steps += 1
        return super().__call__(player, model, batch, step, generator)


class Remembering(Adversarial):
    """Learns in a tensor that is no buffer."""

    def __init__(self, noise: bool) -> None:
        super().__init__(noise)
        self.mean = torch.zeros(())

    def __call__(self, player: str, model: Any, batch: Batch, step: Any, generator: Any = None) -> Terms:
        self.mean.lerp_(batch.x.mean(), 0.1)
        return super().__call__(player, model, batch, step, generator)


class Mistaken(Adversarial):
    """Fails under any circumstances."""

    def __call__(self, player: str, model: Any, batch: Batch, step: Any, generator: Any = None) -> Terms:
        raise ValueError("of another shape")


@pytest.mark.parametrize(
    ("objective", "why"),
    [
        (Curious, r"test_training_compiled\.py, line \d+, needs values"),
        (Counting, r"changes 'objective\.steps'"),
        (Remembering, r"changes 'objective\.mean'"),
    ],
)
def test_what_cannot_be_compiled_is_an_error_with_the_place(
    objective: type, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toys.Adversarial", objective)
    with pytest.raises(ConfigError, match=why + ".*leave --compile out"):
        duel_loop(None, compile=True).cycle()


def test_an_ordinary_mistake_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toys.Adversarial", Mistaken)
    with pytest.raises(ValueError, match="of another shape"):
        duel_loop(None, compile=True).cycle()


def test_without_a_compiler_or_a_folder_for_its_code_nothing_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (
        torch._inductor.config.patch({"cpp.cxx": (None, "/no/compiler")}),
        pytest.raises(ConfigError, match=r"/no/compiler.*install a C\+\+ compiler, or leave --compile out"),
    ):
        train_it(tmp_path / "one")
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(ConfigError, match=r"file.*cannot be made.*TORCHINDUCTOR_CACHE_DIR"):
        train_it(tmp_path / "two")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def train_it(out: Path) -> None:
    reparam.train("vae", data="digits", hidden=(4,), latent=2, epochs=0.1, compile=True, out=out)


def test_a_failure_of_the_compiler_is_an_error_that_leaves_no_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("an instruction\nthat is long")

    monkeypatch.setattr(torch._inductor, "compile", fails)
    with pytest.raises(ConfigError, match=r"\(RuntimeError: an instruction\)"):
        train_it(tmp_path / "run")
    assert not list(tmp_path.iterdir()), "the way is free for the same folder without --compile"
