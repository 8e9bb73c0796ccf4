"""The one place where random numbers become samples.

torch's distributions take no generator, so that a draw could not be keyed by a seed. Training passes `generator=None` (the
device's default generator, whose state is in the checkpoint). Generation and evaluation pass `keyed_generator(device, seed, ...,
block)`; meanwhile torch's own samplers draw from a default generator that has its state.

Shapes: `S` sample shape, `B` batch shape, `E` event shape, `M` components.
"""

import contextlib
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from reparam.distributions.default_generator import default_generators


def keyed_generator(device: torch.device | str, *key: int | str) -> torch.Generator:
    """A generator whose stream is a function of `key` alone, e.g. (seed, "samples", block)."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)


def drawn_by(generator: torch.Generator | None, device: torch.device) -> dict[str, Any]:
    """Where a draw is made: by the generator on its own device, as what it draws for may have been moved to another since."""
    return {"generator": generator, "device": device if generator is None else generator.device}


@contextlib.contextmanager
def drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """While entered, the default generator of the generator's device has its state; afterwards its own again, and `generator` has
    gone on. One thread at a time. None: the default generator as it is."""
    if generator is None:
        yield
        return
    module = torch.random if generator.device.type == "cpu" else torch.get_device_module(generator.device)
    where = [generator.device] if generator.device.type == "cuda" else []
    with default_generators():
        own = module.get_rng_state(*where)
        module.set_rng_state(generator.get_state(), *where)
        try:
            yield
        finally:
            generator.set_state(module.get_rng_state(*where))
            module.set_rng_state(own, *where)


def rsample(distribution: Distribution, shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
    """Draws of shape [*S, *B, *E]; differentiable in the parameters where the distribution allows (z = mu + sigma * eps).

    Discrete distributions and mixtures give draws without gradient.
    """
    return _draw(distribution, torch.Size(shape), generator)


@singledispatch
def _draw(distribution: Distribution, shape: torch.Size, generator: torch.Generator | None) -> Tensor:
    with drawing_from(generator):
        return distribution.rsample(shape) if distribution.has_rsample else distribution.sample(shape)


# Rules of our own, where torch's sampler is slow or waits for the device.


@_draw.register
def _(distribution: Independent, shape: torch.Size, generator: torch.Generator | None) -> Tensor:
    return _draw(distribution.base_dist, shape, generator)


@_draw.register
def _(distribution: Normal, shape: torch.Size, generator: torch.Generator | None) -> Tensor:
    """In two operations, torch's has five."""
    loc = distribution.loc
    eps = torch.randn((*shape, *loc.shape), device=loc.device, dtype=loc.dtype, generator=generator)
    return torch.addcmul(loc, distribution.scale, eps)


@_draw.register
def _(distribution: Categorical, shape: torch.Size, generator: torch.Generator | None) -> Tensor:
    """torch's makes the host wait for a GPU."""
    return gumbel_max(distribution.logits, shape, -1, generator)


@_draw.register
def _(distribution: MixtureSameFamily, shape: torch.Size, generator: torch.Generator | None) -> Tensor:
    """Of the chosen component alone: torch's draws all of them."""
    chosen = _draw(distribution.mixture_distribution, shape, generator)
    batch = (*shape, *distribution.batch_shape)

    def take(parameter: Tensor) -> Tensor:
        """[*B, M, *E] -> that of the chosen component, [*S, *B, *E]."""
        event = parameter.shape[len(distribution.batch_shape) + 1 :]
        index = chosen.view(*batch, 1, *[1] * len(event)).expand(*batch, 1, *event)
        return parameter.detach().expand(*shape, *parameter.shape).gather(len(batch), index).squeeze(len(batch))

    return _draw(with_parameters(distribution.component_distribution, take), torch.Size(), generator)


def gumbel_max(
    logits: Tensor, shape: Sequence[int], dim: int, generator: torch.Generator | None = None, keepdim: bool = False
) -> Tensor:
    """Exact categorical draws over dimension `dim` (negative) of logits, without gradient: the arg-max of logits plus Gumbel
    noise."""
    eps = torch.finfo(logits.dtype).eps
    uniform = torch.rand((*shape, *logits.shape), device=logits.device, dtype=logits.dtype, generator=generator)
    return (logits.detach() - (-uniform.clamp(eps, 1 - eps).log()).log()).argmax(dim, keepdim)


@functools.cache
def _arguments(kind: Any) -> tuple[str, ...]:
    """The names of what a class of distributions is made from."""
    return tuple(inspect.signature(kind).parameters)


@singledispatch
def with_parameters(distribution: Distribution, change: Callable[[Tensor], Tensor]) -> Distribution:
    """The same kind of distribution with each of its parameters changed, such as cut to some of its batch.

    Parameters are the arguments of its class that `arg_constraints` names, as in torch's own classes; of an argument that is a
    distribution, its parameters; other arguments stay.
    """
    kind: Any = distribution.__class__
    own = vars(distribution)
    arguments: dict[str, Any] = {}
    for name in _arguments(kind):
        if name in distribution.arg_constraints:
            # Of two that say the same, a class takes one: probs may have been computed from logits since.
            stated = name in own or isinstance(inspect.getattr_static(kind, name, None), property)
            if stated and not (name == "probs" and "logits" in own):
                arguments[name] = change(getattr(distribution, name))
        elif name == "validate_args":
            arguments[name] = False
        elif hasattr(distribution, name):
            value = getattr(distribution, name)
            arguments[name] = with_parameters(value, change) if isinstance(value, Distribution) else value
    return kind(**arguments)


@with_parameters.register
def _(distribution: Independent, change: Callable[[Tensor], Tensor]) -> Distribution:
    base = with_parameters(distribution.base_dist, change)
    return Independent(base, distribution.reinterpreted_batch_ndims, validate_args=False)


def detached(distribution: Distribution) -> Distribution:
    """The same distribution with parameters that pass no gradient."""
    return with_parameters(distribution, Tensor.detach)
