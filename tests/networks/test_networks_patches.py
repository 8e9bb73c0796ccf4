"""The network on patches: any shape from 8 pixels up."""

import pytest
import torch

from reparam.errors import ConfigError
from reparam.networks.patches import patch_pair, patch_size
from reparam.networks.residual import ResidualBlock


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (3, 9, 8), (1, 28, 28), (3, 32, 32), (4, 17, 50), (3, 90, 120), (2, 64, 8), (3, 130, 40)]
)
@pytest.mark.parametrize("parameters", [1, 2])
def test_any_shape_comes_back(shape: tuple[int, int, int], parameters: int) -> None:
    pair = patch_pair(shape, 6, parameters, levels=(8, 16, 24))
    x = torch.rand(2, *shape)
    features = pair.encoder(x)
    assert features.shape == (2, pair.features)
    z = torch.randn(2, 3, 6)
    assert pair.decoder(z).shape == (2, 3, parameters * shape[0], *shape[1:])


@pytest.mark.parametrize("shape", [(3, 21, 30), (1, 8, 8)])
def test_every_pixel_is_read_and_drawn(shape: tuple[int, int, int]) -> None:
    """Also those of the last rows and columns, which are padded inside."""
    torch.manual_seed(0)
    pair = patch_pair(shape, 6, 1, levels=(8, 16))
    x = torch.rand(1, *shape, requires_grad=True)
    pair.encoder(x).square().sum().backward()
    assert (x.grad.abs().sum((0, 1)) > 0).all()  # type: ignore[union-attr]
    z = torch.randn(1, 6, requires_grad=True)
    drawn = pair.decoder(z)[0]
    gradients = torch.stack([torch.autograd.grad(one, z, retain_graph=True)[0] for one in drawn[0].flatten()])
    assert (gradients.abs().sum((1, 2)) > 0).all()


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 12, 20)])
def test_slopes_in_forward_mode_are_those_of_differences(shape: tuple[int, int, int]) -> None:
    """Of several latents together, whose maps lie with channels last; central differences in float64 are good to 1e-9."""
    torch.manual_seed(0)
    decoder = patch_pair(shape, 4, 1, levels=(8, 16)).decoder.double()
    for block in decoder.modules():
        if isinstance(block, ResidualBlock):
            torch.nn.init.normal_(block.body[-1].weight, std=0.1)  # type: ignore[arg-type]
    z, step = torch.randn(2, 5, 4, dtype=torch.float64)
    with torch.no_grad():
        found = torch.func.jvp(decoder, (z,), (step,))[1]
        expected = (decoder(z + 1e-5 * step) - decoder(z - 1e-5 * step)) / 2e-5
    # A rectifier has no slope where it bends: of the pixels few lie that near to it.
    assert ((found - expected).abs() <= 1e-6).double().mean() > 0.99


@pytest.mark.parametrize(
    ("side", "size"), [(8, 1), (16, 1), (17, 2), (32, 2), (33, 4), (64, 4), (65, 8), (128, 8), (218, 16)]
)
def test_first_maps_have_at_most_sixteen_places(side: int, size: int) -> None:
    assert patch_size(side, 8) == patch_size(8, side) == size


def test_small_images_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 8 x 8"):
        patch_pair((1, 7, 20), 2, 1)
