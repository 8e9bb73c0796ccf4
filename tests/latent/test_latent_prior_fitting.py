"""Priors fitted to latents: they find the distribution that latents were drawn from, and no more than the images bear.

Shapes: `N` images, `K` latent.
"""

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.conditionals import FittedGaussian, FittedMixture, StandardNormal
from reparam.distributions import full_mixture, full_normal, keyed_generator, rsample
from reparam.errors import ConfigError
from reparam.latent.prior_fitting import Codes, Fit, fit, fitted_gaussian, fitted_mixture, log_density
from reparam.progress import Silent

K = 4
GENERATOR = "cpu", "priors"


def root_of(seed: int, scale: float = 1.0) -> Tensor:
    g = keyed_generator("cpu", "root", seed)
    return scale * (
        0.5 * torch.randn(K, K, generator=g).double().tril(-1) + (0.5 + torch.rand(K, generator=g).double()).diag()
    )


GAUSSIAN = full_normal(torch.tensor([3.0, -1, 0, 2]).double(), root_of(0, 2))
CENTRES = 6 * torch.tensor([[1.0, 1, 0, 0], [-1, 0, 1, 0], [0, -1, 0, 1]]).double()
MIXTURE = full_mixture(
    torch.tensor([0.2, 0.3, 0.5]).double().log(), CENTRES, torch.stack([root_of(m) for m in range(3)])
)


def points(truth: Distribution, n: int, seed: int) -> Codes:
    """As an autoencoder's."""
    z = rsample(truth, (n,), keyed_generator("cpu", "points", seed))
    return Codes(z, torch.zeros_like(z), z[:, None])


def chosen(truth: Distribution, n: int = 3000, kind: str = "auto", components: tuple[int, ...] = (3,)) -> Fit:
    train, held = points(truth, n, 0), points(truth, 2000, 1)
    return fit(StandardNormal(K), train, held, kind, components, 0, Silent())[1]  # type: ignore[arg-type]


def test_the_gaussian_has_the_moments_of_the_latents() -> None:
    train = points(GAUSSIAN, 20_000, 0)
    prior = fitted_gaussian(train, points(GAUSSIAN, 5000, 1).z.float())
    whole = prior.root @ prior.root.mT
    torch.testing.assert_close(prior.loc, train.mean.mean(0).float())
    expected = GAUSSIAN.covariance_matrix
    error = (expected.diagonal()[:, None] * expected.diagonal() + expected.square()).sqrt() / 20_000**0.5
    assert ((whole - expected).abs() < 5 * error).all()


def test_the_gaussian_of_posteriors_has_their_own_variance_too() -> None:
    """Var z = Var E[z|x] + E Var[z|x], without a draw."""
    mean = points(GAUSSIAN, 5000, 2).mean
    variance = torch.tensor([4.0, 0.1, 9.0, 1.0]).double().expand_as(mean)
    z = mean + variance.sqrt() * torch.randn(mean.shape, generator=keyed_generator("cpu", 3)).double()
    prior = fitted_gaussian(Codes(mean, variance, mean[:, None]), z[:, None].float())
    expected = mean.T.cov(correction=0) + variance[0].diag()
    torch.testing.assert_close((prior.root @ prior.root.mT).double(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("truth", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
def test_the_density_is_that_of_the_truth(truth: Distribution) -> None:
    """A fit with p free numbers to n points is worse than the truth by about p / 2n nats: 14 / 6,000 and 44 / 6,000."""
    found, held = chosen(truth), points(truth, 2000, 1)
    lost = truth.log_prob(held.mean) - log_density(found.prior, held.z.float())  # type: ignore[arg-type]
    assert -5 * float(lost.std()) / 2000**0.5 < float(lost.mean()) < 0.02


def test_the_truth_is_chosen() -> None:
    assert chosen(MIXTURE).kind == "mixture"
    standard = full_normal(torch.zeros(K).double(), torch.eye(K).double())
    # Few latents: what is fitted to them is further from the truth than N(0, I), which is the truth.
    assert chosen(standard, 40, components=(5,)).kind == "own"
    assert chosen(GAUSSIAN, 40, components=(5,)).kind == "gaussian"


def test_a_kind_that_is_asked_for_is_taken_though_another_is_denser() -> None:
    found, best = fit(StandardNormal(K), points(MIXTURE, 500, 0), points(MIXTURE, 500, 1), "gaussian", (), 0, Silent())
    assert [one.kind for one in found] == ["own", "gaussian"]
    assert best.kind == "gaussian"


def test_few_images_get_few_components() -> None:
    def counts(n: int) -> list[int]:
        found, _ = fit(None, points(MIXTURE, n, 0), points(MIXTURE, 50, 1), "auto", (), 0, Silent())
        return [one.components for one in found if one.kind == "mixture"]

    assert counts(400) == [5, 10, 20]
    assert counts(100) == [5]
    assert counts(30) == [2]
    _, alone = fit(StandardNormal(K), points(MIXTURE, 400, 0), points(MIXTURE, 1, 1), "auto", (), 0, Silent())
    assert alone.components == 0  # one held image cannot tell
    assert alone.stderr is None


def test_few_latents_shrink_the_covariance() -> None:
    """Of 12 points in four dimensions the correlations are mostly noise; the diagonal is kept."""
    independent = full_normal(torch.zeros(K).double(), torch.diag(torch.tensor([1.0, 2, 3, 4])).double())
    train = points(independent, 12, 0)
    prior = fitted_gaussian(train, points(independent, 5000, 1).z.float())
    whole, own = (prior.root @ prior.root.mT).double(), train.mean.T.cov(correction=0)
    torch.testing.assert_close(whole.diagonal(), own.diagonal(), rtol=1e-3, atol=1e-3)
    off = ~torch.eye(K, dtype=torch.bool)
    assert (whole[off].abs() < 0.71 * own[off].abs() + 1e-3).all()


def test_samples_of_the_mixture_have_its_moments() -> None:
    train = points(MIXTURE, 5000, 0)
    prior = fitted_mixture(
        train, points(MIXTURE, 500, 1).z.float(), torch.zeros(K).double(), torch.eye(K).double(), 3, 0
    )
    z, n = rsample(prior(), (20_000,), keyed_generator("cpu", 4)), 20_000
    whole = train.mean
    assert ((z.double().mean(0) - whole.mean(0)).abs() < 6 * z.std(0) / n**0.5 + 0.01).all()
    fourth = (whole - whole.mean(0)).pow(4).mean(0).sqrt()
    # Regularisation adds up to a thousandth to the variance.
    assert ((z.double().T.cov() - whole.T.cov()).abs() < 6 * (fourth[:, None] * fourth).sqrt() / n**0.5 + 0.02).all()


def test_latents_of_different_scales_are_fitted_alike() -> None:
    """A density of scaled latents is that of the latents, less the logarithms of the scales."""
    scales = torch.tensor([1e-3, 1.0, 1e3, 10.0]).double()
    train, held = points(MIXTURE, 1000, 0), points(MIXTURE, 1000, 1)
    densities = []
    for by in (torch.ones(K).double(), scales):
        codes = [Codes(one.mean * by, one.variance, one.z * by) for one in (train, held)]
        _, best = fit(None, *codes, "mixture", (3,), 0, Silent())
        densities.append(best.density + float(by.log().sum()))
    assert densities[0] == pytest.approx(densities[1], abs=0.02)


def test_a_latent_that_never_changes_is_no_obstacle() -> None:
    def still(codes: Codes) -> Codes:
        mean = codes.mean.clone()
        mean[:, 2] = 0.5
        return Codes(mean, codes.variance, mean[:, None])

    _, best = fit(None, still(points(MIXTURE, 300, 0)), still(points(MIXTURE, 100, 1)), "auto", (), 0, Silent())
    assert best.prior is not None
    z = rsample(best.prior(), (100,), keyed_generator("cpu", 5))
    torch.testing.assert_close(z[:, 2], torch.full((100,), 0.5), atol=0.05, rtol=0)


def test_the_same_seed_fits_the_same() -> None:
    one, two = (chosen(MIXTURE, 500, "mixture").prior for _ in range(2))
    assert isinstance(one, FittedMixture)
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), two.buffers(), strict=True))  # type: ignore[union-attr]


def test_what_is_fitted_is_no_clustering_and_no_standard_normal() -> None:
    for prior in (FittedGaussian(K), FittedMixture(K, 3)):
        assert (prior.components, prior.factorises, prior.standard_normal) == (0, False, False)


def test_refusals() -> None:
    few, held = points(GAUSSIAN, 9, 0), points(GAUSSIAN, 10, 1)
    with pytest.raises(ConfigError, match="at least 10 images, and there are 9"):
        fit(None, few, held, "auto", (), 0, Silent())
    with pytest.raises(ConfigError, match="21 components are more than the 20 images"):
        fit(None, points(GAUSSIAN, 20, 0), held, "mixture", (5, 21), 0, Silent())


def test_a_flow_finds_what_no_gaussian_is() -> None:
    """A latent that is the square of another and noise. It begins as the Gaussian, and is kept only if it gains."""
    pytest.importorskip("zuko")

    def bent(n: int, seed: int) -> Codes:
        noise = torch.randn(n, 2, generator=keyed_generator("cpu", "bent", seed)).double()
        z = torch.stack([noise[:, 0], noise[:, 0].square() + 0.3 * noise[:, 1]], 1)
        return Codes(z, torch.zeros_like(z), z[:, None])

    _, gaussian = fit(None, bent(2000, 0), bent(1000, 1), "gaussian", (), 0, Silent())
    _, flow = fit(None, bent(2000, 0), bent(1000, 1), "flow", (), 0, Silent())
    # Of the truth: minus the entropies of the two noises. Of the Gaussian: with Var z_1 = 2.09 in place of 0.09.
    truth = -2 * 0.5 * torch.tensor(2 * torch.pi * torch.e).log() - torch.tensor(0.3).log()
    assert gaussian.density < truth - 1
    assert truth - 0.3 < flow.density < truth + 0.1
    z = rsample(flow.prior(), (2000,), keyed_generator("cpu", 6))  # type: ignore[misc]
    assert torch.isfinite(z).all()
    torch.testing.assert_close(log_density(flow.prior, z[:, None]), flow.prior().log_prob(z).double())  # type: ignore[arg-type, misc]
