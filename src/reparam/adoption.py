"""Modules that were trained elsewhere become a run: read, checked on a few images, written, never trained.

Shapes: `n` images, `C H W` image, `K` latent.
"""

import math
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent

from reparam.core.blocks import keyed_noise
from reparam.data import DataOptions, Dataset
from reparam.data.selection import random_indices
from reparam.data.tasks import to_float
from reparam.errors import ConfigError, RunError
from reparam.files import user_path
from reparam.importing import TYPED, import_object, is_import_path
from reparam.models.adopted import (
    ADOPTED,
    OWN,
    AdoptedOptions,
    adopted_family,
    calls_of,
    read_images,
    read_posterior,
)
from reparam.progress import Progress
from reparam.run.command import own_command
from reparam.run.config import resolve_family
from reparam.run.data import open_data, stored_spec, with_found
from reparam.run.family import IN_MEMORY, maker
from reparam.run.fitted_prior import prior_path
from reparam.run.folder import RunFolder
from reparam.run.weights import load_weights
from reparam.session import absolute_paths, data_facts
from reparam.tensor_files import SHA256, digest, read_foreign

PROBED = 8  # images
WIDE, FAR = 64, 3.0  # latents that are drawn wide, and how wide
SAME = 1e-3  # relative: what changes by more is no rounding
TRAINED_BY = (
    "likelihood= says what the decoder was trained for: 'bernoulli' (binary cross-entropy), 'gaussian' (squared error; scale=1 "
    "for half of its sum), 'laplace' (absolute error), 'continuous-bernoulli'"
)


def adopt_run(
    model: object,
    weights: str | Path | Mapping[str, Tensor] | None,
    out: Path,
    progress: Progress,
    asked: dict[str, Any],
    read: Callable[[DataOptions], Dataset | None] = lambda options: None,
) -> tuple[RunFolder, Dataset | None]:
    """Writes the run of `model` to `out`; see `reparam.adopt`. Returns the images too, where it is Python that gives them: `read`
    makes them."""
    name, found = _named(model)
    made = _made(found, name, weights)
    config = resolve_family(adopted_family(name, maker(made, name)), name, ADOPTED, asked)
    if not config.data.data:
        raise ConfigError("which images is it measured on? give data='mnist', 'folder:PATH' or 'array:FILE'")
    given = read(config.data)
    dataset = open_data(config, given=given)
    for note in dataset.notes:
        progress.note(note)
    index = random_indices(dataset.test, min(PROBED, len(dataset.test)))
    x = to_float(dataset.test.take(index).pixels)
    with torch.no_grad():
        options, notes = _read(made, x, config.options, frozenset(asked))
    for note in notes:
        progress.note(note)
    config = replace(absolute_paths(with_found(config, dataset), dataset), options=options)
    folder = RunFolder(out)
    _check_free(folder, dataset.fingerprint)
    if not is_import_path(name):
        IN_MEMORY[name] = made
    built = adopted_family(name, maker(made, name)).model(options, stored_spec(dataset)).eval()
    tensors = {key: value.detach().cpu() for key, value in built.state_dict().items()}
    kept = (
        f"{ADOPTED} {digest(tensors).removeprefix(SHA256)[:8]}"  # figures of other weights do not stand beside theirs
    )
    with folder.locked():
        for path in (folder.path / "run.json", prior_path(folder.path)):  # of one that was adopted to here before
            path.unlink(missing_ok=True)
        place = {"processes": 1, "device": "cpu"}
        facts = data_facts(config, dataset)
        if note := folder.create(config, stored_spec(dataset), facts, place, own_command(sys.argv)):
            progress.note(note)
        folder.write_weights(tensors, kept, 0, 0.0, folder.id)
        folder.write_status(ADOPTED, step=0, epoch=0.0, seconds=0.0, kept=kept, steps=0)
    return folder, given


def _named(model: object) -> tuple[str, object]:
    """The name that the run will carry, and what is at it."""
    if isinstance(model, str):
        if not is_import_path(model):
            raise ConfigError(
                f"a model to adopt is named 'package.module:NAME', not '{model}'; or give the module itself"
            )
        return model, import_object(model, "model", ConfigError, TYPED)
    kind = model if isinstance(model, type) or not isinstance(model, nn.Module | tuple | list) else type(model)
    return f"{getattr(kind, '__name__', type(model).__name__)} in memory {secrets.token_hex(4)}", model


def _made(found: object, name: str, weights: str | Path | Mapping[str, Tensor] | None) -> object:
    """The modules, with their weights and in evaluation mode; those that were given stay as they are."""
    made = maker(found, name)()
    calls_of(made)
    whole = made if isinstance(made, nn.Module) else nn.ModuleDict(dict(zip(("encoder", "decoder"), made, strict=True)))  # type: ignore[call-overload]
    if weights is not None:
        remedy = "give the weights of this model, under the names of its state_dict()"
        path = Path("weights=") if isinstance(weights, Mapping) else user_path(weights)
        if isinstance(weights, Mapping):
            tensors = dict(weights)
        else:
            convert = "save what they hold as safetensors: safetensors.torch.save_file(model.state_dict(), 'model.safetensors')"
            tensors = read_foreign(path, convert)
        load_weights(whole, tensors, path, remedy)
    whole.eval()
    return made


def _read(made: object, x: Tensor, options: AdoptedOptions, chosen: frozenset[str]) -> tuple[AdoptedOptions, list[str]]:
    """How the modules are called and what they return, by a few images; and notes on what was taken for granted."""
    calls = calls_of(made)
    notes: list[str] = []
    low, high = options.values
    if low >= high:
        raise ConfigError(f"values {options.values} say what black and white are to the modules: give 0,1 or -1,1")
    scaled = low + (high - low) * x
    flat, encoded = _encoded(calls.encode, scaled)
    kind, parts = read_posterior(encoded)
    mean = parts[0].mean if kind == OWN else parts[0]
    _check(mean, "encoder", len(x))
    if kind == OWN and len(parts[0].event_shape) > 1:
        raise ConfigError("the encoder's distribution has an event of several dimensions: flatten the latent to [B, K]")
    given = scaled.flatten(1) if flat else scaled
    _check_steady(lambda: _mean_of(calls.encode(given)), mean, "the encoder gives other numbers the second time")
    one = _mean_of(calls.encode(given[:1]))
    _check_steady(lambda: one, mean[:1], "the encoder's code of an image depends on the others in its batch")
    decoded = read_images(_called(calls.decode, mean, "decoder"))
    again = read_images(calls.decode(mean))
    images, repeated = (one.mean if isinstance(one, Distribution) else one for one in (decoded, again))
    _check(images, "decoder", len(x))
    _check_steady(lambda: repeated, images, "the decoder gives other numbers the second time")
    shape = tuple(x.shape[1:])
    if images[0].numel() != math.prod(shape):
        raise ConfigError(
            f"the decoder returns {list(images.shape)} and the images are {list(x.shape)}: read them at the model's size with "
            "size= (and colour=)"
        )
    options = replace(options, posterior=kind, latent_shape=tuple(mean.shape[1:]), flat=flat)
    if isinstance(decoded, Distribution):
        return replace(options, likelihood="own", density=_density(decoded, shape)), notes
    if "likelihood" not in chosen or options.likelihood == OWN:
        raise ConfigError(f"the decoder returns a tensor: {TRAINED_BY}")
    if "scale" in chosen and options.likelihood not in ("gaussian", "laplace"):
        raise ConfigError(f"scale is for gaussian and laplace, not '{options.likelihood}': leave it out")
    if "output" not in chosen:
        wide = FAR * keyed_noise(WIDE, mean[0].numel(), "adopted").view(WIDE, *mean.shape[1:])
        further = read_images(calls.decode(wide.to(mean)))
        assert isinstance(further, Tensor)
        images = torch.cat([images, further])  # logits near 0 look like images until the latent is far away
        inside = low <= float(images.min()) and float(images.max()) <= high
        bounded = options.likelihood not in ("gaussian", "laplace")
        options = replace(options, output="logits" if bounded and not inside else "images")
        found = f"from {float(images.min()):.3g} to {float(images.max()):.3g}"
        other = "images" if options.output == "logits" else "logits"
        notes.append(f"the decoder's outputs run {found}: taken as {options.output} (output='{other}' says otherwise)")
    return options, notes


def _encoded(encode: Callable[[Tensor], Any], x: Tensor) -> tuple[bool, Any]:
    """Whether the encoder takes images as vectors, and what it returns."""
    try:
        return False, encode(x)
    except Exception as error:
        try:
            return True, encode(x.flatten(1))
        except Exception:
            raise _failed("encoder", x, error) from error


def _called(call: Callable[[Tensor], Any], value: Tensor, what: str) -> Any:
    try:
        return call(value)
    except Exception as error:
        raise _failed(what, value, error) from error


def _failed(what: str, value: Tensor, error: Exception) -> ConfigError:
    why = f"{type(error).__name__}: {error}".partition("\n")[0]
    return ConfigError(f"the {what} fails on {list(value.shape)} ({why}): give images of the model's size= and colour=")


def _mean_of(encoded: Any) -> Tensor:
    kind, parts = read_posterior(encoded)
    return parts[0].mean if kind == OWN else parts[0]


def _check(values: Tensor, what: str, count: int) -> None:
    if values.dim() < 2 or len(values) != count:
        raise ConfigError(
            f"the {what} returns {list(values.shape)} for {count} images: its first axis should be theirs"
        )
    if not values.numel():
        raise ConfigError(
            f"the {what} returns {list(values.shape)}, nothing of an image: let it return at least one number"
        )
    if not values.isfinite().all():
        raise ConfigError(f"the {what} returns NaN or infinity: are these the trained weights (weights=)?")


def _check_steady(repeat: Callable[[], Tensor], values: Tensor, what: str) -> None:
    """Figures of what draws, or depends on the batch, would be of no model."""
    apart = float((repeat().double() - values.double()).abs().max())
    if apart > SAME * max(float(values.double().abs().max()), 1e-6):
        raise ConfigError(
            f"{what}, in evaluation mode: let it return the parameters of its distribution, and draw nothing and normalise by "
            "nothing of the batch"
        )


def _density(found: Distribution, shape: tuple[int, ...]) -> Any:
    """What the decoder's own distribution is a density of."""
    whole = (*found.batch_shape[1:], *found.event_shape)
    if whole != shape:
        raise ConfigError(
            f"the decoder's distribution is over {list(whole)}, and images are {list(shape)}: give it that shape"
        )
    base = found.base_dist if isinstance(found, Independent) else found
    return "cross-entropy" if isinstance(base, Bernoulli) else "density"


def _check_free(folder: RunFolder, fingerprint: str) -> None:
    """Raises RunError where there is a run, unless it was adopted too, on the same images: that one is written anew."""
    if not folder.holds_run:
        return
    document = folder.document()
    if document.config.get("recipe") != ADOPTED:
        folder.require_new()
    if document.data.fingerprint != fingerprint:
        raise RunError(f"{folder.path} holds an adopted run on other images: choose another out")
