"""Label maps and completions: densities, draws, means."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, Normal

from reparam.distributions import (
    IGNORED,
    Bernoulli,
    Completion,
    PixelCategorical,
    keyed_generator,
    pick,
    prediction,
    rsample,
)

SIDE = 4


def values(name: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=keyed_generator("cpu", name))


def test_a_label_map_is_a_categorical_a_pixel() -> None:
    logits = values("logits", 2, 3, 5, SIDE, SIDE)  # two samples of three images, five values
    truth = torch.randint(0, 5, (3, 1, SIDE, SIDE), generator=keyed_generator("cpu", 1))
    ours = PixelCategorical(logits)
    theirs = Categorical(logits=logits.movedim(2, -1)).log_prob(truth.squeeze(1))
    assert ours.batch_shape == (2, 3, 1, SIDE, SIDE)
    torch.testing.assert_close(ours.log_prob(truth).squeeze(2), theirs)
    whole = Independent(ours, 3, validate_args=False)
    torch.testing.assert_close(whole.log_prob(truth), theirs.sum((-1, -2)))
    truth[:, :, 0] = IGNORED
    torch.testing.assert_close(whole.log_prob(truth), theirs[..., 1:, :].sum((-1, -2)))
    torch.testing.assert_close(prediction(whole), logits.softmax(2))


def test_draws_of_a_label_map_have_its_probabilities() -> None:
    distribution = PixelCategorical(values("logits", 3, 2, 2))
    draws = rsample(distribution, (40_000,), keyed_generator("cpu", 2))
    assert draws.shape == (40_000, 1, 2, 2)
    for value in range(3):
        share, expected = (draws[:, 0] == value).double().mean(0), distribution.probs[value].double()
        assert ((share - expected).abs() <= 5 * (expected * (1 - expected) / 40_000).sqrt()).all()


@pytest.mark.parametrize("fixed", [True, False])
def test_a_completion_is_over_the_wanted_pixels_alone(fixed: bool) -> None:
    mask = torch.zeros(2, 1, SIDE, SIDE)
    mask[:, :, :, :2] = 1
    x = torch.rand(2, 3, SIDE, SIDE, generator=keyed_generator("cpu", 3))
    loc = values("loc", 5, 2, 3, SIDE, SIDE)
    wanted = (mask[0, 0] == 0).flatten().nonzero().squeeze(1) if fixed else None
    base = Independent(Normal(pick(loc, wanted) if wanted is not None else loc, 0.5), 3)
    whole = Completion(base, x * mask, mask, wanted)
    expected = (Normal(loc, 0.5).log_prob(x) * (1 - mask)).sum((-1, -2, -3))
    torch.testing.assert_close(whole.log_prob(x), expected)
    elsewhere = torch.where(mask > 0, x + 1, x)
    torch.testing.assert_close(whole.log_prob(elsewhere), expected)
    for image in (whole.mean, rsample(whole, (), keyed_generator("cpu", 4))):
        assert image.shape == loc.shape
        assert torch.equal(image[..., :2], x[..., :2].expand(5, -1, -1, -1, -1))
    torch.testing.assert_close(whole.mean[..., 2:], loc[..., 2:])
    assert not torch.equal(rsample(whole, (), keyed_generator("cpu", 4))[..., 2:], loc[..., 2:])


def test_a_fixed_mask_and_a_varying_one_agree() -> None:
    mask = (torch.rand(1, 1, SIDE, SIDE, generator=keyed_generator("cpu", 5)) > 0.5).float()
    x, logits = torch.rand(3, 1, SIDE, SIDE), values("logits", 3, 1, SIDE, SIDE)
    wanted = (mask == 0).flatten().nonzero().squeeze(1)
    varying = Completion(Independent(Bernoulli(logits), 3), x * mask, mask.expand(3, -1, -1, -1))
    fixed = Completion(Independent(Bernoulli(pick(logits, wanted)), 3), x * mask, mask, wanted)
    torch.testing.assert_close(varying.log_prob(x), fixed.log_prob(x))
    torch.testing.assert_close(varying.mean, fixed.mean)
