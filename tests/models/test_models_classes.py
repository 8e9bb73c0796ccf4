"""Objectives with classes, G-VAE and ISDA, and the class covariances that ISDA tracks."""

import torch
from torch import Tensor

from reparam.core.batch import Batch
from reparam.distributions import isda_bound, keyed_generator
from reparam.models import Schedule, Spec
from reparam.models.gvae import ClassPreserving
from reparam.models.isda import ClassCovariance
from reparam.objectives import ELBO, CrossEntropy
from reparam.run.config import resolve

N, STEPS, K = 8, 100, 5
SPEC = Spec((1, 8, 8), 3)


def batch() -> Batch:
    x = torch.rand(N, 1, 8, 8, generator=keyed_generator("cpu", 0))
    return Batch(x, None, torch.tensor([0, 1, 2, -1, 0, 1, -1, 2]), torch.arange(N))


def normal(*shape: int, key: int) -> Tensor:
    return torch.randn(*shape, generator=keyed_generator("cpu", key), dtype=torch.float64)


def noise() -> torch.Generator:
    return keyed_generator("cpu", 1)


def at(step: int) -> Tensor:
    return torch.tensor(step)


def test_the_gvaes_total_is_the_elbo_and_the_bound_of_labelled_images() -> None:
    options = {"hidden": (16,), "latent": 4, "class_weight": 7.0, "isda_lambda": 3.0, "beta": 0.5, "weight": 2.0}
    config = resolve("gvae", **options)
    model = config.family.build(config.options, SPEC)
    objective = config.family.objective(config.options, Schedule(10, STEPS))
    found = objective("model", model, batch(), at(STEPS), noise())
    elbo = ELBO(beta=0.5, weight=2.0)("model", model, batch(), at(STEPS), noise())
    q_z, linear, y = model.encoder(batch().x), model.head.linear, batch().y
    bound = isda_bound(q_z.mean, q_z.variance, linear.weight, linear.bias, y.clamp(min=0), 3.0)
    torch.testing.assert_close(found.total, elbo.total + 7 * bound * (y >= 0))
    assert torch.equal(found.named["kl"].value, elbo.named["kl"].value)
    assert not found.named["class"].value[y < 0].any()


def test_lambda_rises_over_all_training_where_that_is_asked_for() -> None:
    elbo = ELBO()
    model = resolve("gvae", hidden=(16,), latent=4)
    built = model.family.build(model.options, SPEC)
    rising, constant = ClassPreserving(elbo, 1.0, 4.0, STEPS), ClassPreserving(elbo, 1.0, 1.0, 0)
    quarter = rising("model", built, batch(), at(STEPS // 4), noise()).named["class"].value
    torch.testing.assert_close(quarter, constant("model", built, batch(), at(0), noise()).named["class"].value)
    linear = resolve("gvae", isda_schedule="linear")
    assert linear.family.objective(linear.options, Schedule(10, STEPS)).length == STEPS
    assert resolve("gvae").family.objective(resolve("gvae").options, Schedule(10, STEPS)).length == 0


def test_isda_begins_as_cross_entropy_and_learns_its_covariances_in_training_alone() -> None:
    config = resolve("isda", channels=4, features=5)
    torch.manual_seed(0)
    model = config.family.build(config.options, SPEC)
    objective = config.family.objective(config.options, Schedule(10, STEPS))
    covariance = model.head.covariance
    model.eval()
    plain = CrossEntropy()("model", model, batch(), at(0)).total
    torch.testing.assert_close(
        objective("model", model, batch(), at(STEPS)).total, plain
    )  # nothing is known of classes
    assert not covariance.count.any()
    model.train()
    objective("model", model, batch(), at(0))
    assert covariance.count.tolist() == [2.0, 2.0, 2.0]
    torch.testing.assert_close(objective("model", model, batch(), at(0)).total, plain)  # lambda is 0 at the start
    assert covariance.covariance.diagonal(dim1=1, dim2=2).sum() > 0
    model.eval()
    covariance.covariance.copy_(torch.eye(5))  # the own ones of so small and new a network are next to nothing
    later = objective("model", model, batch(), at(STEPS)).total
    known = batch().y >= 0
    assert (later[known] > plain[known]).all()
    assert not later[~known].any()


def test_class_covariances_are_those_of_all_that_was_seen() -> None:
    features, y = normal(200, K, key=7) * torch.arange(1, K + 1), torch.arange(200) % 3 - 1  # of -1 nothing is learnt
    tracked = ClassCovariance(3, K).double()  # and class 2 never comes
    for part in torch.arange(200).split(17):
        tracked.update(features[part], y[part])
    for label in range(2):
        own = features[y == label]
        torch.testing.assert_close(tracked.mean[label], own.mean(0), rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(tracked.covariance[label], own.T.cov(correction=0), rtol=1e-10, atol=1e-12)
    assert tracked.count.tolist() == [67.0, 66.0, 0.0]
    assert not tracked.covariance[2].any()
