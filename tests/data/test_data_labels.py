"""Training with few labels."""

import pytest
import torch

from reparam.data import Images
from reparam.data.labels import attributes, few_labels
from reparam.errors import DataError

N = 200
CLASSES = ("a", "b", "c")


def split() -> Images:
    """Image i is grey value i; labels a, b, c, none in turn."""
    pixels = torch.arange(N, dtype=torch.uint8).view(N, 1, 1, 1).expand(N, 1, 8, 8).contiguous()
    return Images(pixels, torch.arange(N) % 4 - (torch.arange(N) % 4 == 3) * 4)


def names(images: Images) -> list[int]:
    return images.images[:, 0, 0, 0].tolist()


def test_so_many_of_each_class_and_no_others() -> None:
    found = few_labels(split(), 5, CLASSES, keep=False, share=0.2, seed=0)
    assert torch.bincount(found.labels).tolist() == [5, 5, 5]
    assert all(i % 4 == label for i, label in zip(names(found), found.labels.tolist(), strict=True))
    assert names(found) == names(few_labels(split(), 5, CLASSES, keep=False, share=0.2, seed=0))
    assert names(found) != names(few_labels(split(), 5, CLASSES, keep=False, share=0.2, seed=1))


@pytest.mark.parametrize(
    ("share", "times"), [(0.0, 1), (0.2, 4), (0.5, 13)]
)  # 185 others: 46.25 and 185 of 15 at a time
def test_the_rest_stays_without_its_labels(share: float, times: int) -> None:
    labelled = sorted(names(few_labels(split(), 5, CLASSES, keep=False, share=0.2, seed=3)))
    found = few_labels(split(), 5, CLASSES, keep=True, share=share, seed=3)
    known = found.labels >= 0
    assert sorted(names(found.take(known.nonzero().squeeze(1)))) == sorted(times * labelled)
    assert sorted(names(found.take((~known).nonzero().squeeze(1)))) == sorted(set(range(N)) - set(labelled))
    assert int(known.sum()) / len(known) >= share


def test_what_cannot_be_had_is_said() -> None:
    with pytest.raises(DataError, match="class 'a' has 50 labelled training images, not 60"):
        few_labels(split(), 60, CLASSES, keep=True, share=0.2, seed=0)
    with pytest.raises(DataError, match="labels-per-class"):
        few_labels(split(), 1, (), keep=True, share=0.2, seed=0)


def test_classes_that_are_combinations_have_attributes() -> None:
    hair, glasses = attributes(("dark+no", "dark+yes", "fair+no", "fair+yes"))
    assert hair == (("dark", "fair"), (0, 0, 1, 1))
    assert glasses == (("no", "yes"), (0, 1, 0, 1))
    assert attributes(("a", "b")) == attributes(("a+b", "c+d")) == attributes(("a+b", "c")) == []
