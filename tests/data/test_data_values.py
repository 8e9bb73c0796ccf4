"""Images, masks and labels that a person gives as numbers. Advice is followed, and keeps the pictures."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from reparam.data.values import as_images, as_labels, as_mask, scaling
from reparam.errors import DataError

SHAPE = (3, 8, 8)
LEVELS = torch.arange(2 * 3 * 8 * 8).view(2, *SHAPE) % 256
X = LEVELS / 255


@pytest.mark.parametrize(
    ("given", "tolerance"),
    [
        (X, 0.0),
        (LEVELS.to(torch.uint8), 0.0),
        (X.double(), 1e-7),  # float32 of a number below 1 is off by at most 2^-25
        (X.half(), 2**-12),
        (X.bfloat16(), 2**-9),
        (X + 9e-7, 1e-6),
        (X - 9e-7, 1e-6),
        (X.clone().requires_grad_(), 0.0),
        (X.to(memory_format=torch.channels_last), 0.0),
        (X[:0], 0.0),
    ],
)
def test_accepted_images_are_float32_in_0_to_1(given: Tensor, tolerance: float) -> None:
    found = as_images(given, SHAPE)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert float((found - X[: len(found)]).abs().sum() if not len(found) else (found - X).abs().max()) <= tolerance
    assert not len(found) or (float(found.min()) >= 0 and float(found.max()) <= 1)


def test_truth_values_are_black_and_white() -> None:
    assert torch.equal(as_images(X > 0.5), (X > 0.5).float())


def followed(values: Tensor, message: str) -> Tensor:
    """What the code after `use` makes of the values."""
    code = message.rpartition("use ")[2].partition(", or ")[0].partition(" for black")[0]
    return eval(code, {"images": values, "numpy": np, "torch": torch})  # our own words


# (what is given, what advice must make of it, a word of the message)
OUT_OF_RANGE = {
    "0 to 255": (X * 255, X, "images / 255"),
    "0 to 200 of 255": (X * 200, X * 200 / 255, "images / 255"),
    "0 to 65535": (X * 65535, X, "images / 65535"),
    "0 to 16": (X * 16, X, "images.max()"),
    "0 to 1000": (X * 1000, X, "images.max()"),
    "-1 to 1": (X * 2 - 1, X, "(images + 1) / 2"),
    "nearly -1 to 1": (X * 1.9 - 0.95, (X * 1.9 + 0.05) / 2, "(images + 1) / 2"),
    "standardised": ((X - 0.5) * 4, X, "images.min()"),
    "an overshoot": (X * 1.1 - 0.05, (X * 1.1 - 0.05).clip(0, 1), "images.clip(0, 1)"),
    "NaN": (X.where(X[0, 1, 2, 3] != X, torch.nan), X.where(X[0, 1, 2, 3] != X, 0.0), "first at [0, 1, 2, 3]"),
    "infinity": (X.where(X < 1, torch.inf), X, "NaN or infinity"),
    "0 and 1 as uint8": ((X > 0.5).to(torch.uint8), (X > 0.5).float(), "black and white"),
    "int64": (LEVELS, X, "images / 255"),
    "0 and 1 as int64": ((X > 0.5).long(), (X > 0.5).float(), "images.float()"),
    "height, width, channels": (X.permute(0, 2, 3, 1), X, "not [2, 8, 8, 3]"),
    "one picture": (X[0], X[:1], "[None]"),
    "one picture of one channel": (X[0, 0], X[:1, :1].repeat(1, 3, 1, 1), "[None, None]"),
    "pictures without channels": (X[:, 0], X[:, :1].repeat(1, 3, 1, 1), "[:, None]"),
    "one channel": (X[:, :1], X[:, :1].repeat(1, 3, 1, 1), "expand"),
    "twice the side": (X.repeat_interleave(2, 2).repeat_interleave(2, 3), X, "interpolate"),
    "a list": (list(X), X, "torch.stack"),
    "an array": (X.numpy(), X, "torch.as_tensor"),
    "nested lists": (X.tolist(), X, "torch.as_tensor"),
    "an array read backwards": (X.numpy()[::-1], X.flip(0), "torch.as_tensor(numpy.array(images))"),
    "pictures": ([Image.fromarray(x.permute(1, 2, 0).byte().numpy()) for x in LEVELS], X, "numpy"),
}


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_other_images_are_refused_with_advice_that_keeps_the_pictures(name: str) -> None:
    given, expected, words = OUT_OF_RANGE[name]
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        as_images(given, SHAPE)  # type: ignore[arg-type]
    line = str(caught.value)
    assert "\n" not in line
    better = followed(given, line)  # type: ignore[arg-type]
    try:
        found = as_images(better, SHAPE)
    except DataError as second:  # of two things that are wrong each is said in turn
        found = as_images(followed(better, str(second)), SHAPE)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "given", [torch.zeros(2, *SHAPE, dtype=torch.complex64), torch.zeros(5), None, "x", torch.tensor(1.0)]
)
def test_what_is_no_image_is_refused_in_a_line(given: object) -> None:
    with pytest.raises(DataError, match="images") as caught:
        as_images(given, SHAPE)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [None, "x", 3, [], ["x"], [None], {"images": X}, [X[0], X[0, 0]], range(3), object()])
def test_code_is_advised_only_where_it_makes_a_tensor(given: object) -> None:
    with pytest.raises(DataError, match="images: a torch tensor is expected") as caught:
        as_images(given, SHAPE)  # type: ignore[arg-type]
    line = str(caught.value)
    if "use " in line:
        assert isinstance(followed(given, line), Tensor)  # type: ignore[arg-type]
    else:
        assert line.endswith("; give one [n, 3, 8, 8] of floats in [0, 1], or of uint8 from 0 to 255")
    for check, expected in ((lambda: as_mask(None, X), "[H, W]"), (lambda: as_labels(None, 2, 0, 3), "whole numbers")):  # type: ignore[arg-type]
        with pytest.raises(DataError, match="not NoneType; give one") as caught:
            check()
        assert expected in str(caught.value)


def test_grey_models_are_told_how_to_drop_colour() -> None:
    with pytest.raises(DataError, match=re.escape("images.mean(1, keepdim=True)")):
        as_images(X, (1, 8, 8))


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (2, 8, 8), (1, 1, 8, 8), (2, 1, 8, 8)])
def test_masks_are_truth_values_of_each_pixel(shape: tuple[int, ...]) -> None:
    seen = torch.arange(64).view(8, 8) % 3 == 0
    expected = seen.expand(shape)
    whole = expected if len(shape) == 4 else expected.reshape(-1, 1, 8, 8)
    for mask in (expected, expected.float(), expected.double(), expected.to(torch.uint8), expected.long(),
                 expected.to(torch.uint8) * 255, expected * 0.3 + 0.4, expected.to(torch.uint8) * 100 + 100):  # fmt: skip
        assert torch.equal(as_mask(mask, X), whole)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.full((8, 8), torch.nan), "runs from nan"),
        (torch.full((8, 8), -1.0), "-1"),
        (torch.full((8, 8), 255.0), "255"),
        (torch.full((8, 8), 2), "2"),
        (torch.ones(7, 8), "does not go with"),
        (torch.ones(3, 8, 8), "does not go with"),
        (torch.ones(8), "does not go with"),
        (torch.tensor(1.0), "does not go with"),
        (np.ones((8, 8)), "torch.as_tensor(mask)"),
        (torch.ones(8, 8).to_sparse(), "sparse"),
        (torch.ones(8, 8, dtype=torch.complex64), "complex"),
        (torch.ones(8, 8, device="meta"), "on no device"),
    ],
)
def test_other_masks_are_refused(mask: Tensor, words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        as_mask(mask, X)


def test_labels_are_whole_numbers_of_classes() -> None:
    for given in (
        torch.tensor([0, 2]),
        torch.tensor([0, 2], dtype=torch.uint8),
        torch.tensor([0, 2], dtype=torch.int16),
    ):
        found = as_labels(given, 2, 0, 3)
        assert found.dtype == torch.int64
        assert found.tolist() == [0, 2]
    assert as_labels(torch.tensor([-1, 7]), 2, 0, None).tolist() == [-1, 7]
    for wrong in (torch.tensor([0.0, 1.0]), torch.tensor([True, False]), torch.tensor([0]), torch.tensor([[0, 1]]),
                  torch.tensor([0, 3]), torch.tensor([-1, 0]), [0, 1], None):  # fmt: skip
        with pytest.raises(DataError, match="labels"):
            as_labels(wrong, 2, 0, 3)  # type: ignore[arg-type]


def test_no_advice_where_none_is_needed() -> None:
    assert [scaling(*ends) for ends in ((0, 1), (0.2, 0.3), (-1e-6, 1 + 1e-6), (0, 0))] == [""] * 4
