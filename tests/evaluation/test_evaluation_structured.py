"""What answers are judged by, against values worked out by hand, and on models whose answers are known."""

import math

import pytest
import torch
from torch import Tensor

import reparam
from reparam.data import Dataset, Images
from reparam.data.tasks import TaskOptions, with_condition
from reparam.distributions import IGNORED
from reparam.evaluation import EvaluationOptions, diagnose
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.metrics.table import METRICS
from reparam.metrics import structured as judged
from reparam.models import Model
from reparam.run.data import stored_spec
from reparam.run.documents import NoValueError
from reparam.testing import discs

MAP = torch.tensor(
    [[0, 1, 2], [2, 2, IGNORED]]
)  # one image of 2 x 3 pixels, three values, one pixel that does not count
SAID = torch.tensor([[0, 2, 2], [1, 2, 0]])


def sure(said: Tensor, confidence: float = 1.0, values: int = 3) -> Tensor:
    """Probabilities [1, D, H, W] whose most probable value is `said`."""
    planes = torch.nn.functional.one_hot(said, values).movedim(-1, 0).double()
    return (planes * confidence + (1 - planes) * (1 - confidence) / (values - 1))[None]


def test_overlap_and_accuracy_by_hand() -> None:
    found = judged.overlap(sure(SAID), MAP[None, None])
    # Value 0: one pixel in both. Value 1: said at (1, 0), true at (0, 1). Value 2: both at (0, 2) and (1, 1); said also at
    # (0, 1), true also at (1, 0). The pixel that does not count is in none of them.
    assert found.intersection.tolist() == [[1, 0, 2]]
    assert found.union.tolist() == [[1, 2, 4]]
    assert judged.foreground_iou(found).tolist() == [(0 / 2 + 2 / 4) / 2]
    assert judged.pixel_accuracy(sure(SAID), MAP[None, None]).item() == pytest.approx(3 / 5)


def test_an_image_without_foreground_that_is_said_to_have_none_is_right() -> None:
    nothing = torch.zeros(2, 3, dtype=torch.long)
    found = judged.overlap(sure(nothing), nothing[None, None])
    assert judged.foreground_iou(found).tolist() == [1.0]


def test_reliability_by_hand() -> None:
    probs = torch.cat([sure(SAID, 0.9), sure(SAID, 0.5)])
    found = judged.reliability(probs, MAP.expand(2, 1, 2, 3), bins=10)
    used = found.weight > 0
    assert found.confidence[used].tolist() == pytest.approx([0.5, 0.9])
    assert found.accuracy[used].tolist() == pytest.approx([0.6, 0.6])
    assert found.weight[used].tolist() == pytest.approx([0.5, 0.5])
    assert judged.calibration_error(probs, MAP.expand(2, 1, 2, 3), bins=10) == pytest.approx(0.5 * 0.1 + 0.5 * 0.3)


def test_a_calibrated_model_has_no_calibration_error() -> None:
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(40, 1, 50, 50, generator=generator, dtype=torch.float64)
    truth = torch.bernoulli(p, generator=generator).long()
    error = judged.calibration_error(torch.cat([1 - p, p], 1), truth)
    # 100,000 pixels in the 8 bins that two values reach: each bin's share is off by 0.004 on average, sqrt(p q / n) sqrt(2 /
    # pi).
    assert error < 0.01
    overconfident = torch.cat([1 - p, p], 1).square()
    overconfident /= overconfident.sum(1, keepdim=True)
    assert judged.calibration_error(overconfident, truth) > 0.05


def test_spread_of_answers_by_hand() -> None:
    answers = torch.tensor([[0.0, 0.2], [1.0, 0.2]]).view(1, 2, 1, 1, 2)  # two answers, two pixels
    assert judged.uncertainty(answers).flatten().tolist() == pytest.approx([0.5, 0.0])
    both, first = torch.ones(1, 1, 1, 2), torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
    assert judged.diversity(answers, both).item() == pytest.approx(0.5 / math.sqrt(2))
    assert judged.diversity(answers, first).item() == pytest.approx(0.5)
    truth = torch.tensor([0.0, 0.6]).view(1, 1, 1, 2)
    assert judged.masked_squared_error(answers[:, 1], truth, both).item() == pytest.approx((1 + 0.16) / 2)
    assert judged.masked_squared_error(answers[:, 1], truth, first).item() == pytest.approx(1.0)


def test_votes_by_hand() -> None:
    found = judged.votes(torch.tensor([[3, 3, 1, 3], [0, 0, 0, 0]]), torch.tensor([3, 2]), classes=10)
    assert found.right.tolist() == [3, 0]
    assert found.log_loss.tolist() == pytest.approx([-math.log(3.1 / 5), -math.log(0.1 / 5)])


# -- whole metrics, on a model that knows nothing but how to say what we want ----------------------------------------------


def context_of(model: Model, dataset: Dataset, task: TaskOptions, **options: float) -> EvaluationContext:
    return EvaluationContext(model, dataset, task, EvaluationOptions(**{"images": 30, **options}))  # type: ignore[arg-type]


def model_of(name: str, dataset: Dataset, task: TaskOptions, **options: object) -> Model:
    config = reparam.run.config.resolve(name, task=task.task, hidden=(8,), network="mlp", **options)
    torch.manual_seed(0)
    spec = stored_spec(dataset)
    return config.family.build(config.options, with_condition(spec, task)).eval()


@pytest.fixture(scope="module")
def maps() -> Dataset:
    return discs(reparam.data.DataOptions())


def test_a_latent_that_says_nothing_gains_nothing_over_the_baseline(maps: Dataset) -> None:
    """The same pixels' probabilities, once as a model without a latent and once with one that is ignored."""
    task = TaskOptions(task="segmentation")
    baseline = model_of("nn", maps, task)
    gsnn = model_of("gsnn", maps, task, latent=2)
    with torch.no_grad():
        for parameter in gsnn.decoder.parameters():
            parameter.zero_()
    gsnn.context.load_state_dict(baseline.context.state_dict())
    plain, latent = (context_of(model, maps, task) for model in (baseline, gsnn))
    for name in ("mean_of_n", "iou", "pixel_accuracy", "ece", "cnll_mc"):
        ours, theirs = (METRICS[name].measure(context).value for context in (plain, latent))
        assert ours == pytest.approx(theirs, rel=1e-4), name
    # The baseline may answer pixel by pixel as well: its best is never below what the ignored latent offers.
    assert METRICS["best_of_n"].measure(plain).value >= METRICS["best_of_n"].measure(latent).value - 1e-9
    assert METRICS["diversity"].measure(latent).value == pytest.approx(0, abs=1e-6)


def test_squared_error_of_a_mean_answer_is_that_of_its_mean() -> None:
    """p(x|c) = 1/2 everywhere: the error of the answer is (1/2)^2 on binary pixels, whatever its draws are."""
    images = (torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(1)) > 0.5).to(torch.uint8) * 255
    parts = [Images(part, torch.full((20,), -1)) for part in images.split(20)]
    dataset, task = Dataset("toy", *parts, classes=()), TaskOptions(task="half")
    model = model_of("nn", dataset, task)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    context = context_of(model, dataset, task)
    assert METRICS["mean_of_n"].measure(context).value == pytest.approx(0.25)
    assert METRICS["cnll_mc"].measure(context).value == pytest.approx(32 * math.log(2), rel=1e-5)
    assert METRICS["diversity"].measure(context).value == pytest.approx(0.5 * math.sqrt(0.9), abs=0.01)


def test_answers_that_hardly_differ_beside_their_error_are_alike(maps: Dataset) -> None:
    """Maps of two values of probability p + e and p - e: they differ by e, and are wrong by about 1/2."""
    task = TaskOptions(task="segmentation")
    model = model_of("cvae", maps, task, latent=2)
    for apart, alike in ((0.02, True), (0.4, False)):
        context = context_of(model, maps, task, images=200)
        context.bound = (torch.zeros(len(context.x)), torch.full((len(context.x),), 2.0))
        signs = torch.tensor([1.0, -1.0]).repeat(5)[None, :, None, None, None]
        one = (0.5 + apart * signs).expand(len(context.x), 10, 1, *context.x.shape[2:])
        context.predictions = torch.cat([1 - one, one], 2)
        found = {finding.state: finding for finding in diagnose(context)}
        assert ("answers alike" in found) == alike
        if alike:
            assert (
                "differ by 0.02 (standard deviation), though their average is wrong by 0.5"
                in found["answers alike"].evidence
            )


def test_the_mean_mask_stands_beside_segmentations(maps: Dataset) -> None:
    task = TaskOptions(task="segmentation")
    context = context_of(model_of("nn", maps, task), maps, task)
    assert maps.train.maps is not None
    share = (maps.train.maps == 1).float().mean(0)[0]
    marked, truth = share > 0.5, context.x[:, 0] == 1
    for name, value in (
        ("pixel_accuracy", float((truth == marked).double().mean())),
        ("iou", float((truth & marked).sum() / (truth | marked).sum())),
    ):
        (baseline,) = METRICS[name].measure(context).baselines
        assert (baseline.name, baseline.value) == ("mean mask", pytest.approx(value, rel=1e-5))
        assert baseline.apart is not None
        assert baseline.apart > 0


def test_answers_of_an_image_do_not_depend_on_how_many_are_asked(maps: Dataset) -> None:
    task = TaskOptions(task="segmentation")
    model = model_of("cvae", maps, task, latent=2)
    many, few = (context_of(model, maps, task, images=n) for n in (30, 7))
    torch.testing.assert_close(many.predictions[:7], few.predictions)
    assert torch.equal(many.index[:7], few.index)


def test_the_hidden_box_is_known_whatever_the_image_shows(maps: Dataset) -> None:
    dark = Dataset(
        "dark",
        *(
            Images(torch.zeros_like(part.images), part.labels, part.maps)
            for part in (maps.train, maps.validation, maps.test)
        ),
        classes=(),
        map_values=maps.map_values,
    )
    task = TaskOptions(task="segmentation")
    model = model_of("cvae", dark, task, latent=2)
    hidden = context_of(model, dark, task, occlusion=0.25).hidden
    assert hidden.flatten(1).sum(1).tolist() == [64] * 30
    context = context_of(model, maps, task, occlusion=0.25)
    assert torch.equal(context.hidden, hidden)
    assert context.c is not None
    assert not context.c[hidden.expand_as(context.c)].any()
    assert METRICS["occluded_uncertainty"].measure(context).value > 0


def test_an_image_set_without_foreground_has_no_iou(maps: Dataset) -> None:
    empty = Dataset(
        "empty",
        *(
            Images(part.images, part.labels, torch.zeros_like(part.maps))  # type: ignore[arg-type]
            for part in (maps.train, maps.validation, maps.test)
        ),
        classes=(),
        map_values=maps.map_values,
    )
    task = TaskOptions(task="segmentation")
    model = model_of("nn", empty, task)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()  # a tie goes to value 0
    with pytest.raises(NoValueError, match="no image has, or is predicted to have, anything but background"):
        METRICS["iou"].measure(context_of(model, empty, task))
