"""VAE-GAN: its gradients against plain differentiation of its formula, its adversarial weight, a discriminator that learns."""

import math

import pytest
import torch
from torch import Tensor

from reparam.core.batch import Batch
from reparam.core.spec import Schedule
from reparam.distributions import keyed_generator, rsample
from reparam.models import MODELS, Model, Spec
from reparam.models.vaegan import Sharpened
from reparam.networks import last_layer

SHAPE, B = (3, 16, 12), 5
PIXELS = math.prod(SHAPE)
PERCEPTUAL, ADVERSARIAL, START = 0.7, 0.4, 10
BEFORE, AFTER = torch.tensor(START - 1), torch.tensor(START)


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    family = MODELS["vaegan"]
    options = family.options(hidden=(32,), latent=4, likelihood="gaussian-learned", discriminator_widths=(8, 8))
    model = family.model(options, Spec(SHAPE))
    model.eval()  # spectral normalisation moves its estimate of the singular value in training alone
    return model


@pytest.fixture
def objective() -> Sharpened:
    schedule = Schedule(steps_per_epoch=2 * START, steps=100)  # of a batch each; a cycle takes two
    options = MODELS["vaegan"].options(perceptual=PERCEPTUAL, adversarial=ADVERSARIAL, adversarial_from=1.0)
    found = MODELS["vaegan"].objective(options, schedule)
    assert isinstance(found, Sharpened)
    return found


@pytest.fixture
def batch() -> Batch:
    x = torch.rand(B, *SHAPE, generator=keyed_generator("cpu", "images"))
    return Batch(x=x, c=None, y=torch.full((B,), -1), index=torch.arange(B))


def _generator() -> torch.Generator:
    return keyed_generator("cpu", "noise")


def _plainly(model: Model, x: Tensor) -> dict[str, Tensor]:
    """The four parts of the loss [B], as its formula says, all of them differentiable by everything."""
    q_z = model.encoder(x)
    z = rsample(q_z, generator=_generator())
    p_x = model.decoder(z)
    (maps, logits), (known, _) = model.discriminator.read(p_x.mean), model.discriminator.read(x)  # type: ignore[operator]
    return {
        "reconstruction": -p_x.log_prob(x),
        "kl": 0.5 * (q_z.mean**2 + q_z.variance - q_z.variance.log() - 1).sum(-1),
        "perceptual": torch.stack([(m - k).abs().mean((1, 2, 3)) for m, k in zip(maps, known, strict=True)]).mean(0),
        "adversarial": -logits.mean((1, 2)),
    }


def _gradients(total: Tensor, model: Model) -> list[Tensor]:
    weights = [*model.encoder.parameters(), *model.decoder.parameters()]
    return list(torch.autograd.grad(total.mean(), weights, retain_graph=True))


def test_its_gradients_are_those_of_the_formula(model: Model, objective: Sharpened, batch: Batch) -> None:
    terms = objective("autoencoder", model, batch, AFTER, _generator())
    parts = _plainly(model, batch.x)
    for name, value in parts.items():
        torch.testing.assert_close(terms.named[name].value, value, rtol=1e-4, atol=1e-5)
    weight = float(terms.named["weight"].value[0])
    total = (
        parts["reconstruction"]
        + parts["kl"]
        + PIXELS * (PERCEPTUAL * parts["perceptual"] + weight * parts["adversarial"])
    )
    torch.testing.assert_close(terms.total, total, rtol=1e-4, atol=1e-3)
    for found, expected in zip(_gradients(terms.total, model), _gradients(total, model), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_the_adversarial_gradient_has_the_share_that_was_asked_for(
    model: Model, objective: Sharpened, batch: Batch
) -> None:
    weight = float(objective("autoencoder", model, batch, AFTER, _generator()).named["weight"].value[0])
    parts = _plainly(model, batch.x)
    rest = parts["reconstruction"] + parts["kl"] + PIXELS * PERCEPTUAL * parts["perceptual"]
    last = last_layer(model.decoder).weight
    long, short = (
        torch.autograd.grad(term.mean(), last, retain_graph=True)[0].norm()
        for term in (rest, PIXELS * weight * parts["adversarial"])
    )
    assert float(short / long) == pytest.approx(ADVERSARIAL, rel=1e-3)


def test_it_does_not_count_before_its_time_nor_in_validation(model: Model, objective: Sharpened, batch: Batch) -> None:
    early = objective("autoencoder", model, batch, BEFORE, _generator())
    assert not early.named["weight"].value.any()
    with torch.no_grad():
        validated = objective("autoencoder", model, batch, AFTER, _generator())
    parts = _plainly(model, batch.x)
    rest = parts["reconstruction"] + parts["kl"] + PIXELS * PERCEPTUAL * parts["perceptual"]
    for terms in (early, validated):
        torch.testing.assert_close(terms.total, rest, rtol=1e-4, atol=1e-3)


def test_each_player_differentiates_its_own_weights_alone(model: Model, objective: Sharpened, batch: Batch) -> None:
    own = {player.name: list(player.parameters(model)) for player in objective.players}
    for player, others in (("autoencoder", "discriminator"), ("discriminator", "autoencoder")):
        model.zero_grad()
        objective(player, model, batch, AFTER, _generator()).total.mean().backward()
        assert all(weight.grad is None for weight in own[others])
        assert any(weight.grad is not None and weight.grad.any() for weight in own[player])


def test_the_discriminator_learns(model: Model, objective: Sharpened, batch: Batch) -> None:
    """What is made is blurred, what is real is noise: this can be told apart, and soon is."""
    weights = list(model.discriminator.parameters())
    before = [weight.detach().clone() for weight in weights]
    optimiser, images = torch.optim.Adam(weights, 2e-3), _generator()
    model.train()
    for number in range(100):
        x = torch.rand(B, *SHAPE, generator=images)
        terms = objective(
            "discriminator", model, Batch(x=x, c=None, y=batch.y, index=batch.index), torch.tensor(number)
        )
        optimiser.zero_grad()
        terms.total.mean().backward()
        optimiser.step()
    assert all((weight != old).any() for weight, old in zip(weights, before, strict=True))
    assert terms.named["accuracy"].value.mean() == 1
    assert terms.total.mean() < 1  # of 2, where it cannot tell


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 20, 28), (5, 33, 9), (3, 64, 64)])
def test_every_patch_of_an_image_of_any_shape_is_judged(shape: tuple[int, int, int]) -> None:
    model = MODELS["vaegan"].model(MODELS["vaegan"].options(hidden=(16,), latent=3), Spec(shape))
    found = model.discriminator(torch.rand(2, *shape))
    assert found.batch_shape == (2,)
    assert found.event_shape[0] <= shape[1]
