"""The one place where random numbers become samples.

torch's distributions take no generator, so a draw could not be keyed by a seed without disturbing the global stream.
Training passes `generator=None` (the device's default generator, whose state is in the checkpoint); generation and
evaluation pass `keyed_generator(device, seed, ..., block)`, so that sample i does not depend on how work is batched.

Shapes: `S` sample shape, `B` batch shape, `E` event shape.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Distribution,
    Independent,
    Laplace,
    MixtureSameFamily,
    Normal,
)

from reparam.distributions.bernoulli import Bernoulli as FastBernoulli
from reparam.distributions.delta import Delta
from reparam.distributions.partial import Completion, PixelCategorical
from reparam.distributions.quantised import DiscretisedLogistic


def keyed_generator(device: torch.device | str, *key: int | str) -> torch.Generator:
    """A generator whose stream is a function of `key` alone, e.g. (seed, "samples", block)."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)


def drawn_by(generator: torch.Generator | None, device: torch.device) -> dict[str, Any]:
    """Where a draw is made: by the generator on its own device, as what it draws for may have been moved to another since."""
    return {"generator": generator, "device": device if generator is None else generator.device}


def rsample(distribution: Distribution, shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
    """Draws of shape [*S, *B, *E]; differentiable in the parameters where the distribution allows (z = mu + sigma * eps).

    Discrete distributions give draws without gradient. Raises NotImplementedError for a distribution not listed here.
    """
    return _draw(distribution, tuple(shape), generator)


@singledispatch
def _draw(distribution: Distribution, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    raise NotImplementedError(f"rsample does not know {type(distribution).__name__}; add a rule in {__name__}")


def _like(parameter: Tensor, shape: tuple[int, ...]) -> dict:
    return {"size": (*shape, *parameter.shape), "device": parameter.device, "dtype": parameter.dtype}


def _open_uniform(parameter: Tensor, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Uniform on the open interval (0, 1): the ends have infinite quantiles."""
    eps = torch.finfo(parameter.dtype).eps
    return torch.rand(**_like(parameter, shape), generator=generator).clamp(eps, 1 - eps)


@_draw.register
def _(distribution: Independent, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return _draw(distribution.base_dist, shape, generator)


@_draw.register
def _(distribution: Delta, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return distribution.rsample(torch.Size(shape))


@_draw.register
def _(distribution: Normal, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    eps = torch.randn(**_like(distribution.loc, shape), generator=generator)
    return torch.addcmul(distribution.loc, distribution.scale, eps)


@_draw.register
def _(distribution: Laplace, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    centred = _open_uniform(distribution.loc, shape, generator) - 0.5
    # The quantile function: loc - scale * sign(u) * log(1 - 2|u|), u uniform on (-1/2, 1/2).
    return distribution.loc - distribution.scale * centred.sign() * torch.log1p(-2 * centred.abs())


@_draw.register
def _(distribution: ContinuousBernoulli, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return distribution.icdf(_open_uniform(distribution.probs, shape, generator))


@_draw.register
def _(distribution: Bernoulli, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    probs = distribution.probs.detach().expand(*shape, *distribution.batch_shape)
    return torch.bernoulli(probs, generator=generator)


def _perturbed(logits: Tensor, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Gumbel-max: the arg-max of logits plus Gumbel noise is an exact categorical draw, without a host synchronisation."""
    uniform = _open_uniform(logits, shape, generator)
    return logits - torch.log(-torch.log(uniform))


@_draw.register
def _(distribution: Categorical, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return _perturbed(distribution.logits.detach(), shape, generator).argmax(-1)


@_draw.register
def _(distribution: MixtureSameFamily, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Without gradient, since the choice of a component has none."""
    chosen = _draw(distribution.mixture_distribution, shape, generator)
    batch = (*shape, *distribution.batch_shape)

    def take(parameter: Tensor) -> Tensor:
        """[*B, M, *E] -> that of the chosen component, [*S, *B, *E]."""
        event = parameter.shape[len(distribution.batch_shape) + 1 :]
        index = chosen.view(*batch, 1, *[1] * len(event)).expand(*batch, 1, *event)
        return parameter.detach().expand(*shape, *parameter.shape).gather(len(batch), index).squeeze(len(batch))

    return _draw(with_parameters(distribution.component_distribution, take), (), generator)


@_draw.register
def _(distribution: PixelCategorical, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return _perturbed(distribution.logits.detach(), shape, generator).argmax(-3, keepdim=True)


@_draw.register
def _(distribution: Completion, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return distribution.complete(_draw(distribution.base, shape, generator))


@_draw.register
def _(distribution: DiscretisedLogistic, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return distribution.sample_levels(_open_uniform(distribution.loc.detach(), shape, generator))


@singledispatch
def with_parameters(distribution: Distribution, change: Callable[[Tensor], Tensor]) -> Distribution:
    """The same kind of distribution with each of its parameters changed, such as cut to some of its batch.

    Raises NotImplementedError for a distribution not listed here.
    """
    raise NotImplementedError(f"with_parameters does not know {type(distribution).__name__}; add a rule in {__name__}")


@with_parameters.register
def _(distribution: Independent, change: Callable[[Tensor], Tensor]) -> Distribution:
    base = with_parameters(distribution.base_dist, change)
    return Independent(base, distribution.reinterpreted_batch_ndims, validate_args=False)


@with_parameters.register
def _(distribution: Categorical, change: Callable[[Tensor], Tensor]) -> Distribution:
    return Categorical(logits=change(distribution.logits), validate_args=False)


@with_parameters.register
def _(distribution: MixtureSameFamily, change: Callable[[Tensor], Tensor]) -> Distribution:
    weights = with_parameters(distribution.mixture_distribution, change)
    components = with_parameters(distribution.component_distribution, change)
    return MixtureSameFamily(weights, components, validate_args=False)  # type: ignore[arg-type]


@with_parameters.register
def _(distribution: Normal, change: Callable[[Tensor], Tensor]) -> Distribution:
    return Normal(change(distribution.loc), change(distribution.scale), validate_args=False)


@with_parameters.register
def _(distribution: Laplace, change: Callable[[Tensor], Tensor]) -> Distribution:
    return Laplace(change(distribution.loc), change(distribution.scale), validate_args=False)


@with_parameters.register
def _(distribution: Bernoulli, change: Callable[[Tensor], Tensor]) -> Distribution:
    return Bernoulli(logits=change(distribution.logits), validate_args=False)


@with_parameters.register
def _(distribution: FastBernoulli, change: Callable[[Tensor], Tensor]) -> Distribution:
    return FastBernoulli(change(distribution.logits))


@with_parameters.register
def _(distribution: ContinuousBernoulli, change: Callable[[Tensor], Tensor]) -> Distribution:
    return ContinuousBernoulli(logits=change(distribution.logits), validate_args=False)


@with_parameters.register
def _(distribution: DiscretisedLogistic, change: Callable[[Tensor], Tensor]) -> Distribution:
    return DiscretisedLogistic(change(distribution.loc), change(distribution.scale), distribution.levels)


@with_parameters.register
def _(distribution: PixelCategorical, change: Callable[[Tensor], Tensor]) -> Distribution:
    return PixelCategorical(change(distribution.logits))


@with_parameters.register
def _(distribution: Completion, change: Callable[[Tensor], Tensor]) -> Distribution:
    base = with_parameters(distribution.base, change)
    assert isinstance(base, Independent)
    return Completion(base, change(distribution.observed), change(distribution.mask), distribution.target)


def detached(distribution: Distribution) -> Distribution:
    """The same distribution with parameters that pass no gradient."""
    return with_parameters(distribution, Tensor.detach)
