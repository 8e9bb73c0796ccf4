"""What measurements accept: plain tensors, checked once, with a remedy for those that would give a figure of something else.

Shapes: `N` images, `C H W` image, `F` features, `D` values of a label map or classes.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from reparam.data.values import as_images, not_a_tensor
from reparam.distributions import IGNORED
from reparam.errors import ConfigError, DataError

Features = Callable[[Tensor], Tensor]
ROUNDING = 1e-3  # beyond [0, 1], of probabilities that were averaged in few bits
AT_ONCE = 20  # images: the 299 x 299 ones of Inception fill a processor's caches soon


def as_features(values: Tensor, features: Features | None, name: str, least: int = 2) -> Tensor:
    """[N, F]: `values` as they are or, with `features`, that of images [N, C, H, W] (floats in [0, 1], or uint8), `AT_ONCE` at a
    time and without gradient; of a module on its own device. Raises DataError for other shapes and types, for numbers that are
    not finite and for fewer than `least` rows; ConfigError for a module in training mode."""
    if not isinstance(values, Tensor):
        raise not_a_tensor(values, name, "features [N, F], or images [N, C, H, W] with features=")
    if features is not None:
        check_evaluates(features, "features")
        found = _of_images(as_images(values, name=name), features)
    elif values.dim() != 2 or not values.is_floating_point():
        raise DataError(
            f"{name} is {values.dtype} {list(values.shape)}: give features, floats [N, F]; or images [N, C, H, W] and a function "
            "that turns them into features, such as features=reparam.metrics.inception_features()"
        )
    else:
        found = values.detach()
    if found.dim() != 2:
        raise DataError(f"features= made {list(found.shape)} of {name}: it should return [N, F]")
    if len(found) < least:
        raise DataError(f"{name} has {len(found)} rows: at least {least} are needed")
    if not found.isfinite().all():
        raise DataError(f"{name} has features that are NaN or infinite: leave those images out")
    return found


@torch.no_grad()
def _of_images(images: Tensor, features: Features) -> Tensor:
    parameter = next(features.parameters(), None) if isinstance(features, nn.Module) else None
    device = images.device if parameter is None else parameter.device
    parts: list[Any] = []
    for part in images.split(AT_ONCE):
        found = features(part.to(device))
        if not isinstance(found, Tensor):
            raise ConfigError(f"features= returned a {type(found).__name__}: it should return a tensor [N, F]")
        parts.append(found.cpu())
    return torch.cat(parts)


def two_sets(real: Tensor, generated: Tensor, features: Features | None, least: int = 2) -> tuple[Tensor, Tensor]:
    """Of both sets, see `as_features`. Raises DataError where they have other features."""
    a, b = as_features(real, features, "real", least), as_features(generated, features, "generated", least)
    if a.shape[1] != b.shape[1]:
        raise DataError(f"real has {a.shape[1]} features and generated {b.shape[1]}: take the same network for both")
    return a, b


def check_evaluates(part: object, name: str) -> None:
    """Raises ConfigError for a module in training mode, whose dropout and batch statistics would be measured."""
    if isinstance(part, nn.Module) and part.training:
        raise ConfigError(f"{name} is in training mode: call {name}.eval() before")


def check_floats(values: Tensor, name: str) -> None:
    """Raises DataError unless these are floats [N, C, H, W]: bytes would wrap around."""
    if not isinstance(values, Tensor):
        raise not_a_tensor(values, name, "one [N, C, H, W] of floats in [0, 1]")
    if not values.is_floating_point() or values.dim() != 4:
        raise DataError(f"{name} is {values.dtype} {list(values.shape)}: give floats in [0, 1], [N, C, H, W]")


def same_shape(x: Tensor, y: Tensor) -> None:
    """Raises DataError unless both are floats of one shape [N, C, H, W]: others would be broadcast."""
    check_floats(x, "x")
    check_floats(y, "y")
    if x.shape != y.shape:
        raise DataError(f"x has shape {list(x.shape)} and y {list(y.shape)}: give an image for each image")


def as_truth(probs: Tensor, truth: Tensor) -> Tensor:
    """`truth` of probabilities [N, D, ...] as int64 [N, ...], from [N, ...] or [N, 1, ...]. Raises DataError for what are no
    probabilities, and where the truth does not go with them, or holds what is none of the D values nor `IGNORED`."""
    for name, values in (("probs", probs), ("truth", truth)):
        if not isinstance(values, Tensor):
            raise not_a_tensor(values, name, "a tensor")
    if not probs.is_floating_point() or probs.dim() < 2 or not probs.numel():
        raise DataError(f"probs is {probs.dtype} {list(probs.shape)}: give probabilities, floats [N, D, ...]")
    low, high = (float(end) for end in probs.aminmax())  # NaN where there is one
    if not -ROUNDING <= low <= high <= 1 + ROUNDING:
        raise DataError(f"probs run from {low:.4g} to {high:.4g}: give probabilities, of logits logits.softmax(1)")
    places = (len(probs), *probs.shape[2:])
    whole = not (truth.is_floating_point() or truth.is_complex())
    if not whole or tuple(truth.shape) not in (places, (len(probs), 1, *probs.shape[2:])):
        raise DataError(
            f"truth is {truth.dtype} {list(truth.shape)} and probs {list(probs.shape)}: give whole numbers {list(places)}"
        )
    found = truth.reshape(places).long()
    wrong = (found != IGNORED) & ((found < 0) | (found >= probs.shape[1]))
    if bool(wrong.any()):
        raise DataError(
            f"truth holds {int(found[wrong][0])}, and probs has {probs.shape[1]} values: give 0 to {probs.shape[1] - 1}, or "
            f"{IGNORED} where a place does not count"
        )
    return found
