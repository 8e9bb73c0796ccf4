"""Parts of networks that are computed otherwise than they are described."""

import pytest
import torch
import torch.nn.functional as F

from reparam.networks.residual import Upsample


@pytest.mark.parametrize(("small", "side"), [((4, 4), (8, 8)), ((3, 5), (6, 10)), ((4, 4), (7, 7)), ((1, 1), (2, 2))])
def test_upsampling_is_nearest_neighbour_and_a_convolution(small: tuple[int, int], side: tuple[int, int]) -> None:
    """Values, and gradients for the input, the kernel and the offset, in float64."""
    torch.manual_seed(0)
    layer = Upsample(3, 2, side).double()
    h = torch.randn(2, 3, *small, dtype=torch.float64, requires_grad=True)
    described = layer.conv(F.interpolate(h, size=side, mode="nearest"))
    found = layer(h)

    assert found.shape == (2, 2, *side)
    torch.testing.assert_close(found, described, rtol=0, atol=1e-13)
    weights = torch.randn_like(found)
    of = (h, layer.conv.weight, layer.conv.bias)
    ours, theirs = (torch.autograd.grad(made, of, weights) for made in (found, described))
    for mine, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, right, rtol=0, atol=1e-12)
