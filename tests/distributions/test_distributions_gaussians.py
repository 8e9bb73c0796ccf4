"""Gaussians with a full covariance: their KL from a diagonal one, mixtures, affine maps, against torch and Monte Carlo."""

import pytest
import torch
from torch import Tensor
from torch.distributions import (
    Independent,
    Laplace,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
    kl_divergence,
    transforms,
)

from reparam.distributions import Affine, full_mixture, full_normal, keyed_generator, kl_at, rsample, with_parameters
from reparam.testing import check_distribution

B, K, DRAWS = 5, 4, 50_000


def root_of(*shape: int) -> Tensor:
    g = keyed_generator("cpu", "roots", *shape)
    root = torch.randn(*shape, K, K, generator=g, dtype=torch.float64).tril(-1)
    return root + torch.diag_embed(0.5 + torch.rand(*shape, K, generator=g, dtype=torch.float64))


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, K, generator=keyed_generator("cpu", "numbers", *shape), dtype=torch.float64)


Q = Independent(Normal(numbers(B), numbers(B).abs() + 0.1), 1)
P = full_normal(numbers(), root_of())


def test_the_kl_to_a_full_gaussian_is_that_of_two_full_gaussians() -> None:
    whole = MultivariateNormal(Q.mean, scale_tril=torch.diag_embed(Q.stddev))
    torch.testing.assert_close(kl_divergence(Q, P), kl_divergence(whole, P))
    diagonal = Independent(Normal(P.loc, root_of().diagonal()), 1)
    torch.testing.assert_close(
        kl_divergence(Q, full_normal(P.loc, root_of().diagonal().diag())), kl_divergence(Q, diagonal)
    )


def test_the_kl_is_that_of_draws() -> None:
    z = rsample(Q, (DRAWS,), keyed_generator("cpu", 1))
    ratio = Q.log_prob(z) - P.log_prob(z)
    assert ((ratio.mean(0) - kl_divergence(Q, P)).abs() < 5 * ratio.std(0) / DRAWS**0.5).all()


def test_what_has_no_closed_form_is_estimated_from_the_draws() -> None:
    laplace = Independent(Laplace(Q.mean, Q.stddev), 1)
    z = rsample(laplace, (7,), keyed_generator("cpu", 2))
    torch.testing.assert_close(kl_at(laplace, P, z), (laplace.log_prob(z) - P.log_prob(z)).mean(0))
    assert torch.equal(kl_at(Q, P, z), kl_divergence(Q, P))  # a closed form does not look at the draws


def test_draws_have_the_mean_and_the_covariance() -> None:
    check_distribution(P)
    z = rsample(P, (DRAWS,), keyed_generator("cpu", 3))
    whole = root_of() @ root_of().mT
    # Of products of normals: var(z_i z_j) = C_ii C_jj + C_ij^2.
    error = (whole.diagonal()[:, None] * whole.diagonal() + whole.square()).sqrt() / DRAWS**0.5
    assert ((z.T.cov() - whole).abs() < 5 * error).all()


def test_a_mixture_of_full_gaussians_draws_its_components_by_their_weights() -> None:
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    loc, root = 5 * numbers(3), root_of(3)
    p_z = full_mixture(weights.log(), loc, root)
    z = rsample(p_z, (DRAWS,), keyed_generator("cpu", 4))
    each = torch.stack([full_normal(*one).log_prob(z) for one in zip(loc, root, strict=True)], -1) + weights.log()
    torch.testing.assert_close(p_z.log_prob(z), each.logsumexp(-1))
    mean = weights @ loc
    spread = (weights[:, None, None] * (root @ root.mT + (loc - mean)[:, :, None] * (loc - mean)[:, None])).sum(0)
    assert ((z.mean(0) - mean).abs() < 5 * z.std(0) / DRAWS**0.5).all()
    fourth = (z - mean).pow(4).mean(0).sqrt()
    assert ((z.T.cov() - spread).abs() < 5 * (fourth[:, None] * fourth).sqrt() / DRAWS**0.5).all()


def test_parameters_are_cut_though_another_form_of_the_covariance_was_computed() -> None:
    many = full_normal(numbers(3), root_of(3))
    assert many.covariance_matrix.shape == many.precision_matrix.shape == (3, K, K)
    first = with_parameters(many, lambda parameter: parameter[:1])
    torch.testing.assert_close(first.log_prob(numbers(1)), many.log_prob(numbers(1))[:1])


def test_an_affine_map_of_a_normal_is_the_full_gaussian() -> None:
    unit = Independent(Normal(torch.zeros(K).double(), torch.ones(K).double()), 1)
    mapped, z = Affine(unit, P.loc, root_of()), numbers(2, 3)
    torch.testing.assert_close(mapped.log_prob(z), P.log_prob(z))
    torch.testing.assert_close(P.loc + mapped.whitened(z) @ root_of().mT, z)
    drawn = rsample(mapped, (DRAWS,), keyed_generator("cpu", 5))
    assert ((drawn.mean(0) - P.loc).abs() < 5 * drawn.std(0) / DRAWS**0.5).all()


def test_an_affine_map_scales_the_density_of_what_is_no_normal() -> None:
    heavy = Independent(Laplace(torch.zeros(K).double(), torch.ones(K).double()), 1)
    scale, loc, z = torch.tensor([0.5, 2.0, 1.0, 3.0]).double(), numbers(), numbers(6)
    expected = TransformedDistribution(heavy.base_dist, transforms.AffineTransform(loc, scale)).log_prob(z).sum(-1)
    torch.testing.assert_close(Affine(heavy, loc, scale.diag()).log_prob(z), expected)


@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_shapes(shape: tuple[int, ...]) -> None:
    assert rsample(P, shape, keyed_generator("cpu", 6)).shape == (*shape, K)
