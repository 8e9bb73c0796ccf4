"""The conformance suite: what every model and every distribution must hold, for authors of either.

`check_model(family, options)` and `check_distribution(distribution, value)` raise AssertionError with the rule that is broken.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.core.abilities import Ability
from reparam.core.batch import Batch
from reparam.data import DataOptions, Dataset, Images
from reparam.data.dataset import cut
from reparam.data.tasks import make_batch, with_condition
from reparam.distributions import Delta, default_generators_kept, keyed_generator, prediction, rsample, with_parameters
from reparam.latent import generation
from reparam.models import Family, Model, Schedule, Spec
from reparam.objectives import Terms
from reparam.run.config import resolve_family
from reparam.run.weights import load_weights
from reparam.tensor_files import read_tensors, write_tensors


def discs(options: DataOptions) -> Dataset:
    """Bright discs on dark noise with their masks, 100 / 20 / 30 RGB images of 32 x 32 pixels (or `size`): something to segment
    at once, `--data reparam.testing:discs`."""
    n, (height, width) = 150, options.sides or (32, 32)
    uniform = torch.rand(n, 3, 1, 1, generator=keyed_generator("cpu", "discs"))
    spans = (width, height, min(height, width))
    x, y, radius = (
        side * (low + (high - low) * uniform[:, i])
        for i, (side, (low, high)) in enumerate(zip(spans, _DISCS, strict=True))
    )
    across, down = torch.arange(width), torch.arange(height)
    inside = (across[None, None, :] - x).square() + (down[None, :, None] - y).square() < radius.square()
    noise = torch.rand(n, 3, height, width, generator=keyed_generator("cpu", "noise"))
    images = (80 * noise + 150 * inside[:, None]).to(torch.uint8)
    labels = torch.full((n,), -1)
    return cut(
        images, labels, (100, 20, 30), (), maps=inside[:, None].to(torch.uint8), map_values=("background", "disc")
    )


_DISCS = ((0.25, 0.75), (0.25, 0.75), (0.1, 0.25))  # x, y, radius, shares of the width, the height, the shorter of them


@default_generators_kept()
def check_model(family: Family, spec: Spec, n: int = 12, steps: int = 30, **options: Any) -> Model:
    """Builds a model of the family under `options` and asserts, for images of `spec`:

    every field is of its kind (`Model.FIELDS`); terms are finite and one number an image; every parameter of a player gets a
    finite gradient from that player, and not all of a player's gradients are zero; the decoder takes latents of any leading
    shape, as importance sampling draws them; distributions can be drawn from and cut to
    a part of their batch (`with_parameters`), as evaluation does; what the encoder and decoder make of an image does not depend
    on the rest of the batch (beyond float32 rounding); the same seed gives the same samples, and sample i does not depend on
    how many are drawn; weights come back from a file as they were; the loss falls on a few images within `steps` steps of Adam.
    """
    config = resolve_family(family, family.name, None, options)
    torch.manual_seed(0)
    model = family.model(config.options, with_condition(spec, config.task))  # whose fields check their kinds
    objective = family.objective(config.options, Schedule(1.0, steps))
    images = torch.randint(0, 256, (n, *spec.image_shape), generator=keyed_generator("cpu", 0), dtype=torch.uint8)
    labels = torch.arange(n) % max(spec.classes, 1) if spec.classes else torch.full((n,), -1)
    maps = None
    if spec.map_values:
        maps = torch.randint(0, spec.map_values, (n, 1, *spec.image_shape[1:]), generator=keyed_generator("cpu", 4))
        maps = maps.to(torch.uint8)
    batch = make_batch(Images(images, labels, maps), torch.arange(n), config.task, keyed_generator("cpu", 1))
    end = torch.tensor(steps)

    for player in objective.players:
        model.zero_grad()
        terms = objective(player.name, model, batch, end, keyed_generator("cpu", 2))
        assert isinstance(terms, Terms), f"the objective returns {type(terms).__name__}, not reparam.objectives.Terms"
        for term, value in terms.by_name().items():
            assert value.shape == (n,), (
                f"term '{term}' of {player.name} is {tuple(value.shape)}, not one number an image"
            )
            assert value.isfinite().all(), f"term '{term}' of {player.name} is not finite"
        terms.total.mean().backward()
        owned = {id(parameter) for parameter in player.parameters(model)}
        for key, parameter in model.named_parameters():
            if id(parameter) in owned and parameter.requires_grad:
                assert parameter.grad is not None, f"'{key}' gets no gradient from player '{player.name}'"
                assert parameter.grad.isfinite().all(), f"'{key}' gets a gradient that is not finite"
        moved = any(bool(p.grad.any()) for p in player.parameters(model) if p.grad is not None)
        assert moved, f"all gradients of player '{player.name}' are zero"

    _check_distributions(model, batch)
    _check_leading_shapes(model, batch)
    _check_batch_invariance(model, batch)
    _check_seeds(model)
    _check_round_trip(model)
    _check_loss_falls(model, objective, batch, end, steps)
    return model


def _check_distributions(model: Model, batch: Batch) -> None:
    model.eval()
    at_c = model.given(batch.c)
    found: dict[str, Distribution] = {}
    with torch.no_grad():
        if model.has("encoder"):
            found["encoder"] = at_c.encoder(batch.input)
        if model.has("prior"):
            found["prior"] = at_c.prior()
        if model.has("decoder") and model.has("prior"):
            found["decoder"] = at_c.decoder(
                rsample(found["prior"], () if found["prior"].batch_shape else (len(batch.x),))
            )
        for name, whole in found.items():
            value = rsample(whole, (), keyed_generator("cpu", 7))
            if not whole.batch_shape or isinstance(whole, Delta):
                continue
            first = with_parameters(whole, lambda parameter: parameter[:1])
            assert tuple(first.batch_shape) == (1, *whole.batch_shape[1:]), (
                f"the distribution of the {name} cannot be cut to part of its batch: name its parameters in arg_constraints, and "
                "take them as arguments"
            )
            apart = (first.log_prob(value[:1]) - whole.log_prob(value)[:1]).abs().max()
            assert apart <= 1e-4 * max(1.0, float(whole.log_prob(value).abs().max())), (
                f"the distribution of the {name}, cut to part of its batch, is another: it has parameters that arg_constraints "
                "does not name"
            )
    model.train()


def _check_leading_shapes(model: Model, batch: Batch) -> None:
    if not (model.has("decoder") and model.has("prior")):
        return
    model.eval()
    at_c = model.given(batch.c)
    remedy = "let its forward take z [..., K], and return batch shape [...]"
    with torch.no_grad():
        p_z = at_c.prior()
        z = rsample(p_z, (2,) if p_z.batch_shape else (2, len(batch.x)), keyed_generator("cpu", 8))
        try:
            found = prediction(at_c.decoder(z))
        except Exception as error:
            raise AssertionError(f"the decoder fails on z {list(z.shape)} ({error}): {remedy}") from error
        expected = prediction(at_c.decoder(z[1]))
    assert found.shape == (2, *expected.shape), f"the decoder makes {list(found.shape)} of z {list(z.shape)}: {remedy}"
    apart, limit = float((found[1] - expected).abs().max()), 1e-4 * max(1.0, float(expected.abs().max()))
    assert apart <= limit, f"the decoder makes other images of z {list(z.shape)} than of its rows: {remedy}"
    model.train()


def _outputs(model: Model, x: Tensor, c: Tensor | None) -> list[Tensor]:
    with torch.no_grad():
        outputs = []
        at_c = model.given(c)
        if model.has("encoder"):
            outputs.append(at_c.encoder(x).mean)
        if model.has("decoder") and model.has("encoder"):
            outputs.append(prediction(at_c.decoder(outputs[0])))
        if c is not None:
            outputs.append(generation.predict(model, c))
        if model.has("head"):
            outputs.append(model.classify(x).probs)
        return outputs


def _check_batch_invariance(model: Model, batch: Batch) -> None:
    model.eval()
    x, c = batch.x, batch.c
    for whole, alone in zip(_outputs(model, x, c), _outputs(model, x[:1], None if c is None else c[:1]), strict=True):
        difference = (whole[:1] - alone).abs().max()
        # Products are summed in another order for another batch size; nothing else may change.
        limit = 1e-4 * max(1.0, float(alone.abs().max()))
        assert difference <= limit, f"an output changes by {difference:.2g} with the rest of the batch"
    model.train()


def _check_seeds(model: Model) -> None:
    if Ability.SAMPLE not in model.abilities:
        return
    model.eval()
    for draw in (False, True):
        few, many = generation.sample(model, 3, seed=5, draw=draw), generation.sample(model, 7, seed=5, draw=draw)
        # Draws are equal to the bit; means are decoded in batches of another size, which rounds differently.
        limit = 0.0 if draw else 1e-5
        assert float((few - many[:3]).abs().max()) <= limit, "sample i depends on how many are drawn"
        assert torch.equal(few, generation.sample(model, 3, seed=5, draw=draw)), "the same seed gives other samples"
        assert not torch.equal(few, generation.sample(model, 3, seed=6, draw=draw)), (
            "another seed gives the same samples"
        )
    model.train()


def _check_round_trip(model: Model) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        before = {key: value.clone() for key, value in model.state_dict().items()}
        write_tensors(path, before, {})
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        load_weights(model, read_tensors(path)[0], path)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), f"'{key}' is another one when saved and loaded"


def _check_loss_falls(model: Model, objective: Any, batch: Any, end: Tensor, steps: int) -> None:
    if len(objective.players) > 1:
        return  # players work against each other: no single loss has to fall
    name = objective.players[0].name

    def loss() -> Tensor:
        return objective(name, model, batch, end, keyed_generator("cpu", 3)).total.mean()

    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    with torch.no_grad():
        before = float(loss())
    for _ in range(steps):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    with torch.no_grad():
        after = float(loss())
    assert after < before, (
        f"the loss does not fall on a few images: {before:.4g} before, {after:.4g} after {steps} steps"
    )


def check_distribution(distribution: Distribution, draws: int = 20_000, seed: int = 0) -> None:
    """Asserts of a distribution that `rsample` draws from it: shapes, reproducibility, and that draws have its mean.

    The mean over `draws` must lie within five standard errors (of the draws themselves) of `distribution.mean`, for every
    element: with a million elements one of them is further off by chance once in two runs at four, never at five.
    """
    shape = (*distribution.batch_shape, *distribution.event_shape)
    x = rsample(distribution, (draws,), keyed_generator("cpu", seed))
    assert x.shape == (draws, *shape), f"draws have shape {tuple(x.shape)}, not {(draws, *shape)}"
    again = rsample(distribution, (draws,), keyed_generator("cpu", seed))
    assert torch.equal(x, again), "the same generator gives other draws"
    x = x.double()
    error = (x.mean(0) - distribution.mean).abs()
    limit = 5 * x.std(0) / draws**0.5 + 1e-6
    assert (error <= limit).all(), f"the mean of draws is off by {float((error / limit).max()) * 5:.1f} standard errors"
