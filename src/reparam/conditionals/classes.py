"""p(y|z): what reads a class, and what is known of classes.

Shapes: `B` batch, `K` latent, `D` classes.
"""

from torch import Tensor, nn
from torch.distributions import Categorical

from reparam.core.conditional import Head
from reparam.core.model import Model
from reparam.errors import ConfigError


class LinearClass(Head):
    """z [..., K] -> Categorical over D, batch shape [...]: logits W z + b."""

    def __init__(self, latent: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(latent, classes)

    def forward(self, z: Tensor) -> Categorical:
        return Categorical(logits=self.linear(z).float(), validate_args=False)


def linear_head(model: Model) -> nn.Linear:
    """The linear map from z to the logits of classes. Raises ConfigError for a model whose head is another."""
    if not isinstance(model.head, LinearClass):
        raise ConfigError(
            f"it takes a linear classifier of the latent, and this model has a {type(model.head).__name__}"
        )
    return model.head.linear
