"""Moves that change images: where they go, how far, and what they keep."""

import copy
import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from reparam.conditionals import LIKELIHOODS, DiagonalNormal, LinearClass, StandardNormal, linear_head
from reparam.distributions import keyed_generator
from reparam.errors import ConfigError, DataError
from reparam.latent.augmentation import Augmenter, Compose, PixelAugmenter
from reparam.latent.directions import DIRECTIONS, ClassLatents, Code, effects, find_direction, kept_share, top
from reparam.models import Model

K, SIDE, D = 6, 8, 3
PIXELS = SIDE * SIDE


def normal(*shape: int, key: int) -> Tensor:
    return torch.randn(*shape, generator=keyed_generator("cpu", key))


class Plane(nn.Module):
    """z [..., K] -> A z + 1/2, as an image."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(0.01 * normal(PIXELS, K, key=1))

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.a.mT + 0.5).unflatten(-1, (1, SIDE, SIDE))


def linear_model(head: bool = True) -> Model:
    torch.manual_seed(0)
    model = Model(
        encoder=DiagonalNormal(nn.Flatten(), PIXELS, K),
        prior=StandardNormal(K),
        decoder=LIKELIHOODS["gaussian"](Plane(), 1.0),
        head=LinearClass(K, D) if head else None,
    )
    with torch.no_grad():
        model.encoder.head.bias[K:] = torch.linspace(-2, 0, K)  # scales that differ
    return model.eval()


def images(n: int = 40) -> Tensor:
    return torch.rand(n, 1, SIDE, SIDE, generator=keyed_generator("cpu", 9))


def code_of(model: Model, x: Tensor) -> Code:
    with torch.no_grad():
        q_z = model.encoder(x)
        y = torch.arange(len(x)) % D
        return Code(
            q_z.mean, q_z.variance.sqrt(), y, model.decoder, 0.34, linear_head(model), latents()
        )  # two of the six latents


def latents() -> ClassLatents:
    root = normal(D, K, K, key=3)
    return ClassLatents(normal(D, K, key=4), root @ root.mT, torch.ones(D, K))


def test_effects_are_the_scales_times_the_decoders_slope() -> None:
    model = linear_model()
    code = code_of(model, images())
    with torch.no_grad():
        m = model.decoder(code.mean).mean.flatten(1)  # a sigmoid of A z + 1/2, whose slope is m (1 - m)
        jacobian = (m * (1 - m))[:, :, None] * model.decoder.network.a
        found = effects(code)
    torch.testing.assert_close(found, code.scale * jacobian.norm(dim=1), rtol=1e-4, atol=1e-7)


def test_the_top_share_is_at_least_one_latent() -> None:
    ranked = torch.tensor([[0.1, 3.0, 2.0, 1.0]])
    assert top(ranked, 0.5).tolist() == [[0, 1, 1, 0]]
    assert top(ranked, 0.01).tolist() == [[0, 1, 0, 0]]


@pytest.mark.parametrize("name", DIRECTIONS)
def test_directions_have_the_moments_that_they_say(name: str) -> None:
    """Second moments over 20,000 draws of one image's directions, each within five standard errors of the truth."""
    model, n, share = linear_model(), 20_000, 0.34
    one = code_of(model, images(1))
    mean, scale, y = (part.repeat_interleave(n, 0) for part in one[:3])
    code = one._replace(mean=mean, scale=scale, y=y)
    with torch.no_grad():
        drawn = DIRECTIONS[name].draw(code, keyed_generator("cpu", 5)).double()
    variance, data = one.scale[0].double().square(), latents()
    strongest = top(effects(one), share)[0]
    apart = data.mean[1:].double() - data.mean[0]
    expected = {
        "posterior": variance.diag(),
        "noise": torch.eye(K).double(),
        "largest-one": (variance * top(one.scale, share)[0] / 2).diag(),
        "effect": (variance * strongest).diag(),
        "effect-one": (variance * strongest / 2).diag(),
        "class-covariance": data.covariance[0].double(),
        "class-means": (apart[:, :, None] * apart[:, None, :]).mean(0),
    }
    apart_rows = (model.head.linear.weight[1:] - model.head.linear.weight[0]).detach().double() * variance.sqrt()
    projection = torch.eye(K).double() - torch.linalg.pinv(apart_rows) @ apart_rows
    expected["neutral"] = variance.sqrt()[:, None] * projection * variance.sqrt()
    products = drawn[:, :, None] * drawn[:, None, :]
    if name == "largest":  # to one side: the latents move together
        together = variance.sqrt() * top(one.scale, share)[0]
        expected[name] = together[:, None] * together[None, :]
    error = (products.mean(0) - expected[name]).abs()
    assert (error <= 5 * products.std(0) / math.sqrt(n) + 2e-6).all()


def test_a_move_is_cut_back_just_before_the_class_would_change() -> None:
    model = linear_model()
    code = code_of(model, images())
    move = 5 * normal(len(code.mean), K, key=6)
    with torch.no_grad():
        kept = kept_share(model, code, move)
        own = model.head(code.mean).logits.argmax(1)
        assert torch.equal(model.head(code.mean + kept * move).logits.argmax(1), own)
        cut = kept.squeeze(1) < 1
        assert cut.any()
        assert not cut.all()
        beyond = model.head(code.mean + 1.03 * kept * move).logits.argmax(1)  # 0.99 of the way, and a little more
        assert (beyond != own)[cut].all()
        assert torch.equal(model.head(code.mean + move).logits.argmax(1) != own, cut & (kept.squeeze(1) < 0.99))


def test_neutral_moves_change_no_difference_of_logits() -> None:
    model = linear_model()
    code = code_of(model, images())
    with torch.no_grad():
        move = DIRECTIONS["neutral"].draw(code, keyed_generator("cpu", 7))
        before, after = (model.head(z).logits for z in (code.mean, code.mean + 3 * move))
    torch.testing.assert_close(after - after[:, :1], before - before[:, :1], rtol=1e-4, atol=1e-5)
    assert (move.norm(dim=1) > 0.01).all()


def test_results_are_a_matter_of_the_seed_and_strength_nought_is_the_reconstruction() -> None:
    model, x = linear_model(), images()
    one, same, other = (Augmenter(model, seed=seed) for seed in (1, 1, 2))
    first = one(x)
    assert torch.equal(first, same(x))
    assert not torch.equal(first, other(x))
    assert not torch.equal(first, one(x))
    still = Augmenter(model, strength=0.0)
    torch.testing.assert_close(still(x), still.unmoved(x).clamp(0, 1))
    changed = Augmenter(model, apply="change", strength=0.0)
    torch.testing.assert_close(changed(x), x)


@pytest.mark.parametrize("kind", ["latent", "pixels"])
def test_without_a_seed_each_augmenter_has_its_own_and_torchs_numbers_are_left_alone(kind: str) -> None:
    """They may be those of a training in another thread."""
    model, x = linear_model(), images()
    torch.manual_seed(5)
    expected = torch.rand(3)
    found = []
    for _ in range(2):
        torch.manual_seed(5)
        move = Augmenter(model, seed=None) if kind == "latent" else PixelAugmenter(seed=None)
        move.calibrate(x, None, 0.5)
        found += [move(x), move(x)]
        assert torch.equal(torch.rand(3), expected)
    assert len(torch.stack(found).unique(dim=0)) == 4


@pytest.mark.parametrize("kind", ["latent", "pixels"])
def test_in_a_training_moves_are_drawn_by_what_its_checkpoints_keep(kind: str) -> None:
    moves = Compose([Augmenter(linear_model()) if kind == "latent" else PixelAugmenter()], 0.5)
    torch.manual_seed(5)
    first, other = (moves(images(), torch.arange(40) % D) for _ in range(2))
    assert not torch.equal(first, other)
    torch.manual_seed(5)
    assert torch.equal(moves(images(), torch.arange(40) % D), first)


def test_the_change_alone_is_what_moving_does_to_the_reconstruction() -> None:
    model, x = linear_model(), 0.4 + 0.2 * images()  # far from 0 and 1: nothing is clamped
    decoded, change = Augmenter(model, seed=3), Augmenter(model, apply="change", seed=3)
    torch.testing.assert_close(change(x) - x, decoded(x) - decoded.unmoved(x), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["latent", "pixels"])
def test_the_strength_for_a_change_is_found(kind: str) -> None:
    x = images(200)
    move = Augmenter(linear_model(), seed=4) if kind == "latent" else PixelAugmenter(seed=4)
    strength = move.calibrate(x, None, 0.5)
    found = float((move(x) - move.unmoved(x)).flatten(1).norm(dim=1).mean())
    assert abs(found - 0.5) <= 1e-3
    assert strength == move.strength > 0
    with pytest.raises(ConfigError, match="no strength changes these images by 100"):
        move.calibrate(x, None, 100.0)


def test_pixels_turn_shift_and_bend_and_stay_images() -> None:
    x = images()
    assert torch.allclose(PixelAugmenter(strength=0.0)(x), x, atol=1e-6)
    moved = PixelAugmenter(seed=1)(x)
    assert moved.shape == x.shape
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= 1
    assert not torch.allclose(moved, x, atol=0.1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"strength": -1.0}, "strength"),
        ({"strength": math.nan}, "strength"),
        ({"strength": math.inf}, "strength"),
        ({"share": 0.0}, "share"),
        ({"directions": "largst"}, "did you mean 'largest'"),
        ({"directions": None}, "should be a valid string, got None"),
        ({"apply": "both"}, "apply"),
        ({"directions": "class-covariance"}, "pass over the data"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Augmenter(linear_model(), **options)


def test_models_and_labels_that_do_not_serve_are_named() -> None:
    with pytest.raises(ConfigError, match="train a G-VAE"):
        Augmenter(linear_model(head=False), keep_class=True)
    with pytest.raises(ConfigError, match="train a G-VAE"):
        Augmenter(linear_model(head=False), directions="neutral")
    with pytest.raises(ConfigError, match="it takes a VAE"):
        Augmenter(Model(head=LinearClass(K, D)))
    moved = Augmenter(linear_model(), directions="class-covariance", latents=latents())
    with pytest.raises(DataError, match="labels run from -1 to 2"):
        moved(images(3), torch.tensor([0, -1, 2]))
    with pytest.raises(DataError, match="labels run from 0 to 3"):
        moved(images(2), torch.tensor([0, 3]))
    with pytest.raises(DataError, match="one whole number for each of the 3 images"):
        moved(images(3), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(DataError, match="labels are torch.float32"):
        moved(images(2), torch.zeros(2))


@pytest.mark.parametrize("augment", [Augmenter(linear_model()), PixelAugmenter()])
def test_images_are_checked_where_they_come_in(augment: Augmenter | PixelAugmenter) -> None:
    levels = (images(3) * 255).to(torch.uint8)
    still = augment.unmoved(levels / 255)
    assert augment.calibrate(levels, None, 0.01) > 0
    torch.testing.assert_close(augment(levels), still, atol=0.1, rtol=0)
    for call in (augment, lambda x: augment.calibrate(x, None, 0.01)):
        with pytest.raises(DataError, match=r"from 0 to 255, .* use images / 255"):
            call(torch.linspace(0, 255, 64).view(1, 1, SIDE, SIDE))
        with pytest.raises(DataError, match="NaN"):
            call(images(2) * math.nan)


def test_a_module_in_training_leaves_its_augmenter_in_evaluation() -> None:
    model = linear_model()
    outer = nn.Sequential(Augmenter(model), nn.Linear(1, 1)).train()
    assert outer[1].training
    assert not any(part.training for part in model.modules())


def test_a_training_loop_moves_the_stated_share_of_a_batch() -> None:
    class Raise(PixelAugmenter):
        def moved(self, x: Tensor, labels: Tensor | None) -> Tensor:
            assert labels is not None
            return x + 1 + labels[:, None, None, None]

    x, y = torch.zeros(10, 1, 2, 2), torch.arange(10)
    torch.manual_seed(0)
    for share, count in ((0.5, 5), (0.04, 1), (1.0, 10)):
        moved = Compose([Raise()], share)(x, y)[:, 0, 0, 0]
        assert (moved > 0).sum() == count
        torch.testing.assert_close(moved[moved > 0], y[moved > 0] + 1.0)


def test_moves_that_no_logit_sees_take_room() -> None:
    model = linear_model()
    model.head = LinearClass(K, K + 1)
    with pytest.raises(ConfigError, match="6 for 7 classes no move is left"):
        Augmenter(model, directions="neutral")
    model.head = LinearClass(K, K)  # one direction is left
    still, moved = (Augmenter(model, directions="neutral", strength=s)(images()) for s in (0.0, 5.0))
    assert (moved - still).abs().amax() > 1e-3


class Repeated(Dataset):
    """One image `n` times, each moved anew."""

    def __init__(self, augment: Augmenter | PixelAugmenter, n: int) -> None:
        self.augment, self.n = augment, n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, place: int) -> Tensor:
        return self.augment(images(1))[0]


SLOW = pytest.mark.slow  # each process imports torch


@pytest.mark.parametrize(
    ("workers", "context", "persistent"),
    [
        (0, None, False),
        (2, "fork", False),
        (2, "fork", True),
        pytest.param(2, "spawn", False, marks=SLOW),
        pytest.param(2, "spawn", True, marks=SLOW),
    ],
)
def test_each_process_and_epoch_of_a_loader_draws_anew(workers: int, context: str | None, persistent: bool) -> None:
    n = 4 if context == "spawn" else 20

    def epochs(kind: str, seed: int, loaders_seed: int) -> list[Tensor]:
        augment = Augmenter(linear_model(), seed=seed) if kind == "latent" else PixelAugmenter(seed=seed)
        loader = DataLoader(
            Repeated(augment, n),
            batch_size=2,
            num_workers=workers,
            multiprocessing_context=context,
            persistent_workers=persistent,
            generator=torch.Generator().manual_seed(loaders_seed),
        )
        return [torch.cat(list(loader)) for _ in range(2)]

    for kind in ("latent", "pixels") if context != "spawn" else ("latent",):
        found = epochs(kind, 3, 5)
        assert len(torch.cat(found).unique(dim=0)) == 2 * n
        assert all(torch.equal(*pair) for pair in zip(epochs(kind, 3, 5), found, strict=True))
        if context != "spawn":
            others = [epochs(kind, 4, 5), *([epochs(kind, 3, 6)] if workers else [])]
            assert not any(torch.equal(*pair) for other in others for pair in zip(other, found, strict=True))


@pytest.mark.parametrize("directions", DIRECTIONS)
def test_a_copy_in_another_process_goes_on_where_the_augmenter_is(directions: str) -> None:
    augment = Augmenter(linear_model(), directions=directions, latents=latents(), share=0.4, seed=3)
    x, y = images(), torch.arange(40) % D
    augment(x, y)
    copies = [pickle.loads(pickle.dumps(augment)), copy.deepcopy(augment)]
    expected = [augment(x, y), augment(x, y)]
    for other in copies:
        assert all(torch.equal(other(x, y), one) for one in expected)


@pytest.mark.parametrize("name", [None, ["largest"], 5])
def test_directions_are_named_by_text(name: object) -> None:
    with pytest.raises(ConfigError, match="unknown directions"):
        find_direction(name)  # type: ignore[arg-type]
