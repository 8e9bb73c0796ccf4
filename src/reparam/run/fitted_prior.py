"""RUN/prior.safetensors: the prior that was fitted to a run's latents after training, and how it was chosen."""

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from reparam.conditionals import FLOW, unfitted
from reparam.core.conditional import Prior
from reparam.errors import ConfigError, RunError
from reparam.models import Model
from reparam.run.documents import Count, Finite, Format, Text, checked
from reparam.run.weights import load_weights
from reparam.tensor_files import SHA256, digest, read_metadata, read_tensors, write_tensors

Transforms = Annotated[int, Field(strict=True, ge=1, le=100)]
Width = Annotated[int, Field(strict=True, ge=1, le=10_000)]
MOST_COMPONENTS = 10_000


@dataclass(frozen=True)
class PriorCandidate:
    """What was tried: in words, the log density of held-out images' latents under it, nats an image, its standard error, and
    whether it was chosen."""

    name: Text
    density: Finite
    stderr: Finite | None
    chosen: bool


@dataclass(frozen=True)
class PriorFacts:
    """Metadata of prior.safetensors. weights: the digest of those that it was fitted to; run, kept, step: which they are; images,
    held: how many images it was fitted to and chosen by; draws: of each of the former; kind `own`: the model keeps its own."""

    format: Format
    run: Text
    weights: Text
    kept: Text
    step: Count
    kind: Literal["gaussian", "mixture", "flow", "own"]
    components: Annotated[int, Field(strict=True, ge=0, le=MOST_COMPONENTS)] = 0
    flow: tuple[Transforms, Width] | None = None
    candidates: tuple[PriorCandidate, ...] = ()
    images: Count = 0
    draws: Count = 0
    held: Count = 0
    seed: Count = 0

    @property
    def words(self) -> str:
        """`mixture of 10, fitted after training`; empty where the model has its own."""
        return "" if self.kind == "own" else f"{words(self.kind, self.components)}, fitted after training"


def prior_path(run: Path) -> Path:
    """Where it is, of the run in a folder."""
    return run / "prior.safetensors"


def words(kind: str, components: int = 0) -> str:
    """A kind of prior as people read it."""
    named = {"gaussian": "full Gaussian", "flow": "normalising flow", "own": "the model's own"}
    return named.get(kind) or f"mixture of {components}"


def write_prior(path: Path, prior: Prior | None, facts: PriorFacts) -> None:
    write_tensors(path, prior.state_dict() if prior else {}, asdict(facts))


def read_facts(path: Path) -> PriorFacts | None:
    """What the file says, whichever weights it was fitted to; None where there is none. Raises RunError where it is damaged."""
    remedy = _fit_again(path)
    return checked(PriorFacts, read_metadata(path, remedy), path, remedy) if path.exists() else None


def _fit_again(path: Path) -> str:
    return f"fit it again with 'reparam fit-prior {shlex.quote(str(path.parent))}'"


def fitted_to(facts: PriorFacts | None, weights: dict[str, Tensor]) -> bool:
    """Whether there is one, fitted to these weights."""
    return facts is not None and facts.weights == digest(weights)


def put_prior(model: Model, weights: dict[str, Tensor], path: Path, shape: tuple[int, int, int]) -> tuple[str, str]:
    """Gives the model of these weights the prior of the file, where there is one and it was fitted to them; what it is called
    then, and a part of its digest (both empty: the model has its own). Raises RunError for a damaged file."""
    if not path.exists():
        return "", ""
    remedy = _fit_again(path)
    tensors, metadata = read_tensors(path, remedy=remedy)
    facts = checked(PriorFacts, metadata, path, remedy)
    if facts.kind == "own" or not fitted_to(facts, weights):
        return "", ""
    if (facts.kind == "flow") != (facts.flow is not None) or (facts.kind == "mixture") != (facts.components > 0):
        raise RunError(f"{path} is damaged (its sizes are of no {facts.kind}): {remedy}")
    try:
        prior = unfitted(facts.kind, latent_of(model, shape), facts.components, facts.flow or FLOW)
    except ConfigError as error:
        raise RunError(f"the prior of {path.parent} cannot be used: {error}") from None
    load_weights(prior, tensors, path, remedy)
    root: Any = prior.root
    if not bool((root.diagonal(dim1=-2, dim2=-1) > 0).all()):
        raise RunError(f"{path} is damaged (a covariance is none): {remedy}")
    model.prior = prior.requires_grad_(False).eval()
    return facts.words, digest(tensors).removeprefix(SHA256)[:12]


@torch.no_grad()
def latent_of(model: Model, shape: tuple[int, int, int]) -> int:
    """K."""
    return model.encoder(torch.zeros(1, *shape)).event_shape[-1]


def stale_note(path: Path, weights: dict[str, Tensor]) -> str:
    """What whoever uses the run should know where the prior of the file is of other weights than these; empty elsewhere."""
    facts = read_facts(path)
    if facts is None or facts.kind == "own" or fitted_to(facts, weights):
        return ""
    return f"{path} was fitted to other weights and is not used: {_fit_again(path)}"
