"""Quality at so many bytes, on a model that is its own principal components."""

import pytest
import torch
from test_evaluation_representation import SIDE, dataset, taking

from reparam.data import Images
from reparam.data.tasks import TaskOptions
from reparam.evaluation import METRICS, EvaluationOptions
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.metrics.table import choose

EVERY = range(SIDE * SIDE)


def measured(name: str, bytes_each: float, *places: int) -> float:
    context = EvaluationContext(
        taking(*(places or EVERY)), dataset(), TaskOptions(), EvaluationOptions(bytes=bytes_each)
    )
    return METRICS[name].measure(context).value


def test_more_bytes_are_nearer_and_a_bit_a_pixel_is_six_decibels() -> None:
    """Pixels are independent: 8 bytes more are a bit a pixel, which halves the step, 6.02 dB. Not quite: clamping to [0, 1] helps
    the coarser grid, of about 21 cells, in its two end cells (0.4 dB at most), and on a grid of 4 grey levels the levels
    themselves help the finer one (an error of (16 - 1) / 12 in the place of 16 / 12, 0.3 dB)."""
    found = [measured("rate_psnr", size) for size in (40.0, 48.0, 56.0)]
    for less, more in zip(found, found[1:], strict=False):
        assert 6.02 - 0.43 < more - less < 6.02 + 0.28


def test_all_pixels_and_all_principal_components_are_as_good() -> None:
    """Orthonormal axes of independent pixels of nearly equal variance: neither is better by more than the unequal two give."""
    assert measured("rate_psnr", 48.0) == pytest.approx(measured("rate_psnr_pca", 48.0), abs=0.6)


def test_the_rival_does_not_lose_by_a_models_few_latents_nor_by_few_images() -> None:
    # Of two latents or of all pixels: the number of components is the rival's own choice.
    assert measured("rate_psnr_pca", 48.0, 0, 1) == measured("rate_psnr_pca", 48.0)
    data, options = dataset(), EvaluationOptions(bytes=48.0, images=100)
    few = Images(data.train.images[:10], data.train.labels[:10])
    measure = METRICS["rate_psnr_pca"].measure(EvaluationContext(taking(*EVERY), data, TaskOptions(), options, few))
    assert measure.note.endswith("10 components")  # fewer than any number that is tried


def test_jpeg_takes_the_size_that_is_nearest_and_improves_with_it() -> None:
    small, large = measured("rate_psnr_jpeg", 1.0), measured("rate_psnr_jpeg", 120.0)
    assert large > small + 3
    context = EvaluationContext(taking(*EVERY), dataset(), TaskOptions(), EvaluationOptions(bytes=100.0))
    size = float(METRICS["rate_psnr_jpeg"].measure(context).note.split()[0])
    assert abs(size - 100) < 5


def test_where_the_header_alone_is_too_long_it_is_said() -> None:
    _, left_out = choose(EvaluationContext(taking(*EVERY), dataset(), TaskOptions(), EvaluationOptions(bytes=1.0)))
    assert "header alone" in left_out["rate_psnr"]
    assert torch.isfinite(torch.tensor(measured("rate_psnr", 3.0, 0, 1)))
