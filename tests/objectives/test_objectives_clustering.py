"""Agreement of an image's component with its moved copy's: the target, the value and where its gradient goes."""

import pytest
import torch
from torch import Tensor

from reparam import plane
from reparam.batch import Batch
from reparam.config import resolve
from reparam.distributions import keyed_generator, responsibilities
from reparam.models import Model, Schedule, Spec
from reparam.objectives import ELBO, Agreement
from reparam.objectives.clustering import sharpened

B, M = 12, 4
STEP = torch.tensor(0)


def built(**options: object) -> Model:
    torch.manual_seed(0)
    config = resolve("gmvae", None, data="digits", hidden=(16,), latent=3, components=M, **options)
    return config.family.build(config.options, Spec((1, 8, 8)))


@pytest.fixture
def batch() -> Batch:
    x = torch.rand(B, 1, 8, 8, generator=keyed_generator("cpu", "x"))
    return Batch(x=x, c=None, y=torch.full((B,), -1), index=torch.arange(B))


def gradients(total: Tensor, model: Model) -> list[Tensor]:
    parameters = list(model.parameters())
    found = torch.autograd.grad(total.sum(), parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def test_targets_are_the_squares_over_the_columns_sums() -> None:
    q = torch.rand(B, M, generator=keyed_generator("cpu", "q")).double()
    q = q / q.sum(1, keepdim=True)
    expected = torch.stack([torch.stack([q[i, m] ** 2 / q[:, m].sum() for m in range(M)]) for i in range(B)])
    torch.testing.assert_close(sharpened(q), expected / expected.sum(1, keepdim=True))
    torch.testing.assert_close(sharpened(q).sum(1), torch.ones(B).double())
    # Two images torn between two components, of which one has more images already: the other is preferred.
    torn = sharpened(torch.tensor([[0.5, 0.5], [0.5, 0.5], [1.0, 0.0]]))
    assert (torn[:2, 1] > 0.6).all()
    even = torch.full((B, M), 1 / M)
    torch.testing.assert_close(sharpened(even), even)


def test_while_all_components_are_one_the_term_is_a_constant(batch: Batch) -> None:
    model = built(place_after=1.0)
    plain, agreeing = ELBO(kl="tight"), Agreement(ELBO(kl="tight"), 50.0)
    generators = [keyed_generator("cpu", "noise") for _ in range(2)]
    plane.moves(batch.x, generators[0])  # the same draws come before the latents'
    expected = plain("model", model, batch, STEP, generators[0])
    found = agreeing("model", model, batch, STEP, generators[1])
    torch.testing.assert_close(found.named["agreement"].value, torch.full((B,), float(M)).log())
    torch.testing.assert_close(
        found.total - expected.total, 50 * torch.full((B,), float(M)).log(), rtol=1e-5, atol=1e-4
    )
    pairs = zip(gradients(found.total, model), gradients(expected.total, model), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_term_is_the_cross_entropy_and_its_target_passes_no_gradient(batch: Batch) -> None:
    model = built()
    weight = 3.0
    plain, agreeing = ELBO(kl="tight"), Agreement(ELBO(kl="tight"), weight)
    generators = [keyed_generator("cpu", "noise") for _ in range(2)]
    moved = plane.moves(batch.x, generators[0])(1.0)
    bound = plain("model", model, batch, STEP, generators[0]).total
    p_z = model.prior()
    target = sharpened(responsibilities(model.encoder(batch.x), p_z)).detach()
    term = -(target * responsibilities(model.encoder(moved), p_z).log()).sum(1)
    found = agreeing("model", model, batch, STEP, generators[1])
    torch.testing.assert_close(found.named["agreement"].value, term)
    torch.testing.assert_close(found.total, bound + weight * term)
    pairs = zip(gradients(found.total, model), gradients(bound + weight * term, model), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_builder_makes_it_where_it_is_asked_for() -> None:
    for weight, kind in ((0.0, ELBO), (5.0, Agreement)):
        config = resolve("gmvae", None, agreement=weight)
        assert type(config.family.objective(config.options, Schedule(1, 1))) is kind
