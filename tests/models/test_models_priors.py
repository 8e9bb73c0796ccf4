"""Priors that are mixtures: what they begin as, what the VampPrior is made of, and what eq. 16 of the VAE report does to them."""

import copy

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from reparam.conditionals import DiagonalNormal
from reparam.distributions import keyed_generator, report_kl, tight_kl
from reparam.errors import ConfigError
from reparam.models import Model, Spec
from reparam.models.gmvae import MixturePrior
from reparam.run.config import resolve

SHAPE = (1, 8, 8)


def built(**options: object) -> Model:
    torch.manual_seed(0)
    config = resolve("gmvae", None, data="digits", hidden=(16,), latent=3, **options)
    return config.family.build(config.options, Spec(SHAPE))


def test_one_component_begins_as_the_standard_normal() -> None:
    p_z = MixturePrior(3, 1, spread=5.0)()
    z = torch.randn(10, 3, generator=keyed_generator("cpu", 0))
    torch.testing.assert_close(p_z.log_prob(z), Normal(0, 1).log_prob(z).sum(-1))


def test_components_begin_apart_with_equal_weights() -> None:
    torch.manual_seed(0)
    p_z = MixturePrior(50, 40, spread=2.0)()
    loc = p_z.component_distribution.base_dist.loc
    # 2,000 draws: the standard error of their deviation is 2 / sqrt(4,000) = 0.03.
    assert abs(float(loc.detach().std()) - 2) < 0.13
    torch.testing.assert_close(p_z.mixture_distribution.probs, torch.full((40,), 1 / 40))


def test_the_vamp_prior_is_the_mean_of_its_images_posteriors() -> None:
    model = built(prior="vamp", components=5)
    z = torch.randn(7, 3, generator=keyed_generator("cpu", 0))
    each = torch.stack([model.encoder(image[None]).log_prob(z) for image in model.prior.images])
    torch.testing.assert_close(model.prior().log_prob(z), each.logsumexp(0) - torch.tensor(5.0).log())


def test_the_vamp_prior_shares_the_encoder_and_owns_its_images_alone() -> None:
    model = built(prior="vamp", components=5)
    assert [name for name, _ in model.prior.named_parameters()] == ["images"]
    assert [name for name in model.state_dict() if name.startswith("prior")] == ["prior.images"]
    assert ((model.prior.images >= 0) & (model.prior.images <= 1)).all()
    model.prior().log_prob(torch.zeros(3)).backward()
    assert all(p.grad is not None for p in model.encoder.parameters())

    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.encoder.parameters():
            parameter.zero_()
    assert isinstance(twin.encoder, DiagonalNormal)
    zeros = twin.prior().component_distribution.base_dist.loc
    assert not zeros.any(), "a copy's prior reads the original's encoder"
    assert model.prior().component_distribution.base_dist.loc.any()


@pytest.mark.parametrize("by", ["likelihood", "links"])
def test_placed_components_are_the_clusters(by: str) -> None:
    n, loc = 4000, torch.tensor([[-4.0, 0.0], [4.0, 1.0], [0.0, 8.0]])
    spread, own = torch.tensor([[0.5, 1.0], [1.0, 0.3], [0.7, 0.7]]), 0.4
    g = keyed_generator("cpu", "clusters")
    which = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), n, replacement=True, generator=g)
    means = loc[which] + spread[which] * torch.randn(n, 2, generator=g)
    prior = MixturePrior(2, 3, spread=1.0)
    prior.place(Independent(Normal(means, torch.full_like(means, own)), 1), by)
    order = torch.cdist(loc, prior.loc.detach()).argmin(1)
    assert sorted(order.tolist()) == [0, 1, 2]
    share = torch.bincount(which, minlength=3) / n
    # Deviations of clusters of at least 800: standard errors below 1 / sqrt(800) of a mean and 1 / sqrt(1,600) of a scale.
    torch.testing.assert_close(prior().mixture_distribution.probs[order], share, atol=0.01, rtol=0)
    torch.testing.assert_close(prior.loc.detach()[order], loc, atol=4 / 800**0.5, rtol=0)
    expected = (spread.square() + own**2).sqrt()
    torch.testing.assert_close(prior.log_scale.detach().exp()[order], expected, atol=0, rtol=4 / 1600**0.5)


@pytest.mark.parametrize("by", ["likelihood", "links"])
def test_weights_are_those_of_clusters_of_very_unequal_size(by: str) -> None:
    n, latent, g = 2600, 10, keyed_generator("cpu", "unequal")
    weights = torch.tensor([1.0, 3.0, 9.0]) / 13
    which = torch.multinomial(weights, n, replacement=True, generator=g)
    loc = 4 * torch.eye(3, latent)  # 5.7 deviations apart
    means = loc[which] + torch.randn(n, latent, generator=g)
    prior = MixturePrior(latent, 3, spread=1.0)
    prior.place(Independent(Normal(means, torch.full_like(means, 0.1)), 1), by)
    order = torch.cdist(loc, prior.loc.detach()).argmin(1)
    found = prior().mixture_distribution.probs[order].detach()
    assert ((found - weights).abs() < 3 * (weights * (1 - weights) / n).sqrt()).all()


def test_components_are_not_placed_on_fewer_latents() -> None:
    prior = MixturePrior(2, 3, spread=1.0)
    means = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(50, 1)
    with pytest.raises(ConfigError, match="on 2 different latents"):
        prior.place(Independent(Normal(means, torch.ones_like(means)), 1), "links")


def fitted(kl) -> Tensor:
    """Means [M, K] of three components after descent on the mean KL of forty fixed posteriors, in two groups, to the mixture."""
    loc = torch.cat([torch.full((20, 2), -3.0), torch.full((20, 2), 3.0)])
    loc = loc + 0.3 * torch.randn(40, 2, generator=keyed_generator("cpu", "groups"))
    q_z = Independent(Normal(loc, torch.full_like(loc, 0.3)), 1)
    torch.manual_seed(0)
    prior = MixturePrior(2, 3, spread=1.0)
    optimiser = torch.optim.Adam(prior.parameters(), 0.05)
    for _ in range(800):
        optimiser.zero_grad()
        kl(q_z, prior()).mean().backward()
        optimiser.step()
    return prior.loc.detach()


def test_under_the_reports_bound_all_components_become_one_and_under_the_tight_one_they_do_not() -> None:
    one = fitted(report_kl)
    assert (one - one.mean(0)).abs().max() < 0.05
    assert one.abs().max() < 0.3  # the mean of both groups, where no posterior is
    two = fitted(tight_kl)
    for middle in (-3.0, 3.0):
        assert (two - middle).abs().amax(1).min() < 0.3, f"no component at the group around {middle}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"free_bits": 0.1}, "leave them out"),
        ({"gradient": "path"}, "--kl monte-carlo"),
        ({"components": 0}, "components"),
        ({"prior": "normal"}, "prior"),
        ({"spread": 0.0}, "spread"),
        ({"place_after": 1.0, "prior": "vamp"}, "VampPrior"),
        ({"place_after": 1.0, "k": 5}, "leave --k out"),
        ({"agreement": 1.0, "k": 5}, "leave --k out"),
        ({"kl": "report", "k": 5}, "no meaning with k > 1"),
    ],
)
def test_what_a_mixture_cannot_have_is_refused_by_name(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve("gmvae", None, data="digits", **options)
