"""p(x|z) and p(x|z, c): a decoder network and the distribution that its output parameterises. To add one: a class, and a row in
`LIKELIHOODS`; parameters that are annotated with a `Field` become options of every model that offers the choice.

Every likelihood maps z [..., K] to a distribution of batch shape [...] and event shape [C, H, W], whose `log_prob` is in
nats per image. Locations pass a sigmoid, so that every mean is an image in [0, 1].

Shapes: `B` batch, `C H W` image, `K` latent, `P` parameters of the likelihood a pixel.
"""

import math
from abc import abstractmethod
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Laplace, Normal

from reparam.core.conditional import Decoder, Density
from reparam.core.context import ContextOutput
from reparam.core.spec import BYTES
from reparam.distributions import Bernoulli, ContinuousBernoulli, DiscretisedLogistic, PixelCategorical
from reparam.errors import ConfigError

LARGEST_SCALE = 10.0

Scale = Annotated[float, Field(gt=0, description="scale of gaussian and laplace; where gaussian-learned starts")]


class Likelihood(Decoder):
    """A decoder. `parameters_per_pixel`: how many outputs of the network a pixel and channel needs; `levels`: how many equally
    spaced values a pixel has from 0 to 1 (0: any)."""

    parameters_per_pixel: ClassVar[int] = 1

    def __init__(self, network: nn.Module | None, levels: int = BYTES) -> None:
        """`network` is None where there is no z to decode: a model that predicts by its first guess alone."""
        super().__init__()
        self.network, self.levels = network, levels

    @property
    def log_scales(self) -> tuple[float, float]:
        """The range of log scales. A density on pixels that never change grows without limit as its scale shrinks; one level is
        where that stops, of values without levels 1/255."""
        return math.log(1 / ((self.levels or BYTES) - 1)), math.log(LARGEST_SCALE)

    def forward(self, z: Tensor, context: ContextOutput | None = None) -> Distribution:
        """Given a context, the network sees its features too, and the first guess is added to what z says."""
        assert self.network is not None
        if context is None:
            return self._of(self.network(z))
        output = self.network(z, context.features)
        return context.complete(self._of(output if context.guess is None else context.guess + output))

    def first_guess(self, context: ContextOutput) -> Distribution:
        assert context.guess is not None
        return context.complete(self._of(context.guess))

    def coarse(self, output: Tensor, context: ContextOutput) -> Distribution:
        """Of what is observed only in part, a reduced pixel counts as a target."""
        return context.reduced((output.shape[-2], output.shape[-1])).complete(self._of(output))

    def _of(self, output: Tensor) -> Independent:
        return Independent(self.pixels(output.float()), 3, validate_args=False)

    @abstractmethod
    def pixels(self, output: Tensor) -> Distribution:
        """The distribution of each pixel, from the network's output [..., P * C, H, W]."""


class BernoulliLikelihood(Likelihood):
    """log p = sum x log f + (1 - x) log(1 - f), f = sigmoid(logits), computed from the logits."""

    density: ClassVar[Density] = "cross-entropy"

    def pixels(self, output: Tensor) -> Distribution:
        return Bernoulli(output)


class ContinuousBernoulliLikelihood(Likelihood):
    """The Bernoulli's density on [0, 1] with its normalising constant (Loaiza-Ganem and Cunningham 2019)."""

    def pixels(self, output: Tensor) -> Distribution:
        return ContinuousBernoulli(output)


class GaussianLikelihood(Likelihood):
    """N(sigmoid(output), scale^2) with `scale` fixed; scale = sqrt(1/2) gives squared error up to a constant."""

    def __init__(self, network: nn.Module | None, scale: Scale = 1.0, levels: int = BYTES) -> None:
        super().__init__(network, levels)
        self.scale = scale

    def pixels(self, output: Tensor) -> Distribution:
        loc = torch.sigmoid(output)
        return Normal(loc, torch.full_like(loc, self.scale), validate_args=False)


class LearnedGaussianLikelihood(Likelihood):
    """N(sigmoid(output), scale^2) with one learned scale for all pixels (Rybkin et al. 2021, sigma-VAE)."""

    def __init__(self, network: nn.Module | None, scale: Scale = 1.0, levels: int = BYTES) -> None:
        super().__init__(network, levels)
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.begin_at(scale)

    @torch.no_grad()
    def begin_at(self, scale: float) -> None:
        """Sets the scale, within its range: outside it would never move."""
        low, high = self.log_scales
        self.log_scale.fill_(min(max(math.log(scale), low), high))

    def pixels(self, output: Tensor) -> Distribution:
        loc = torch.sigmoid(output)
        return Normal(loc, self.log_scale.clamp(*self.log_scales).exp().expand_as(loc), validate_args=False)


class PixelGaussianLikelihood(Likelihood):
    """N(sigmoid(a), exp(b)^2), both from the network for each pixel; no scale below one level."""

    parameters_per_pixel = 2

    def pixels(self, output: Tensor) -> Distribution:
        loc, log_scale = output.chunk(2, -3)
        return Normal(torch.sigmoid(loc), log_scale.clamp(*self.log_scales).exp(), validate_args=False)


class LaplaceLikelihood(Likelihood):
    """Laplace(sigmoid(output), scale) with `scale` fixed; scale = 1 gives absolute error up to a constant."""

    def __init__(self, network: nn.Module | None, scale: Scale = 1.0, levels: int = BYTES) -> None:
        super().__init__(network, levels)
        self.scale = scale

    def pixels(self, output: Tensor) -> Distribution:
        loc = torch.sigmoid(output)
        return Laplace(loc, torch.full_like(loc, self.scale), validate_args=False)


class DiscretisedLogisticLikelihood(Likelihood):
    """Mass on the levels of a pixel from a logistic whose location and scale the network gives for each pixel. Raises ConfigError
    for images without levels."""

    parameters_per_pixel = 2
    density: ClassVar[Density] = "mass"

    def __init__(self, network: nn.Module | None, levels: int = BYTES) -> None:
        if not levels:
            raise ConfigError(
                "likelihood 'discretised-logistic' is a mass on levels, and these images are floats of any value: choose "
                "--likelihood gaussian-pixel, or read them with --depth 8"
            )
        super().__init__(network, levels)

    def pixels(self, output: Tensor) -> Distribution:
        loc, log_scale = output.chunk(2, -3)
        # A logistic narrower than a tenth of a level is a point already; the floor keeps its gradient finite.
        low, high = self.log_scales
        scale = (log_scale - 2).clamp(low - math.log(10), high).exp()
        return DiscretisedLogistic(torch.sigmoid(loc), scale, self.levels)


class LabelMapLikelihood(Likelihood):
    """One of D values at each pixel, softmax of the network's outputs [..., D, H, W]: for tasks whose target is a label map."""

    density: ClassVar[Density] = "mass"
    label_maps = True

    def pixels(self, output: Tensor) -> Distribution:
        return PixelCategorical(output)


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": BernoulliLikelihood,
    "continuous-bernoulli": ContinuousBernoulliLikelihood,
    "gaussian": GaussianLikelihood,
    "gaussian-learned": LearnedGaussianLikelihood,
    "gaussian-pixel": PixelGaussianLikelihood,
    "laplace": LaplaceLikelihood,
    "discretised-logistic": DiscretisedLogisticLikelihood,
}
