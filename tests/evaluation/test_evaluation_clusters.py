"""Components against classes, on counts whose answers are known, and on a model whose components are the classes."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from reparam.core.conditional import Decoder, Encoder
from reparam.data import Dataset, Images
from reparam.data.tasks import TaskOptions
from reparam.distributions import keyed_generator
from reparam.evaluation import EvaluationOptions, shortcomings
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.metrics.clusters import CLUSTERS
from reparam.evaluation.metrics.table import METRICS, choose
from reparam.latent import generation
from reparam.metrics.clusters import best_assignment, normalised_information
from reparam.models import Model, Spec
from reparam.models.gmvae import MixturePrior
from reparam.run.config import resolve

SIDE = 8


def test_the_assignment_is_the_best_of_all() -> None:
    counts = torch.randint(0, 50, (5, 5), generator=keyed_generator("cpu", 0))
    best = max(sum(int(counts[p[d], d]) for d in range(5)) for p in itertools.permutations(range(5)))
    found = best_assignment(counts)
    assert sorted(found.tolist()) == list(range(5))
    assert int(counts[found, torch.arange(5)].sum()) == best


def test_with_more_components_than_classes_some_stand_for_none_and_the_other_way_round() -> None:
    counts = torch.tensor([[9, 0], [5, 1], [0, 8]])
    assert best_assignment(counts).tolist() == [0, 2]
    assert best_assignment(counts.T).tolist() == [0, -1, 1]


def test_information_is_one_for_the_same_partition_and_zero_for_independent_ones() -> None:
    assert normalised_information(torch.tensor([[0, 7], [3, 0]])) == pytest.approx(1)
    assert normalised_information(torch.tensor([[2, 4], [3, 6]])) == pytest.approx(0, abs=1e-12)
    joint = torch.tensor([[30.0, 10], [10, 50]])
    p = joint / joint.sum()
    mutual = float((p * (p / (p.sum(1, True) * p.sum(0, True))).log()).sum())
    entropies = [float(-(q * q.log()).sum()) for q in (p.sum(0), p.sum(1))]
    assert normalised_information(joint) == pytest.approx(2 * mutual / sum(entropies), rel=1e-6)


class _FirstPixels(Encoder):
    """q(z|x): the first two pixels, surely."""

    def forward(self, x: Tensor) -> Independent:
        z = x.flatten(1)[:, :2]
        return Independent(Normal(z, torch.full_like(z, 1e-2)), 1)


class _Repeated(Decoder):
    """p(x|z): all pixels z0."""

    density = "density"

    def forward(self, z: Tensor) -> Independent:
        return Independent(Normal(z[..., :1, None, None].expand(*z.shape[:-1], 1, SIDE, SIDE), 0.1), 3)


def corners() -> Model:
    """Three components, at the corners (0, 0), (1, 0) and (0, 1); the last one light."""
    prior = MixturePrior(2, 3, spread=1.0)
    with torch.no_grad():
        prior.loc.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        prior.log_scale.fill_(-2.0)
        prior.logits.copy_(torch.tensor([0.0, 0.0, -1.0]))
    return Model(encoder=_FirstPixels(), prior=prior, decoder=_Repeated())


def dataset(labels: list[int], where: list[tuple[int, int]]) -> Dataset:
    images = torch.zeros(len(labels), 1, SIDE, SIDE, dtype=torch.uint8)
    images.flatten(1)[:, :2] = 255 * torch.tensor(where, dtype=torch.uint8)
    split = Images(images, torch.tensor(labels))
    return Dataset("corners", split, split, split, classes=("b", "a"))


def measured(data: Dataset) -> dict[str, float]:
    context = EvaluationContext(corners(), data, TaskOptions(), EvaluationOptions())
    return {name: METRICS[name].measure(context).value for name in ("cluster_accuracy", "components_used")}


def test_components_that_are_the_classes_are_right_whatever_their_numbers() -> None:
    data = dataset([1, 1, 0, 0, -1], [(0, 0), (0, 0), (1, 0), (1, 0), (0, 1)])
    found = measured(data)
    assert found["cluster_accuracy"] == 1  # the unlabelled image does not count
    assert found["components_used"] == pytest.approx(2.87, abs=0.01)  # exp of the entropy of 2/5, 2/5, 1/5


def test_images_in_the_wrong_component_count_against_it() -> None:
    data = dataset([1, 1, 1, 0, 0], [(0, 0), (0, 0), (1, 0), (1, 0), (0, 1)])
    assert measured(data)["cluster_accuracy"] == pytest.approx(3 / 5)


def test_k_means_and_a_mixture_stand_beside_the_components() -> None:
    data = dataset([1, 1, 0, 0, 0, 0], [(0, 0), (0, 0), (1, 0), (1, 0), (0, 1), (0, 1)])
    measure = METRICS["cluster_accuracy"].measure(
        EvaluationContext(corners(), data, TaskOptions(), EvaluationOptions())
    )
    # Three places, two classes, one place to a class: four of six are right, whoever finds the places.
    assert measure.value == pytest.approx(4 / 6)
    names = {f"{kind} in 2 principal components" for kind in ("k-means", "Gaussian mixture")}
    assert {one.name: one.value for one in measure.baselines} == dict.fromkeys(names, pytest.approx(4 / 6))
    assert not any(METRICS["cluster_accuracy"].loses(measure, one) for one in measure.baselines)


def test_responsibilities_are_the_posterior_of_components() -> None:
    x = torch.rand(250, 1, SIDE, SIDE, generator=keyed_generator("cpu", 1))
    model = corners()
    r = generation.responsibilities(model, x)
    assert r.shape == (250, 3)
    torch.testing.assert_close(r.sum(1), torch.ones(250))
    p_z = model.prior()
    z = x.flatten(1)[:, :2]
    exact = (p_z.mixture_distribution.logits + p_z.component_distribution.log_prob(z[:, None])).softmax(1)
    # Components have one scale, so that q's own, which is not 0, adds the same to each divergence.
    torch.testing.assert_close(r, exact, atol=1e-5, rtol=0)


def test_samples_of_a_component_are_of_it_alone() -> None:
    model = corners()
    z = generation.sample_latents(model, 300, seed=0, component=1)
    assert ((z - torch.tensor([1.0, 0.0])).mean(0).abs() <= 4 * 0.1353 / 300**0.5).all()
    few = generation.sample_latents(model, 7, seed=0, component=1)
    assert torch.equal(z[:7], few)


def test_a_plain_vae_has_no_clusters_and_data_without_classes_no_accuracy() -> None:
    config = resolve("vae", None, data="digits", hidden=(8,), latent=2)
    plain = config.family.build(config.options, Spec((1, SIDE, SIDE)))
    assert "cluster" not in plain.abilities
    data = dataset([0, 0], [(0, 0), (1, 0)])
    alone = Dataset("corners", data.train, data.validation, data.test, classes=("a",))
    run, left_out = choose(EvaluationContext(corners(), alone, TaskOptions(), EvaluationOptions()))
    assert "components_used" in run
    assert "two classes" in left_out["cluster_accuracy"]


def test_whoever_is_below_k_means_is_told_so() -> None:
    where = [(0, 0), (1, 0)] * 40
    data = dataset([0, 1] * 40, where)
    contexts = [EvaluationContext(corners(), data, TaskOptions(), EvaluationOptions()) for _ in range(2)]
    contexts[1].clusters = torch.zeros(80, dtype=torch.long)  # all in one
    said = [shortcomings._surpassed(context, "cluster_accuracy", CLUSTERS) for context in contexts]
    assert not said[0]
    assert {(plain.value, value) for plain, value in said[1]} == {(1.0, 0.5)}
