"""Models that were made and trained elsewhere: plain modules behind thin adapters, measured and looked at like any other.

A module has methods `encode(x)` and `decode(z)` (PyTorch-VAE and most code of papers), or parts `encoder` and `decoder` (pythae);
or there are two modules. What they return is read as people write it:

    (mu, log variance), or names that say so  ->  q(z|x) = N(mu, diag(exp(log variance)))
    one tensor                                ->  a point, as of an autoencoder
    images, or logits of them                 ->  p(x|z) by the likelihood that they were trained with
    a torch Distribution                      ->  itself

Shapes: `B` batch, `C H W` image, `K` latent.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Laplace, Normal

from reparam.conditionals import StandardNormal
from reparam.core.conditional import Decoder, Density, Encoder
from reparam.core.model import Model
from reparam.core.spec import Schedule, Spec
from reparam.distributions import Bernoulli, ContinuousBernoulli, Delta, with_parameters
from reparam.errors import ConfigError
from reparam.models.family import Family, Recipe
from reparam.objectives import Objective

ADOPTED = "adopted"  # the recipe, the state and the weights of such a run
MEANS = ("mu", "mean", "loc", "embedding", "z_mean", "z_mu")
LOG_VARIANCES = ("log_var", "logvar", "log_variance", "log_covariance", "z_log_var", "z_logvar")
IMAGES = ("reconstruction", "recon_x", "recon", "x_hat", "x_recon", "logits", "images", "sample")
SATURATED = 100.0  # of logits: as binary cross-entropy in torch bounds the logarithms of 0
LAYOUTS = "a module with methods encode(x) and decode(z) or parts encoder and decoder, or a pair of modules (encoder, decoder)"

Pixels = Callable[[Tensor, float], Distribution]


def logits_of(images: Tensor) -> Tensor:
    """log p / (1 - p), within `SATURATED`."""
    p = images.clamp(0, 1)
    return (p.log() - (-p).log1p()).clamp(-SATURATED, SATURATED)


# p(x|z) of a pixel, from an image and a scale.
PIXELS: dict[str, Pixels] = {
    "bernoulli": lambda images, scale: Bernoulli(logits_of(images)),
    "continuous-bernoulli": lambda images, scale: ContinuousBernoulli(logits_of(images)),
    "gaussian": lambda images, scale: Normal(images, torch.full_like(images, scale), validate_args=False),
    "laplace": lambda images, scale: Laplace(images, torch.full_like(images, scale), validate_args=False),
}
OWN = "own"  # the decoder returns a distribution
DENSITIES: dict[str, Density] = {"bernoulli": "cross-entropy"}  # of the others a density
BY_LOGITS: dict[str, Callable[[Tensor], Distribution]] = {
    "bernoulli": Bernoulli,
    "continuous-bernoulli": ContinuousBernoulli,
}


@dataclass(frozen=True)
class AdoptedOptions:
    """How the modules are called and what they return, as it was found when they were adopted."""

    posterior: Annotated[
        Literal["normal", "point", "own"],
        Field(description="mu and log variance, a point, or a distribution of its own"),
    ] = "normal"
    latent_shape: Annotated[tuple[int, ...], Field(description="shape of an image's latent")] = (1,)
    flat: Annotated[bool, Field(description="the encoder takes images as vectors")] = False
    likelihood: Annotated[
        Literal["bernoulli", "continuous-bernoulli", "gaussian", "laplace", "own"],
        Field(description="p(x|z) around the decoder's images; own: it returns a distribution"),
    ] = "bernoulli"
    density: Annotated[
        Literal["mass", "density", "cross-entropy"], Field(description="what a distribution of its own is a density of")
    ] = "density"
    output: Annotated[Literal["images", "logits"], Field(description="what the decoder returns")] = "images"
    scale: Annotated[float, Field(gt=0, description="scale of gaussian and laplace, for pixels from 0 to 1")] = 1.0
    values: Annotated[
        tuple[float, float], Field(description="what black and white are to the modules: 0,1, or -1,1")
    ] = (0.0, 1.0)


class Calls(NamedTuple):
    """How images are encoded and latents decoded; `owner`: the module whose methods these are, if they are; `paired`: whether
    they were given as two modules."""

    encode: Callable[[Tensor], Any]
    decode: Callable[[Tensor], Any]
    owner: nn.Module | None = None
    paired: bool = False


def calls_of(made: object, what: str = "the model") -> Calls:
    """Of a module, or of a pair of modules. Raises ConfigError for other objects, which are `what`, with the layouts that are
    known."""
    if isinstance(made, tuple | list) and len(made) == 2 and all(isinstance(one, nn.Module) for one in made):
        return Calls(made[0], made[1], paired=True)
    if isinstance(made, nn.Module):
        for names in (("encode", "decode"), ("encoder", "decoder")):
            encode, decode = (getattr(made, name, None) for name in names)
            if callable(encode) and callable(decode):
                return Calls(encode, decode, None if isinstance(encode, nn.Module) else made)
    if isinstance(made, Mapping):
        raise ConfigError(f"{what} is a mapping, as of weights: give the module too, and these as weights=")
    found = kind_of(made) + (", which has not both of them" if isinstance(made, nn.Module) else "")
    raise ConfigError(f"{what} should be {LAYOUTS}, and is {found}: write a small module around it")


def as_one(made: object) -> nn.Module:
    """The module itself, or one module that holds both of a pair."""
    if isinstance(made, nn.Module):
        return made
    return nn.ModuleDict(dict(zip(("encoder", "decoder"), made, strict=True)))  # type: ignore[call-overload]


def kind_of(found: object) -> str:
    """What something is, in words."""
    if isinstance(found, tuple | list):
        return f"{len(found)} values"
    return "None" if found is None else f"of type {type(found).__name__}"


def _named(found: Any) -> dict[str, Any] | None:
    """What is returned under names: a mapping, a named tuple, or an object whose attributes are tensors."""
    if isinstance(found, Mapping):
        return dict(found)
    if isinstance(found, tuple) and hasattr(found, "_asdict"):
        return dict(found._asdict())
    if isinstance(found, Tensor | Distribution | tuple | list) or not hasattr(found, "__dict__"):
        return None
    return dict(vars(found))


def _first(named: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((named[name] for name in names if named.get(name) is not None), None)


def read_posterior(found: Any) -> tuple[Literal["normal", "point", "own"], tuple[Any, ...]]:
    """(kind, parts) of what an encoder returned: (mu, log variance), (point,) or (distribution,). Raises ConfigError for what can
    be read in more than one way, or in none."""
    named = _named(found)
    if named is not None:
        mean, spread = _first(named, MEANS), _first(named, LOG_VARIANCES)
        if mean is None:
            raise ConfigError(
                f"the encoder returns {', '.join(map(str, named)) or 'nothing'}, and none of these is a mean that is known "
                f"({', '.join(MEANS)}): return (mu, log_var)"
            )
        found = mean if spread is None else (mean, spread)
    if isinstance(found, Distribution):
        return "own", (found,)
    if isinstance(found, Tensor):
        return "point", (found,)
    if isinstance(found, tuple | list) and len(found) == 2 and all(isinstance(one, Tensor) for one in found):
        if found[0].shape == found[1].shape:
            return "normal", tuple(found)
        shapes = " and ".join(str(list(one.shape)) for one in found)
        raise ConfigError(f"the encoder returns tensors {shapes}: mu and log variance have one shape")
    raise ConfigError(f"what the encoder returns is {kind_of(found)}: return (mu, log_var), or a torch Distribution")


def read_images(found: Any) -> Tensor | Distribution:
    """What a decoder returned. Raises ConfigError where that is neither a tensor nor a distribution."""
    named = _named(found)
    if named is not None:
        found = _first(named, IMAGES) if len(named) > 1 else next(iter(named.values()), None)
    if isinstance(found, tuple | list) and len(found) == 1:
        (found,) = found
    if not isinstance(found, Tensor | Distribution):
        names = f" under {', '.join(map(str, named))}" if named else ""
        raise ConfigError(f"what the decoder returns{names} is {kind_of(found)}: return images or logits [B, C, H, W]")
    return found


class AdoptedEncoder(Encoder):
    """q(z|x) of a foreign encoder: x [B, C, H, W] -> batch shape [B], event shape [K]."""

    def __init__(self, calls: Calls, options: AdoptedOptions) -> None:
        super().__init__()
        self.call, self.owner = calls.encode, calls.owner
        self.flat, self.low, self.high = options.flat, *options.values
        self.own = options.posterior == OWN

    def read(self, x: Tensor) -> tuple[Any, ...]:
        x = self.low + (self.high - self.low) * x
        return read_posterior(self.call(x.flatten(1) if self.flat else x))[1]

    def forward(self, x: Tensor) -> Distribution:
        if self.own:
            (found,) = self.read(x)
            return found if found.event_shape else Independent(found, 1, validate_args=False)
        mean, log_variance = (part.flatten(1).float() for part in self.read(x))
        return Independent(Normal(mean, (0.5 * log_variance).exp(), validate_args=False), 1, validate_args=False)


class AdoptedPoint(Encoder):
    """The code of a foreign autoencoder: x [B, C, H, W] -> a point, batch shape [B], event shape [K]."""

    point = True

    def __init__(self, calls: Calls, options: AdoptedOptions) -> None:
        super().__init__()
        self.inner = AdoptedEncoder(calls, options)

    def forward(self, x: Tensor) -> Delta:
        (code,) = self.inner.read(x)
        return Delta(code.flatten(1).float(), event_dim=1)


class AdoptedDecoder(Decoder):
    """p(x|z) of a foreign decoder, which is called with [n, ...] latents of their own shape: z [..., K] -> batch shape [...],
    event shape [C, H, W]. Its parameters are the encoder's where both are one module."""

    def __init__(self, calls: Calls, options: AdoptedOptions, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.call, self.shape, self.latent_shape = calls.decode, shape, options.latent_shape
        self.low, self.high = options.values
        self.kind, self.scale, self.logits = options.likelihood, options.scale, options.output == "logits"
        # A class has one; this one is of any likelihood.
        self.density = options.density if self.kind == OWN else DENSITIES.get(self.kind, "density")  # type: ignore[misc]

    def forward(self, z: Tensor) -> Distribution:
        lead = z.shape[:-1]
        found = read_images(self.call(z.reshape(-1, *self.latent_shape)))
        if isinstance(found, Distribution):
            count = math.prod(lead)
            whole = with_parameters(found, lambda p: p.reshape(*lead, *p.shape[1:]) if p.shape[:1] == (count,) else p)
            missing = 3 - len(whole.event_shape)
            return Independent(whole, missing, validate_args=False) if missing else whole
        return Independent(self._pixels(found.float().reshape(*lead, *self.shape)), 3, validate_args=False)

    def _pixels(self, output: Tensor) -> Distribution:
        if self.logits and self.kind in BY_LOGITS:
            return BY_LOGITS[self.kind](output)
        images = output.sigmoid() if self.logits else (output - self.low) / (self.high - self.low)
        return PIXELS[self.kind](images, self.scale)


def _build(make: Callable[[], object], options: AdoptedOptions, spec: Spec) -> Model:
    made = make()
    calls = calls_of(made)
    as_one(made).to("cpu", torch.float32)
    decoder = AdoptedDecoder(calls, options, spec.image_shape)
    if options.posterior == "point":
        return Model(encoder=AdoptedPoint(calls, options), decoder=decoder)
    prior = StandardNormal(math.prod(options.latent_shape))
    return Model(encoder=AdoptedEncoder(calls, options), prior=prior, decoder=decoder)


def _objective(options: AdoptedOptions, schedule: Schedule) -> Objective:
    raise ConfigError("an adopted model was trained elsewhere: to train here, write a Family (docs/extending.md)")


def adopted_family(name: str, make: Callable[[], object]) -> Family:
    """The family of the modules that `make` returns, each time anew."""
    return Family(
        name=name,
        summary="a model that was made and trained elsewhere",
        citation="",
        options=AdoptedOptions,
        build=partial(_build, make),
        objective=_objective,
        recipes={ADOPTED: Recipe("made and trained elsewhere")},
    )
