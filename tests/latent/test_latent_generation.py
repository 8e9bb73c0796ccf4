"""Generation on a decoder that can be read: x = sigmoid(10 z) in one pixel block per latent."""

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal

from reparam.conditionals import StandardNormal
from reparam.core.conditional import Decoder, Encoder
from reparam.latent import generation
from reparam.models import Model


class Reader(Encoder):
    """q(z|x) = N(logit(mean of each half) / 10, 0.1^2)."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Independent:
        halves = torch.stack([x[..., :4, :].mean((-1, -2, -3)), x[..., 4:, :].mean((-1, -2, -3))], -1)
        loc = halves.clamp(1e-6, 1 - 1e-6).logit() / 10
        return Independent(Normal(loc, torch.full_like(loc, 0.1)), 1)


class Writer(Decoder):
    def forward(self, z: Tensor) -> Independent:
        rows = (10 * z).repeat_interleave(4, -1)[..., None, :, None]
        return Independent(Bernoulli(logits=rows.expand(*rows.shape[:-1], 8)), 3)


def model() -> Model:
    return Model(encoder=Reader(), prior=StandardNormal(2), decoder=Writer())


def levels(images: Tensor) -> Tensor:
    """(upper, lower) grey value of each image."""
    return torch.stack([images[..., 0, 0, 0], images[..., 0, 7, 7]], -1)


def test_reconstruction_goes_through_the_posterior_mean() -> None:
    z = torch.tensor([[0.1, -0.2], [0.0, 0.05]])
    x = torch.sigmoid(10 * z).repeat_interleave(4, 1)[:, None, :, None].expand(2, 1, 8, 8)
    torch.testing.assert_close(generation.reconstruct(model(), x), x)
    mean, scale = generation.encode(model(), x)
    torch.testing.assert_close(mean, z)
    torch.testing.assert_close(scale, torch.full((2, 2), 0.1))


def test_interpolation_is_linear_in_z_and_ends_at_both_reconstructions() -> None:
    z = torch.tensor([[-0.2, 0.1], [0.2, 0.3]])
    x = torch.sigmoid(10 * z).repeat_interleave(4, 1)[:, None, :, None].expand(2, 1, 8, 8)
    found = levels(generation.interpolate(model(), x[:1], x[1:], 3))[0]
    torch.testing.assert_close(found, torch.sigmoid(10 * torch.stack([z[0], z.mean(0), z[1]])))


def test_walks_go_along_the_great_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    latents = torch.tensor([[0.1, 0.0], [0.1, 0.1], [0.0, 0.2], [0.1, 0.1]])  # at a right angle; twice the same
    monkeypatch.setattr(generation, "sample_latents", lambda model, n, seed: latents)
    found = levels(generation.walks(model(), 2, 4))
    turns = torch.tensor([[0.1, 0.0], [0.05 * 3**0.5, 0.1], [0.05, 0.1 * 3**0.5], [0.0, 0.2]])  # by 30 degrees
    torch.testing.assert_close(found[0], torch.sigmoid(10 * turns))
    torch.testing.assert_close(found[1], torch.sigmoid(torch.ones(4, 2)))


def test_images_may_be_walked_between_on_the_circle_too() -> None:
    z = torch.tensor([[0.1, 0.0], [0.0, 0.2]])
    x = torch.sigmoid(10 * z).repeat_interleave(4, 1)[:, None, :, None].expand(2, 1, 8, 8)
    found = levels(generation.interpolate(model(), x[:1], x[1:], 4, "spherical"))[0]
    turns = torch.tensor([[0.1, 0.0], [0.05 * 3**0.5, 0.1], [0.05, 0.1 * 3**0.5], [0.0, 0.2]])  # by 30 degrees
    torch.testing.assert_close(found, torch.sigmoid(10 * turns))


@pytest.mark.parametrize("end", [(-0.1, 0.0), (0.2, 0.0)])
def test_a_circle_between_opposite_or_parallel_latents_stays_finite_and_ends_where_it_should(end: tuple) -> None:
    a, b = torch.tensor([[0.1, 0.0]]), torch.tensor([end])
    found = levels(generation.walk(model(), a, b, 5, "spherical"))[0]
    assert found.isfinite().all()
    torch.testing.assert_close(found[[0, -1]], torch.sigmoid(10 * torch.cat([a, b])), atol=1e-4, rtol=0)


def test_traversal_moves_one_dimension_alone() -> None:
    start = torch.tensor([0.07, -0.03])
    found = levels(generation.traverse(model(), start, [1, 0], -0.3, 0.3, 3))
    expected = torch.tensor([[[0.07, -0.3], [0.07, 0.0], [0.07, 0.3]], [[-0.3, -0.03], [0.0, -0.03], [0.3, -0.03]]])
    torch.testing.assert_close(found, torch.sigmoid(10 * expected))


def test_grid_has_plus_extent_of_the_second_latent_on_top() -> None:
    found = levels(generation.latent_grid(model(), 2, 0.2, 3))
    assert found.shape == (3, 3, 2)
    torch.testing.assert_close(found[0, 0], torch.sigmoid(torch.tensor([-2.0, 2.0])))
    torch.testing.assert_close(found[2, 2], torch.sigmoid(torch.tensor([2.0, -2.0])))
    torch.testing.assert_close(found[1, 1], torch.tensor([0.5, 0.5]))


def test_draws_and_samples_do_not_depend_on_how_many() -> None:
    few, many = generation.sample(model(), 5, 1, draw=True), generation.sample(model(), 205, 1, draw=True)
    assert torch.equal(few, many[:5])
    assert set(many.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(many[:100], many[100:200])
    x = torch.full((3, 1, 8, 8), 0.5)
    assert torch.equal(
        generation.posterior_draws(model(), x, 4, 0)[:2], generation.posterior_draws(model(), x[:2], 4, 0)
    )


def test_posterior_draws_have_its_spread() -> None:
    x = torch.full((1, 1, 8, 8), 0.5)
    z = levels(generation.posterior_draws(model(), x, 4000, 0)).logit()[0] / 10
    # Standard error of a standard deviation: s / sqrt(2 n) = 0.0011.
    torch.testing.assert_close(z.std(0), torch.full((2,), 0.1), rtol=0, atol=5 * 0.0011)
    torch.testing.assert_close(z.mean(0), torch.zeros(2), rtol=0, atol=5 * 0.1 / 4000**0.5)
