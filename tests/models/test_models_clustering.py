"""Clusters: targets, contrast and agreement against their formulas, where gradients go, the loss before components are placed."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from reparam.conditionals import StandardNormal
from reparam.core.batch import Batch
from reparam.data import warp
from reparam.distributions import keyed_generator, responsibilities
from reparam.models import Model, Schedule, Spec
from reparam.models.gmvae import CONTRAST, RECONSTRUCTION, Clustering, contrast, sharpened
from reparam.objectives import ELBO, Terms
from reparam.run.config import resolve

B, M, K = 12, 4, 3
PLACE_AT = 10
BEFORE, AFTER = torch.tensor(PLACE_AT - 1), torch.tensor(PLACE_AT)


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    config = resolve("gmvae", None, data="digits", hidden=(16,), latent=K, components=M)
    return config.family.build(config.options, Spec((1, 8, 8)))


@pytest.fixture
def batch() -> Batch:
    x = torch.rand(B, 1, 8, 8, generator=keyed_generator("cpu", "x"))
    return Batch(x=x, c=None, y=torch.full((B,), -1), index=torch.arange(B))


def clustering(model: Model, batch: Batch, step: Tensor, agreement: float, **bound: float) -> Terms:
    objective = Clustering(ELBO(kl="tight", **bound), PLACE_AT, agreement)
    return objective("model", model, batch, step, keyed_generator("cpu", "noise"))


def apart(model: Model, batch: Batch, copies: bool) -> tuple[Tensor, Terms, Terms]:
    """The moved images, and the ELBO's terms under the mixture and under N(0, I), at the draws of `clustering`."""
    standard = Model(encoder=model.encoder, prior=StandardNormal(K), decoder=model.decoder)
    found = []
    for kl, its in (("tight", model), ("closed", standard)):
        generator = keyed_generator("cpu", "noise")
        moved = warp.random_warp(batch.x, generator)(1.0) if copies else batch.x
        found.append(ELBO(kl=kl)("model", its, batch, BEFORE, generator))
    return moved, found[0], found[1]


def gradients(total: Tensor, model: Model) -> list[Tensor]:
    parameters = list(model.parameters())
    found = torch.autograd.grad(total.sum(), parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def same_gradients(ours: Tensor, theirs: Tensor, model: Model) -> None:
    for one, other in zip(gradients(ours, model), gradients(theirs, model), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_targets_are_the_squares_over_the_columns_sums() -> None:
    q = torch.rand(B, M, generator=keyed_generator("cpu", "q")).double()
    q = q / q.sum(1, keepdim=True)
    expected = torch.stack([torch.stack([q[i, m] ** 2 / q[:, m].sum() for m in range(M)]) for i in range(B)])
    torch.testing.assert_close(sharpened(q), expected / expected.sum(1, keepdim=True))
    # Two images torn between two components, of which one has more images already: the other is preferred.
    assert (sharpened(torch.tensor([[0.5, 0.5], [0.5, 0.5], [1.0, 0.0]]))[:2, 1] > 0.6).all()
    even = torch.full((B, M), 1 / M)
    torch.testing.assert_close(sharpened(even), even)


def test_contrast_is_the_log_of_its_ratio() -> None:
    a, b = (torch.randn(B, K, generator=keyed_generator("cpu", name)).double() for name in "ab")
    near = torch.tensor([[math.exp(-float((x - y).square().sum())) for y in b] for x in a]).double()
    one_way = [-math.log(near[i, i] / near[i].mean()) for i in range(B)]
    other_way = [-math.log(near[i, i] / near[:, i].mean()) for i in range(B)]
    expected = 0.5 * (torch.tensor(one_way) + torch.tensor(other_way)).double()
    torch.testing.assert_close(contrast(a, b), expected, rtol=1e-6, atol=1e-6)


def test_contrast_bounds_mutual_information_between_its_limits() -> None:
    far = 100.0 * torch.arange(B * K).float().view(B, K)
    torch.testing.assert_close(
        contrast(far, far), torch.full((B,), -math.log(B))
    )  # every pair is known: log B, all that B tell
    one = torch.zeros(B, K)
    torch.testing.assert_close(contrast(one, one), torch.zeros(B), atol=1e-6, rtol=0)
    # a and b of correlation r: their mutual information is -1/2 log(1 - r^2) a dimension, and the bound holds on average.
    r, n = 0.9, 500
    a, noise = (torch.randn(n, 1, generator=keyed_generator("cpu", name)) for name in ("a", "noise"))
    terms = contrast(a, r * a + math.sqrt(1 - r * r) * noise)
    error = float(terms.std()) / math.sqrt(n)
    assert 0.2 < -float(terms.mean()) < -0.5 * math.log(1 - r * r) + 3 * error


def test_after_placing_it_is_the_bound_and_the_cross_entropy(model: Model, batch: Batch) -> None:
    moved, bound, _ = apart(model, batch, copies=True)
    p_z, weight = model.prior(), 3.0
    target = sharpened(responsibilities(model.encoder(batch.x), p_z)).detach()
    term = -(target * responsibilities(model.encoder(moved), p_z).log()).sum(1)
    found = clustering(model, batch, AFTER, weight)
    torch.testing.assert_close(found.named["agreement"].value, term)
    torch.testing.assert_close(found.named["kl"].value, bound.named["kl"].value)
    torch.testing.assert_close(found.total, bound.total + weight * term)
    same_gradients(found.total, bound.total + weight * term, model)  # none through the target


def test_free_weights_have_the_gradient_of_the_bound_alone(model: Model, batch: Batch) -> None:
    _, bound, _ = apart(model, batch, copies=True)
    logits = model.prior.logits
    (expected,) = torch.autograd.grad(bound.total.sum(), logits, retain_graph=True)
    found = {}
    for free in (False, True):
        objective = Clustering(ELBO(kl="tight"), PLACE_AT, 3.0, free_weights=free)
        terms = objective("model", model, batch, AFTER, keyed_generator("cpu", "noise"))
        found[free] = terms.total, torch.autograd.grad(terms.total.sum(), logits, retain_graph=True)[0]
    torch.testing.assert_close(found[True][0], found[False][0])
    torch.testing.assert_close(found[True][1], expected)
    q = responsibilities(model.encoder(batch.x), model.prior())
    torch.testing.assert_close(expected, (model.prior().mixture_distribution.probs - q).sum(0))
    assert (found[False][1] - expected).abs().max() > 1e-3


@pytest.mark.parametrize("step", [BEFORE, AFTER], ids=["before", "after"])
def test_copies_are_of_the_images_near(model: Model, batch: Batch, step: Tensor) -> None:
    near = batch.x.flip(0)
    found = clustering(model, dataclasses.replace(batch, near=near), step, 3.0)
    q_z, p_z = model.encoder(batch.x), model.prior()
    moved = model.encoder(warp.random_warp(near, keyed_generator("cpu", "noise"))(1.0))
    target = sharpened(responsibilities(q_z, p_z))
    torch.testing.assert_close(found.named["agreement"].value, -(target * responsibilities(moved, p_z).log()).sum(1))
    torch.testing.assert_close(found.named["contrast"].value, contrast(q_z.mean, moved.mean))


def test_before_it_the_prior_is_standard_and_left_alone(model: Model, batch: Batch) -> None:
    moved, _, plain = apart(model, batch, copies=True)
    shared = contrast(model.encoder(batch.x).mean, model.encoder(moved).mean)
    reconstruction, kl = plain.named["reconstruction"].value, plain.named["kl"].value
    expected = RECONSTRUCTION * reconstruction + kl + CONTRAST * shared
    found = clustering(model, batch, BEFORE, 3.0)
    torch.testing.assert_close(found.total, expected)
    torch.testing.assert_close(found.named["kl"].value, kl)
    prior = torch.autograd.grad(found.total.sum(), list(model.prior.parameters()), allow_unused=True, retain_graph=True)
    assert all(g is None or not g.any() for g in prior)
    same_gradients(found.total, expected, model)


@pytest.mark.parametrize("step", [BEFORE, AFTER], ids=["before", "after"])
def test_without_a_weight_no_copies_are_made_and_it_is_an_elbo(model: Model, batch: Batch, step: Tensor) -> None:
    _, mixture, plain = apart(model, batch, copies=False)
    expected = plain if step < PLACE_AT else mixture
    found = clustering(model, batch, step, 0.0)
    torch.testing.assert_close(found.total, expected.total)
    same_gradients(found.total, expected.total, model)
    heavy = clustering(model, batch, step, 0.0, beta=4.0, weight=2.0)
    terms = expected.named
    torch.testing.assert_close(heavy.total, 2 * terms["reconstruction"].value + 4 * terms["kl"].value)


def test_the_builder_makes_it_where_it_is_asked_for() -> None:
    for options, kind in (({}, ELBO), ({"agreement": 5.0}, Clustering), ({"place_after": 1.0}, Clustering)):
        config = resolve("gmvae", None, **options)
        objective = config.family.objective(config.options, Schedule(7, 70))
        assert type(objective) is kind
        found = config.family.callbacks(config.options, Schedule(7, 70))
        assert len(found) == ("place_after" in options)
        if found:
            assert found[0].step == objective.place_at == 7
