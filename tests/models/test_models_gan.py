"""GAN: losses against their formulas, R1 against a linear discriminator's, and the discriminator that training ends at."""

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from reparam.conditionals import StandardNormal
from reparam.core.batch import Batch
from reparam.core.conditional import Decoder, Prior
from reparam.distributions import keyed_generator, rsample
from reparam.models import Model
from reparam.models.gan import Adversarial, Generator, NetworkDiscriminator
from reparam.objectives import Terms

SIDE, K, B = 3, 2, 6
STEP = torch.tensor(0)


class _Linear(nn.Module):
    """x [B, 1, H, W] -> w . x + b, [B, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(SIDE * SIDE, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1))


class _Pixels(nn.Module):
    """z [..., K] -> [..., 1, H, W]."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(K, SIDE * SIDE)

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z).unflatten(-1, (1, SIDE, SIDE))


class _Fixed(Prior):
    def __init__(self, distribution: Distribution) -> None:
        super().__init__()
        self.distribution = distribution

    def forward(self) -> Distribution:
        return self.distribution


class _Around(Decoder):
    """z [..., 1] -> an image of one pixel around z."""

    def forward(self, z: Tensor) -> Independent:
        return Independent(Normal(z[..., None, None], 1.0), 3)


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model(prior=StandardNormal(K), decoder=Generator(_Pixels()), discriminator=NetworkDiscriminator(_Linear()))


@pytest.fixture
def batch() -> Batch:
    x = torch.rand(B, 1, SIDE, SIDE, generator=keyed_generator("cpu", "x"))
    return Batch(x=x, c=None, y=torch.full((B,), -1), index=torch.arange(B))


def terms(objective: Adversarial, player: str, model: Model, batch: Batch) -> Terms:
    return objective(player, model, batch, STEP, keyed_generator("cpu", 1))


def probabilities(model: Model, batch: Batch) -> tuple[Tensor, Tensor]:
    """D(x) and D(G(z)) at the draws of `terms`."""
    made = model.decoder(rsample(model.prior(), (B,), keyed_generator("cpu", 1))).mean
    return model.discriminator(batch.x).probs, model.discriminator(made).probs


@pytest.mark.parametrize("loss", ["minimax", "non-saturating"])
def test_the_discriminators_loss_is_minus_the_value(model: Model, batch: Batch, loss: str) -> None:
    real, made = probabilities(model, batch)
    found = terms(Adversarial(loss), "discriminator", model, batch)
    torch.testing.assert_close(found.total, -real.log() - (1 - made).log())
    torch.testing.assert_close(found.named["reads_real"].value, real)
    torch.testing.assert_close(found.named["reads_made"].value, made)


def test_the_generators_losses(model: Model, batch: Batch) -> None:
    _, made = probabilities(model, batch)
    logit = torch.logit(made)
    for loss, expected in (("minimax", (1 - made).log()), ("non-saturating", -made.log()), ("hinge", -logit)):
        torch.testing.assert_close(terms(Adversarial(loss), "generator", model, batch).total, expected)


def test_hinge(model: Model, batch: Batch) -> None:
    real, made = (torch.logit(p) for p in probabilities(model, batch))
    found = terms(Adversarial("hinge"), "discriminator", model, batch).total
    torch.testing.assert_close(found, (1 - real).clamp(min=0) + (1 + made).clamp(min=0))


def test_the_minimax_gradient_vanishes_where_the_discriminator_is_sure_and_the_other_does_not(
    model: Model, batch: Batch
) -> None:
    with torch.no_grad():
        model.discriminator.network.layer.bias.fill_(-15.0)  # D(G(z)) is about 1e-6

    def norm(loss: str) -> float:
        total = terms(Adversarial(loss), "generator", model, batch).total.mean()
        return float(torch.autograd.grad(total, model.decoder.network.layer.weight)[0].norm())

    assert norm("minimax") < 1e-4 * norm("non-saturating")


def test_r1_is_the_squared_slope_of_a_linear_discriminator(model: Model, batch: Batch) -> None:
    weight = model.discriminator.network.layer.weight
    plain = terms(Adversarial("non-saturating"), "discriminator", model, batch).total
    found = terms(Adversarial("non-saturating", r1=10.0), "discriminator", model, batch).total
    slope = 4 * weight.square().sum()  # it reads 2 x - 1
    torch.testing.assert_close(found - plain, (5 * slope).expand(B), rtol=1e-4, atol=1e-5)
    gradient = torch.autograd.grad((found - plain).mean(), weight)[0]
    torch.testing.assert_close(gradient, 40 * weight, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_a_player_moves_its_own_parameters_alone(model: Model, batch: Batch, player: str) -> None:
    objective = Adversarial("non-saturating", steps=3, r1=1.0)
    assert {one.name: one.steps for one in objective.players} == {"discriminator": 3, "generator": 1}
    own = next(one for one in objective.players if one.name == player)
    owned = {id(parameter) for parameter in own.parameters(model)}
    assert owned == {id(p) for p in (model.discriminator if player == "discriminator" else model.decoder).parameters()}
    terms(objective, player, model, batch).total.mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in own.parameters(model))
    if player == "discriminator":
        assert all(p.grad is None for p in model.decoder.parameters())


def test_the_best_discriminator_is_the_share_of_the_real_density() -> None:
    """Goodfellow et al. 2014, proposition 1: D(x) = p(x) / (p(x) + p_g(x)). Two normals of equal width: its logit is linear."""
    apart, scale = 0.3, 0.2
    real = Independent(Normal(torch.tensor([0.5 + apart / 2]), torch.tensor([scale])), 1)
    made = Independent(Normal(torch.tensor([0.5 - apart / 2]), torch.tensor([scale])), 1)
    torch.manual_seed(0)
    model = Model(
        prior=_Fixed(made),
        decoder=_Around(),
        discriminator=NetworkDiscriminator(nn.Sequential(nn.Flatten(), nn.Linear(1, 1))),
    )
    optimiser = torch.optim.LBFGS(model.discriminator.parameters(), max_iter=100)
    n = 200_000
    x = rsample(real, (n,), keyed_generator("cpu", "real"))[..., None, None]
    batch = Batch(x=x, c=None, y=torch.full((n,), -1), index=torch.arange(n))

    def closure() -> Tensor:
        optimiser.zero_grad()
        total = Adversarial("minimax")("discriminator", model, batch, STEP, keyed_generator("cpu", 2)).total.mean()
        total.backward()
        return total

    optimiser.step(closure)
    value = -float(closure().detach())
    grid = torch.linspace(0, 1, 11)
    p, q = (one.log_prob(grid[:, None]).exp() for one in (real, made))
    found = model.discriminator(grid[:, None, None, None]).probs.detach()
    # The slope apart / scale^2 = 7.5 has a standard error of about sqrt(2 / n) / scale = 0.016; D a quarter of it at most.
    assert (found - p / (p + q)).abs().max() < 4 * 0.25 * 0.016
    # And the value there is 2 JSD - log 4 (their theorem 1).
    both = torch.cat([rsample(one, (n,), keyed_generator("cpu", 3)) for one in (real, made)])
    a, b = real.log_prob(both), made.log_prob(both)
    middle = torch.logaddexp(a, b) - torch.tensor(2.0).log()
    jsd = 0.5 * float((a - middle)[:n].mean() + (b - middle)[n:].mean())
    assert value == pytest.approx(2 * jsd - 2 * float(torch.tensor(2.0).log()), abs=0.01)
