"""What `torch.distributions` lacks: points, mass on integer levels, and sampling with a generator."""

from reparam.distributions.bernoulli import Bernoulli
from reparam.distributions.delta import Delta
from reparam.distributions.quantised import DiscretisedLogistic
from reparam.distributions.sampling import detached, keyed_generator, rsample

__all__ = ["Bernoulli", "Delta", "DiscretisedLogistic", "detached", "keyed_generator", "rsample"]
