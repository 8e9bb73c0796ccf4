"""What the condition c says, computed once a batch: features and the first guess.

Shapes: `B` batch, `C H W` image, `F` features, `P` parameters of the likelihood a pixel, `W'` target pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from reparam.core.batch import Condition
from reparam.distributions import Completion


@dataclass(frozen=True)
class ContextOutput:
    """What the context network hands on to prior, encoder and decoder.

    features: as the networks of its family pass them on; guess: the first guess, outputs of the likelihood [B, P * C, H, W]
    ([B, P * C, 1, W'] where networks give the target pixels alone), None where there is none; hint: the guess as the prior and
    the encoder see it, values in [0, 1] without gradient; observed [B, C, H, W] and mask [B, 1, H, W]: what is seen of x itself;
    target [W']: places of the pixels to predict; coarser: guesses at smaller sizes.
    """

    features: Any
    guess: Tensor | None = None
    hint: Tensor | None = None
    observed: Tensor | None = None
    mask: Tensor | None = None
    target: Tensor | None = None
    coarser: tuple[Tensor, ...] = ()

    def complete(self, base: Independent) -> Distribution:
        """The distribution of the whole image, from that of its pixels."""
        if self.observed is None or self.mask is None:
            return base
        return Completion(base, self.observed, self.mask, self.target)

    def reduced(self, sides: tuple[int, int]) -> "ContextOutput":
        """The same of images reduced to (height, width): a pixel is observed where all that it stands for is."""
        if self.observed is None or self.mask is None:
            return ContextOutput(self.features)
        whole = (F.adaptive_avg_pool2d(self.mask, sides) > 1 - 1e-3).to(self.mask.dtype)
        return ContextOutput(self.features, observed=F.adaptive_avg_pool2d(self.observed, sides), mask=whole)


class ContextNetwork(nn.Module):
    """c -> ContextOutput.

    `network` turns c into features, `guess` (None: no first guess) features into outputs of the likelihood; `target` [W'] are the
    places of the pixels that outputs are of, where they are not of all; `squash` turns outputs into values in [0, 1] for the
    prior and the encoder, which send no gradient back.
    """

    target: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        guess: nn.Module | None,
        condition: Condition,
        target: Tensor | None = None,
        squash: Callable[[Tensor], Tensor] = torch.sigmoid,
    ) -> None:
        super().__init__()
        self.network, self.guess, self.squash = network, guess, squash
        self.classes, self.masked = condition.classes, condition.masked
        self.register_buffer("target", target, persistent=False)

    if TYPE_CHECKING:

        def __call__(self, c: Tensor) -> ContextOutput: ...

    def forward(self, c: Tensor) -> ContextOutput:
        features = self.network(c)
        guess, coarser = None, ()
        if self.guess is not None:
            guess = self.guess(features)
            if not isinstance(guess, Tensor):
                guess, coarser = guess
        hint = None if guess is None else self.squash(guess.detach().float())
        observed, mask = (c[:, :-1], c[:, -1:]) if self.masked else (None, None)
        return ContextOutput(features, guess, hint, observed, mask, self.target, coarser)
