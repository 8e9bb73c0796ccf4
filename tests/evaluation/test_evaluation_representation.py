"""Latents as a representation, on models whose latents are known."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from reparam.core.conditional import Decoder, Encoder
from reparam.data import Dataset, Images
from reparam.data.tasks import TaskOptions
from reparam.distributions import Delta, keyed_generator
from reparam.errors import ConfigError
from reparam.evaluation import METRICS, EvaluationOptions
from reparam.evaluation.budget import Budget
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.metrics.table import choose
from reparam.evaluation.networks.features import FeatureNetwork
from reparam.models import Model

SIDE, N = 8, 300


class _Take(Encoder):
    """x -> the pixels of these places, as a point."""

    point = True

    def __init__(self, *places: int) -> None:
        super().__init__()
        self.places = places
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Delta:
        return Delta(x.flatten(1)[:, list(self.places)])


class _Put(Decoder):
    """z -> an image of those pixels, 0 elsewhere."""

    density = "density"

    def __init__(self, *places: int) -> None:
        super().__init__()
        self.places = places

    def forward(self, z: Tensor) -> Independent:
        image = torch.zeros(*z.shape[:-1], SIDE * SIDE)
        image[..., list(self.places)] = z
        return Independent(Normal(image.unflatten(-1, (1, SIDE, SIDE)), 1.0), 3)


def taking(*places: int) -> Model:
    return Model(encoder=_Take(*places), decoder=_Put(*places)).eval()


def dataset(seed: int = 0) -> Dataset:
    """Pixels 0 and 1 say the class, the others are noise, brighter than they."""

    def split(part: str) -> Images:
        g = keyed_generator("cpu", seed, part)
        labels = torch.randint(0, 4, (N,), generator=g)
        images = torch.randint(0, 256, (N, 1, SIDE, SIDE), generator=g, dtype=torch.uint8)
        flat = images.flatten(1)
        flat[:, 0], flat[:, 1] = 20 * (labels % 2) + 5, 20 * (labels // 2) + 5
        flat[:, :2] += torch.randint(0, 5, (N, 2), generator=g, dtype=torch.uint8)
        return Images(images, labels)

    return Dataset("known", split("train"), split("validation"), split("test"), classes=("a", "b", "c", "d"))


def measured(model: Model, name: str, task: TaskOptions | None = None) -> float:
    return METRICS[name].measure(EvaluationContext(model, dataset(), task or TaskOptions(), EvaluationOptions())).value


@pytest.mark.parametrize("name", ["neighbour_accuracy", "probe_accuracy"])
def test_latents_that_say_the_class_are_read_and_noise_is_not(name: str) -> None:
    assert measured(taking(0, 1), name) == 1
    by_chance = measured(taking(5, 9), name)
    assert abs(by_chance - 0.25) < 4 * math.sqrt(0.25 * 0.75 / N)
    # The class is in the darkest pixels: principal components of the brightest noise do not see it.
    assert abs(measured(taking(0, 1), f"{name}_pca") - 0.25) < 4 * math.sqrt(0.25 * 0.75 / N)


def test_all_principal_components_are_the_image_and_fewer_are_the_best_linear_ones() -> None:
    assert measured(taking(*range(SIDE * SIDE)), "psnr_pca") > 60
    x = dataset().train.images.float().flatten(1) / 255
    centred = x - x.mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    test = dataset().test.images.float().flatten(1) / 255 - x.mean(0)
    rebuilt = (test @ directions[:3].T @ directions[:3] + x.mean(0)).clamp(0, 1)
    error = (rebuilt - x.mean(0) - test).square().mean(1)
    expected = float((-10 * error.log10()).mean())
    assert measured(taking(0, 1, 2), "psnr_pca") == pytest.approx(expected, abs=1e-2)


def test_random_latents_of_an_autoencoder_follow_its_codes() -> None:
    """A reader that is sure of images whose first pixel is above the codes' mean: about half of random latents."""
    context = EvaluationContext(taking(0, 1), dataset(), TaskOptions(), EvaluationOptions())
    middle = float(context.training.x.flatten(1)[:, 0].mean())

    def head(x: Tensor) -> Tensor:
        sure = x.flatten(1)[:, 0] > middle
        return torch.where(sure[:, None], torch.tensor([0.95, 0.05]), torch.tensor([0.5, 0.5]))

    context.once("classifier", lambda: FeatureNetwork("", lambda x: x.flatten(1), torch.device("cpu"), head=head))
    measure = METRICS["confident_samples"].measure(context)
    assert abs(measure.value - 0.5) < 4 * math.sqrt(0.25 / N)


def test_denoising_is_measured_against_the_clean_image() -> None:
    task = TaskOptions(task="denoising", noise=0.2)
    context = EvaluationContext(taking(*range(SIDE * SIDE)), dataset(), task, EvaluationOptions())
    # A model that returns what it is given gains what clamping gains.
    noisy, clean = context.batch.input, context.x

    def psnr(x: Tensor) -> Tensor:
        return -10 * (x - clean).square().flatten(1).mean(1).log10()

    expected = float((psnr(noisy) - psnr(noisy.clamp(0, 1))).mean())
    assert METRICS["psnr_gain"].measure(context).value == pytest.approx(expected, abs=1e-4)

    flat = Images(torch.full((N, 1, SIDE, SIDE), 128, dtype=torch.uint8), dataset().test.labels)
    grey = Dataset("flat", flat, flat, flat, classes=("a", "b", "c", "d"))
    context = EvaluationContext(taking(*range(SIDE * SIDE)), grey, task, EvaluationOptions())
    # The median of nine normal draws has 0.166 of their variance (order statistics; larger at the border, which repeats itself).
    gain = METRICS["psnr_gain_median"].measure(context).value
    assert 6.0 < gain < 10 * math.log10(1 / 0.166) + 0.1


def test_what_a_metric_needs_is_said() -> None:
    generous = Budget(network=math.inf)
    names, left_out = choose(
        EvaluationContext(taking(0, 1), dataset(), TaskOptions(), EvaluationOptions(), budget=generous)
    )
    assert {"neighbour_accuracy", "probe_accuracy_pca", "psnr_pca", "confident_samples"} <= set(names)
    assert "not noisy" in left_out["psnr_gain"]
    split = Images(dataset().train.images, torch.full((N,), -1))
    unlabelled = Dataset("none", split, split, split, classes=())
    _, left_out = choose(EvaluationContext(taking(0, 1), unlabelled, TaskOptions(), EvaluationOptions()))
    assert "predicts classes" in left_out["probe_accuracy"]


def test_few_images_are_read_by_fewer_neighbours_or_left_out_with_a_reason() -> None:
    few = EvaluationOptions(images=3)
    context = EvaluationContext(taking(0, 1), dataset(), TaskOptions(), few)
    seen = len(context.training.y.unique())
    assert seen > 1
    assert 0 <= METRICS["neighbour_accuracy"].measure(context).value <= 1
    one_class = dataset()
    one_class.train.labels.fill_(2)
    for data, options, why in (
        (one_class, EvaluationOptions(), "do not have two"),
        (dataset(), EvaluationOptions(images=1), "do not have two"),
        (unlabelled(), EvaluationOptions(), "no test image has a label"),
    ):
        _, left = choose(EvaluationContext(taking(0, 1), data, TaskOptions(), options))
        assert why in left["neighbour_accuracy"]
    with pytest.raises(ConfigError, match="needs two classes among the 300"):
        METRICS["probe_accuracy"].measure(
            EvaluationContext(taking(0, 1), one_class, TaskOptions(), EvaluationOptions())
        )


def unlabelled() -> Dataset:
    """Its test images have no labels."""
    found = dataset()
    found.test.labels.fill_(-1)
    return found
