"""Bits a pixel of images with other than 256 levels; what is left out of images of other channels."""

import math

import pytest
import torch
from torch import Tensor, nn

from reparam.conditionals import DiagonalNormal, StandardNormal
from reparam.conditionals.likelihoods import DiscretisedLogisticLikelihood, GaussianLikelihood
from reparam.data import Dataset
from reparam.data.dataset import cut
from reparam.data.scale import Scale
from reparam.data.tasks import TaskOptions
from reparam.distributions import keyed_generator
from reparam.errors import DataError
from reparam.evaluation import METRICS, EvaluationOptions
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.metrics.table import evaluate
from reparam.metrics.inception import prepared
from reparam.models import Model

SIDE = 8


class Constant(nn.Module):
    def __init__(self, output: Tensor, axes: int) -> None:
        super().__init__()
        self.output, self.axes = output, axes

    def forward(self, x: Tensor) -> Tensor:
        return self.output.expand(*x.shape[: x.dim() - self.axes], *self.output.shape)


def model(decoder: type, outputs: Tensor, levels: int, **options: float) -> Model:
    """log p(x) is that of one distribution, whatever z."""
    encoder = DiagonalNormal(Constant(torch.zeros(3), 3), 3, 2)
    nn.init.zeros_(encoder.head.weight)
    nn.init.zeros_(encoder.head.bias)
    likelihood = decoder(Constant(outputs, 1), levels=levels, **options)
    return Model(encoder=encoder, prior=StandardNormal(2), decoder=likelihood).eval()


def images(levels: int, channels: int = 1) -> Dataset:
    n = 60
    size = (n, channels, SIDE, SIDE)
    top, generator = max(levels - 1, 1), keyed_generator("cpu", 7)
    drawn = torch.randint(0, levels, size, generator=generator) if levels else torch.rand(size, generator=generator)
    return cut(drawn.float() / top, torch.full((n,), -1), (20, 20, 20), (), scale=Scale(0, top, levels))


def context_of(model: Model, data: Dataset) -> EvaluationContext:
    return EvaluationContext(model, data, TaskOptions(), EvaluationOptions(samples=20, nll_images=20, images=20))


def bits(model: Model, data: Dataset) -> float:
    return dict(evaluate(context_of(model, data), ["bits_per_dim"]))["bits_per_dim"].value


@pytest.mark.parametrize("levels", [16, 4096, 65536])
def test_bits_of_the_uniform_density_are_those_of_the_levels(levels: int) -> None:
    wide = model(GaussianLikelihood, torch.zeros(1, SIDE, SIDE), levels, scale=1e4)
    density = math.log2(1e4 * math.sqrt(2 * math.pi))
    assert bits(wide, images(levels)) == pytest.approx(math.log2(levels) + density, rel=1e-6)


@pytest.mark.parametrize("levels", [16, 4096])
def test_bits_of_a_mass_are_those_of_its_probabilities(levels: int) -> None:
    outputs = torch.cat([torch.zeros(1, SIDE, SIDE), torch.ones(1, SIDE, SIDE)])
    made, data = model(DiscretisedLogisticLikelihood, outputs, levels), images(levels)
    grid = torch.arange(levels).view(-1, 1, 1, 1).expand(levels, 1, SIDE, SIDE) / (levels - 1)
    mass = made.decoder(torch.zeros(2)).base_dist.log_prob(grid)[:, 0, 0, 0].double().exp()
    assert float(mass.sum()) == pytest.approx(1, abs=1e-3)
    places = (data.test.pixels * (levels - 1)).round().long()
    assert bits(made, data) == pytest.approx(float(-mass.log2()[places].mean()), rel=1e-4)


def test_images_without_levels_have_no_bits() -> None:
    wide = model(GaussianLikelihood, torch.zeros(1, SIDE, SIDE), 0, scale=1e4)
    context = context_of(wide, images(0))
    assert "floats of any value" in METRICS["bits_per_dim"].refuses(context)
    assert not METRICS["nll"].refuses(context)


def test_inception_and_jpeg_are_for_grey_and_rgb() -> None:
    five = torch.zeros(5, SIDE, SIDE)
    context = context_of(model(GaussianLikelihood, five, 256, scale=1.0), images(256, channels=5))
    for name in ("fid_inception", "kid_inception", "precision_inception", "rate_psnr_jpeg"):
        assert "these images have 5 channels" in METRICS[name].refuses(context), name
    assert "channels" not in METRICS["kid_random"].refuses(context)
    with pytest.raises(DataError, match="5 channels, and Inception takes grey or RGB"):
        prepared(torch.zeros(2, 5, SIDE, SIDE))
