r"""Networks that begin at the principal components of the training images: a linear path, to which a network adds.

Probabilistic PCA (Tipping and Bishop 1999) is the maximum-likelihood model with a linear decoder and one noise scale s,

    p(x|z) = N(m + V diag(l - s^2)^{1/2} z, s^2 I),   q(z|x) = N(diag(l - s^2)^{1/2} diag(l)^{-1} V^T (x - m), s^2 diag(l)^{-1}),

with the mean m, components V and variances l of the images. A network whose last layer is zero leaves it as it is: training
starts at this baseline, in place of far below it.

Shapes: `N B` images, `C H W` image, `F` features, `K` latent, `P` parameters of the likelihood a pixel.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from reparam.distributions import keyed_generator
from reparam.networks.pair import Pair, last_layer

EXTRA, ROUNDS = 32, 4  # directions beyond K, and passes, of the randomised decomposition
FEW, FOLDS = 10, 4
DARKEST = 1 / 510  # half a grey level: a sigmoid is not quite 0 or 1


class Components(nn.Module):
    """Mean [C H W], components [K, C H W] and variances [K] of images, and the variance a pixel of what is left, as buffers."""

    mean: Tensor
    basis: Tensor
    variance: Tensor
    noise: Tensor

    def __init__(self, shape: tuple[int, int, int], count: int) -> None:
        super().__init__()
        self.shape, size = shape, math.prod(shape)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("basis", torch.zeros(count, size))
        self.register_buffer("variance", torch.ones(count))
        self.register_buffer("noise", torch.ones(()))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """To images [N, C, H, W]. Components beyond the images' rank are zero.

        The noise is the variance a pixel of what the components leave of these images; of fewer than `FEW` images a component, of
        what those of three quarters leave of the others: few images are explained by their own components, new ones are not."""
        flat, count = x.flatten(1), len(self.basis)
        found = _principal(flat, count)
        noise = found.noise
        if FOLDS <= len(flat) < FEW * count:
            noise = torch.maximum(noise, _left_of_others(flat, count))
        kept = len(found.variance)
        self.noise.copy_(noise.clamp(min=DARKEST**2))
        self.mean.copy_(found.mean)
        self.basis.zero_()[:kept] = found.basis
        self.variance.fill_(float(self.noise))[:kept] = found.variance.clamp(min=float(self.noise))

    def project(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] to coefficients of unit variance [B, K]."""
        return (x.flatten(1) - self.mean) @ self.basis.mT / self.variance.sqrt()

    def image(self, coefficients: Tensor) -> Tensor:
        """The inverse, [..., K] -> [..., C, H, W]."""
        return ((coefficients * self.variance.sqrt()) @ self.basis + self.mean).unflatten(-1, self.shape)


class _Principal(NamedTuple):
    """Mean [P], components [k, P] and their variances [k], and the variance a pixel of what they leave."""

    mean: Tensor
    basis: Tensor
    variance: Tensor
    noise: Tensor


def _principal(flat: Tensor, count: int) -> _Principal:
    """Of images [N, P], at most `count`: a randomised decomposition (Halko et al. 2011), with random numbers of its own."""
    mean = flat.mean(0)
    centred = flat - mean
    generator = keyed_generator("cpu", "components")
    wide = min(count + EXTRA, *centred.shape)
    sketch = centred @ torch.randn(centred.shape[1], wide, generator=generator).to(flat)
    for _ in range(ROUNDS):
        sketch = centred @ (centred.mT @ torch.linalg.qr(sketch).Q)
    values, basis = torch.linalg.svd(torch.linalg.qr(sketch).Q.mT @ centred, full_matrices=False)[1:]
    kept = min(count, wide)
    variance = values[:kept].square() / max(len(flat) - 1, 1)
    left = centred.square().sum() / max(len(flat) - 1, 1) - variance.sum()
    return _Principal(mean, basis[:kept], variance, left / max(flat.shape[1] - kept, 1))


def _left_of_others(flat: Tensor, count: int) -> Tensor:
    """The mean square of a pixel that `count` components of the other folds leave of each image [N, P]."""
    fold = torch.arange(len(flat), device=flat.device) % FOLDS
    total = flat.new_zeros(())
    for number in range(FOLDS):
        found = _principal(flat[fold != number], count)
        centred = flat[fold == number] - found.mean
        total += centred.square().sum() - (centred @ found.basis.mT).square().sum()
    return total / flat.numel()


class WithCoefficients(nn.Module):
    """A network's features and the coefficients of components behind them: [B, C, H, W] -> [B, F + K]."""

    def __init__(self, network: nn.Module, components: Components) -> None:
        super().__init__()
        self.network, self.components = network, components

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.network(x), self.components.project(x)], -1)


class LinearPath(nn.Module):
    """A head [B, F + K] -> [B, O] on a network's features and the coefficients behind them: a linear layer of the former, which
    begins at zero, and fixed multiples of the latter in the first K outputs; `offset` is added to the others.

    The multiples do not learn: a step that is right for a network moves the first components by many times their noise.
    """

    multiple: Tensor
    offset: Tensor

    def __init__(self, features: int, latent: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, outputs)
        self.register_buffer("multiple", torch.zeros(latent))
        self.register_buffer("offset", torch.zeros(outputs - latent))

    def forward(self, features: Tensor) -> Tensor:
        known, coefficients = features.tensor_split([self.linear.in_features], -1)
        offset = self.offset.expand(*coefficients.shape[:-1], -1)
        return self.linear(known) + torch.cat([coefficients * self.multiple, offset], -1)


class OnComponents(nn.Module):
    """A decoder [..., K] -> [..., P * C, H, W] whose first C maps, the locations before their sigmoid, are added to those of an
    image that is linear in z."""

    multiple: Tensor

    def __init__(self, network: nn.Module, components: Components) -> None:
        super().__init__()
        self.network, self.components = network, components
        self.register_buffer("multiple", torch.zeros(len(components.basis)))

    def forward(self, z: Tensor) -> Tensor:
        output = self.network(z)
        location = self.components.image(z * self.multiple).clamp(DARKEST, 1 - DARKEST).logit()
        channels = location.shape[-3]
        if channels == output.shape[-3]:
            return output + location
        return torch.cat([output[..., :channels, :, :] + location, output[..., channels:, :, :]], -3)


def on_components(pair: Pair, shape: tuple[int, int, int], latent: int) -> Pair:
    """The pair with a linear path beside it: its encoder's head is to be a `LinearPath`. See `start_at_components`."""
    encoder = WithCoefficients(pair.encoder, Components(shape, latent))
    return Pair(encoder, pair.features + latent, OnComponents(pair.decoder, Components(shape, latent)))


@torch.no_grad()
def start_at_components(encoder: WithCoefficients, head: LinearPath, decoder: OnComponents, x: Tensor) -> float:
    """Sets the weights so that encoder, head and decoder are probabilistic PCA of images x [N, C, H, W], or of a head of K
    outputs PCA; returns the noise's standard deviation s, of a pixel."""
    encoder.components.fit(x)
    found = encoder.components
    decoder.components.load_state_dict(found.state_dict())
    if len(head.offset):
        multiple = (1 - found.noise / found.variance).clamp(min=0).sqrt()
        head.offset.copy_(0.5 * (found.noise / found.variance).log())
    else:
        multiple = torch.ones_like(found.variance)
    head.multiple.copy_(multiple)
    decoder.multiple.copy_(multiple)
    _zero(head.linear)
    _zero(last_layer(decoder.network))
    return float(found.noise.sqrt())


def _zero(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> None:
    layer.weight.zero_()
    if layer.bias is not None:
        layer.bias.zero_()
