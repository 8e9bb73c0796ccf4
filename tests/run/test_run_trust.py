"""Opening a run runs code that it names for the user who trained it, and for nobody else; and writes nothing through a link."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import reparam
from reparam.errors import ConfigError, ReparamError, RunError
from reparam.importing import import_object
from reparam.progress import Silent
from reparam.run.folder import RunFolder

MODEL = """
from dataclasses import replace
from reparam.models.vae import VAE
MINE = replace(VAE, name='mine')
"""
DATA = """
import numpy as np
from pathlib import Path
from reparam.data import load as read
Path(__file__).with_name('ran').touch()
def load(options): return read('digits')
"""
SMALL = {"epochs": 0.2, "hidden": (8,), "latent": 2, "pictures": 1}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of a module in the current folder, code/, with a model and data; it is forgotten afterwards."""
    name = f"own_{abs(hash(request.node.name))}"
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / f"{name}.py").write_text(MODEL + DATA)
    monkeypatch.chdir(tmp_path / "code")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("REPARAM_STATE", str(tmp_path / "state"))
    return name


def forget(module: str) -> None:
    """As a new process, which has not imported it."""
    sys.modules.pop(module, None)
    sys.path[:] = [entry for entry in sys.path if Path(entry).name != "code"]
    (Path(os.environ["REPARAM_STATE"]).parent / "code" / "ran").unlink(missing_ok=True)


@pytest.fixture
def own(module: str, tmp_path: Path) -> Path:
    """A run whose model and data are code/'s, trained here and opened as by a new process in another folder."""
    path = tmp_path / "run"
    reparam.train(f"{module}:MINE", data=f"{module}:load", out=path, **SMALL)
    forget(module)
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    return path


@pytest.fixture
def strangers(own: Path, tmp_path: Path) -> Path:
    """The same, of another user, with its module inside the run."""
    shutil.rmtree(tmp_path / "state")
    shutil.copytree(tmp_path / "code", own, dirs_exist_ok=True)
    os.chdir(own)
    return own


def named_by(run: Path) -> str:
    return json.loads((run / "run.json").read_text())["config"]["model"].partition(":")[0]


def test_ones_own_run_opens_from_any_folder(own: Path) -> None:
    assert reparam.load(own).evaluate(["mse"])["mse"].value > 0
    assert reparam.resume(own).config.family.name == "mine"


def test_ones_own_run_may_be_moved(own: Path, tmp_path: Path) -> None:
    own.rename(tmp_path / "moved")
    assert len(reparam.load(tmp_path / "moved").dataset.test) > 0


OPENED: dict[str, Callable[[Path], object]] = {
    "load": reparam.load,
    "evaluate": reparam.evaluate,
    "resume": reparam.resume,
    "augment": lambda run: reparam.train("vae", data="digits", augment=str(run), out=run.parent / "new", **SMALL),
}


@pytest.mark.parametrize("opened", OPENED)
def test_a_strangers_code_does_not_run(strangers: Path, opened: str) -> None:
    with pytest.raises(RunError, match=r"names code: model '.*:MINE'.*can do all that you can.*--trust"):
        OPENED[opened](Path())
    assert named_by(strangers) not in sys.modules
    assert not (strangers / "ran").exists()


def test_of_a_strangers_run_with_code_for_its_data_alone_the_weights_can_be_used(module: str, tmp_path: Path) -> None:
    reparam.train("vae", data=f"{module}:load", out=tmp_path / "run", **SMALL)
    forget(module)
    shutil.rmtree(tmp_path / "state")
    run = reparam.load(tmp_path / "run")
    assert run.sample(2).shape == (2, 1, 8, 8)
    with pytest.raises(RunError, match="names code: data set '.*:load'"):
        run.evaluate(["mse"])
    assert module not in sys.modules


def test_a_run_whose_document_was_changed_is_a_strangers(own: Path) -> None:
    document = json.loads((own / "run.json").read_text())
    document["config"]["training"]["seed"] = 1
    (own / "run.json").write_text(json.dumps(document))
    with pytest.raises(RunError, match="run.json has changed"):
        reparam.load(own)


def test_what_the_record_does_not_name_does_not_run(own: Path, tmp_path: Path) -> None:
    """Even where a record exists, as of a run.json that was exchanged in between."""
    (record,) = (tmp_path / "state" / "runs").iterdir()
    code = json.loads(record.read_text())["code"]
    record.write_text(json.dumps({"code": {name: folder for name, folder in code.items() if name.endswith(":load")}}))
    with pytest.raises(RunError, match="names code: model"):
        reparam.load(own)


def test_trust_searches_neither_the_runs_folder_nor_the_current_one(
    strangers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sys.path[:0] = ["", str(strangers)]  # as in an interactive Python, and under python -m
    before = list(sys.path)
    with pytest.raises(
        RunError, match="the current folder and the run's are not searched; install it, or set PYTHONPATH"
    ):
        reparam.load(".", trust=True)
    assert sys.path == before
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"))
    sys.path.append(str(tmp_path / "code"))  # as Python does at its start
    assert reparam.load(".", trust=True).evaluate(["mse"])["mse"].value > 0
    assert (tmp_path / "code" / "ran").exists()
    assert not (strangers / "ran").exists()


def test_the_record_follows_resume_damaged(own: Path) -> None:
    before = (own / "run.json").read_text()
    reparam.resume(own, damaged="skip")
    forget(named_by(own))
    assert (own / "run.json").read_text() != before
    assert reparam.load(own).config.data.damaged == "skip"


@pytest.mark.parametrize("state", ["file", "relative"])
def test_a_state_folder_that_cannot_be_written_does_not_stop_training(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("REPARAM_STATE", str(tmp_path / "file") if state == "file" else "state")
    notes: list[str] = []

    class Notes(Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    run = reparam.train(f"{module}:MINE", data="digits", out=tmp_path / "run", progress=Notes(), **SMALL)
    assert run.sample(1).shape == (1, 1, 8, 8)
    assert any("will need --trust" in note for note in notes)
    assert not Path("state").exists()
    with pytest.raises(RunError, match="--trust"):
        reparam.load(tmp_path / "run")


def test_runs_without_code_leave_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPARAM_STATE", str(tmp_path / "state"))
    reparam.train("vae", data="digits", out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "state").exists()


def test_two_modules_of_one_name_are_not_taken_for_each_other(own: Path, tmp_path: Path) -> None:
    """The run's module lies in code/, and one of another folder with its name is loaded already."""
    name = named_by(own)
    (tmp_path / "elsewhere" / f"{name}.py").write_text(MODEL)
    import_object(f"{name}:MINE", "model", ConfigError)  # typed: the current folder
    with pytest.raises(RunError, match="is loaded from .*elsewhere"):
        reparam.load(own)


def test_the_module_form_of_the_command_does_not_import_from_the_current_folder(run: Path) -> None:
    """`python -m reparam report .` in the folder of a stranger, who has put modules there by the names of libraries."""
    for name in ("tensorboardX", "matplotlib", "rich", "jinja2", "evil"):
        (run / f"{name}.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    done = subprocess.run(
        [sys.executable, "-m", "reparam", "report", "."], cwd=run, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (run / "ran").exists()


@pytest.mark.parametrize("name", [".lock", "metrics.jsonl", "pictures", "tensorboard"])
def test_training_writes_nothing_through_a_link(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    if name in ("pictures", "tensorboard"):
        outside.mkdir()
    else:
        outside.write_text("precious")
    path = tmp_path / "run"
    path.mkdir()
    (path / name).symlink_to(outside)
    with pytest.raises(ReparamError, match=f"{name} is a symbolic link"):
        reparam.train("vae", data="digits", out=path, **SMALL)
    assert not list(outside.iterdir()) if outside.is_dir() else outside.read_text() == "precious"


def test_every_other_file_of_a_run_that_is_a_link_is_replaced(run: Path, tmp_path: Path) -> None:
    names = ("status.json", "weights.safetensors", "checkpoint.safetensors", "evaluation.json", "report.html")
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in names:
        if (run / name).exists():
            (run / name).rename(outside / name)
        else:
            (outside / name).write_text("{}")
        (run / name).symlink_to(outside / name)
    document = json.loads((run / "run.json").read_text())
    document["config"]["training"]["epochs"] = 5
    (run / "run.json").write_text(json.dumps(document))
    (run / "status.json").write_text("{}")  # through the link: it has not ended
    before = {name: (outside / name).read_bytes() for name in names}
    opened = reparam.resume(run)
    opened.evaluate(["mse"])
    opened.report()
    assert {name: (outside / name).read_bytes() for name in names} == before
    assert not any((run / name).is_symlink() for name in names)


def test_a_lock_keeps_what_it_holds_and_may_not_be_a_pipe(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("kept")
    with RunFolder(tmp_path).locked():
        assert (tmp_path / ".lock").read_text() == "kept"
    (tmp_path / ".lock").unlink()
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(ReparamError, match="lock is not a plain file"), RunFolder(tmp_path).locked():
        pass


def test_what_killed_processes_left_is_not_looked_for_behind_links(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / ".x.partial").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "pictures.old").symlink_to(tmp_path / "outside")
    with RunFolder(tmp_path / "run").locked():
        pass
    assert (tmp_path / "outside" / ".x.partial").exists()


def test_a_run_that_is_reached_by_a_link_is_the_users_choice(run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run)
    reparam.resume(tmp_path / "link")
    assert reparam.load(tmp_path / "link").report().exists()
