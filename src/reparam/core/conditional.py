r"""The one idea: everything conditional is a module whose call returns a distribution.

    q(z|x) = encoder(x)    p(z) = prior()    p(x|z) = decoder(z)

and in a model with a condition c, whose context network has read it: `encoder(x, context=...)` and so on.

Shapes: `B` batch, `C H W` image, `K` latent.
"""

import inspect
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Distribution

from reparam.core.context import ContextOutput
from reparam.errors import ConfigError

Density = Literal["mass", "density", "cross-entropy", "none"]


class Conditional(nn.Module, ABC):
    """A distribution given something. All are called alike: with what they condition on, if anything, and with the context.

    A subclass writes `forward(value)` (a prior: `forward()`), and adds a parameter `context` if it reads c. One that does not is
    the same for every c, and serves in a conditional model as it is.
    """

    reads_context: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.reads_context = "context" in inspect.signature(cls.forward).parameters

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Distribution:
        """The distribution, built with `validate_args=False`: its checks would make a GPU wait."""

    def __call__(self, *value: Tensor, context: ContextOutput | None = None) -> Distribution:
        given = {"context": context} if self.reads_context else {}
        found = super().__call__(*value, **given)
        if not isinstance(found, Distribution):
            raise ConfigError(f"{type(self).__name__} returns a {type(found).__name__}, not a torch Distribution")
        return found


class Encoder(Conditional):
    """q(z|x): x [B, C, H, W] -> batch shape [B], event shape [K]. `point`: it returns a point, which has no density."""

    point: ClassVar[bool] = False


class Prior(Conditional):
    """p(z): batch shape [] (given c: [B] or []), event shape [K].

    `components`: how many a mixture has that finds clusters, else 0; `standard_normal`: whether it is N(0, I); `factorises`:
    whether it is a product over latents, where it is no mixture.
    """

    components: int = 0
    factorises: ClassVar[bool] = True
    standard_normal: ClassVar[bool] = False


class Decoder(Conditional):
    """p(x|z): z [..., K] -> batch shape [...], event shape [C, H, W]; its mean is an image in [0, 1].

    density: what `log_prob` is of. "mass": a probability of the levels of a pixel (or of the values of a label map); "density":
    against Lebesgue measure on [0, 1]; "cross-entropy": a Bernoulli, which is a mass on binary images only; "none": a point.
    label_maps: whether x is a label map.
    """

    density: ClassVar[Density] = "density"
    label_maps: ClassVar[bool] = False

    def first_guess(self, context: ContextOutput) -> Distribution:
        """p(x|c) by the context network's first guess alone, without z; for decoders of conditional models."""
        raise NotImplementedError(f"{type(self).__name__} makes no use of a first guess")

    def coarse(self, output: Tensor, context: ContextOutput) -> Distribution:
        """p(x|c) of a reduced image, from a first guess at that size; for decoders of conditional models."""
        raise NotImplementedError(f"{type(self).__name__} makes no use of coarser guesses")


class Head(Conditional):
    """p(y|z), or p(y|x) in a model without an encoder: a categorical over D classes, batch shape [B]."""

    if TYPE_CHECKING:

        def __call__(self, *value: Tensor, context: ContextOutput | None = None) -> Categorical: ...


class Discriminator(Conditional):
    """D(x): x [B, C, H, W] -> Bernoulli of batch shape [B], the probability that x is an image of the data."""

    if TYPE_CHECKING:

        def __call__(self, *value: Tensor, context: ContextOutput | None = None) -> Bernoulli: ...
