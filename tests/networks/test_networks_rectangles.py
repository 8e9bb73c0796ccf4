"""Every network on images of any sides from 8 pixels: shapes come back, and every pixel is read and drawn."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from reparam.core.batch import Condition
from reparam.networks import CONDITIONAL_NETWORKS, GAN_NETWORKS, NETWORKS, Pair, Shapes
from reparam.networks.residual import ResidualBlock

SHAPES = [(1, 8, 8), (3, 8, 13), (1, 28, 20), (3, 9, 33), (1, 40, 8), (1, 30, 30)]
SMALL = {"mlp": {"hidden": (16,)}, "conv": {}, "residual": {"width": 8}, "patches": {"levels": (8, 16)}}


def live(network: nn.Module) -> nn.Module:
    """Without the zeros that some layers begin with, and in evaluation, where batches do not mix."""
    for block in network.modules():
        if isinstance(block, ResidualBlock):
            nn.init.normal_(block.body[-1].weight, std=0.1)  # type: ignore[arg-type]
    return network.eval()


def reads_all(network: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> bool:
    x = torch.rand(1, *shape, requires_grad=True)
    found = network(x)
    (found * torch.randn_like(found)).sum().backward()
    return bool((x.grad != 0).all())  # type: ignore[union-attr]


def draws_all(network: Callable[[Tensor], Tensor], latent: int) -> bool:
    """Every output changes with the latent."""
    a, b = (network(torch.randn(1, latent)) for _ in range(2))
    return bool((a != b).all())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_pairs(name: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    activation = {} if name == "mlp" else {"activation": "silu"}  # smooth: nothing is dead by chance
    pair: Pair = NETWORKS[name](shape, 6, 2, **SMALL[name], **activation)
    encoder, decoder = live(pair.encoder), live(pair.decoder)
    assert encoder(torch.rand(2, *shape)).shape == (2, pair.features)
    assert decoder(torch.randn(2, 3, 6)).shape == (2, 3, 2 * shape[0], *shape[1:])
    assert reads_all(encoder, shape)
    assert draws_all(decoder, 6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", GAN_NETWORKS)
def test_generators_and_discriminators(name: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    pair = GAN_NETWORKS[name](shape, 6, **({"width": 8} if name == "dcgan" else {"hidden": (16,)}))
    generator, discriminator = live(pair.generator), live(pair.discriminator)
    assert generator(torch.randn(2, 3, 6)).shape == (2, 3, *shape)
    assert discriminator(torch.rand(2, *shape)).shape == (2, 1)
    assert reads_all(discriminator, shape)
    assert draws_all(generator, 6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("condition", [Condition(classes=3), Condition(channels=4), Condition(channels=2, masked=True)])
@pytest.mark.parametrize("name", CONDITIONAL_NETWORKS)
def test_conditional_networks(name: str, condition: Condition, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    options = {"width": 8, "multi_scale": True} if name == "residual" else {"hidden": (16,)}
    parts = CONDITIONAL_NETWORKS[name](Shapes(shape, 5, 4, condition), activation="silu", **options)
    c = torch.tensor([0, 2]) if condition.classes else torch.rand(2, condition.channels, *shape[1:])
    context, guess, generation = live(parts.context()), live(parts.guess()), live(parts.generation())
    features = context(c)
    found = guess(features)
    if name == "residual":
        found, coarser = found
        sides = [tuple(one.shape[2:]) for one in coarser]
        half = tuple(-(-side // 2) for side in shape[1:])
        assert sides == [tuple(-(-side // 2) for side in half), half][-len(sides) :]
    assert found.shape == (2, 5, *shape[1:])
    assert generation(torch.randn(3, 2, 4), features).shape == (3, 2, 5, *shape[1:])
    encoder, count = parts.recognition(False)
    assert live(encoder)(torch.rand(2, *shape), features, None).shape == (2, count)
    if not condition.classes:

        def whole(c: Tensor) -> Tensor:
            first = guess(context(c))
            return first if isinstance(first, Tensor) else first[0]

        assert reads_all(whole, (condition.channels, *shape[1:]))
