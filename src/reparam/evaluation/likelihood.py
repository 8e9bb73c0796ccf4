"""Likelihoods and bounds, in nats per image.

Shapes: `N` images, `B` block, `K` latent, `S` importance samples.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Independent

from reparam.core.blocks import BLOCK, full_block, in_blocks
from reparam.core.model import ConditionedModel
from reparam.distributions import keyed_generator, kl_at, rsample, with_parameters
from reparam.latent.generation import block_condition, device_of
from reparam.models import Model
from reparam.objectives.variational import kl_per_dimension
from reparam.progress import Progress, Silent

SAMPLES_AT_ONCE = 100  # importance samples of an image that are drawn in one call: it keys the noise
# Decoded in one call: what a processor's caches hold, or enough to fill a GPU. No random number depends on it.
PIXELS_AT_ONCE = {"cpu": 400_000}
PIXELS_ON_A_GPU = 40_000_000


@torch.no_grad()
def bound(model: Model, x: Tensor, seed: int, samples: int = 1, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(-E_q[log p(x|z)], KL(q(z|x) || p(z))) of each image, [N] each, given c where there is one; the ELBO is minus their sum.

    The expectation is over `samples` draws. The KL is in closed form (Kingma and Welling 2014, eq. 10), or over the same draws
    where the prior is a mixture.
    """
    device = device_of(model)

    def block(part: Tensor, number: int) -> Tensor:
        model_c, whole = block_condition(model, c, number), full_block(part).to(device)
        q_z = model_c.encoder(whole)
        z = rsample(q_z, (samples,), keyed_generator(device, seed, "bound", number))
        reconstruction = -model_c.decoder(z).log_prob(whole).mean(0)
        return torch.stack([reconstruction, kl_at(q_z, model_c.prior(), z)], 1)[: len(part)]

    reconstruction, kl = in_blocks(block, x).T.contiguous()
    return reconstruction, kl


@torch.no_grad()
def kl_by_dimension(model: Model, x: Tensor, c: Tensor | None = None) -> Tensor | None:
    """KL(q(z_k|x) || p(z_k)) averaged over images, [K]. None where posterior or prior does not factorise over latents."""

    def block(part: Tensor, number: int) -> Tensor:
        model_c = block_condition(model, c, number)
        return kl_per_dimension(model_c.encoder(full_block(part).to(device_of(model))), model_c.prior())[: len(part)]

    first = block_condition(model, None if c is None else c[:1], 0)
    q_z, p_z = first.encoder(full_block(x[:1]).to(device_of(model))), first.prior()
    if not (isinstance(q_z, Independent) and isinstance(p_z, Independent)):
        return None
    return in_blocks(block, x).double().mean(0)


@torch.no_grad()
def point_reconstruction(model: Model, source: Tensor, x: Tensor) -> Tensor:
    """-log p(x|f(source)) of each image for an encoder that returns a point, [N]; source is x, or its noisy version."""
    device = device_of(model)

    def block(part: Tensor, number: int) -> Tensor:
        p_x = model.decoder(model.encoder(part.to(device)).mean)
        return -p_x.log_prob(x[number * BLOCK :][: len(part)].to(device))

    return in_blocks(block, source)


@torch.no_grad()
def importance_nll(
    model: Model, x: Tensor, samples: int, seed: int, progress: Progress | None = None, c: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""(-log p(x), effective sample size) of each image, [N] each; of a conditional model -log p(x|c).

    log p(x) is estimated by log 1/S sum_s p(x|z_s) p(z_s) / q(z_s|x), z_s ~ q(z|x) (Rezende et al. 2014; Burda et al. 2016,
    eq. 8; with c Sohn et al. 2015, eq. 11): a lower bound in expectation that tightens with S. The effective sample size is
    (sum w)^2 / sum w^2, from 1 (one draw has all the weight: the estimate may be far too low) to S. The estimate of an image
    depends on S, the seed and its place among the images alone. Memory grows with S by the weights only, [S, 100].
    """
    return _estimate(model, x, samples, seed, progress, c, posterior=True)


@torch.no_grad()
def monte_carlo_nll(
    model: Model, x: Tensor, samples: int, seed: int, progress: Progress | None = None, c: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""(-log p(x|c), effective sample size) of each image, [N] each, from the prior alone.

    log p(x|c) is estimated by log 1/S sum_s p(x|z_s, c), z_s ~ p(z|c) (Sohn et al. 2015, eq. 10): a lower bound in expectation,
    far too low with few draws, since x is likely at hardly any of them. It is exact for a model without a latent.
    """
    if model.has("prior"):
        return _estimate(model, x, samples, seed, progress, c, posterior=False)

    def block(part: Tensor, number: int) -> Tensor:
        model_c = block_condition(model, c, number)
        assert isinstance(model_c, ConditionedModel)
        p_x = model_c.first_guess()
        return -p_x.log_prob(full_block(part).to(device_of(model)))[: len(part)]

    nll = in_blocks(block, x)
    return nll, torch.ones_like(nll)


class LogWeights:
    """log p(x|z) p(z) / proposal(z) at draws of the proposal, which is q(z|x) or the prior, for the images of block `number`.

    targets: versions of the same images, [N, C, H, W] each, that the weights are for; q(z|x) is of the first. Noise is drawn for
    whole blocks and `SAMPLES_AT_ONCE` draws, so that it depends on nothing else; networks run on the images alone.
    """

    def __init__(
        self, model: Model, targets: Sequence[Tensor], number: int, seed: int, c: Tensor | None, posterior: bool
    ) -> None:
        device = device_of(model)
        self.parts = [x[number * BLOCK :][:BLOCK].to(device) for x in targets]
        self.n, self.posterior = len(self.parts[0]), posterior
        self.rows = PIXELS_AT_ONCE.get(device.type, PIXELS_ON_A_GPU) // self.parts[0][0].numel()
        self.generator = keyed_generator(device, seed, "importance" if posterior else "monte carlo", number)
        model_c = model.given(None if c is None else c[number * BLOCK :][: self.n].to(device))
        self.decoder, self.p_z = model_c.decoder, model_c.prior()
        self.q_z = model_c.encoder(self.parts[0]) if posterior else self.p_z
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


def _estimate(
    model: Model, x: Tensor, samples: int, seed: int, progress: Progress | None, c: Tensor | None, posterior: bool
) -> tuple[Tensor, Tensor]:
    """From so many draws for each image."""
    parts = [(block, start) for block in range(-(-len(x) // BLOCK)) for start in range(0, samples, SAMPLES_AT_ONCE)]
    nlls, sizes = [], []
    for number, start in (progress or Silent()).track(parts, "nll" if posterior else "monte carlo nll"):
        if start == 0:
            block, log_w = LogWeights(model, [x], number, seed, c, posterior), list[Tensor]()
        log_w.append(block.draw(samples - start)[0])
        if start + SAMPLES_AT_ONCE >= samples:
            weights = torch.cat(log_w)
            total = weights.logsumexp(0)
            nlls.append((math.log(samples) - total).cpu())
            sizes.append(1 / (weights - total).exp().square().sum(0).cpu())
    return torch.cat(nlls), torch.cat(sizes)
