"""A latent-variable model: a few named fields, each a conditional distribution or absent; and what it can do.

Shapes: `B` batch, `C H W` image, `K` latent, `D` classes.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.distributions import Categorical, Distribution

from reparam.core.abilities import Ability
from reparam.core.conditional import Decoder, Discriminator, Encoder, Head, Prior
from reparam.core.context import ContextNetwork
from reparam.errors import ConfigError


class Model(nn.Module):
    """Fields, never a forward: objectives, estimators and pictures call the fields they need.

    encoder: q(z|x); prior: p(z); decoder: p(x|z); context: reads a condition c, which these three then take too; head: p(y|z)
    where there is an encoder, else p(y|x); discriminator: D(x). Reading a field that a model lacks raises ConfigError; `has`
    says which it has.
    """

    FIELDS: ClassVar[dict[str, type[nn.Module]]] = {
        "encoder": Encoder,
        "prior": Prior,
        "decoder": Decoder,
        "context": ContextNetwork,
        "head": Head,
        "discriminator": Discriminator,
    }

    encoder: Encoder
    prior: Prior
    decoder: Decoder
    context: ContextNetwork
    head: Head
    discriminator: Discriminator

    def __init__(
        self,
        *,
        encoder: Encoder | None = None,
        prior: Prior | None = None,
        decoder: Decoder | None = None,
        context: ContextNetwork | None = None,
        head: Head | None = None,
        discriminator: Discriminator | None = None,
    ) -> None:
        super().__init__()
        given = (encoder, prior, decoder, context, head, discriminator)
        for name, module in zip(self.FIELDS, given, strict=True):
            self.register_module(name, None)
            setattr(self, name, module)

    def has(self, field: str) -> bool:
        """Whether the model has this field."""
        return self._modules[field] is not None

    def __setattr__(self, name: str, value: Any) -> None:
        kind = self.FIELDS.get(name)
        if kind and not isinstance(value, kind | None):
            raise ConfigError(
                f"the {name} of a model is a {kind.__name__}, not a {type(value).__name__}: derive its class from "
                f"{kind.__module__}.{kind.__name__}"
            )
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)
        if value is None and name in self.FIELDS:
            raise ConfigError(f"the model has no {name}")
        return value

    @property
    def abilities(self) -> frozenset[Ability]:
        """What the model can be asked for."""
        return frozenset(ability for ability, holds in ABILITIES.items() if holds(self))

    def classify(self, x: Tensor) -> Categorical:
        """p(y|x) of images [B, C, H, W]: what the head reads in x, or in z = E[z|x] where there is an encoder."""
        return self.head(self.encoder(x).mean if self.has("encoder") else x)

    def given(self, c: Tensor | None) -> "Model | ConditionedModel":
        """The model with c filled in, whose encoder(x), prior() and decoder(z) are those of a model without a condition: itself
        where it has none. The context network runs once."""
        if not self.has("context"):
            return self
        assert c is not None
        return ConditionedModel(self, c)


class ConditionedModel:
    """A model at given conditions c [B, ...]: q(z|x, c) = encoder(x), p(z|c) = prior(), p(x|z, c) = decoder(z)."""

    def __init__(self, model: Model, c: Tensor) -> None:
        self.model, self.context, self.n = model, model.context(c), len(c)

    def encoder(self, x: Tensor) -> Distribution:
        return self.model.encoder(x, context=self.context)

    def prior(self) -> Distribution:
        """Of batch shape [B], also where it is the same for every c: each of them has its own latent."""
        p_z = self.model.prior(context=self.context)
        return p_z if p_z.batch_shape else p_z.expand((self.n,))

    def decoder(self, z: Tensor) -> Distribution:
        return self.model.decoder(z, context=self.context)

    def first_guess(self) -> Distribution:
        """p(x|c) by the context network alone: all that a model without a latent says, and what z adds to in others."""
        return self.model.decoder.first_guess(self.context)

    def coarser_guesses(self) -> list[tuple[tuple[int, int], Distribution]]:
        """((height, width), p(x reduced to these|c)) of each coarser first guess; empty where a network makes none."""
        guesses = self.context.coarser
        return [
            ((guess.shape[-2], guess.shape[-1]), self.model.decoder.coarse(guess, self.context)) for guess in guesses
        ]

    def given(self, c: Tensor | None) -> "ConditionedModel":
        """Itself: an objective may be given a model whose condition is filled in already."""
        return self


def _free(model: Model) -> bool:
    """No condition."""
    return not model.has("context")


def _by_class(model: Model) -> bool:
    return model.has("context") and bool(model.context.classes)


def _generates(model: Model) -> bool:
    return model.has("prior") and model.has("decoder")


def _bounds(model: Model) -> bool:
    """An encoder that returns a point has no density, so that there is no bound."""
    return _generates(model) and model.has("encoder") and not model.encoder.point


def _predicts(model: Model) -> bool:
    return model.has("context") and model.has("decoder")


def _samples(model: Model) -> bool:
    """A conditional model samples where c is a class, which can be named."""
    return _generates(model) and (_free(model) or _by_class(model))


# One row an ability: what it takes of a model's fields.
ABILITIES: dict[Ability, Callable[[Model], bool]] = {
    Ability.ENCODE: lambda model: model.has("encoder") and _free(model),
    Ability.RECONSTRUCT: lambda model: model.has("encoder") and model.has("decoder") and _free(model),
    Ability.DECODE: lambda model: _generates(model) and _free(model),
    Ability.SAMPLE: _samples,
    Ability.SAMPLE_BY_CLASS: lambda model: _generates(model) and _by_class(model),
    Ability.DRAW: lambda model: _samples(model) and model.decoder.density != "none",
    Ability.BOUND: _bounds,
    Ability.LIKELIHOOD: lambda model: _bounds(model) and _free(model),
    Ability.CONDITIONAL_LIKELIHOOD: lambda model: _bounds(model) and not _free(model),
    Ability.FACTORISE: lambda model: (
        _bounds(model) and _free(model) and model.prior.factorises and not model.prior.components
    ),
    Ability.CLUSTER: lambda model: _bounds(model) and _free(model) and model.prior.components > 1,
    Ability.STANDARD_NORMAL: lambda model: model.has("prior") and model.prior.standard_normal,
    Ability.PREDICT: _predicts,
    Ability.COMPLETE: lambda model: _predicts(model) and not _by_class(model),
    Ability.SEGMENT: lambda model: _predicts(model) and model.decoder.label_maps,
    Ability.CLASSIFY: lambda model: model.has("head"),
    Ability.AUGMENT: lambda model: _bounds(model) and (_free(model) or _by_class(model)),
    Ability.KEEP_CLASS: lambda model: _bounds(model) and _free(model) and model.has("head"),
}
