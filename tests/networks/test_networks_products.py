"""Products by oneDNN: those of float32, with the gradients of `nn.Linear`, wherever a layer is used."""

import copy
import math
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad

from reparam.networks.products import SMALLEST, OneDNNLinear, has_onednn, large_layers, use_onednn

pytestmark = pytest.mark.skipif(not has_onednn(), reason="this torch has no oneDNN")


def close(found: torch.Tensor, right: torch.Tensor, summands: int) -> bool:
    """Within float32's error of a float64 value: 2^-24 sqrt(K) relative to the root mean square (see `_is_exact`)."""
    return float((found.double() - right).detach().norm() / right.detach().norm()) <= 2.0**-24 * math.sqrt(summands)


def both(bias: bool = True) -> tuple[nn.Module, nn.Module]:
    """One layer in float32 by oneDNN, and the same in float64 by torch."""
    torch.manual_seed(0)
    layer = nn.Linear(300, 200, bias)
    right = copy.deepcopy(layer).double()
    use_onednn(layer)
    assert type(layer) is OneDNNLinear
    return layer, right


@pytest.mark.parametrize("shape", [(7,), (128,), (5, 3), (2, 3, 4), ()])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_the_layer(shape: tuple[int, ...], bias: bool) -> None:
    layer, right = both(bias)
    x, weight = torch.randn(*shape, 300), torch.randn(*shape, 200)
    rows = max(1, math.prod(shape))
    found, expected = [], []
    for model, values, kept in ((layer, x, found), (right, x.double(), expected)):
        values.requires_grad_()
        y = model(values)
        kept += [y, *torch.autograd.grad((y * weight.to(y.dtype)).sum(), [values, *model.parameters()])]
    for one, other, summands in zip(found, expected, (301, 200, max(rows, 2), max(rows, 2)), strict=False):
        assert one.shape == other.shape
        assert one.is_contiguous()
        assert close(one, other, summands)


def test_gradients_of_gradients() -> None:
    layer, right = both()
    x = torch.randn(16, 300)
    found = []
    for model, values in ((layer, x), (right, x.double())):
        values.requires_grad_()
        (slope,) = torch.autograd.grad(model(values).tanh().sum(), values, create_graph=True)
        found.append(torch.autograd.grad(slope.square().sum(), model.weight)[0])  # type: ignore[arg-type]
    # Errors of two products and of tanh's slope, which a value's error of 1e-6 changes by as much.
    assert float((found[0].double() - found[1]).norm() / found[1].norm()) < 1e-5


def test_what_is_not_plain_float32_is_torchs() -> None:
    layer, right = both()
    plain = copy.deepcopy(right).float()
    x, tangent = torch.randn(4, 300), torch.randn(4, 300)
    for use in (
        lambda model: torch.func.jvp(model, (x,), (tangent,))[1],
        lambda model: torch.func.vmap(model)(x.view(2, 2, 300)),
        lambda model: copy.deepcopy(model).double()(x.double()),
        lambda model: model(x[:0]),
    ):
        assert torch.equal(use(layer), use(plain))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
        assert torch.equal(layer(x), plain(x))


def test_forward_derivatives_and_errors_are_those_of_the_layer() -> None:
    layer, right = both()
    x, tangent = torch.randn(4, 300), torch.randn(4, 300)
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(layer(forward_ad.make_dual(x, tangent))).tangent
    assert close(found, (tangent.double() @ right.weight.T).detach(), 300)  # type: ignore[operator]
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        layer(torch.randn(4, 299))


def test_the_module_can_be_loaded_again() -> None:
    code = """
import importlib, sys, torch
import reparam.networks.products as products
x, b = torch.randn(3, 300), torch.randn(200, 300)
first = products.multiply(x, b)
assert torch.equal(importlib.reload(products).multiply(x, b), first)
for name in [name for name in sys.modules if name.startswith("reparam")]:
    del sys.modules[name]
del products
import reparam.networks.products as products
assert torch.equal(products.multiply(x, b), first)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_small_layers_and_kinds_of_others_stay_as_they_are() -> None:
    class Own(nn.Linear):
        pass

    sides = math.isqrt(SMALLEST)
    model = nn.Sequential(nn.Linear(2, 3), Own(400, 400), nn.Linear(sides + 1, sides + 1), nn.Conv2d(1, 1, 3))
    names = list(model.state_dict())
    use_onednn(model)
    use_onednn(model)  # does nothing more
    assert [type(layer) for layer in model] == [nn.Linear, Own, OneDNNLinear, nn.Conv2d]
    assert list(large_layers(model)) == [model[2]]
    assert list(model.state_dict()) == names
