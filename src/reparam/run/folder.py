"""The run folder: the only interface between training and everything after it.

run.json              configuration, data, versions, format; written before the first step (`resume --damaged` amends it)
weights.safetensors   the kept weights, and which they are
checkpoint.safetensors everything that `resume` needs, in one file
status.json           running, finished, interrupted, stopped early, diverged, failed or adopted; step, epoch, seconds
metrics.jsonl         every logged term by name
pictures/             samples and reconstructions as training went on
tensorboard/          the same numbers for TensorBoard
prior.safetensors     a prior fitted to the kept weights' latents after training
evaluation.json       what `evaluate` measured
report.html           the page
"""

import contextlib
import datetime
import hashlib
import os
import platform
import secrets
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from reparam.data.tasks import with_condition
from reparam.distributions import default_generators_kept
from reparam.errors import ConfigError, RunError, short
from reparam.files import (
    LOST,
    append_to,
    document_text,
    make_folder,
    parse_json,
    read_json,
    read_limited,
    refuse_link,
    sweep,
    why_not_read,
    write_json,
)
from reparam.importing import Origin
from reparam.models import Model, Spec
from reparam.models.adopted import ADOPTED
from reparam.run.command import calmer_command, training_command
from reparam.run.config import RunConfig, from_json
from reparam.run.documents import (
    FORMAT,
    NOT_STARTED,
    CheckpointFacts,
    Evaluation,
    MetricsLine,
    RunDocument,
    Status,
    WeightsFacts,
    check_owner,
    checked,
    finite_figures,
)
from reparam.run.fitted_prior import prior_path, put_prior
from reparam.run.known_code import folders_of, recall, remember
from reparam.run.weights import check_weights
from reparam.tensor_files import SHA256, digest, read_metadata, read_tensors, write_tensors
from reparam.version import __version__

try:
    import fcntl
except ImportError:  # not on Windows: two processes on one run are not noticed there
    fcntl = None  # type: ignore[assignment]

LARGEST_METRICS = 1 << 30  # bytes: some million lines
Facts = TypeVar("Facts", WeightsFacts, CheckpointFacts)


@dataclass(frozen=True)
class RunFolder:
    """Paths and documents of one run; holds no tensors. `trust`: code that it names may run, whoever trained it."""

    path: Path
    trust: bool = False

    @property
    def typed(self) -> str:
        """The path as a shell takes it."""
        return shlex.quote(str(self.path))

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
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def evaluation_path(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def report_path(self) -> Path:
        return self.path / "report.html"

    @property
    def holds_run(self) -> bool:
        return self._document_path.exists()

    def require_new(self) -> None:
        """Raises RunError where there is a run."""
        if self.holds_run:
            done = f"choose another --out, or remove {self.path} (in Python reparam.load opens it)"
            raise RunError(
                f"{self.path} holds a run already: "
                + (done if self.ended() else f"continue it with 'reparam resume {self.typed}', or choose another --out")
            )

    def create(self, config: RunConfig, spec: Spec, data: dict[str, Any], place: dict[str, Any], command: str) -> str:
        """Writes run.json; `place` is where it is trained, and so where it continues. Returns a note where code that the run
        names could not be remembered, else the empty string. Raises RunError where there is a run."""
        self.require_new()
        return self._write_document(
            {
                "format": FORMAT,
                "id": secrets.token_hex(8),
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
                    "levels": spec.levels,
                },
                "data": data,
            },
            folders_of(config.import_paths()),
        )

    def _write_document(self, document: dict[str, Any], known: Mapping[str, str]) -> str:
        """Writes run.json, and before it the record of its code, so that no kill makes the run a stranger's."""
        note = remember(document_text(document), self.path, known)
        write_json(self._document_path, document)
        return note

    def _known_code(self) -> dict[str, str]:
        """Import paths that the run was trained with here, with their folders."""
        try:
            return recall(self._document_path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            return {}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Alone in the folder: raises RunError while another process trains this run. A killed one holds no lock. Raises
        ReparamError where a link inside the folder would lead what training writes out of it."""
        make_folder(self.path)
        for inside in (self.metrics_path, self.pictures, self.tensorboard):
            refuse_link(inside)
        with append_to(self.lock_path) as file:
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
        try:  # the folder itself: there is no file to leave behind
            descriptor = os.open(self.path, os.O_RDONLY) if fcntl else None
        except OSError as error:
            raise RunError(why_not_read(self.path, error)) from None
        try:
            if descriptor is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def document(self) -> RunDocument:
        """run.json. Raises RunError where there is no run, or one of another format."""
        return checked(RunDocument, self._stored_document(), self._document_path, LOST)

    @property
    def id(self) -> str:
        """What tells the run, and copies of it, from others; empty where there is no run, or one of an earlier version."""
        return self.document().id if self.holds_run else ""

    @property
    def _document_path(self) -> Path:
        return self.path / "run.json"

    def _stored_document(self) -> dict[str, Any]:
        """run.json as it is stored, with what other versions added."""
        try:
            self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise RunError(f"no run at {self.path}: the folder does not exist") from None
        except OSError as error:
            raise RunError(why_not_read(self.path, error)) from None
        if not self.holds_run:
            raise RunError(f"no run at {self.path}: it has no run.json; name the folder that 'reparam train' printed")
        document = read_json(self._document_path, LOST)
        if document.get("format") != FORMAT:
            found, version = short(document.get("format")), short(document.get("reparam", "unknown"))
            raise RunError(
                f"{self.path} has run format {found} and this version reads {FORMAT}: use the version of Reparam that wrote it "
                f"({version})"
            )
        return document

    def amend_data(self, **options: Any) -> None:
        """Changes options of where the run's data is and how it is read, for good; for the process that has locked the folder."""
        document = self._stored_document()
        document["config"]["data"] |= options
        document["data"]["name"] = document["config"]["data"]["data"]
        self._write_document(document, self._known_code())

    def config(self) -> RunConfig:
        """Raises RunError where it names code that may not run."""
        return self.parts()[1]

    def spec(self) -> Spec:
        """What data and task say of the model."""
        return self.parts()[2]

    def parts(self) -> tuple[RunDocument, RunConfig, Spec]:
        """run.json, and the configuration and the specification of the model in it, read once."""
        document = self.document()
        try:
            config = from_json(document.config, Origin(str(self._document_path), self._known_code(), self.trust))
        except ConfigError as error:
            raise RunError(f"{self._document_path}: {error}") from None
        return document, config, with_condition(Spec(**vars(document.spec)), config.task)

    def write_status(self, state: str, **facts: Any) -> None:
        write_json(self.path / "status.json", {"state": state, **facts})

    def status(self) -> Status:
        """status.json. Raises RunError where it is damaged; `resume` writes it anew."""
        path = self.path / "status.json"
        if not path.exists():
            return NOT_STARTED
        remedy = "delete it; 'reparam resume' writes it anew"
        return checked(Status, read_json(path, remedy), path, remedy)

    def ended(self) -> bool:
        """Whether there is nothing left to train."""
        return self._readable_status().ended

    def _readable_status(self) -> Status:
        with contextlib.suppress(RunError):  # `resume` writes it anew
            return self.status()
        return NOT_STARTED

    def metrics(self) -> list[MetricsLine]:
        """The lines of metrics.jsonl; a last line cut short by a kill is left out."""
        if not self.metrics_path.exists():
            return []
        lines = read_limited(self.metrics_path, LARGEST_METRICS).split(b"\n")[:-1]
        remedy = "restore it from a copy, or delete it: the curves are lost, the weights are not"
        found = []
        for number, line in enumerate(lines, 1):
            where = f"{self.metrics_path}, line {number},"
            try:
                found += [checked(MetricsLine, parse_json(line), where, remedy)] if line else []
            except ValueError as error:
                raise RunError(f"{where} is no valid JSON ({error}): {remedy}") from None
        return found

    def evaluation(self) -> Evaluation:
        """evaluation.json; empty before the first `evaluate`."""
        return checked(Evaluation, self.stored_evaluation(), self.evaluation_path, "delete it and measure again")

    def stored_evaluation(self) -> dict[str, Any]:
        """evaluation.json as it is stored, to add to. Raises RunError where it is damaged."""
        if not self.evaluation_path.exists():
            return {}
        remedy = "delete it and measure again"
        document = read_json(self.evaluation_path, remedy)
        checked(Evaluation, document, self.evaluation_path, remedy)
        return document | {"metrics": finite_figures(document.get("metrics", {}))}

    def write_weights(self, tensors: dict[str, Tensor], kept: str, step: int, epoch: float, run: str) -> None:
        facts = {"format": FORMAT, "run": run, "kept": kept, "step": step, "epoch": epoch}
        write_tensors(self.weights_path, tensors, facts)

    def fingerprint(self) -> bytes:
        """SHA-256 of the kept weights, whichever run they are of; of files of earlier versions that of the file. Empty where
        there are none."""
        if not self.weights_path.exists():
            return b""
        tensors, metadata = read_tensors(self.weights_path)
        if "run" not in metadata:
            return hashlib.sha256(self.weights_path.read_bytes()).digest()
        return bytes.fromhex(digest(tensors).removeprefix(SHA256))

    def weights(self, own: Mapping[str, Tensor] | None = None) -> tuple[dict[str, Tensor], WeightsFacts]:
        """The kept weights, and which they are. Raises RunError where they are missing, damaged, of another run or, given the
        weights of the run's `own` model, of another model, with what helps in the state that the run is in."""
        try:
            return self._weights(LOST, own)
        except RunError:
            return self._weights(self._remedy_for_weights(), own)

    def _weights(self, remedy: str, own: Mapping[str, Tensor] | None) -> tuple[dict[str, Tensor], WeightsFacts]:
        if not self.weights_path.exists():
            raise RunError(f"{self.path} has no weights: {remedy}")
        tensors, metadata = read_tensors(self.weights_path, remedy=remedy)
        facts = self.own_facts(WeightsFacts, metadata, self.weights_path, remedy)
        if own is not None:
            check_weights(own, tensors, self.weights_path, remedy)
        return tensors, facts

    def own_facts(self, kind: type[Facts], metadata: dict[str, Any], path: Path, remedy: str = LOST) -> Facts:
        """The metadata of a file of the run, checked. Raises RunError, with the remedy, also where it is of another run."""
        facts = checked(kind, metadata, path, remedy)
        if self.holds_run:
            check_owner(facts, self.id, self._readable_status(), path, remedy)
        return facts

    def weights_facts(self) -> WeightsFacts:
        """Which weights are kept, their tensors left unread. Raises RunError where there are none."""
        return self.own_facts(WeightsFacts, read_metadata(self.weights_path), self.weights_path)

    def _remedy_for_weights(self) -> str:
        """What helps where the weights are missing or damaged."""
        config, status = self.config(), self._readable_status()
        if status.state == "diverged":
            better = calmer_command(config, self.path)
            return f"its training diverged; train a new run with another --learning-rate or --clip, such as: {better}"
        if not status.ended:
            return f"continue it with 'reparam resume {self.typed}'"
        if self.checkpoint_holds_weights(status):
            return f"'reparam resume {self.typed}' writes them again, from its checkpoint"
        adopted = f"call reparam.adopt again with out='{self.path}'"
        anew = adopted if status.state == ADOPTED else f"train it anew with: {training_command(config, self.path)}"
        return f"restore {self.weights_path.name} from a copy, or {anew}"

    def checkpoint_holds_weights(self, status: Status) -> bool:
        """Whether the weights of a run that ended so are in its checkpoint too."""
        with contextlib.suppress(RunError):
            return self.checkpoint_facts().holds(status.kept)
        return False

    def checkpoint_facts(self) -> CheckpointFacts:
        """Metadata of checkpoint.safetensors, its tensors left unread. Raises RunError where it is missing or damaged."""
        return self.own_facts(CheckpointFacts, read_metadata(self.checkpoint_path), self.checkpoint_path)

    def untrained_model(self) -> Model:
        """The model with random weights, which cost nobody else's random numbers."""
        _, config, spec = self.parts()
        try:
            with default_generators_kept():
                return config.build_model(spec)
        except (MemoryError, RuntimeError) as error:  # as of sizes that no machine has room for
            why = str(error).partition("\n")[0]
            raise RunError(f"the model that {self._document_path} describes cannot be made ({why}): {LOST}") from error

    def trained_model(self) -> tuple[Model, dict[str, Tensor], WeightsFacts]:
        """The model as it was trained, on the CPU, in evaluation mode; its kept weights, and which they are."""
        model = self.untrained_model()
        tensors, facts = self.weights(model.state_dict())
        model.load_state_dict(tensors)
        return model.eval(), tensors, facts

    def model(self) -> tuple[Model, WeightsFacts]:
        """The same model, with the prior that was fitted to these weights where there is one; and which weights and prior."""
        model, tensors, facts = self.trained_model()
        prior, its_digest = put_prior(model, tensors, prior_path(self.path), self.spec().image_shape)
        return model, replace(facts, prior=prior, prior_digest=its_digest)
