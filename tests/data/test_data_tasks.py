"""What tasks make of images: masks, boxes, occlusion."""

import pytest
import torch
from torch import Tensor

from reparam.core.batch import Batch
from reparam.data import Images
from reparam.data.tasks import (
    Half,
    Quadrants,
    TaskOptions,
    make_batch,
    mirrored,
    random_boxes,
    with_condition,
)
from reparam.distributions import keyed_generator
from reparam.errors import ConfigError
from reparam.models import Spec

N, SIDE = 500, 20


def batch(task: str, omitted: tuple[float, float] | None = None, channels: int = 1, **options: object) -> Batch:
    pixels = torch.randint(1, 256, (N, channels, SIDE, SIDE), generator=keyed_generator("cpu", 0)).to(torch.uint8)
    maps = torch.randint(0, 3, (N, 1, SIDE, SIDE), generator=keyed_generator("cpu", 1)).to(torch.uint8)
    images = Images(pixels, torch.arange(N) % 4, maps)
    chosen = TaskOptions(task=task, **options)  # type: ignore[arg-type]
    return make_batch(images, torch.arange(N), chosen, keyed_generator("cpu", 2), omitted)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (9, 9), (28, 20), (8, 13), (9, 8)])
def test_quadrants_are_pyros(height: int, width: int) -> None:
    down, across = height // 2, width // 2
    masks = [Quadrants(observed=observed).mask(height, width) for observed in range(4)]
    assert not masks[0].any()
    assert masks[1][down:, :across].all()
    assert masks[2][:, :across].all()
    assert masks[3][:down].all()
    first = (height - down) * across
    assert [int(m.sum()) for m in masks] == [0, first, height * across, height * across + down * (width - across)]
    assert not masks[3][down:, across:].any()


@pytest.mark.parametrize(("height", "width"), [(7, 7), (8, 8), (28, 20), (8, 13)])
def test_halves_are_complements(height: int, width: int) -> None:
    for one, other in (("left", "right"), ("top", "bottom")):
        assert torch.equal(Half(half=one).mask(height, width), ~Half(half=other).mask(height, width))
    top, right = Half(half="top").mask(height, width), Half(half="right").mask(height, width)
    assert top[: height // 2].all()
    assert int(top.sum()) == height // 2 * width
    assert right[:, width // 2 :].all()
    assert int(right.sum()) == height * (width - width // 2)


@pytest.mark.parametrize("task", ["quadrants", "half", "boxes"])
def test_c_is_the_observed_part_and_its_mask(task: str) -> None:
    found = batch(task, channels=3)
    assert found.c is not None
    observed, mask = found.c[:, :-1], found.c[:, -1:]
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(observed, found.x * mask)
    assert ((observed > 0) == (mask > 0)).all()  # no pixel of these images is 0
    spec = with_condition(Spec((3, SIDE, SIDE)), TaskOptions(task=task))  # type: ignore[arg-type]
    assert spec.condition is not None
    assert spec.condition.channels == found.c.shape[1]
    if spec.condition.fixed is not None:
        assert torch.equal(mask.bool(), spec.condition.fixed.expand_as(mask))


def sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    return boxes.any(-1).sum((-1, -2)), boxes.any(-2).sum((-1, -2))


def test_boxes_are_square_whole_and_of_every_side_and_place() -> None:
    boxes = random_boxes(torch.zeros(20_000, 1, SIDE, SIDE), 0.25, 0.5, keyed_generator("cpu", 3))
    down, across = sides(boxes)
    assert torch.equal(down, across)
    assert torch.equal(boxes.sum((1, 2, 3)), down * down)
    assert (int(down.min()), int(down.max())) == (5, 10)
    small = boxes[down == 5]
    # 16 places for a side of 5 in 20: each has 1/16 of the boxes, to five standard errors.
    tops = small.any(-1).float().argmax(-1).flatten().bincount(minlength=16).double() / len(small)
    assert ((tops - 1 / 16).abs() <= 5 * (1 / 16 / len(small)) ** 0.5).all()
    shares = down.bincount(minlength=11)[5:].double() / len(down)
    expected = torch.tensor([0.1, 0.2, 0.2, 0.2, 0.2, 0.1], dtype=torch.float64)  # rounded: the ends get half
    assert ((shares - expected).abs() <= 5 * (expected / len(down)).sqrt()).all()


def test_boxes_of_rectangles_have_their_shape_and_every_place() -> None:
    """Sides of 24 x 40 in the same share: 6 to 12 and 10 to 20; each place along both axes is as likely as the others."""
    boxes = random_boxes(torch.zeros(20_000, 1, 24, 40), 0.25, 0.5, keyed_generator("cpu", 4))
    down, across = sides(boxes)
    assert torch.equal(boxes.sum((1, 2, 3)), down * across)
    assert (int(down.min()), int(down.max())) == (6, 12)
    assert (int(across.min()), int(across.max())) == (10, 20)
    assert ((down / 24 - across / 40).abs() <= 0.5 / 24 + 0.5 / 40 + 1e-6).all()  # but for rounding
    small = boxes[across == 10]
    lefts = small.any(-2).float().argmax(-1).flatten().bincount(minlength=31).double() / len(small)
    assert len(lefts) == 31
    assert ((lefts - 1 / 31).abs() <= 5 * (1 / 31 / len(small)) ** 0.5).all()


def test_omission_hides_a_box_of_what_is_seen_and_nothing_of_what_is_wanted() -> None:
    plain, noisy = batch("segmentation"), batch("segmentation", omitted=(0.0, 0.4))
    assert plain.c is not None
    assert noisy.c is not None
    assert torch.equal(plain.x, noisy.x)
    hidden = (noisy.c == 0) & (plain.c != 0)
    down, across = sides(hidden)
    assert torch.equal(down, across)
    assert int(down.max()) <= 0.4 * SIDE
    assert torch.equal(torch.where(hidden, plain.c, noisy.c), plain.c)
    exact = batch("segmentation", omitted=(0.4, 0.4)).c
    assert exact is not None
    assert ((exact == 0).sum((1, 2, 3)) == 64).all()
    masked = batch("half", omitted=(0.4, 0.4)).c
    assert masked is not None
    assert torch.equal(masked[:, -1], batch("half").c[:, -1])  # type: ignore[index]


def test_a_mirrored_image_takes_its_map_with_it() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(N, 3, 16, 16)
    stored = Images(pixels, torch.arange(N), pixels[:, :1])
    found = mirrored(stored)
    assert found.maps is not None
    turned = (found.images == pixels.flip(-1)).all((1, 2, 3))
    assert ((found.images == pixels).all((1, 2, 3)) ^ turned).all()
    assert torch.equal(found.maps, found.images[:, :1])
    assert torch.equal(found.labels, stored.labels)
    assert abs(int(turned.sum()) - N / 2) <= 5 * (N / 4) ** 0.5  # five standard deviations of a fair coin's count


def test_segmentation_wants_the_map_and_labelled_knows_the_class() -> None:
    maps = batch("segmentation")
    assert maps.x.dtype == torch.int64
    assert set(maps.x.unique().tolist()) == {0, 1, 2}
    by_class = batch("labelled")
    assert torch.equal(by_class.c, torch.arange(N) % 4)  # type: ignore[arg-type]


@pytest.mark.parametrize(("task", "says"), [("segmentation", "label map"), ("labelled", "two classes")])
def test_data_that_cannot_serve_a_task_says_so(task: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        with_condition(Spec((1, 8, 8)), TaskOptions(task=task))  # type: ignore[arg-type]
