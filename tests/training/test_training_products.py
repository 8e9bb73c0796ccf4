"""The library that multiplies: chosen once, only if it is faster and exact, and the same in all that is done with a run."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from toys import as_traced, family_loop

import reparam
from reparam.errors import ConfigError
from reparam.networks.products import OneDNNLinear, has_onednn, multiply, use_onednn
from reparam.progress import silent
from reparam.run.folder import RunFolder
from reparam.training import products

pytestmark = pytest.mark.skipif(not has_onednn(), reason="this torch has no oneDNN")

MODEL = nn.Sequential(nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 20))
STEPS = 1000


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REPARAM_CACHE", str(tmp_path / "cache"))


def timed(monkeypatch: pytest.MonkeyPatch, own: float, others: float) -> list[int]:
    """Seconds that products seem to take; returns the rows that were asked for."""
    asked: list[int] = []

    def seconds(operands: products.Operands) -> tuple[float, float]:
        asked.append(len(operands[0]))
        return own, others

    monkeypatch.setattr(products, "_seconds", seconds)
    monkeypatch.setattr(products, "IDLE", 0.0)
    return asked


@pytest.mark.parametrize(
    ("others", "chosen"), [(1.0, "mkl"), (0.95, "mkl"), (0.85, "onednn"), (0.4, "onednn"), (3.0, "mkl")]
)
def test_it_has_to_be_a_tenth_faster(others: float, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, 1.0, others)
    notes: list[str] = []
    assert products.choose_products(MODEL, 128, STEPS, notes.append) == chosen
    assert len(notes) == (chosen == "onednn")
    if notes:
        assert f"{1 / others:.1f} times as fast" in notes[0]


def test_it_is_measured_once_for_a_machine_and_shapes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = timed(monkeypatch, 1.0, 0.5)
    for _ in range(2):
        assert products.choose_products(MODEL, 128, STEPS, silent) == "onednn"
        assert asked == [128, 128, 400]  # forward, by the input, by the weight
    products.choose_products(MODEL, 64, STEPS, silent)
    assert len(asked) == 6
    timed(monkeypatch, 1.0, 2.0)
    assert products.choose_products(MODEL, 128, STEPS, silent) == "onednn"  # as before: equal runs have equal bits
    (tmp_path / "cache" / "products.json").write_text("{")
    assert products.choose_products(MODEL, 128, STEPS, silent) == "mkl"  # damaged: measured anew


@pytest.mark.parametrize(
    "kept", ["{", "[]", '{"KEY": NaN}', '{"KEY": Infinity}', '{"KEY": -1.0}', '{"KEY": "2"}', '{"other": NaN}']
)
def test_what_a_cache_cannot_mean_is_measured_anew(kept: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    timed(monkeypatch, 1.0, 2.0)
    path = tmp_path / "cache" / "products.json"
    products.choose_products(MODEL, 128, STEPS, silent)
    (key,) = json.loads(path.read_text())
    path.write_text(kept.replace("KEY", key.replace('"', "")))
    assert products.choose_products(MODEL, 128, STEPS, silent) == "mkl"
    assert json.loads(path.read_text()) == {key: 0.5}


@pytest.mark.parametrize("folder", ["~nosuchuser/x", "/dev/null/cache", f"/tmp/{300 * 'x'}"])
def test_a_cache_that_cannot_be_reached_stops_nothing(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPARAM_CACHE", folder)
    timed(monkeypatch, 1.0, 0.5)
    assert products.choose_products(MODEL, 128, STEPS, silent) == "onednn"


def test_a_busy_machine_is_not_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    timed(monkeypatch, 1.0, 0.5)
    monkeypatch.setattr(products, "IDLE", 0.8)
    monkeypatch.setattr(products.time, "process_time", lambda: 0.0)  # others had all the time
    notes: list[str] = []
    assert products.choose_products(MODEL, 128, STEPS, notes.append) == "mkl"
    assert "too busy" in notes[0]
    assert not (tmp_path / "cache" / "products.json").exists()


def test_short_runs_and_small_layers_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = timed(monkeypatch, 1.0, 0.5)
    assert products.choose_products(MODEL, 128, 10, silent) == "mkl"
    assert products.choose_products(nn.Linear(10, 10), 128, 10**9, silent) == "mkl"
    assert not asked


def rounded(bits: int) -> Callable[..., torch.Tensor]:
    """`multiply` with operands of so many bits, as reduced precision has them."""

    def keep(x: torch.Tensor) -> torch.Tensor:
        fraction, exponent = torch.frexp(x)
        return torch.ldexp((fraction * 2**bits).round() / 2**bits, exponent)

    return lambda a, b, bias=None: multiply(keep(a), keep(b), bias)


@pytest.mark.parametrize("shape", [(20, 400), (400, 784), (4096, 100)])
def test_reduced_precision_is_told_apart_from_float32(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    operands = products._products(128, *shape)
    assert all(map(products._is_exact, operands))
    for bits in (8, 11, 14):
        monkeypatch.setattr(products, "multiply", rounded(bits))
        assert not any(map(products._is_exact, operands)), bits


def test_what_rounds_is_not_chosen_and_refused_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, 1.0, 0.1)
    monkeypatch.setattr(products, "multiply", rounded(8))
    assert products.choose_products(MODEL, 128, STEPS, silent) == "mkl"
    with pytest.raises(ConfigError, match="rounds float32 numbers .* use --products mkl"):
        products.check_onednn(MODEL)


def test_times_are_of_both_libraries() -> None:
    """More work takes longer, by either."""
    small, large = (products._seconds(products._products(rows, 64, 64)[0]) for rows in (8, 4096))
    assert all(0 < one < other for one, other in zip(small, large, strict=True))


OPTIONS = {"hidden": (600,), "latent": 3, "epochs": 2, "batch_size": 16, "pictures": 0}


def test_a_run_keeps_its_choice(tmp_path: Path) -> None:
    """In run.json, in what is sampled, and in what resumes it."""
    runs = {}
    for name in ("mkl", "onednn"):
        runs[name] = reparam.train("vae", data="digits", products=name, out=tmp_path / name, **OPTIONS)
        assert runs[name].config.training.products == name
        kinds = {type(layer) for layer in runs[name].model.modules() if isinstance(layer, nn.Linear)}
        assert (OneDNNLinear in kinds) == (name == "onednn")
    one, other = (runs[name].model.state_dict() for name in ("mkl", "onednn"))
    assert any(not torch.equal(one[key], other[key]) for key in one), "the same bits: nothing was tested"
    for key in one:
        assert torch.allclose(one[key], other[key], atol=1e-3)
    assert math.isfinite(float(runs["onednn"].sample(3).sum()))


def test_by_default_a_short_run_has_torchs_own(tmp_path: Path) -> None:
    run = reparam.train("vae", data="digits", out=tmp_path / "run", **{**OPTIONS, "epochs": 1})
    assert run.config.training.products == "mkl"


def test_a_choice_that_was_measured_is_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "WORTH", 0)
    timed(monkeypatch, 1.0, 0.5)
    chosen = reparam.train("vae", data="digits", out=tmp_path / "chosen", **OPTIONS)
    asked = reparam.train("vae", data="digits", out=tmp_path / "asked", products="onednn", **OPTIONS)
    assert chosen.config.training.products == "onednn"
    for name, value in asked.model.state_dict().items():
        assert torch.equal(chosen.model.state_dict()[name], value)


@pytest.mark.parametrize("options", [{"precision": "bfloat16"}, {"precision": "bfloat16", "epochs": 1}])
def test_onednn_is_for_float32(options: dict, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="for float32 on a CPU: leave --products out"):
        reparam.train("vae", data="digits", out=tmp_path / "run", products="onednn", **{**OPTIONS, **options})
    assert not (tmp_path / "run").exists()


def test_a_run_of_before_has_torchs_own(tmp_path: Path) -> None:
    run = reparam.train("vae", data="digits", out=tmp_path / "run", **OPTIONS)
    path = tmp_path / "run" / "run.json"
    path.write_text(path.read_text().replace('      "products": "mkl",\n', ""))
    assert '"products"' not in path.read_text()
    again = reparam.load(tmp_path / "run")
    assert torch.equal(again.sample(2), run.sample(2))
    assert not any(isinstance(layer, OneDNNLinear) for layer in RunFolder(tmp_path / "run").model()[0].modules())


def test_it_does_not_go_on_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reparam.train("vae", data="digits", out=tmp_path / "run", products="onednn", **OPTIONS)
    status = tmp_path / "run" / "status.json"
    status.write_text(status.read_text().replace('"finished"', '"running"'))
    monkeypatch.setattr("reparam.session.has_onednn", lambda: False)
    with pytest.raises(ConfigError, match="continues exactly only with them; .* --init-from"):
        reparam.resume(tmp_path / "run")


def test_a_compiled_step_multiplies_by_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._inductor

    monkeypatch.setattr(torch._inductor, "compile", as_traced)
    found = []
    for compiled in (False, True):
        loop = family_loop("vae", compile=compiled, hidden=(400,), shape=(1, 28, 28))
        use_onednn(loop.state.model)
        torch.manual_seed(5)
        for _ in range(2):
            loop.cycle()
        found.append(loop.state.weights())
        if compiled:
            (graph,) = loop.state.players[0].compiled.functions.values()  # type: ignore[union-attr]
            calls = [node for node in graph.graph.nodes if "reparam.product" in str(node.target)]  # type: ignore[attr-defined]
            assert len(calls) == 5  # two layers forward and backward, but for the gradient of the images
    for name, value in found[0].items():
        assert torch.equal(found[1][name], value)
