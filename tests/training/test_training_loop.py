"""The loop: order of images, schedules, latching, accumulation, averages, what is kept, and the contract for capture."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from toys import CallAt, digits, duel_loop

from reparam.core.batch import Batch
from reparam.data import Images
from reparam.data.tasks import TaskOptions
from reparam.errors import ConfigError
from reparam.models import Schedule, Spec
from reparam.objectives import Objective, Player, Term, Terms
from reparam.run.config import TrainingOptions, resolve
from reparam.run.folder import RunFolder
from reparam.tensor_files import read_tensors
from reparam.training import DataOrder, DivergedError, Loop
from reparam.training.optimisers import learning_rate

CPU = torch.device("cpu")


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))


class Quadratic(Objective):
    """total = (w - mean pixel)^2 summed; `poison` makes a term infinite from a step on."""

    def __init__(self, poison: int | None = None) -> None:
        self.poison = poison

    def __call__(self, player: str, model: Plain, batch: Batch, step: torch.Tensor, generator: object = None) -> Terms:
        error = (model.weight - batch.x.flatten(1)[:, :3]).square().sum(1)
        extra = torch.zeros_like(error)
        if self.poison is not None:
            extra = torch.where(step >= self.poison, torch.inf, extra)
        return Terms(error + extra, {"error": Term(error, "squared"), "extra": Term(extra, "squared")})


def loop_of(objective: Objective, split: Images | None = None, folder: Path | None = None, **options: object) -> Loop:
    settings = {"epochs": 2, "batch_size": 8, "keep": "last", "pictures": 0, "log_every": 4, "schedule": "constant"}
    training = TrainingOptions(**{**settings, **options})
    where = RunFolder(folder) if folder else None
    return Loop(Plain(), objective, split or digits(), TaskOptions(), training, CPU, folder=where)


def test_every_epoch_of_the_order_is_another_permutation() -> None:
    order = DataOrder(10, seed=1, device=CPU)
    epochs = [order(10 * epoch, 10).tolist() for epoch in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert order(7, 6).tolist() == epochs[0][7:] + epochs[1][:3]
    assert DataOrder(10, seed=1, device=CPU)(23, 4).tolist() == epochs[2][3:7]
    assert DataOrder(10, seed=2, device=CPU)(0, 10).tolist() != epochs[0]
    assert DataOrder(3, seed=0, device=CPU)(0, 12).tolist().count(0) == 4


def test_learning_rate_warms_up_and_ends_at_zero() -> None:
    options = TrainingOptions(learning_rate=1.0, warmup=1.0, schedule="cosine")
    rates = [learning_rate(step, 100, 10, options) for step in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert all(a > b for a, b in zip(rates[10:], rates[11:], strict=False))
    assert rates[-1] < 1e-3
    constant = TrainingOptions(learning_rate=0.3, schedule="constant")
    assert learning_rate(99, 100, 10, constant) == 0.3


def test_a_step_is_adams() -> None:
    """One step against torch's own plain Adam on the same batch."""
    loop = loop_of(Quadratic(), learning_rate=0.01)
    reference = Plain()
    optimiser = torch.optim.Adam(reference.parameters(), lr=0.01, foreach=False, fused=False)
    for step in range(3):
        x = loop.split.images[loop.cycle.order(8 * step, 8)].float() / 255
        optimiser.zero_grad()
        (reference.weight - x.flatten(1)[:, :3]).square().sum(1).mean().backward()
        optimiser.step()
        loop.cycle()
        # The fused kernel orders its operations differently: a few units in the last place of numbers near one.
        torch.testing.assert_close(loop.state.model.weight, reference.weight, rtol=1e-6, atol=1e-6)


def test_accumulated_parts_take_the_whole_batchs_step() -> None:
    whole, parts = loop_of(Quadratic()), loop_of(Quadratic(), accumulate=4)
    for _ in range(3):
        whole.cycle()
        parts.cycle()
    torch.testing.assert_close(whole.state.model.weight, parts.state.model.weight, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        whole.state.players[0].history[:3], parts.state.players[0].history[:3], rtol=1e-5, atol=1e-6
    )


def test_clipping_bounds_the_gradient_that_adam_sees() -> None:
    loop = loop_of(Quadratic(), clip=1e-3)
    loop.cycle()
    first_moment = loop.state.players[0].optimiser.state_dict()["state"][0]["exp_avg"]
    assert float(first_moment.norm()) == pytest.approx(0.1 * 1e-3, rel=1e-4)


def test_average_of_weights_is_the_exponential_one() -> None:
    loop = loop_of(Quadratic(), keep="ema", ema=0.5, learning_rate=0.1)
    expected = loop.state.model.weight.detach().clone()
    for step in range(5):
        loop.cycle()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * loop.state.model.weight.detach()
    torch.testing.assert_close(loop.state.average["weight"], expected)


@pytest.mark.parametrize("poison", [0, 5, 15])
def test_the_first_bad_term_and_its_step_are_named_and_the_checkpoint_is_good(poison: int, tmp_path: Path) -> None:
    loop = loop_of(Quadratic(poison), folder=tmp_path / "run", checkpoint_seconds=0.0)
    with pytest.raises(DivergedError, match=rf"'extra'|extra of player 'model' became inf at step {poison} "):
        loop.run()
    assert RunFolder(tmp_path / "run").status().state == "diverged"
    if poison > 4:
        again = loop_of(Quadratic(), folder=tmp_path / "run")
        again.restore()
        assert again.state.step == poison // 4 * 4
        assert again.state.model.weight.isfinite().all()


def test_players_own_parameters_alone_move() -> None:
    loop = duel_loop(None)
    critic, maker = loop.state.players
    before = {name: value.clone() for name, value in loop.state.weights().items()}
    critic.freeze_others()
    critic.optimiser.param_groups[0]["lr"].fill_(0.1)
    loop.cycle.player_step(critic, iter([(torch.arange(8), loop.split.take(torch.arange(8)))]))
    for name, value in loop.state.weights().items():
        assert torch.equal(value, before[name]) == name.startswith("maker"), name
    assert critic.step.names == ("total", "reads_real")
    loop.cycle()
    assert [critic.steps_per_cycle, maker.steps_per_cycle] == [2, 1]


def test_two_players_get_fresh_batches_and_an_epoch_counts_all_of_them() -> None:
    loop = duel_loop(None)
    seen: list[list[int]] = []
    order = loop.cycle.order
    loop.cycle.order = lambda position, count: seen.append([position, count]) or order(position, count)  # type: ignore[assignment, func-returns-value]
    loop.cycle()
    assert seen == [[0, 8], [8, 8], [16, 8]]
    assert loop.steps_per_epoch == pytest.approx(64 / 24)


def test_metrics_are_the_means_of_their_window(tmp_path: Path) -> None:
    loop = loop_of(Quadratic(), folder=tmp_path / "run", log_every=4)
    other = loop_of(Quadratic(), log_every=1)
    loop.run()
    totals = []
    for _ in range(other.steps):
        other.cycle()
        totals.append(float(other.state.players[0].recall(1)[0, 0]))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8, 12, 16]
    for number, line in enumerate(lines):
        assert line["terms"]["total"] == pytest.approx(sum(totals[4 * number :][:4]) / 4, rel=1e-5)
    assert set(lines[0]["terms"]) == {"total", "error", "extra"}


def test_best_weights_are_those_of_the_lowest_validation_and_patience_stops(tmp_path: Path) -> None:
    values = iter([3.0, 1.0, 2.0, 4.0, 0.0])
    options = TrainingOptions(epochs=5, batch_size=8, keep="best", patience=2, pictures=0, checkpoint_seconds=0.0)
    kept = {}

    def validate(model: nn.Module) -> dict[str, float]:
        value = next(values)
        kept[value] = model.weight.detach().clone()
        return {"total": value}

    folder = RunFolder(tmp_path / "run")
    outcome = Loop(Plain(), Quadratic(), digits(), TaskOptions(), options, CPU, folder=folder, validate=validate).run()
    assert outcome.state == "stopped early"
    assert outcome.best == 1.0
    assert outcome.epoch == 4.0
    tensors, facts = folder.weights()
    assert torch.equal(tensors["weight"], kept[1.0])
    assert facts.kept == "best"
    assert facts.epoch == 2.0


@pytest.mark.parametrize("length", [10, 1])
def test_pictures_come_first_last_and_ever_further_apart(length: int) -> None:
    loop = loop_of(Quadratic(), epochs=length, pictures=5)
    epochs: list[float] = []
    loop.draw = lambda model, epoch: epochs.append(epoch)
    loop.run()
    assert epochs[0] == 0
    assert epochs[-1] == length
    gaps = [b - a for a, b in zip(epochs, epochs[1:], strict=False)]
    assert gaps == sorted(gaps)


def test_keep_best_without_validation_is_refused() -> None:
    with pytest.raises(ConfigError, match="keep 'best' needs a validation loss"):
        loop_of(Quadratic(), keep="best")
    with pytest.raises(ConfigError, match="patience needs a validation loss"):
        loop_of(Quadratic(), keep="last", patience=3)


class _NoSynchronisation(TorchDispatchMode):
    """Fails on every operation whose result the host has to wait for, or whose shape depends on data."""

    FORBIDDEN = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal", "is_nonzero")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in self.FORBIDDEN, f"{name} synchronises with the host"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vae", {}),
        ("vae", {"k": 3}),
        ("vae", {"free_bits": 0.1, "beta_warmup": 1.0}),
        ("vae", {"binarise": "dynamic"}),
        ("vae", {"precision": "bfloat16"}),
        ("gmvae", {"components": 3}),
        ("gmvae", {"prior": "vamp", "components": 3, "kl": "monte-carlo"}),
        ("gan", {"network": "mlp", "r1": 1.0, "discriminator_steps": 2}),
        ("gan", {"network": "dcgan", "width": 4, "loss": "hinge", "normalise": "spectral", "optimiser": "sgd"}),
        ("vaegan", {"network": "mlp", "discriminator_widths": (4, 4)}),
    ],
)
def test_a_cycle_never_waits_for_the_device(name: str, options: dict) -> None:
    hidden = {"hidden": (16,)} if options.get("network", "mlp") == "mlp" else {}
    options = {**hidden, "latent": 2, "batch_size": 8, "keep": "ema", "pictures": 0, "clip": 1.0, **options}
    config = resolve(name, **options)
    model = config.family.build(config.options, Spec((1, 8, 8)))
    loop = Loop(
        model, config.family.objective(config.options, Schedule(8, 80)), digits(), config.task, config.training, CPU
    )
    loop.cycle()  # optimiser state is made in the first step
    with _NoSynchronisation():
        loop.cycle()


def test_two_players_cycle_never_waits_for_the_device() -> None:
    loop = duel_loop(None, keep="ema")
    loop.cycle()
    with _NoSynchronisation():
        loop.cycle()


def test_bfloat16_products_keep_float32_weights_and_losses() -> None:
    config = resolve("vae", hidden=(16,), latent=2, batch_size=8, keep="last", pictures=0, precision="bfloat16")
    model = config.family.build(config.options, Spec((1, 8, 8)))
    loop = Loop(
        model, config.family.objective(config.options, Schedule(8, 80)), digits(), config.task, config.training, CPU
    )
    loop.run()
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert loop.state.players[0].history.dtype == torch.float32
    assert math.isfinite(float(loop.state.players[0].history.sum()))


def batches_of(task: TaskOptions, epochs: float) -> tuple[list[Batch], torch.Tensor]:
    """What the objective of a training is given, and the images in their places."""
    seen: list[Batch] = []

    class Watch(Quadratic):
        def __call__(self, player: str, model: Plain, batch: Batch, *rest: Any, **others: Any) -> Terms:
            seen.append(batch)
            return super().__call__(player, model, batch, *rest, **others)

    options = TrainingOptions(batch_size=8, keep="last", pictures=0, epochs=epochs)
    loop = Loop(Plain(), Watch(), digits(), task, options, CPU)
    loop.run()
    return seen, loop.split.images / 255


@pytest.mark.parametrize("flip", [False, True])
def test_training_images_are_mirrored_where_that_is_asked_for(flip: bool) -> None:
    seen, stored = batches_of(TaskOptions(flip=flip), epochs=4)
    mirrored = [
        bool((x == stored[i].flip(-1)).all())
        for batch in seen
        for x, i in zip(batch.x, batch.index, strict=True)
        if not (x == stored[i]).all()
    ]
    assert all(mirrored)
    assert bool(mirrored) == flip


@pytest.mark.parametrize("epochs", [4, 5])
def test_training_images_are_moved_where_they_are_seen_often(epochs: int) -> None:
    seen, stored = batches_of(TaskOptions(moves=0.3), epochs)
    moved = [(batch.x - stored[batch.index]).abs().amax((1, 2, 3)) > 1e-3 for batch in seen]
    assert bool(torch.cat(moved).all()) == (epochs == 5)
    apart = torch.cat([(batch.x - stored[batch.index]).flatten(1).norm(dim=1) for batch in seen])
    others = (stored.roll(1, 0) - stored).flatten(1).norm(dim=1)
    assert apart.mean() < others.mean() / 2  # still the same image


class Poison(Objective):
    """A finite loss with a NaN gradient from a step on: sqrt(0) has value 0 and slope infinity, times 0."""

    def __init__(self, after: int) -> None:
        self.after = after

    def __call__(self, player: str, model: Plain, batch: Batch, step: torch.Tensor, generator: object = None) -> Terms:
        late = (step >= self.after).float()
        error = (model.weight - batch.x.flatten(1)[:, :3]).square().sum(1)
        return Terms(error + late * (model.weight * 0).square().sum().sqrt(), {"error": Term(error, "squared")})


@pytest.mark.parametrize("after", [2, 14, 15])
def test_weights_that_are_not_finite_are_never_written(after: int, tmp_path: Path) -> None:
    """At 15 only the very last step is poisoned: no later loss would show it."""
    loop = loop_of(Poison(after), folder=tmp_path / "run", checkpoint_seconds=0.0)
    with pytest.raises(DivergedError, match=r"'error' of|'weight' is not finite|became nan"):
        loop.run()
    for path in (tmp_path / "run").glob("*.safetensors"):
        assert all(tensor.isfinite().all() for tensor in read_tensors(path)[0].values() if tensor.is_floating_point())


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"total": math.nan}, "the validation loss is nan"),
        ({"total": math.inf, "kl": math.inf}, "kl of validation is inf"),
        ({"total": 1.0, "guess": math.nan}, "guess of validation is nan"),
    ],
)
def test_a_validation_that_is_not_finite_ends_training_and_is_not_logged(
    terms: dict[str, float], words: str, tmp_path: Path
) -> None:
    options = TrainingOptions(epochs=2, batch_size=8, keep="best", pictures=0)
    folder = RunFolder(tmp_path / "run")
    loop = Loop(Plain(), Quadratic(), digits(), TaskOptions(), options, CPU, folder=folder, validate=lambda _: terms)
    with pytest.raises(DivergedError, match=words):
        loop.run()
    text = folder.metrics_path.read_text()
    assert text
    assert "NaN" not in text
    assert "Infinity" not in text


def test_what_a_model_has_frozen_stays_frozen_and_resumes(tmp_path: Path) -> None:
    class Half(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.fixed = nn.Parameter(torch.ones(2), requires_grad=False)
            self.unused = nn.Parameter(torch.ones(2))

    def make() -> Loop:
        options = TrainingOptions(epochs=2, batch_size=8, keep="last", pictures=0, checkpoint_seconds=0.0)
        return Loop(Half(), Quadratic(), digits(), TaskOptions(), options, CPU, folder=RunFolder(tmp_path / "run"))

    make().run()
    again = make()
    again.restore()
    assert again.state.step == again.steps
    assert not again.state.model.fixed.requires_grad
    assert torch.equal(again.state.model.fixed, torch.ones(2))
    assert not torch.equal(again.state.model.weight, torch.ones(3))


def test_a_player_that_owns_everything_trains_everything_beside_another() -> None:
    class Two(Objective):
        players = (Player("all"), Player("part", ("part",)))

        def __call__(
            self, player: str, model: Any, batch: Batch, step: torch.Tensor, generator: object = None
        ) -> Terms:
            total = (model.part.weight - 2).square().sum() + (model.weight - batch.x.flatten(1)[:, :3]).square().sum(1)
            return Terms(total, {})

    model = Plain()
    model.part = Plain()
    options = TrainingOptions(batch_size=8, keep="last", pictures=0, learning_rate=0.1, warmup=0.0)
    loop = Loop(model, Two(), digits(), TaskOptions(), options, CPU)
    for _ in range(2):
        before = model.weight.detach().clone()
        loop.cycle()
        assert not torch.equal(model.weight, before)


def test_metrics_shorter_than_the_checkpoint_knew_are_kept_to_their_last_line(tmp_path: Path) -> None:
    """As after a power cut: the checkpoint is synced, and the last lines never reached the disk."""
    duel_loop(tmp_path / "run").run()
    path = RunFolder(tmp_path / "run").metrics_path
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    again = duel_loop(tmp_path / "run")
    again.restore()
    again.run()
    assert path.read_bytes() == whole[: whole[: len(whole) // 2].rfind(b"\n") + 1]
    assert RunFolder(tmp_path / "run").metrics()


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_as_many_pictures_are_drawn_as_asked_for(count: int) -> None:
    loop = loop_of(Quadratic(), epochs=40, pictures=count)
    epochs: list[float] = []
    loop.draw = lambda model, epoch: epochs.append(epoch)
    loop.run()
    assert len(epochs) == count
    assert epochs[-1] == 40


def test_before_a_callback_no_weights_are_chosen_and_nobody_loses_patience(tmp_path: Path) -> None:
    """What is validated is the loss of the end, which is not minimised until then."""
    values = iter([1.0, 2.0, 3.0, 5.0, 4.0, 6.0])
    options = TrainingOptions(epochs=6, batch_size=8, keep="best", patience=2, pictures=0)
    seen = []

    def act(model: nn.Module, x: torch.Tensor) -> None:
        seen.append(tuple(x.shape))
        model.weight.data.fill_(0.5)

    callback = CallAt(3 * len(digits()) // 8, act)
    folder = RunFolder(tmp_path / "run")
    outcome = Loop(
        Plain(), Quadratic(), digits(), TaskOptions(), options, CPU, folder=folder,
        validate=lambda model: {"total": next(values)}, callbacks=(callback,),
    ).run()  # fmt: skip
    assert seen == [(len(digits()), 1, 8, 8)]
    assert outcome.best == 4.0
    assert outcome.state == "finished"
    assert folder.weights()[1].epoch == 5.0


def test_weights_that_are_not_finite_never_reach_a_callback() -> None:
    def spoil(model: nn.Module, x: torch.Tensor) -> None:
        raise AssertionError("it was asked to act on weights that are not finite")

    loop = loop_of(Quadratic(), epochs=2, pictures=3, log_every=1000)
    loop.callbacks = (CallAt(3, spoil),)
    loop.draw = lambda model, epoch: model.weight.data.fill_(math.nan) if epoch == 0 else None
    with pytest.raises(DivergedError):
        loop.run()


def test_the_first_picture_is_of_what_the_callback_at_the_start_made() -> None:
    loop = loop_of(Quadratic(), epochs=1, pictures=2)
    loop.callbacks = (CallAt(0, lambda model, x: model.weight.data.fill_(0.25)),)
    drawn: list[list[float]] = []
    loop.draw = lambda model, epoch: drawn.append(model.weight.tolist())
    loop.run()
    assert drawn[0] == [0.25] * 3
