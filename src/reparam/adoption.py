"""Modules that were trained elsewhere become a run: read, checked on a few images, written, never trained.

Shapes: `n` images, `C H W` image, `K` latent.
"""

import contextlib
import math
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
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
    Calls,
    adopted_family,
    as_one,
    calls_of,
    read_images,
    read_posterior,
)
from reparam.progress import Progress
from reparam.run.command import own_command
from reparam.run.config import resolve_family
from reparam.run.data import open_data, stored_spec, with_found
from reparam.run.family import IN_MEMORY, called, is_made, maker
from reparam.run.fitted_prior import prior_path
from reparam.run.folder import RunFolder
from reparam.run.weights import load_weights
from reparam.session import absolute_paths, data_facts
from reparam.tensor_files import SHA256, digest, read_foreign

PROBED = 8  # images
WIDE, FAR = 64, 3.0  # latents that are drawn wide, and how wide
SAME = 1e-3  # relative: what changes by more is no rounding
ENCODER, DECODER = "the encoder", "the decoder"
MEND = "mend it, or give a small module around it"
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
    kind = type(model) if is_made(model) else model
    return f"{getattr(kind, '__name__', type(model).__name__)} in memory {secrets.token_hex(4)}", model


def _made(found: object, name: str, weights: str | Path | Mapping[str, Tensor] | None) -> object:
    """The modules, with their weights and in evaluation mode; those that were given stay as they are."""
    made = maker(found, name)()
    what = "the model" if is_made(found) else f"what {called(found, name)}() returns"
    calls_of(made, what)
    whole = as_one(made)
    if weights is not None:
        remedy = "give the weights of this model, under the names of its state_dict()"
        path = Path("weights=") if isinstance(weights, Mapping) else user_path(weights)
        if isinstance(weights, Mapping):
            tensors = dict(weights)
        else:
            convert = "save what they hold as safetensors: safetensors.torch.save_file(model.state_dict(), 'model.safetensors')"
            tensors = read_foreign(path, convert)
        load_weights(whole, tensors, path, remedy)
    whole.to("cpu", torch.float32).eval()  # as images are
    return made


def _read(made: object, x: Tensor, options: AdoptedOptions, chosen: frozenset[str]) -> tuple[AdoptedOptions, list[str]]:
    """How the modules are called and what they return, by a few images; and notes on what was taken for granted."""
    low, high = options.values
    if low >= high:
        raise ConfigError(f"values {options.values} say what black and white are to the modules: give 0,1 or -1,1")
    calls = calls_of(made)
    options, mean = _read_encoder(calls, low + (high - low) * x, options)
    decoded = _read_decoder(calls, mean, tuple(x.shape[1:]))
    if isinstance(decoded, Distribution):
        if options.values != (0, 1):
            raise ConfigError(
                "values= is for a decoder that returns a tensor, and this one returns a distribution: let it be over pixels from "
                "0 to 1, and encode turn images from 0 to 1 into what it takes"
            )
        return replace(options, likelihood="own", density=_density(decoded, tuple(x.shape[1:]))), []
    if "likelihood" not in chosen or options.likelihood == OWN:
        raise ConfigError(f"the decoder returns a tensor: {TRAINED_BY}")
    bounded = options.likelihood not in ("gaussian", "laplace")
    if "scale" in chosen and bounded:
        raise ConfigError(f"scale is for gaussian and laplace, not '{options.likelihood}': leave it out")
    if "output" in chosen:
        return options, []
    options, note = _read_output(calls, decoded, mean, options, bounded)
    return options, [note]


def _read_output(
    calls: Calls, decoded: Tensor, z: Tensor, options: AdoptedOptions, bounded: bool
) -> tuple[AdoptedOptions, str]:
    """Whether the decoder returns images or logits of them, and a note on it."""
    low, high = options.values
    if bounded:  # logits near 0 look like images until the latent is far away
        wide = FAR * keyed_noise(WIDE, z[0].numel(), "adopted").view(WIDE, *z.shape[1:])
        further = read_images(_called(calls.decode, wide.to(z), DECODER, "latents", MEND))
        assert isinstance(further, Tensor)
        decoded = torch.cat([decoded, further])
    least, most = (float(end) for end in decoded.aminmax())
    found = f"the decoder's outputs run from {least:.3g} to {most:.3g}"
    if bounded and not low <= least <= most <= high:
        return replace(options, output="logits"), f"{found}: taken as logits (output='images' says otherwise)"
    if not 2 * low - high <= least <= most <= 2 * high - low:
        raise ConfigError(
            f"{found}, and images from {low:g} to {high:g}: values=(A, B) says what black and white are to the modules; "
            "output='images' takes them as they are"
        )
    return replace(options, output="images"), f"{found}: taken as images (output='logits' says otherwise)"


def _read_encoder(calls: Calls, x: Tensor, options: AdoptedOptions) -> tuple[AdoptedOptions, Tensor]:
    """What the encoder makes of images [n, C, H, W], in their values; and the means [n, ...] of their latents."""
    flat, encoded = _encoded(calls, x)
    kind, parts = read_posterior(encoded)
    mean = _mean(parts)
    if kind == OWN and len(parts[0].batch_shape) + len(parts[0].event_shape) != 2:
        raise ConfigError(
            f"the encoder's distribution is over {list(mean.shape)} for {len(x)} images: let it be over latents [{len(x)}, K]"
        )
    for part in parts if kind != OWN else (mean,):
        _check(part, ENCODER, len(x))
    given = x.flatten(1) if flat else x

    def means(images: Tensor) -> Tensor:
        return _mean(read_posterior(_called(calls.encode, images, ENCODER, "images", MEND))[1])

    _check_steady(means, given, mean, ENCODER)
    return replace(options, posterior=kind, latent_shape=tuple(mean.shape[1:]), flat=flat), mean


def _read_decoder(calls: Calls, z: Tensor, shape: tuple[int, ...]) -> Tensor | Distribution:
    """What the decoder makes of latents [n, ...]."""
    remedy = "let encode return what decode takes"
    if z.dim() == 2:
        remedy += "; where it returns mu and log_var side by side in one tensor, tensor.chunk(2, 1)"

    def images(z: Tensor) -> Tensor:
        found = read_images(_called(calls.decode, z, DECODER, "latents", remedy))
        return found.mean if isinstance(found, Distribution) else found

    decoded = read_images(_called(calls.decode, z, DECODER, "latents", remedy))
    mean = decoded.mean if isinstance(decoded, Distribution) else decoded
    _check(mean, DECODER, len(z))
    if mean[0].numel() != math.prod(shape):
        raise ConfigError(
            f"the decoder returns {list(mean.shape)} and the images are {[len(z), *shape]}: read them at the model's size with "
            "size= (and colour=)"
        )
    sides, expected = ([side for side in axes if side != 1] for axes in (mean.shape[1:], shape))
    if sides not in (expected, [math.prod(shape)]):
        raise ConfigError(
            f"the decoder returns {list(mean.shape)} and the images are {[len(z), *shape]}: let it return this order of axes, or "
            "vectors of it"
        )
    _check_steady(images, z, mean, DECODER)
    return decoded


def _encoded(calls: Calls, x: Tensor) -> tuple[bool, Any]:
    """Whether the encoder takes images as vectors, and what it returns."""
    remedy = "give images of the model's size= and colour="
    if calls.paired:
        remedy += "; of a pair, the encoder is the first"
    try:
        return False, _called(calls.encode, x, ENCODER, "images", remedy)
    except ConfigError:
        with contextlib.suppress(Exception):
            return True, calls.encode(x.flatten(1))
        raise


def _called(call: Callable[[Tensor], Any], value: Tensor, what: str, of: str, remedy: str) -> Any:
    """Raises ConfigError where it fails, with the `remedy` where the value's shape may be why, or changes what it is given."""
    before = value.clone()
    try:
        found = call(value)
    except Exception as error:
        why = f"{type(error).__name__}: {error}".partition("\n")[0]
        if isinstance(error, TypeError | NameError | AttributeError | ImportError):
            remedy = f"it is called with a tensor of {of} alone; mend it, or give a small module around it"
        raise ConfigError(f"{what} fails on {of} {list(value.shape)} ({why}): {remedy}") from error
    if not torch.equal(value, before):
        raise ConfigError(f"{what} changes the {of} that it is given in place: let it leave them as they are")
    return found


def _mean(parts: tuple[Any, ...]) -> Tensor:
    return parts[0].mean if isinstance(parts[0], Distribution) else parts[0]


def _check(values: Tensor, what: str, count: int) -> None:
    if values.dim() < 2 or len(values) != count:
        raise ConfigError(
            f"{what} returns {list(values.shape)} for {count}: the first axis should be theirs, and others follow "
            "(squeeze() loses axes of 1)"
        )
    if not values.numel():
        raise ConfigError(
            f"{what} returns {list(values.shape)}, nothing of an image: let it return at least one number"
        )
    if not values.is_floating_point():
        raise ConfigError(f"{what} returns {values.dtype}: let it return floats")
    if not values.isfinite().all():
        raise ConfigError(f"{what} returns NaN or infinity: are these the trained weights (weights=)?")


def _check_steady(call: Callable[[Tensor], Tensor], given: Tensor, values: Tensor, what: str) -> None:
    """Raises ConfigError where what `call` makes of the values given differs the second time, or when they come one by one:
    figures of it would be of no model."""
    again, one = call(given), call(given[:1])
    if one.shape != values[:1].shape:
        raise ConfigError(
            f"{what} returns {list(one.shape)} for one and {list(values.shape)} for {len(values)}: the first axis should be "
            "theirs (squeeze() loses it)"
        )
    for repeated, expected, why in (
        (
            again,
            values,
            "other numbers the second time: let it draw nothing, and return the parameters of a distribution",
        ),
        (one, values[:1], "for one other numbers than among others: let it normalise by nothing of its batch"),
    ):
        apart = float((repeated.double() - expected.double()).abs().max())
        if apart > SAME * max(float(expected.double().abs().max()), 1e-6):
            raise ConfigError(f"{what} gives, in evaluation mode, {why}")


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
