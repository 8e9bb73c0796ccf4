"""The accuracy of a classifier and its plain baselines, on images whose classes and neighbours are known."""

import torch
from torch import Tensor
from torch.distributions import Categorical

from reparam.core.conditional import Head
from reparam.data import Dataset, Images
from reparam.data.tasks import TaskOptions
from reparam.evaluation import EvaluationOptions
from reparam.evaluation.baselines import nearest
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.diagnosis import diagnose
from reparam.evaluation.metrics.table import METRICS
from reparam.models import Model

SIDE = 8


class _Says(Head):
    """One class, whatever the image; or that of whether the image is bright."""

    def __init__(self, always: int | None) -> None:
        super().__init__()
        self.always = always
        self.sharpness = torch.nn.Parameter(torch.tensor(10.0))

    def forward(self, x: Tensor) -> Categorical:
        bright = (x.flatten(1).mean(1) > 0.5).long()
        named = bright if self.always is None else torch.full_like(bright, self.always)
        return Categorical(logits=self.sharpness * torch.nn.functional.one_hot(named, 2))


def split(values: list[int], labels: list[int]) -> Images:
    grey = torch.tensor(values, dtype=torch.uint8)[:, None, None, None]
    return Images(grey.expand(-1, 1, SIDE, SIDE).contiguous(), torch.tensor(labels))


def context(always: int | None, repeats: int = 1) -> EvaluationContext:
    train = split([10, 20, 30, 240, 250, 5], [0, 0, 0, 1, 1, -1])
    test = split([0, 40, 200, 255, 140] * repeats, [0, 0, 1, 1, 0] * repeats)
    data = Dataset("greys", train, train, test, classes=("dark", "bright"))
    return EvaluationContext(Model(head=_Says(always)), data, TaskOptions(), EvaluationOptions())


def test_the_baselines_are_the_usual_class_and_the_nearest_labelled_image() -> None:
    measure = METRICS["accuracy"].measure(context(None))
    assert measure.value == 4 / 5  # 140 is bright and called dark
    found = {baseline.name: baseline.value for baseline in measure.baselines}
    assert found == {"most frequent class": 3 / 5, "nearest image": 4 / 5}  # 140 is 100 from 240 and 110 from 30


def test_a_classifier_below_them_is_told_so_and_one_that_ties_is_not() -> None:
    assert not diagnose(context(None, repeats=40))
    (finding,) = diagnose(context(1, repeats=40))
    assert finding.state == "baseline not reached"
    assert finding.evidence.startswith(
        "40.0% of test images are classified rightly, 60.0% by the most frequent class; "
    )


def test_the_nearest_is_that_of_the_smallest_squared_error() -> None:
    generator = torch.Generator().manual_seed(0)
    x, among = (torch.rand(n, 1, 3, 2, generator=generator) for n in (2100, 50))
    errors = (x[:, None] - among).square().flatten(2).sum(2)
    assert torch.equal(nearest(x, among), errors.argmin(1))
