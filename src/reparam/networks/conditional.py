"""The networks of a conditional model: what c says, the first guess, prior, recognition, generation.

Shapes: `B` batch, `S` samples, `C H W` image, `C'` channels of c, `D` classes, `F` features, `K` latent, `O` outputs of the
likelihood a pixel (parameters times channels, or the values of a label map), `W'` target pixels.
"""

import itertools
from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from reparam.core.batch import Condition
from reparam.networks import residual
from reparam.networks.mlp import MLP
from reparam.networks.pair import ACTIVATIONS, ActivationName, Blocks, ImageDecoder, Units, Width


def one_hot(c: Tensor, classes: int) -> Tensor:
    """float [..., D]; unlike torch's it does not look whether classes are below D, for which the host would wait."""
    return (c[..., None] == torch.arange(classes, device=c.device)).float()


class Shapes(NamedTuple):
    """What the networks are built for: x [C, H, W] as an encoder sees it, O, K, and c."""

    image: tuple[int, int, int]
    outputs: int
    latent: int
    condition: Condition


class Parts(NamedTuple):
    """Builders, since a model without a latent needs the first two alone.

    context: c -> features; guess: features -> outputs [B, O, H, W], or (outputs, coarser ones); prior: (features, hint) ->
    [B, F]; recognition: (x, features, hint) -> [B, F]; generation: (z [..., B, K], features) -> outputs [..., B, O, H, W].
    Prior and recognition come with F. `target` [W'] are the places of the pixels that outputs are of, None: all.
    """

    context: Callable[[], nn.Module]
    guess: Callable[[], nn.Module]
    prior: Callable[[bool], tuple[nn.Module, int]]
    recognition: Callable[[bool], tuple[nn.Module, int]]
    generation: Callable[[], nn.Module]
    target: Tensor | None = None


# -- fully connected -------------------------------------------------------------------------------------------------------


class FlatCondition(nn.Module):
    """c as a vector: a class as one-hot; of an image with a fixed mask the observed pixels, else all of it, mask included."""

    seen: Tensor | None

    def __init__(self, condition: Condition, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.classes, self.size = condition.classes, condition.classes
        seen = None
        if not self.classes:
            self.size = condition.channels * shape[1] * shape[2]
            if condition.fixed is not None and condition.fixed.any():
                seen = condition.fixed.flatten().nonzero().squeeze(1)
                self.size = (condition.channels - 1) * len(seen)
        self.register_buffer("seen", seen, persistent=False)

    def forward(self, c: Tensor) -> Tensor:
        if self.classes:
            return one_hot(c, self.classes)
        return c.flatten(1) if self.seen is None else c[:, :-1].flatten(2).index_select(-1, self.seen).flatten(1)


class Joined(nn.Module):
    """A fully connected network on several inputs [B, ...] side by side; those that are None are left out. With `target` the
    first is an image, of which those pixels alone are taken."""

    target: Tensor | None

    def __init__(self, sizes: tuple[int, ...], activation: str, dropout: float, target: Tensor | None = None) -> None:
        super().__init__()
        self.mlp = MLP(sizes, activation, final=True, dropout=dropout)
        self.register_buffer("target", target, persistent=False)

    def forward(self, *inputs: Tensor | None) -> Tensor:
        parts = [part.flatten(1) for part in inputs[1:] if part is not None]
        first = inputs[0]
        assert first is not None
        if self.target is not None:
            first = first.flatten(2).index_select(-1, self.target)
        return self.mlp(torch.cat([first.flatten(1), *parts], -1))


class FlatGeneration(nn.Module):
    """act(A z + B features), then hidden layers to the outputs: what c adds to the first layer is worked out once for all z."""

    def __init__(
        self,
        latent: int,
        features: int,
        hidden: tuple[int, ...],
        shape: tuple[int, int, int],
        activation: str,
        dropout: float,
    ) -> None:
        super().__init__()
        self.of_z = nn.Linear(latent, hidden[0])
        self.of_c = nn.Linear(features, hidden[0], bias=False)
        self.act = nn.Sequential(ACTIVATIONS[activation](), *([nn.Dropout(dropout)] if dropout else []))
        self.rest = MLP((*hidden, shape[0] * shape[1] * shape[2]), activation, dropout=dropout)
        self.shape = shape

    def forward(self, z: Tensor, features: Tensor) -> Tensor:
        return self.rest(self.act(self.of_z(z) + self.of_c(features))).unflatten(-1, self.shape)


def flat_parts(
    shapes: Shapes,
    hidden: Annotated[
        tuple[Units, ...], Field(min_length=1, description="mlp: units of each hidden layer of every network")
    ] = (500, 500),
    dropout: Annotated[float, Field(ge=0, lt=1, description="mlp: share of hidden units dropped in training")] = 0.0,
    activation: ActivationName = "relu",
) -> Parts:
    """Hidden layers of sizes `hidden` in every network. Where target pixels have fixed places, outputs are of those alone."""
    channels, height, width = shapes.image
    fixed = shapes.condition.fixed
    target = None if fixed is None else (~fixed).flatten().nonzero().squeeze(1)
    field = (height, width) if target is None else (1, len(target))
    outputs = (shapes.outputs, *field)
    places = field[0] * field[1]

    def hint(guessed: bool) -> int:
        return guessed * shapes.outputs * places

    def joined(inputs: int, target: Tensor | None = None) -> tuple[nn.Module, int]:
        return Joined((inputs, *hidden), activation, dropout, target), hidden[-1]

    def context() -> nn.Module:
        flat = FlatCondition(shapes.condition, shapes.image)
        return nn.Sequential(flat, MLP((flat.size, *hidden), activation, final=True, dropout=dropout))

    return Parts(
        context,
        lambda: nn.Sequential(nn.Linear(hidden[-1], shapes.outputs * places), nn.Unflatten(1, outputs)),
        lambda guessed: joined(hidden[-1] + hint(guessed)),
        lambda guessed: joined(channels * places + hidden[-1] + hint(guessed), target),
        lambda: FlatGeneration(shapes.latent, hidden[-1], tuple(reversed(hidden)), outputs, activation, dropout),
        target,
    )


# -- convolutional ---------------------------------------------------------------------------------------------------------


class Maps(NamedTuple):
    """What the U-Net passes on: c as planes [B, C', H, W], its last maps [B, width, H, W], and those at 1/4 and 1/2 of the
    sides."""

    planes: Tensor
    last: Tensor
    coarser: tuple[Tensor, ...]


class UNet(nn.Module):
    """c [B, C', H, W] (a class: one-hot planes) -> Maps. Residual stages down, and up with the maps of the way down beside
    (Ronneberger et al. 2015)."""

    def __init__(self, condition: Condition, shape: residual.Shape) -> None:
        super().__init__()
        self.classes, self.sides = condition.classes, shape.image[1:]
        self.channels = condition.classes or condition.channels
        levels = shape.levels()
        self.stem = nn.Conv2d(self.channels, levels[0][1], 3, padding=1)
        self.down, self.up, self.merge = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for (sides, above), (_, below) in itertools.pairwise(levels):
            stride = nn.Conv2d(above, below, 3, stride=2, padding=1)
            self.down.append(nn.Sequential(stride, *shape.stack(below)))
            self.up.insert(0, residual.Upsample(below, above, sides))
            join = nn.Conv2d(2 * above, above, 3, padding=1)
            self.merge.insert(0, nn.Sequential(join, *shape.stack(above)))

    def forward(self, c: Tensor) -> Maps:
        planes = c
        if self.classes:
            planes = one_hot(c, self.classes)[:, :, None, None].expand(-1, -1, *self.sides)
        h = self.stem(2 * planes - 1)
        passed, maps = [], []
        for stage in self.down:
            passed.append(h)
            h = stage(h)
        maps.append(h)
        for up, merge in zip(self.up, self.merge, strict=True):
            h = merge(torch.cat([up(h), passed.pop()], 1))
            maps.append(h)
        return Maps(planes, maps[-1], tuple(maps[-3:-1]))


class Guess(nn.Module):
    """Maps -> outputs [B, O, H, W]; with `coarser` channels, also those at a quarter and a half of the sides."""

    def __init__(self, outputs: int, shape: residual.Shape, coarser: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.full = shape.output_head(shape.width, outputs)
        self.coarser = nn.ModuleList(shape.output_head(channels, outputs) for channels in coarser)

    def forward(self, maps: Maps) -> Tensor | tuple[Tensor, tuple[Tensor, ...]]:
        full = self.full(maps.last)
        if not self.coarser:
            return full
        return full, tuple(head(h) for head, h in zip(self.coarser, maps.coarser, strict=True))


class Planes(nn.Module):
    """A residual encoder of x (where there is one), c and the hint as planes beside each other."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor | Maps | None) -> Tensor:
        planes = [part.planes if isinstance(part, Maps) else part for part in inputs if part is not None]
        return self.network(torch.cat(planes, 1))


class MapGeneration(nn.Module):
    """z -> maps at full resolution, added to a convolution of those that c gave; then the outputs."""

    def __init__(self, shape: residual.Shape, latent: int, outputs: int) -> None:
        super().__init__()
        maps = nn.Sequential(*shape.decoder(latent))
        self.of_z = ImageDecoder(maps, (shape.width, *shape.image[1:]))
        self.of_c = nn.Conv2d(shape.width, shape.width, 3, padding=1)
        self.head = shape.output_head(shape.width, outputs)

    def forward(self, z: Tensor, features: Maps) -> Tensor:
        maps = self.of_z(z) + self.of_c(features.last)
        return self.head(maps.flatten(0, -4)).unflatten(0, maps.shape[:-3])


def residual_parts(
    shapes: Shapes,
    width: Width = 32,
    blocks: Blocks = 1,
    activation: ActivationName = "relu",
    multi_scale: Annotated[
        bool,
        Field(
            description="residual: the first guess also predicts a half and a quarter of the sides, with losses of its own"
        ),
    ] = False,
) -> Parts:
    """A U-Net for c, residual encoders for prior and recognition, a residual decoder for z."""
    shape = residual.Shape(shapes.image, width, blocks, activation)
    coarser = tuple(channels for _, channels in reversed(shape.levels()[1:3])) if multi_scale else ()
    planes = shapes.condition.classes or shapes.condition.channels

    def encoder(inputs: int) -> tuple[nn.Module, int]:
        network, features = shape.encoder(inputs)
        return Planes(network), features

    return Parts(
        lambda: UNet(shapes.condition, shape),
        lambda: Guess(shapes.outputs, shape, coarser),
        lambda guessed: encoder(planes + guessed * shapes.outputs),
        lambda guessed: encoder(shapes.image[0] + planes + guessed * shapes.outputs),
        lambda: MapGeneration(shape, shapes.latent, shapes.outputs),
    )


CONDITIONAL_NETWORKS: dict[str, Callable[..., Parts]] = {
    "mlp": flat_parts,
    "residual": residual_parts,
}
