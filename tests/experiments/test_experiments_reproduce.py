"""The machinery of experiments: cells are run once, go on where they stopped, and make the page. Never how good figures are."""

import copy
import json
import math
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from experiments import CELLS, EXPERIMENTS, Cell, ExperimentRunner, draw, estimate, matching, page, results
from experiments.experiment import table
from experiments.vae_report import energies
from reparam.cli import main
from reparam.errors import ReparamError, RunError
from reparam.files import write_json
from reparam.training import Silent
from reparam.training.cycle import Cycle

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> ExperimentRunner:
    """All cells of all experiments, tiny. Of those whose rehearsals are equal (other data, more labels) one is run."""
    runner = ExperimentRunner(tmp_path_factory.mktemp("lab") / "reproductions", CELLS, fast=True)
    measured: dict[str, Cell] = {}
    for name in dict.fromkeys(name for experiment in EXPERIMENTS.values() for name in experiment.cells(fast=True)):
        cell = CELLS[name]
        first = measured.setdefault(_rehearsal(cell), cell)
        if first is cell:
            runner.measure(cell)
        else:
            _repeat(runner, first, cell)
    return runner


def _rehearsal(cell: Cell) -> str:
    """All that a rehearsal depends on."""
    needed = {name: _rehearsal(CELLS[name]) for name in cell.needed}
    options = cell.train_options(fast=True)
    augment = [needed.get(name, name) for name in options.pop("augment", ())]
    begun = needed.get(cell.start, "")
    return repr((cell.model, options, augment, begun, cell.measured(fast=True), cell.evaluation_options(fast=True)))


def _repeat(runner: ExperimentRunner, first: Cell, cell: Cell) -> None:
    document = json.loads(runner.result_path(first).read_text())
    document["config"]["training"]["augment"] = list(cell.options.get("augment", ()))
    write_json(runner.result_path(cell), document)
    run = runner.run_folder(cell).path
    if not run.exists():
        run.symlink_to(runner.run_folder(first).path)


def test_every_experiment_makes_its_whole_table(fast: ExperimentRunner) -> None:
    for experiment in EXPERIMENTS.values():
        documents = results(fast, experiment)
        assert set(documents) == set(experiment.cells(fast=True))
        head, rows = table(experiment, documents)
        assert len(rows) == len(experiment.rows)
        assert all(len(row) == len(head) for row in rows)
        assert all(cell for row in rows for cell in row)
        assert not any("published" in column for column in head)  # a rehearsal is compared with nothing
        for document in documents.values():
            for figure in experiment.columns(document).values():
                assert math.isfinite(figure)


def test_every_picture_is_made_and_stands_on_the_page(fast: ExperimentRunner) -> None:
    for experiment in EXPERIMENTS.values():
        draw(fast, experiment)
    text = page(fast)
    for experiment in EXPERIMENTS.values():
        for name, caption in experiment.pictures.items():
            assert (fast.folder / "pictures" / name).stat().st_size > 0
            assert f"![{caption}](reproductions/pictures/{name})" in text


def test_a_cell_says_what_it_depends_on(fast: ExperimentRunner) -> None:
    document = json.loads(fast.result_path(CELLS["loss-l1-seed0"]).read_text())
    command = (
        "reparam train vae --data mnist --likelihood laplace --scale 1.0 --recipe report-2 --epochs 40 --seed 0 "
        "--init-from runs/structure-2-seed0 --out runs/loss-l1-seed0"
    )
    assert CELLS["loss-l1-seed0"].command() == command
    assert document["command"] == command.replace("mnist", "digits").replace("--epochs 40", "--epochs 0.5")
    for key in ("commit", "machine", "torch", "python", "date", "seconds", "seed", "shape"):
        assert document[key] not in ("", None)
    assert str(fast.folder) not in json.dumps(document)


def test_a_cell_that_starts_from_another_begins_with_its_weights(
    fast: ExperimentRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = fast.run(CELLS["structure-2-seed0"])
    begun = []
    run_cycle = Cycle.__call__

    def looking(cycle: Cycle) -> None:
        if cycle.state.step == 0:
            begun.append({name: tensor.clone() for name, tensor in cycle.state.weights().items()})
        run_cycle(cycle)

    monkeypatch.setattr(Cycle, "__call__", looking)
    other = ExperimentRunner(tmp_path / "lab", CELLS, fast=True)
    shutil.copytree(source.path, other.run_folder(CELLS["structure-2-seed0"]).path)
    other.measure(CELLS["loss-l1-seed0"])
    (weights,) = begun  # the source itself is not trained again
    for name, tensor in source.model.state_dict().items():
        assert weights[name].equal(tensor)


def test_results_that_do_not_fit_the_cell_of_now_are_not_taken(fast: ExperimentRunner, tmp_path: Path) -> None:
    cell = CELLS["loss-l1-seed0"]
    document = json.loads(fast.result_path(cell).read_text())
    other = ExperimentRunner(tmp_path, CELLS, fast=True)

    def taken(**changes: object) -> bool:
        write_json(other.result_path(cell), {**copy.deepcopy(document), **changes})
        return other.result(cell) is not None

    def without(section: str, option: str) -> dict:
        config = copy.deepcopy(document["config"])
        del config[section][option]
        return config

    assert taken()
    assert taken(config=without("data", "attributes")), "an option that came later, at its default"
    assert not taken(config=without("training", "epochs")), "an option that came later, and is not"
    assert not taken(evaluation={**document["evaluation"], "samples": 6})
    assert not taken(metrics={name: value for name, value in document["metrics"].items() if name != "sharpness"})
    assert not taken(start="")
    start = copy.deepcopy(document["start_config"])
    start["options"]["latent"] = 3
    assert not taken(start_config=start)


def test_results_are_kept_and_those_of_other_settings_are_not_taken(fast: ExperimentRunner) -> None:
    cell = CELLS["structure-1-seed0"]
    assert fast.result(cell) is not None
    assert ExperimentRunner(fast.folder, CELLS, fast=False).result(cell) is None  # the same file, of a rehearsal
    with pytest.raises(RunError, match="delete it"):
        ExperimentRunner(fast.folder, CELLS, fast=False).measure(cell)
    assert estimate(fast, [cell]) == {cell.name: 0.0}


def test_an_interrupted_cell_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, cell = ExperimentRunner(tmp_path / "lab", CELLS, fast=True), CELLS["iwae-k1-epochs10"]
    monkeypatch.setattr("experiments.cells.FAST", {"data": "digits", "epochs": 2})
    steps = []
    run_cycle = Cycle.__call__

    def stopping(cycle: Cycle) -> None:
        run_cycle(cycle)
        steps.append(cycle.state.step)
        if len(steps) == 5:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Cycle, "__call__", stopping)
    with pytest.raises(KeyboardInterrupt):
        runner.measure(cell)
    assert runner.result(cell) is None
    left = estimate(runner, [cell])[cell.name]
    assert left > 0
    steps.clear()
    steps.extend([0] * 100)  # no further stop
    document = runner.measure(cell)
    assert steps[100] == 6
    assert document["epochs"] == pytest.approx(2, abs=0.1)


def test_energies_are_sums_without_their_constants() -> None:
    x, f = torch.rand(5, 1, 4, 4), torch.rand(5, 1, 4, 4)
    for likelihood, plain, distribution in (
        ("laplace", (x - f).abs().sum() / 5, torch.distributions.Laplace(f, 1.0)),
        ("gaussian", (x - f).square().sum() / 5, torch.distributions.Normal(f, math.sqrt(0.5))),
    ):
        document = {
            "config": {"options": {"likelihood": likelihood}},
            "shape": [1, 4, 4],
            "metrics": {
                "reconstruction": {"value": float(-distribution.log_prob(x).sum() / 5)},
                "kl": {"value": 2.0},
                "sharpness": {"value": 1.0},
            },
        }
        found = energies(document)
        assert found["reconstruction"] == pytest.approx(float(plain), rel=1e-5)
        assert found["total"] == pytest.approx(float(plain) + 2, rel=1e-5)


def test_cells_are_chosen_by_pattern_and_a_wrong_one_is_named() -> None:
    names = EXPERIMENTS["structures"].cells()
    assert [cell.name for cell in matching(CELLS, names, ["structure-2-*"])] == [
        f"structure-2-seed{i}" for i in range(3)
    ]
    assert len(matching(CELLS, names, [])) == len(names)
    with pytest.raises(ReparamError, match="no cell 'nothing'"):
        matching(CELLS, names, ["nothing"])


def test_what_cells_wait_for_is_counted_once(tmp_path: Path) -> None:
    runner = ExperimentRunner(tmp_path, CELLS, fast=True)
    alone, begun = CELLS["structure-2-seed0"], CELLS["loss-l1-seed0"]
    first = estimate(runner, [begun])[begun.name]
    found = estimate(runner, [alone, begun])
    assert 0 < found[alone.name] < first
    assert 0 < found[begun.name] < first


def test_tracking_passes_items_through() -> None:
    assert list(Silent().track([1, 2], "x")) == [1, 2]


def test_every_committed_result_is_current() -> None:
    """Stored options keep their form: a result that no longer fits its cell would be thrown away."""
    folder = ROOT / "docs" / "reproductions"
    runner = ExperimentRunner(folder, CELLS)
    stored = {path.stem for path in (folder / "cells").glob("*.json")}
    assert stored
    assert stored == {name for name in stored if name in CELLS and runner.result(CELLS[name])}


def test_the_experiments_are_a_command_of_the_checkout() -> None:
    command = [sys.executable, "-m", "experiments", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: python -m experiments")
    for name in EXPERIMENTS:
        assert name in done.stdout


def test_reproduce_outside_a_checkout_says_where_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed = tmp_path / "lib" / "site-packages" / "reparam" / "cli" / "reproduce.py"
    monkeypatch.setattr("reparam.cli.reproduce.__file__", str(installed))
    monkeypatch.setattr(sys, "argv", ["reparam", "reproduce", "structures"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "clone the repository, or unpack the source distribution" in error
