"""The Bernoulli of the likelihoods.

Shapes: `B` batch shape.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class _LogProb(torch.autograd.Function):
    """x l - log(1 + exp(l)), whose derivative by l is x - sigmoid(l): fewer passes over memory than through autograd."""

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, value: Tensor) -> Tensor:
        return value * logits - F.softplus(logits)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        logits, value = ctx.saved_tensors
        by_logits, by_value = None, None
        if ctx.needs_input_grad[0]:
            by_logits = (gradient * (value - torch.sigmoid(logits))).sum_to_size(logits.shape)
        if ctx.needs_input_grad[1]:
            by_value = (gradient * logits).sum_to_size(value.shape)
        return by_logits, by_value


class Bernoulli(torch.distributions.Bernoulli):
    """torch's, with log p(x) = x l - log(1 + exp(l)), l the logits, in fewer passes over memory.

    Grey x in [0, 1] give the cross-entropy. The rounding error is below one unit in the last place of l.
    """

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits=logits, validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> "Bernoulli":
        return Bernoulli(self.logits.expand(torch.Size(batch_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        return _LogProb.apply(self.logits, value)
