"""What `torch.distributions` lacks: points, mass on integer levels, label maps, partly known images, and sampling with a
generator."""

from reparam.distributions.bernoulli import Bernoulli
from reparam.distributions.delta import Delta
from reparam.distributions.isda import isda_bound
from reparam.distributions.partial import Completion, PixelCategorical, pick, prediction
from reparam.distributions.quantised import DiscretisedLogistic
from reparam.distributions.sampling import detached, keyed_generator, rsample, with_parameters

__all__ = [
    "Bernoulli",
    "Completion",
    "Delta",
    "DiscretisedLogistic",
    "PixelCategorical",
    "detached",
    "isda_bound",
    "keyed_generator",
    "pick",
    "prediction",
    "rsample",
    "with_parameters",
]
