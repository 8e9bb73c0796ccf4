"""p(x|z) and p(x|z, c): a decoder network and the distribution that its output parameterises.

Every likelihood maps z [..., K] to a distribution of batch shape [...] and event shape [C, H, W], whose `log_prob` is in
nats per image. Locations pass a sigmoid, so that every mean is an image in [0, 1].

Shapes: `B` batch, `C H W` image, `K` latent.
"""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import ContinuousBernoulli, Distribution, Independent, Laplace, Normal

from reparam.conditionals.context import ContextOutput
from reparam.distributions import Bernoulli, DiscretisedLogistic, PixelCategorical

# A density on pixels that never change grows without limit as its scale shrinks; one grey level is where that stops.
SMALLEST_SCALE = 1 / 255
LOG_SCALE_RANGE = (math.log(SMALLEST_SCALE), math.log(10.0))


class Likelihood(nn.Module, ABC):
    """A decoder. `parameters_per_pixel` tells the network how many outputs a pixel needs; `density` what log_prob means.

    density: "mass" (a probability of the stated levels), "density" (against Lebesgue measure on [0, 1]), or "cross-entropy"
    (a Bernoulli: mass on binary images, and only a cross-entropy on grey ones).
    """

    parameters_per_pixel: ClassVar[int] = 1
    of_maps: ClassVar[bool] = False  # whether x is a label map
    density: ClassVar[str] = "density"

    def __init__(self, network: nn.Module | None, scale: float = 1.0) -> None:
        super().__init__()
        self.network: Any = network  # None: there is no z to decode
        self.scale = scale

    def forward(self, z: Tensor | None, given: ContextOutput | None = None) -> Distribution:
        """With `given`, p(x|z, c): the network sees its features too, and the first guess is added to what z says. Without z it
        is p(x|c) by the first guess alone."""
        if given is None:
            return Independent(self.pixels(self.network(z).float()), 3, validate_args=False)
        parts = [given.guess] if given.guess is not None else []
        if z is not None:
            parts.append(self.network(z, given.features))
        output = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        return given.complete(Independent(self.pixels(output.float()), 3, validate_args=False))

    def coarse(self, output: Tensor, given: ContextOutput) -> Distribution:
        """The distribution of a reduced image from outputs of its side; of what is observed only in part, a pixel counts as
        wanted."""
        return given.reduced(output.shape[-1]).complete(
            Independent(self.pixels(output.float()), 3, validate_args=False)
        )

    @abstractmethod
    def pixels(self, output: Tensor) -> Distribution:
        """The distribution of each pixel, from the network's output [..., P * C, H, W]."""


class BernoulliLikelihood(Likelihood):
    """log p = sum x log f + (1 - x) log(1 - f), f = sigmoid(logits), computed from the logits."""

    density = "cross-entropy"

    def pixels(self, output: Tensor) -> Distribution:
        return Bernoulli(output)


class ContinuousBernoulliLikelihood(Likelihood):
    """The Bernoulli's density on [0, 1] with its normalising constant (Loaiza-Ganem and Cunningham 2019)."""

    def pixels(self, output: Tensor) -> Distribution:
        return ContinuousBernoulli(logits=output, validate_args=False)


class GaussianLikelihood(Likelihood):
    """N(sigmoid(output), scale^2) with `scale` fixed; scale = sqrt(1/2) gives squared error up to a constant."""

    def pixels(self, output: Tensor) -> Distribution:
        loc = torch.sigmoid(output)
        return Normal(loc, torch.full_like(loc, self.scale), validate_args=False)


class LearnedGaussianLikelihood(Likelihood):
    """N(sigmoid(output), scale^2) with one learned scale for all pixels (Rybkin et al. 2021, sigma-VAE)."""

    def __init__(self, network: nn.Module | None, scale: float = 1.0) -> None:
        super().__init__(network, scale)
        low, high = LOG_SCALE_RANGE
        self.log_scale = nn.Parameter(torch.tensor(min(max(math.log(scale), low), high)))  # outside it would never move

    def pixels(self, output: Tensor) -> Distribution:
        loc = torch.sigmoid(output)
        return Normal(loc, self.log_scale.clamp(*LOG_SCALE_RANGE).exp().expand_as(loc), validate_args=False)


class PixelGaussianLikelihood(Likelihood):
    """N(sigmoid(a), exp(b)^2), both from the network for each pixel; no scale below one grey level."""

    parameters_per_pixel = 2

    def pixels(self, output: Tensor) -> Distribution:
        loc, log_scale = output.chunk(2, -3)
        return Normal(torch.sigmoid(loc), log_scale.clamp(*LOG_SCALE_RANGE).exp(), validate_args=False)


class LaplaceLikelihood(Likelihood):
    """Laplace(sigmoid(output), scale) with `scale` fixed; scale = 1 gives absolute error up to a constant."""

    def pixels(self, output: Tensor) -> Distribution:
        loc = torch.sigmoid(output)
        return Laplace(loc, torch.full_like(loc, self.scale), validate_args=False)


class DiscretisedLogisticLikelihood(Likelihood):
    """Mass on 256 grey levels from a logistic whose location and scale the network gives for each pixel."""

    parameters_per_pixel = 2
    density = "mass"

    def pixels(self, output: Tensor) -> Distribution:
        loc, log_scale = output.chunk(2, -3)
        # A logistic narrower than a tenth of a level is a point already; the floor keeps its gradient finite.
        scale = (log_scale - 2).clamp(LOG_SCALE_RANGE[0] - math.log(10), LOG_SCALE_RANGE[1]).exp()
        return DiscretisedLogistic(torch.sigmoid(loc), scale)


class LabelMapLikelihood(Likelihood):
    """One of D values at each pixel, softmax of the network's outputs [..., D, H, W]; there is no choice of it: it is what a
    task that wants label maps has."""

    density = "mass"
    of_maps = True

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
