"""Linear layers whose float32 products are oneDNN's, instead of those of the library that torch was built with (MKL on x86).

Both are float32 throughout. MKL takes a slower path on processors that are not Intel's. A layer keeps its weights and their
names. The choice is the model's own: it holds wherever the model is used, and other threads do not see it.

Shapes: `n` rows, `I` inputs, `O` outputs.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = 2**15  # weights of a layer: below, a call of oneDNN takes longer than what it could gain


def _register() -> None:
    """An operation of our own, for torch's compiler takes `mkldnn._linear_pointwise` for one of constant weights. Once in a
    process, also where this module is loaded again."""
    if hasattr(torch.ops.reparam, "product"):
        return
    library = torch.library.Library("reparam", "FRAGMENT")
    library.define("product(Tensor a, Tensor b, Tensor? bias) -> Tensor")

    def by_onednn(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise.default(a, b, bias, "none", [], "")

    def shape(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
        return a.new_empty(a.shape[0], b.shape[0])

    library.impl("product", by_onednn, "CPU")
    torch.library.register_fake("reparam::product", shape, lib=library)
    vars(torch.ops.reparam)["library"] = library  # what a library has registered goes when it goes


_register()


def has_onednn() -> bool:
    """Whether this torch can multiply plain float32 tensors by oneDNN."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def multiply(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a b^T + bias [n, O] by oneDNN, of float32 a [n, I], b [O, I], bias [O]; differentiable any number of times."""
    return _Product.apply(a, b, bias)


class _Product(torch.autograd.Function):
    """C = a b^T + bias; its gradients are products as well: dC b, dC^T a, and the sum of dC over rows."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(a, b)
        ctx.save_for_forward(a, b)
        return torch.ops.reparam.product.default(a, b, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        by_a, by_b, by_bias = ctx.needs_input_grad
        of = multiply if torch.is_grad_enabled() else torch.ops.reparam.product.default
        return (
            of(gradient, b.t(), None) if by_a else None,
            of(gradient.t(), a.t(), None) if by_b else None,
            gradient.sum(0) if by_bias else None,
        )

    @staticmethod
    def jvp(ctx: Any, a: Tensor | None, b: Tensor | None, bias: Tensor | None) -> Tensor:
        of_a, of_b = ctx.saved_tensors
        parts = [multiply(a, of_b)] if a is not None else []
        parts += [multiply(of_a, b)] if b is not None else []
        parts += [bias.expand(len(of_a), -1)] if bias is not None else []
        return sum(parts[1:], parts[0])


class OneDNNLinear(nn.Linear):
    """`nn.Linear` by `multiply`. What is not plain float32 on a CPU is torch's as ever: other types and layouts, a GPU, autocast,
    the transforms of `torch.func`, tracing."""

    def forward(self, x: Tensor) -> Tensor:
        if not self._is_plain(x):
            return F.linear(x, self.weight, self.bias)
        rows = multiply(x.reshape(-1, self.in_features), self.weight, self.bias)
        return rows.view(*x.shape[:-1], self.out_features)

    def _is_plain(self, x: Tensor) -> bool:
        return (
            x.dtype == self.weight.dtype == torch.float32
            and x.device.type == "cpu"
            and x.layout == torch.strided
            and x.numel() > 0
            and x.shape[-1] == self.in_features  # else torch says what is wrong
            and not torch.is_autocast_enabled("cpu")
            and not torch.jit.is_tracing()
            and not torch._C._are_functorch_transforms_active()
        )


def large_layers(model: nn.Module) -> Iterator[nn.Linear]:
    """The linear layers that oneDNN may be faster for: plain ones, of `SMALLEST` weights and more."""
    linear = (layer for layer in model.modules() if isinstance(layer, nn.Linear))
    kinds = (nn.Linear, OneDNNLinear)  # and none that is derived from them: its forward is its own
    yield from (layer for layer in linear if type(layer) in kinds and layer.weight.numel() >= SMALLEST)


def use_onednn(model: nn.Module) -> None:
    """The large linear layers of a model become `OneDNNLinear`, in place, with their weights, hooks and state."""
    for layer in large_layers(model):
        layer.__class__ = OneDNNLinear
