"""-log p(x) by importance sampling, in nats per image.

Shapes: `N` images, `B` block, `K` latent, `S` importance samples, `T` targets.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.core.blocks import BLOCK, full_block
from reparam.core.calls import Count, Seed, checked
from reparam.data.values import not_a_tensor
from reparam.distributions import keyed_generator, rsample, with_parameters
from reparam.errors import ConfigError, DataError
from reparam.metrics.inputs import check_evaluates
from reparam.progress import Progress, Silent

SAMPLES_AT_ONCE = 100  # importance samples of an image that are drawn in one call: it keys the noise
# Decoded in one call: what a processor's caches hold, or enough to fill a GPU. No random number depends on it.
PIXELS_AT_ONCE = {"cpu": 400_000}
PIXELS_ON_A_GPU = 40_000_000


class Sampled(NamedTuple):
    """-log p(x) in nats, and effective sample sizes, of each image, [N] each."""

    nll: Tensor
    effective: Tensor


@checked
@torch.no_grad()
def importance_nll(
    encoder: Callable[[Tensor], Distribution],
    decoder: Callable[[Tensor], Distribution],
    prior: Callable[[], Distribution],
    x: Tensor,
    samples: Count = 1000,
    seed: Seed = 0,
    progress: Progress | None = None,
) -> Sampled:
    r"""(-log p(x) in nats, effective sample size) of each of x [N, ...], [N] each:

        -log 1/S sum_s p(x|z_s) p(z_s) / q(z_s|x),   z_s ~ q(z|x)

    (Rezende et al. 2014; Burda et al. 2016, eq. 8). It is too high in expectation, the less the more samples: see the effective
    sample size (sum w)^2 / sum w^2, from 1 (one draw has all the weight: the value may be far too high) to S.

    encoder: x [n, ...] -> q(z|x), batch shape [n], event shape [K]. prior: () -> p(z), event shape [K]. decoder: z [S, n, K] ->
    p(x|z), batch shape [S, n], event shape that of an image. A run's are `run.model.encoder`, `.prior`, `.decoder`; of plain
    modules that return tensors `reparam.adopt` makes such. The estimate of an image depends on S, the seed and its place alone;
    x lies where the modules are.

    Raises ConfigError for parts that return something else, or are in training mode."""
    if not isinstance(x, Tensor):
        raise not_a_tensor(x, "x", "images [N, C, H, W]")
    if not x.is_floating_point():
        raise DataError(f"x is {x.dtype}: give floats as the model takes them, of bytes x / 255")
    if x.dim() < 2 or not len(x):
        raise DataError(f"x has shape {list(x.shape)}: give at least one image, [N, C, H, W]")
    parts: dict[str, Callable[..., Distribution]] = {"encoder": encoder, "decoder": decoder, "prior": prior}
    for name, part in parts.items():
        check_evaluates(part, name)
    dims = {"encoder": 1, "decoder": x.dim() - 1, "prior": 1}
    q, p_x, p_z = (_distribution(part, name, dims[name]) for name, part in parts.items())

    def weights(number: int) -> LogWeights:
        return LogWeights(q, p_x, p_z, [x[number * BLOCK :][:BLOCK]], number, seed)

    return estimated(weights, len(x), samples, progress, "nll")


def _distribution(part: Callable[..., Distribution], name: str, dims: int) -> Callable[..., Distribution]:
    """`part`, whose returns are checked: others would be summed over the wrong axes."""

    def call(*given: Tensor) -> Distribution:
        found = part(*given)
        if not isinstance(found, Distribution):
            raise ConfigError(
                f"{name} returns a {type(found).__name__}, not a torch Distribution: wrap it, as reparam.adopt does with plain "
                "modules"
            )
        if len(found.event_shape) != dims:
            raise ConfigError(
                f"{name} returns a distribution of batch shape {list(found.batch_shape)} and event shape "
                f"{list(found.event_shape)}, and its event should have {dims} dimension{'s' * (dims > 1)}: wrap it in "
                "torch.distributions.Independent"
            )
        return found

    return call


class LogWeights:
    """log p(x|z) p(z) / proposal(z) at draws of the proposal, which is q(z|x), or without an encoder the prior, for the images of
    block `number`.

    targets: versions of the same images, [n, ...] each, that the weights are for; q(z|x) is of the first. Noise is drawn for
    whole blocks and `SAMPLES_AT_ONCE` draws, so that it depends on nothing else; networks run on the images alone.
    """

    def __init__(
        self,
        encoder: Callable[[Tensor], Distribution] | None,
        decoder: Callable[[Tensor], Distribution],
        prior: Callable[[], Distribution],
        targets: Sequence[Tensor],
        number: int,
        seed: int,
    ) -> None:
        first = targets[0]
        self.parts, self.n, self.posterior = targets, len(first), encoder is not None
        self.rows = PIXELS_AT_ONCE.get(first.device.type, PIXELS_ON_A_GPU) // first[0].numel()
        self.generator = keyed_generator(first.device, seed, "importance" if encoder else "monte carlo", number)
        self.decoder, self.p_z = decoder, prior()
        self.q_z = encoder(first) if encoder else self.p_z
        self.whole = with_parameters(self.q_z, full_block)

    def draw(self, count: int = SAMPLES_AT_ONCE) -> Tensor:
        """Those of the next draws, `SAMPLES_AT_ONCE` at most, [T, count, n] for T targets."""
        drawn = rsample(self.whole, (SAMPLES_AT_ONCE,), self.generator)[:count, : self.n]
        log_w = []
        for z in drawn.split(max(1, self.rows // self.n)):
            p_x = self.decoder(z)
            log_p = torch.stack([p_x.log_prob(x) for x in self.parts])
            log_w.append(log_p + self.p_z.log_prob(z) - self.q_z.log_prob(z) if self.posterior else log_p)
        return torch.cat(log_w, 1)


def estimated(
    weights: Callable[[int], LogWeights], n: int, samples: int, progress: Progress | None, what: str
) -> Sampled:
    """Of n images, from so many draws for each; `weights` are those of a block by its number."""
    parts = [(block, start) for block in range(-(-n // BLOCK)) for start in range(0, samples, SAMPLES_AT_ONCE)]
    nlls, sizes = [], []
    for number, start in (progress or Silent()).track(parts, what):
        if start == 0:
            block, log_w = weights(number), list[Tensor]()
        log_w.append(block.draw(samples - start)[0])
        if start + SAMPLES_AT_ONCE >= samples:
            found = torch.cat(log_w)
            total = found.logsumexp(0)
            nlls.append((math.log(samples) - total).cpu())
            sizes.append(1 / (found - total).exp().square().sum(0).cpu())
    return Sampled(torch.cat(nlls), torch.cat(sizes))
