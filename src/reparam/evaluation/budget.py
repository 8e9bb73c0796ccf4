"""How long the default evaluation may take: less than the training of what is measured."""

from typing import NamedTuple, Self

# Shares of the time that training took, and the fewest and most seconds.
LIKELIHOOD, FEWEST_SAMPLED, MOST_SAMPLED = 0.25, 5.0, 60.0
NETWORK, FEWEST_TRAINED = 0.3, 20.0
QUICK_SAMPLED = 1.0  # seconds


class Budget(NamedTuple):
    """Seconds: of the draws of one estimate of likelihoods; of the training of a feature network that nobody asked for."""

    sampled: float = FEWEST_SAMPLED
    network: float = FEWEST_TRAINED

    @classmethod
    def of(cls, seconds: float, quick: bool) -> Self:
        """For a model that was trained for so many seconds. A quick look trains no network."""
        if quick:
            return cls(QUICK_SAMPLED, 0.0)
        sampled = min(max(LIKELIHOOD * seconds, FEWEST_SAMPLED), MOST_SAMPLED)
        return cls(sampled, max(NETWORK * seconds, FEWEST_TRAINED))
