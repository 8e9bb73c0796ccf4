"""The public functions against scipy, torchmetrics, scikit-learn and formulas written out; and what they refuse."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Laplace, MultivariateNormal, Normal

import reparam
from reparam import ReparamError, metrics
from reparam.distributions import keyed_generator


def drawn(*shape: int, key: str = "") -> Tensor:
    return torch.rand(*shape, generator=keyed_generator("cpu", "oracles", key))


class Network(nn.Module):
    """Features of images [n, 3, 12, 10], float64 as the oracles are."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(drawn(360, 8, key="network").double() - 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return (x.double().flatten(1) @ self.matrix).tanh()


@pytest.fixture(scope="module")
def images() -> tuple[Tensor, Tensor]:
    """Two sets of pictures that differ."""
    return drawn(70, 3, 12, 10, key="real"), drawn(50, 3, 12, 10, key="made").square()


def test_frechet_distance_with_features_is_scipys(images: tuple[Tensor, Tensor]) -> None:
    network = Network().eval()
    with torch.no_grad():
        a, b = (network(x).numpy() for x in images)
    first, second = (np.cov(v, rowvar=False) for v in (a, b))
    root = scipy.linalg.sqrtm(first @ second).real
    shift = a.mean(0) - b.mean(0)
    expected = shift @ shift + np.trace(first + second - 2 * root)
    assert expected > 0.01
    assert float(metrics.frechet_distance(*images, features=network)) == pytest.approx(expected, abs=1e-6)


def test_frechet_distance_with_features_is_torchmetrics(images: tuple[Tensor, Tensor]) -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    network = Network().eval()
    peer = FrechetInceptionDistance(feature=network, normalize=True, input_img_size=(3, 12, 10)).set_dtype(
        torch.float64
    )
    for x, real in zip(images, (True, False), strict=True):
        peer.update(x, real=real)
    ours = metrics.frechet_distance(*images, features=network)
    assert ours.value == pytest.approx(float(peer.compute()), abs=1e-6)


def test_kernel_distance_is_torchmetrics_written_out(images: tuple[Tensor, Tensor]) -> None:
    """`poly_mmd` of torchmetrics.image.kid: degree 3, gamma 1 / F, coef 1, on one subset."""
    network = Network().eval()
    with torch.no_grad():
        a, b = (network(x)[:50] for x in images)
    m, width = a.shape

    def k(u: Tensor, v: Tensor) -> Tensor:
        return (u @ v.T / width + 1.0) ** 3

    within = [(k(v, v).sum() - k(v, v).diagonal().sum()) / (m * (m - 1)) for v in (a, b)]
    expected = float(sum(within) - 2 * k(a, b).sum() / m**2)
    assert abs(expected) > 1e-3
    assert metrics.kernel_distance(*images, features=network).value == pytest.approx(expected, abs=1e-6)


def test_energy_distance_does_not_depend_on_where_features_lie() -> None:
    a, b = drawn(60, 8, key="near"), drawn(60, 8, key="far") + 0.2
    apart = metrics.energy_distance(a, b)
    far = metrics.energy_distance(a.double() + 10_000, b.double() + 10_000)
    assert float(far) == pytest.approx(float(apart), abs=1e-5)
    rounded = [
        v.double().mul(2**10).round().div(2**10).float() for v in (a, b)
    ]  # float32 holds these moved as they are
    near, moved = (float(metrics.energy_distance(*(v + by for v in rounded))) for by in (0, 2**12))
    assert moved == pytest.approx(near, abs=1e-5)


def test_precision_recall_density_coverage_by_loops(images: tuple[Tensor, Tensor]) -> None:
    network = Network().eval()
    with torch.no_grad():
        a, b = (network(x).numpy() for x in images)

    def apart(u: np.ndarray, v: np.ndarray) -> float:
        return float(np.sqrt(((u - v) ** 2).sum()))

    def radius(i: int, points: np.ndarray, k: int) -> float:
        return sorted(apart(points[i], points[j]) for j in range(len(points)) if j != i)[k - 1]

    balls = {k: [radius(i, a, k) for i in range(len(a))] for k in (3, 5)}
    made = [radius(j, b, 3) for j in range(len(b))]
    inside = np.array([[apart(a[i], b[j]) <= balls[5][i] for i in range(len(a))] for j in range(len(b))])
    found = metrics.prdc(*images, features=network)
    near = [any(apart(a[i], v) <= balls[3][i] for i in range(len(a))) for v in b]
    assert found.precision.tolist() == near
    assert found.recall.tolist() == [any(apart(u, b[j]) <= made[j] for j in range(len(b))) for u in a]
    assert found.density.tolist() == pytest.approx(inside.sum(1) / 5)
    assert found.coverage.tolist() == inside.any(0).tolist()


# -- likelihoods: a linear Gaussian model, whose log p(x) is known -----------------------------------------------------

WIDTH, LATENT, NOISE = 6, 2, 0.4
WEIGHTS = drawn(LATENT, WIDTH, key="weights") * 2 - 1
X = drawn(130, 1, 2, 3, key="x")


def linear_decoder(z: Tensor) -> Distribution:
    return Independent(Normal((z @ WEIGHTS).unflatten(-1, (1, 2, 3)), NOISE), 3)


def standard_prior() -> Distribution:
    return Independent(Normal(torch.zeros(LATENT), torch.ones(LATENT)), 1)


PRECISION = torch.eye(LATENT) + WEIGHTS @ WEIGHTS.T / NOISE**2


def true_posterior(x: Tensor) -> Distribution:
    mean = x.flatten(1) @ WEIGHTS.T / NOISE**2 @ torch.linalg.inv(PRECISION)
    return MultivariateNormal(mean, precision_matrix=PRECISION.expand(len(x), LATENT, LATENT))


def rough_posterior(x: Tensor) -> Distribution:
    return Independent(Normal(true_posterior(x).mean, 1.2 * torch.ones(len(x), LATENT)), 1)


def exact_nll() -> Tensor:
    covariance = WEIGHTS.T @ WEIGHTS + NOISE**2 * torch.eye(WIDTH)
    return -MultivariateNormal(torch.zeros(WIDTH).double(), covariance.double()).log_prob(X.flatten(1).double())


def test_nll_at_the_true_posterior_is_the_closed_form_with_one_draw() -> None:
    found = metrics.importance_nll(true_posterior, linear_decoder, standard_prior, X, samples=1)
    assert torch.allclose(found.nll.double(), exact_nll(), atol=1e-4)
    many = metrics.importance_nll(true_posterior, linear_decoder, standard_prior, X, samples=130)
    assert torch.allclose(many.effective, torch.full_like(many.effective, 130.0), rtol=1e-3)


def test_nll_by_another_proposal_is_the_closed_form_within_its_error() -> None:
    found = metrics.importance_nll(rough_posterior, linear_decoder, standard_prior, X, samples=4000)
    # Of an estimate of log p by S draws the variance is 1 / effective - 1 / S, and the bias half of it.
    variance = 1 / found.effective - 1 / 4000
    apart = (found.nll.double() - exact_nll()).mean()
    assert abs(float(apart)) < 4 * math.sqrt(float(variance.mean()) / len(X)) + float(variance.mean())
    assert float(found.effective.mean()) < 3000
    again = metrics.importance_nll(rough_posterior, linear_decoder, standard_prior, X[:7], samples=4000)
    assert torch.allclose(again.nll, found.nll[:7], atol=1e-5)


def test_nll_of_a_runs_parts_is_that_of_the_command(trained: object) -> None:
    run = reparam.load(str(trained))
    measured = run.evaluate(["nll"], samples=50, nll_images=120)["nll"].value
    from reparam.data.selection import random_indices

    pixels = run.dataset.test.take(random_indices(run.dataset.test, 10_000)).pixels[:120]
    model = run.model
    found = metrics.importance_nll(model.encoder, model.decoder, model.prior, pixels / 255, samples=50)
    assert float(found.nll.double().mean()) == pytest.approx(measured, rel=1e-9)


# -- labels ------------------------------------------------------------------------------------------------------------


def test_iou_and_calibration_are_scikit_learns_and_written_out() -> None:
    from sklearn.metrics import jaccard_score

    probs = drawn(5, 4, 7, 6, key="maps").softmax(1)
    truth = (drawn(5, 7, 6, key="truth") * 4).long()
    expected = jaccard_score(truth.flatten(), probs.argmax(1).flatten(), average=None, labels=range(4))
    assert metrics.iou(probs, truth).tolist() == pytest.approx(list(expected))
    assert metrics.iou(probs, truth[:, None]).tolist() == pytest.approx(list(expected))
    assert math.isnan(float(metrics.iou(torch.cat([probs, 0 * probs[:, :1]], 1), truth)[4]))

    classes, labels = probs[:, :, 0, 0], truth[:, 0, 0]
    expected = jaccard_score(labels, classes.argmax(1), average=None, labels=range(4), zero_division=0)
    assert metrics.iou(classes, labels).nan_to_num().tolist() == pytest.approx(list(expected))
    assert metrics.pixel_accuracy(classes, labels).tolist() == (classes.argmax(1) == labels).tolist()
    confidence, said = classes.max(1)
    error = sum(
        abs(float(((said == labels).float() - confidence)[inside].sum())) / 5
        for low in np.arange(10) / 10
        if (inside := (confidence >= low) & (confidence < low + 0.1)).any()
    )
    assert metrics.calibration_error(classes, labels, bins=10) == pytest.approx(error, abs=1e-6)


def test_cluster_accuracy_is_the_best_renaming() -> None:
    import itertools

    clusters, labels = ((drawn(40, key=key) * 4).long() for key in ("clusters", "labels"))
    best = max(
        float((torch.tensor(names)[clusters] == labels).float().mean()) for names in itertools.permutations(range(4))
    )
    assert metrics.cluster_accuracy(clusters, labels) == pytest.approx(best)
    assert metrics.cluster_accuracy((labels + 1) % 4, labels) == 1.0
    assert metrics.cluster_accuracy(10**12 * labels, labels) == 1.0  # clusters may have any numbers
    unlabelled = torch.cat([labels, -torch.ones(9, dtype=torch.long)])
    assert metrics.cluster_accuracy(torch.cat([clusters, clusters[:9]]), unlabelled) == pytest.approx(best)


# -- what is refused: a line that says what to do ----------------------------------------------------------------------

IMAGES = drawn(9, 1, 4, 4)
ROWS = drawn(9, 3)
Q, P, PZ = rough_posterior, linear_decoder, standard_prior


def plain(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.flatten(1)[:, :2], x.flatten(1)[:, :2]


def by_pixel(z: Tensor) -> Distribution:
    return Laplace((z @ WEIGHTS).unflatten(-1, (1, 2, 3)), 1.0)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "images without features": (lambda: metrics.frechet_distance(IMAGES, IMAGES), "features=reparam.metrics.inception"),
    "an array": (lambda: metrics.kernel_distance(ROWS.numpy(), ROWS), r"use torch.as_tensor\(real\)"),
    "other widths": (lambda: metrics.energy_distance(ROWS, drawn(9, 4)), "real has 3 features and generated 4"),
    "one row": (lambda: metrics.frechet_distance(ROWS, ROWS[:1]), "generated has 1 rows: at least 2"),
    "few rows": (lambda: metrics.prdc(ROWS, ROWS[:5]), "generated has 5 rows: at least 6"),
    "NaN": (lambda: metrics.frechet_distance(ROWS, ROWS / 0 * 0), "generated has features that are NaN"),
    "whole numbers": (lambda: metrics.frechet_distance(ROWS, ROWS.long()), r"generated is torch.int64 \[9, 3\]"),
    "beyond [0, 1]": (lambda: metrics.frechet_distance(IMAGES, IMAGES * 255, lambda x: x.flatten(1)), "/ 255"),
    "training mode": (lambda: metrics.frechet_distance(IMAGES, IMAGES, nn.Flatten()), r"features.eval\(\)"),
    "maps as features": (lambda: metrics.frechet_distance(IMAGES, IMAGES, lambda x: x), r"should return \[N, F\]"),
    "bytes": (lambda: metrics.psnr(IMAGES.byte(), IMAGES.byte()), "x is torch.uint8"),
    "one image for all": (lambda: metrics.psnr(IMAGES, IMAGES[:1]), "an image for each image"),
    "small for ssim": (lambda: metrics.ssim(IMAGES, IMAGES), "use psnr"),
    "tensors of an encoder": (lambda: metrics.importance_nll(plain, P, PZ, X), "encoder returns a tuple"),
    "density by pixel": (lambda: metrics.importance_nll(Q, by_pixel, PZ, X, 2), "decoder returns .*Independent"),
    "a distribution as prior": (lambda: metrics.importance_nll(Q, P, PZ(), X), "prior"),
    "no samples": (lambda: metrics.importance_nll(Q, P, PZ, X, 0), "samples"),
    "no images": (lambda: metrics.importance_nll(Q, P, PZ, X[:0]), "at least one image"),
    "a class beyond": (lambda: metrics.iou(drawn(2, 3, 4, 4), torch.full((2, 4, 4), 3)), "truth holds 3, and probs"),
    "another size": (lambda: metrics.iou(drawn(2, 3, 4, 4), torch.zeros(2, 5, 5).long()), r"whole numbers \[2, 4, 4\]"),
    "labels as floats": (lambda: metrics.cluster_accuracy(torch.zeros(3), torch.zeros(3).long()), "clusters are"),
    "bytes without an edge": (lambda: metrics.sharpness(IMAGES.byte()), "x is torch.uint8"),
    "no room for edges": (lambda: metrics.sharpness(IMAGES[..., :2]), "edges take 3 pixels"),
    "means in a row": (lambda: metrics.active_units(ROWS[0]), r"give posterior means, floats \[N, K\]"),
    "means that are NaN": (lambda: metrics.active_units(ROWS / 0 * 0), "means are NaN"),
    "means as an array": (lambda: metrics.active_units(ROWS.numpy()), r"use torch.as_tensor\(means\)"),
    "no neighbours": (lambda: metrics.prdc(ROWS, ROWS, support=0), "support.*greater than or equal to 1"),
    "no bins": (lambda: metrics.calibration_error(ROWS, torch.zeros(9).long(), bins=0), "bins.*greater than or equal"),
    "logits": (lambda: metrics.calibration_error(9 * ROWS, torch.zeros(9).long()), r"logits.softmax\(1\)"),
    "probabilities that are NaN": (lambda: metrics.iou(ROWS / 0 * 0, torch.zeros(9).long()), "run from nan"),
    "a device that is none": (lambda: metrics.inception_features("gpu"), "cannot be used"),
    "no label": (lambda: metrics.cluster_accuracy(torch.zeros(3).long(), -torch.ones(3).long()), "at least one image"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_a_figure_of_something_else_is_refused(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(ReparamError, match=message) as found:
        call()
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("name", metrics.__all__)
def test_each_public_name_is_documented_with_its_shapes(name: str) -> None:
    assert name in dir(metrics)
    text = getattr(metrics, name).__doc__ or ""
    assert "[" in text, "its docstring states shapes"
