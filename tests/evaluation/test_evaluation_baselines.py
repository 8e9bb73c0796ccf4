"""Plain baselines: against scikit-learn, against models that are the baseline, and in the order that anybody would give them."""

import dataclasses
import math
from dataclasses import asdict

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from reparam.conditionals import StandardNormal
from reparam.core.conditional import Decoder, Encoder
from reparam.data import Dataset, Images, load
from reparam.data.selection import random_indices
from reparam.data.tasks import TaskOptions, to_float
from reparam.distributions import IGNORED, keyed_generator
from reparam.evaluation import METRICS, EvaluationOptions, Measure, diagnose
from reparam.evaluation.baselines import Components, clusters, mean_map, principal_components
from reparam.evaluation.context import EvaluationContext, StandIn
from reparam.models import Model
from reparam.run.documents import Baseline, Evaluation, checked

K = 8


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits")


class _Encoder(Encoder):
    """Coordinates in the plane of principal components."""

    def __init__(self, components: Components) -> None:
        super().__init__()
        self.components, self.anchor = components, nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Independent:
        z = self.components.encode(x) / self.components.variances.sqrt()
        return Independent(Normal(z, torch.full_like(z, 1e-3), validate_args=False), 1)


class _Decoder(Decoder):
    """Images at coordinates; `shift` is added to every pixel."""

    density = ""

    def __init__(self, components: Components, shift: float) -> None:
        super().__init__()
        self.components, self.shift = components, shift

    def forward(self, z: Tensor) -> Independent:
        shape = self.components.shape
        x = self.components.decode(z.reshape(-1, z.shape[-1]) * self.components.variances.sqrt()) + self.shift
        return Independent(Normal(x.clamp(0, 1).reshape(*z.shape[:-1], *shape), 0.1, validate_args=False), len(shape))


def linear(dataset: Dataset, shift: float = 0.0) -> Model:
    """The model that *is* its baseline: a Gaussian in principal components."""
    components = principal_components(to_float(dataset.train.images), K)
    return Model(encoder=_Encoder(components), prior=StandardNormal(K), decoder=_Decoder(components, shift)).eval()


def context_of(model: Model, dataset: Dataset, task: TaskOptions | None = None) -> EvaluationContext:
    return EvaluationContext(model, dataset, task or TaskOptions(), EvaluationOptions())


def test_components_are_those_of_the_covariance() -> None:
    g = keyed_generator("cpu", "components")
    x = torch.rand(50, 1, 4, 5, generator=g) @ torch.rand(5, 5, generator=g)
    found, flat = principal_components(x, 6), x.flatten(1).double()
    values, vectors = torch.linalg.eigh(torch.cov(flat.mT))
    assert torch.allclose(found.variances.double(), values.flip(0)[:6], rtol=1e-4)
    plane, expected = (v.double().mT @ v.double() for v in (found.vectors, vectors.mT.flip(0)[:6]))
    assert torch.allclose(plane, expected, atol=1e-4)
    assert torch.allclose(found.encode(x).var(0), found.variances, rtol=1e-4)


def test_samples_have_the_variances_of_the_components() -> None:
    vectors = torch.linalg.qr(torch.randn(12, 12, generator=keyed_generator("cpu", 0))).Q[:3]
    components = Components(torch.full((12,), 0.5), vectors, torch.tensor([3e-3, 1e-3, 1e-4]), torch.Size((1, 3, 4)))
    x = components.sample(20_000, 0)
    assert x.shape == (20_000, 1, 3, 4)
    assert torch.allclose(components.encode(x).var(0), components.variances, rtol=0.04)  # 4 (2 / n)^(1/2)
    assert torch.allclose(
        x[:100], components.sample(100, 0), atol=1e-6
    )  # those that are first do not depend on how many


def test_few_or_equal_images_have_as_many_components_as_there_are() -> None:
    assert principal_components(torch.rand(3, 1, 8, 8), 20).vectors.shape == (3, 64)
    equal = principal_components(torch.full((5, 1, 8, 8), 0.25), 4)
    assert torch.allclose(equal.sample(10, 0), torch.tensor(0.25))


def test_a_model_that_is_the_projection_ties_its_baseline_and_a_worse_one_loses(digits: Dataset) -> None:
    """The shift is small beside the error, but the same in every image: only the paired difference shows it."""
    names = ("mse", "psnr", "sharpness", "kid_random", "fid_classifier", "precision")
    same, shifted = (context_of(linear(digits, shift), digits) for shift in (0.0, 0.03))
    for name in names[:3]:
        measure = METRICS[name].measure(same)
        components = measure.baselines[0]
        assert components.name == f"{K} principal components"
        assert components.value == pytest.approx(measure.value, rel=1e-5)
        assert components.stderr == pytest.approx(measure.stderr, rel=1e-3)
        assert not METRICS[name].loses(measure, components)
    for name in names[3:]:  # other draws of the same distribution
        measure = METRICS[name].measure(same)
        components = measure.baselines[0]
        assert components.apart is not None
        assert abs(components.value - measure.value) < 4 * components.apart
    for name in ("mse", "psnr"):
        measure = METRICS[name].measure(shifted)
        components, mean = measure.baselines
        assert METRICS[name].loses(measure, components)
        assert not METRICS[name].loses(measure, mean)
        unpaired = math.hypot(measure.stderr or 0, components.stderr or 0)
        assert components.apart is not None
        assert components.apart < unpaired / 4


def test_whoever_is_worse_than_the_components_is_told_so(digits: Dataset) -> None:
    same, shifted = (context_of(linear(digits, shift), digits) for shift in (0.0, 0.03))
    assert "baseline not reached" not in {finding.state for finding in diagnose(same)}
    found = {finding.state: finding for finding in diagnose(shifted)}
    assert "healthy" not in found
    assert f"those of the plain baseline ({K} principal components)" in found["baseline not reached"].evidence
    again = context_of(linear(digits), digits)
    again.samples = again.mean_image.expand_as(again.grey)
    (finding,) = [one for one in diagnose(again) if one.state == "baseline not reached"]
    assert "samples are at a distance (kid_classifier)" in finding.evidence
    assert "reparam fit-prior RUN" in finding.advice


def test_repeated_training_images_are_called_memorised(digits: Dataset) -> None:
    context = context_of(linear(digits), digits)
    context.samples = to_float(context.trained_on.take(random_indices(context.trained_on, 300)).pixels)
    found = {finding.state: finding for finding in diagnose(context)}
    assert "healthy" not in found
    assert "100% of samples are nearer" in found["memorised"].evidence
    assert "--keep best --patience 10" in found["memorised"].advice


def test_psnr_beside_the_model_is_psnr_pca(digits: Dataset) -> None:
    context = context_of(linear(digits), digits)
    assert METRICS["psnr"].measure(context).baselines[0].value == METRICS["psnr_pca"].measure(context).value


def test_more_training_than_test_images_are_used(digits: Dataset) -> None:
    small = dataclasses.replace(digits, test=digits.test.take(torch.arange(20)))
    context = context_of(linear(digits), small)
    truth = principal_components(to_float(digits.train.images), K)
    assert torch.allclose(context.components().variances, truth.variances, rtol=1e-3)


def test_random_features_order_real_images_gaussian_mean_and_noise(digits: Dataset) -> None:
    context = context_of(linear(digits), digits)
    row = METRICS["kid_random"]
    measure = row.measure(context)
    gaussian, mean, real = measure.baselines
    g = keyed_generator("cpu", "noise")
    noise = row.measure(context.beside(StandIn("noise", "samples", torch.rand(context.grey.shape, generator=g))))
    figures = [real, gaussian, mean]
    assert [one.floor for one in figures] == [True, False, False]
    assert [one.name for one in figures] == [
        "training images",
        f"Gaussian in {K} principal components",
        "mean image",
    ]
    assert abs(real.value) < 3 * (real.stderr or 0)
    for near, far in ((real, gaussian), (gaussian, mean), (gaussian, noise)):
        assert far.value - near.value > 4 * math.hypot(near.stderr or 0, far.stderr or 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_random_features_are_of_any_size_and_need_few_images(channels: int) -> None:
    g = keyed_generator("cpu", "any size")
    images = torch.randint(0, 256, (12, channels, 9, 9), generator=g, dtype=torch.uint8)
    split = Images(images, torch.full((12,), -1))
    data = Dataset("few", split, split, split, classes=())
    context = context_of(linear(data), data)
    measure = METRICS["kid_random"].measure(context)
    assert measure.stderr is not None
    assert measure.n == 12


def test_samples_that_are_training_images_are_memorised_and_fresh_ones_are_not(digits: Dataset) -> None:
    context, row = context_of(linear(digits), digits), METRICS["memorised"]
    places = random_indices(context.trained_on, len(context.grey))
    repeated = to_float(context.trained_on.take(places).pixels)
    blurred = 0.9 * repeated + 0.05  # nearly
    for images, low in ((repeated, 0.999), (blurred, 0.95)):
        found = row.measure(context.beside(StandIn("repeated", "samples", images)))
        assert found.value > low
    fresh = row.measure(context.beside(StandIn("fresh", "samples", to_float(digits.validation.images)[:300])))
    assert fresh.stderr is not None
    assert abs(fresh.value - 0.5) < 4 * fresh.stderr < 0.4


def test_clusters_that_are_apart_are_found() -> None:
    g = keyed_generator("cpu", "clusters")
    centres = 20 * torch.eye(3)
    train, test = (centres.repeat(200, 1) + torch.randn(600, 3, generator=g) for _ in range(2))
    truth = torch.arange(600) % 3
    for kind in ("k-means", "Gaussian mixture"):
        found = clusters(kind, train, test, 3)
        assert len({(int(a), int(b)) for a, b in zip(found, truth, strict=True)}) == 3


def test_a_mean_map_is_the_share_of_each_value_without_ignored_pixels() -> None:
    maps = torch.tensor([[[0, 1]], [[2, 1]], [[2, IGNORED]], [[2, IGNORED]]])[:, None].to(torch.uint8)
    found = mean_map(maps, 3)
    assert torch.allclose(found[:, 0, 0], torch.tensor([0.25, 0, 0.75]))
    assert torch.allclose(found[:, 0, 1], torch.tensor([0.0, 1, 0]))
    assert torch.allclose(mean_map(torch.full((2, 1, 1, 1), IGNORED), 4), torch.tensor(0.25))


def test_a_floor_is_never_lost_to_and_an_unknown_error_decides_nothing() -> None:
    row, measure = METRICS["fid_classifier"], Measure(2.0, 0.1, 100, "")
    assert row.loses(measure, Baseline("plain", 1.0, 0.1, 0.1))
    assert not row.loses(measure, Baseline("plain", 1.9, 0.1, 0.1))
    assert not row.loses(measure, Baseline("training", 0.1, 0.1, 0.1, floor=True))
    assert not row.loses(measure, Baseline("plain", 1.0))
    assert not METRICS["density"].loses(measure, Baseline("plain", 9.0, 0.1, 0.1))


def test_baselines_are_stored_and_files_without_them_are_read() -> None:
    measure = Measure(2.0, 0.1, 100, "dB", baselines=(Baseline("mean image", 1.0, None, 0.1),))
    stored = {"metrics": {"psnr": asdict(measure), "mse": {"value": 1.0, "stderr": None, "n": 3, "unit": ""}}}
    read = checked(Evaluation, stored, "evaluation.json", "evaluate again").metrics
    assert read["psnr"] == measure
    assert read["mse"].baselines == ()
