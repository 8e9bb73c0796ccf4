"""The run folder: the only interface between training and everything after it.

run.json              configuration, data, versions, format; written before the first step (`resume --damaged` amends it)
weights.safetensors   the kept weights, and which they are
checkpoint.safetensors everything that `resume` needs, in one file
status.json           running, finished, interrupted, stopped early, diverged or failed; step, epoch, seconds
metrics.jsonl         every logged term by name
pictures/             samples and reconstructions as training went on
tensorboard/          the same numbers for TensorBoard
evaluation.json       what `evaluate` measured
report.html           the page
"""

import contextlib
import datetime
import hashlib
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reparam.data.tasks import with_condition
from reparam.distributions import default_generators_kept
from reparam.errors import ConfigError, RunError
from reparam.files import make_folder, read_json, read_tensors, sweep, write_json, write_tensors
from reparam.models import Model, Spec
from reparam.run.config import RunConfig, from_json
from reparam.version import __version__

try:
    import fcntl
except ImportError:  # not on Windows: two processes on one run are not noticed there
    fcntl = None  # type: ignore[assignment]

FORMAT = 1


@dataclass(frozen=True)
class RunFolder:
    """Paths and documents of one run; holds no tensors."""

    path: Path

    @property
    def lock_path(self) -> Path:
        return self.path / ".lock"

    @property
    def weights_path(self) -> Path:
        return self.path / "weights.safetensors"

    @property
    def checkpoint_path(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"

    @property
    def evaluation_path(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def report_path(self) -> Path:
        return self.path / "report.html"

    def create(self, config: RunConfig, spec: Spec, data: dict[str, Any], place: dict[str, Any], command: str) -> None:
        """Writes run.json; `place` is where it is trained, and so where it continues. Raises RunError where there is a run."""
        if (self.path / "run.json").exists():
            raise RunError(
                f"{self.path} holds a run already: continue it with 'reparam resume {self.path}', or choose --out"
            )
        write_json(
            self.path / "run.json",
            {
                "format": FORMAT,
                "reparam": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
                "command": command,
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                **place,
                "config": config.to_json(),
                "spec": {
                    "image_shape": list(spec.image_shape),
                    "classes": spec.classes,
                    "map_values": spec.map_values,
                },
                "data": data,
            },
        )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Alone in the folder: raises RunError while another process trains this run. A killed one holds no lock."""
        make_folder(self.path)
        with self.lock_path.open("w") as file:
            try:
                if fcntl:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(f"another process is training {self.path}: wait for it, or end it") from None
            sweep(self.path)
            yield

    @contextlib.contextmanager
    def writing_evaluation(self) -> Iterator[None]:
        """Waits until no other process is between reading and writing evaluation.json."""
        descriptor = (
            os.open(self.path, os.O_RDONLY) if fcntl else None
        )  # the folder itself: there is no file to leave behind
        try:
            if descriptor is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def document(self) -> dict[str, Any]:
        """run.json. Raises RunError where there is no run, or one of another format."""
        if not self.path.is_dir():
            raise RunError(f"no run at {self.path}: the folder does not exist")
        if not (self.path / "run.json").exists():
            raise RunError(f"no run at {self.path}: it has no run.json; name the folder that 'reparam train' printed")
        document = read_json(self.path / "run.json")
        if document.get("format") != FORMAT:
            raise RunError(
                f"{self.path} has run format {document.get('format')!r} and this version reads {FORMAT}: "
                f"use the version of Reparam that wrote it ({document.get('reparam', 'unknown')})"
            )
        for key in ("config", "spec", "data"):
            if not isinstance(document.get(key), dict):
                raise RunError(f"{self.path / 'run.json'} lacks '{key}': restore it from a copy, or train again")
        return document

    def amend_data(self, **options: Any) -> None:
        """Changes options of how the run's data is read, for good; for the process that has locked the folder."""
        document = self.document()
        document["config"]["data"] |= options
        write_json(self.path / "run.json", document)

    def config(self) -> RunConfig:
        try:
            return from_json(self.document()["config"])
        except ConfigError as error:
            raise RunError(f"{self.path / 'run.json'}: {error}") from None

    def spec(self) -> Spec:
        """What data and task say of the model."""
        try:
            spec = self.document()["spec"]
            channels, height, width = map(int, spec["image_shape"])
            stored = Spec((channels, height, width), int(spec["classes"]), int(spec.get("map_values", 0)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            why = f"{type(error).__name__}: {error}"
            raise RunError(f"'spec' of {self.path / 'run.json'} is damaged ({why}): restore it from a copy") from None
        return with_condition(stored, self.config().task)

    def write_status(self, state: str, **facts: Any) -> None:
        write_json(self.path / "status.json", {"state": state, **facts})

    def ended(self) -> bool:
        """Whether there is nothing left to train."""
        with contextlib.suppress(RunError):  # a status that cannot be read is written anew
            status = self.status()
            whole = {"step", "epoch", "kept", "seconds", "best_validation_total"} <= status.keys()
            return whole and status.get("state") in ("finished", "stopped early")
        return False

    def status(self) -> dict[str, Any]:
        path = self.path / "status.json"
        return read_json(path) if path.exists() else {"state": "not started"}

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line cut short by a kill is left out."""
        if not self.metrics_path.exists():
            return []
        lines = self.metrics_path.read_text(encoding="utf-8").split("\n")
        try:
            return [json.loads(line) for line in lines[:-1] if line]
        except json.JSONDecodeError as error:
            raise RunError(f"{self.metrics_path} is damaged ({error}): restore it from a copy") from None

    def evaluation_document(self) -> dict[str, Any]:
        """evaluation.json: `metrics` by name, the weights and options that they are of; empty before the first."""
        if not self.evaluation_path.exists():
            return {}
        try:
            document = read_json(self.evaluation_path)
            parts = [document.get(part, {}) for part in ("metrics", "options")]
            if not all(
                isinstance(part, dict) and all(isinstance(one, dict) for one in part.values()) for part in parts
            ):
                raise RunError("not what evaluate writes")
        except RunError:
            raise RunError(f"{self.evaluation_path} is damaged: delete it and measure again") from None
        return document

    def write_weights(self, tensors: dict[str, Tensor], kept: str, step: int, epoch: float) -> None:
        write_tensors(self.weights_path, tensors, {"format": FORMAT, "kept": kept, "step": step, "epoch": epoch})

    def fingerprint(self) -> bytes:
        """SHA-256 of the kept weights; empty where there are none."""
        return hashlib.sha256(self.weights_path.read_bytes()).digest() if self.weights_path.exists() else b""

    def weights(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        if not self.weights_path.exists():
            self.document()  # says so where there is no run at all
            if self.ended():
                raise RunError(
                    f"the weights of {self.path} are gone: restore {self.weights_path.name}, or train it again"
                )
            raise RunError(f"{self.path} has no weights yet: continue it with 'reparam resume {self.path}'")
        return read_tensors(self.weights_path)

    def weights_stamp(self) -> list[Any]:
        """Which weights are kept, as figures of them say it in evaluation.json. Raises RunError where there are none."""
        _, facts = self.weights()
        return [facts["step"], facts["kept"]]

    def untrained_model(self) -> Model:
        """The model with random weights, which cost nobody else's random numbers."""
        config = self.config()
        with default_generators_kept():
            return config.family.model(config.options, self.spec())

    def model(self) -> Model:
        """The model with its kept weights, on the CPU, in evaluation mode."""
        model = self.untrained_model()
        tensors, _ = self.weights()
        load_weights(model, tensors, self.weights_path)
        return model.eval()


def load_weights(model: nn.Module, tensors: dict[str, Tensor], source: Path) -> None:
    """Strictly: raises RunError naming the first missing, unknown or misshapen tensor."""
    own = model.state_dict()
    for name in own:
        if name not in tensors:
            raise RunError(f"{source} lacks the weight '{name}': it is damaged, or of another model")
        if tensors[name].shape != own[name].shape:
            raise RunError(
                f"{source} holds '{name}' of shape {tuple(tensors[name].shape)} where the model has {tuple(own[name].shape)}: "
                "it is of a model with other options"
            )
    for name in tensors:
        if name not in own:
            raise RunError(f"{source} holds a weight '{name}' that the model has not: it is of another model")
    model.load_state_dict(tensors)
