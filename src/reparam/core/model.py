"""A latent-variable model: a few named fields, each a conditional or None.

Shapes: `B` batch, `C H W` image, `K` latent, `D` classes.
"""

from typing import Any

from torch import Tensor, nn
from torch.distributions import Categorical, Distribution


class Model(nn.Module):
    """Fields, never a forward: objectives, estimators and pictures call the fields they need.

    encoder: x [B, C, H, W] -> q(z|x) over [K]; prior: () -> p(z); decoder: z [..., K] -> p(x|z) over [C, H, W];
    discriminator: x -> Bernoulli, how likely it is an image of the data;
    context: c -> `ContextOutput`, features and first guess, which encoder, prior and decoder of a conditional model take besides;
    head: a categorical over D classes, p(y|z) where there is an encoder, else p(y|x).
    """

    # nn.Module's own attribute type is too narrow to call: each is a conditional, or None.
    encoder: Any
    prior: Any
    decoder: Any
    context: Any
    head: Any
    discriminator: Any

    def __init__(
        self,
        *,
        encoder: nn.Module | None = None,
        prior: nn.Module | None = None,
        decoder: nn.Module | None = None,
        context: nn.Module | None = None,
        head: nn.Module | None = None,
        discriminator: nn.Module | None = None,
        point_encoder: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.prior = prior
        self.decoder = decoder
        self.context = context
        self.head = head
        self.discriminator = discriminator
        self.point_encoder = point_encoder

    @property
    def abilities(self) -> frozenset[str]:
        """What the fields allow; a likelihood needs an encoder with a density, not one that returns a point. A conditional model
        predicts; it samples where c is a class, which can be named, completes where c is an image, and segments where what is
        wanted is a label map. A mixture as its prior makes clusters, and its KL has no parts by latent. A decoder that returns a
        point has nothing to draw."""
        free = self.context is None
        by_class = not free and bool(self.context.classes)
        components = getattr(self.prior, "components", 0)
        generates = None not in (self.prior, self.decoder)
        samples = generates and (free or by_class)
        predict = None not in (self.context, self.decoder)
        bound = None not in (self.encoder, self.prior, self.decoder) and not self.point_encoder
        can = {
            "encode": self.encoder is not None and free,
            "reconstruct": None not in (self.encoder, self.decoder) and free,
            "factorise": bound and free and components == 0,
            "cluster": bound and free and components > 1,
            "augment": bound and (free or by_class),
            "keep the class": bound and free and self.head is not None,
            "sample": samples,
            "decode": generates and free,
            "draw": samples and getattr(self.decoder, "density", "") != "none",
            "sample by class": generates and by_class,
            "bound": bound,
            "likelihood": bound and free,
            "conditional likelihood": bound and not free,
            "predict": predict,
            "complete": predict and not by_class,
            "segment": predict and getattr(self.decoder, "of_maps", False),
            "classify": self.head is not None,
        }
        return frozenset(name for name, able in can.items() if able)

    def classify(self, x: Tensor) -> Categorical:
        """Categorical over D classes for images x [B, C, H, W]: the head's of x, or of z = E[z|x]."""
        return self.head(x if self.encoder is None else self.encoder(x).mean)

    def given(self, c: Tensor | None) -> "Model | ConditionedModel":
        """The model with c filled in, whose encoder(x), prior() and decoder(z) are those of an unconditional one: itself where it
        is one. The context runs once."""
        return self if self.context is None else ConditionedModel(self, c)


class ConditionedModel:
    """A conditional model at given conditions c [B, ...]: q(z|x, c) = encoder(x), p(z|c) = prior(), p(x|z, c) = decoder(z)."""

    def __init__(self, model: Model, c: Tensor | None) -> None:
        self.model = model
        self.what = model.context(c)
        self.n = 0 if c is None else len(c)

    def encoder(self, x: Tensor) -> Distribution:
        return self.model.encoder(x, self.what)

    def prior(self) -> Distribution:
        """Of batch shape [B], also where it is the same for every c: each of them has its own latent."""
        p_z = self.model.prior(self.what)
        return p_z if p_z.batch_shape else p_z.expand((self.n,))

    def decoder(self, z: Tensor | None) -> Distribution:
        """p(x|z, c); without z p(x|c) by the first guess alone."""
        return self.model.decoder(z, self.what)

    def scales(self) -> list[tuple[int, Distribution]]:
        """(side, p(x reduced to that side|c)) of the coarser first guesses; empty where a network makes none."""
        return [(guess.shape[-1], self.model.decoder.coarse(guess, self.what)) for guess in self.what.coarser]

    def given(self, c: Tensor | None) -> "ConditionedModel":
        """Itself: what an objective is given may have been filled in already."""
        return self
