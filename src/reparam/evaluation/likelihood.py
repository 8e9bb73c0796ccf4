"""Likelihoods and bounds, in nats per image.

Shapes: `B` batch, `K` latent, `S` importance samples.
"""

import math

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from reparam.distributions import keyed_generator, rsample
from reparam.generation import BLOCK, device_of, full_block
from reparam.models import Model

PIXELS_AT_ONCE = 4_000_000  # decoded at one time: 16 MB in float32, a few times that with intermediates


@torch.no_grad()
def bound(model: Model, x: Tensor, seed: int, samples: int = 1) -> tuple[Tensor, Tensor]:
    """(-E_q[log p(x|z)], KL(q(z|x) || p(z))) of each image, [N] each; the ELBO is minus their sum.

    The expectation is over `samples` draws, the KL in closed form (Kingma and Welling 2014, eq. 10).
    """
    device = device_of(model)
    reconstructions, kls = [], []
    for number, part in enumerate(x.split(BLOCK)):
        n, part = len(part), full_block(part).to(device)
        q_z = model.encoder(part)
        z = rsample(q_z, (samples,), keyed_generator(device, seed, "bound", number))
        reconstructions.append(-model.decoder(z).log_prob(part).mean(0)[:n].cpu())
        kls.append(kl_divergence(q_z, model.prior())[:n].cpu())
    return torch.cat(reconstructions), torch.cat(kls)


@torch.no_grad()
def point_reconstruction(model: Model, source: Tensor, x: Tensor) -> Tensor:
    """-log p(x|f(source)) of each image for an encoder that returns a point, [N]; source is x, or its noisy version."""
    device = device_of(model)
    parts = []
    for given, wanted in zip(source.split(BLOCK), x.split(BLOCK), strict=True):
        p_x = model.decoder(model.encoder(given.to(device)).mean)
        parts.append(-p_x.log_prob(wanted.to(device)).cpu())
    return torch.cat(parts)


@torch.no_grad()
def importance_nll(model: Model, x: Tensor, samples: int, seed: int) -> tuple[Tensor, Tensor]:
    r"""(-log p(x), effective sample size) of each image, [N] each.

    log p(x) is estimated by log 1/S sum_s p(x|z_s) p(z_s) / q(z_s|x), z_s ~ q(z|x) (Rezende et al. 2014; Burda et al. 2016,
    eq. 8): a lower bound in expectation that tightens with S. The effective sample size is (sum w)^2 / sum w^2.
    """
    device = device_of(model)
    nlls, sizes = [], []
    for number, part in enumerate(x.split(BLOCK)):
        n, part = len(part), full_block(part).to(device)
        q_z, p_z = model.encoder(part), model.prior()
        generator = keyed_generator(device, seed, "importance", number)
        log_w = []
        # A function of the image's shape alone, so that the numbers drawn do not depend on the memory at hand.
        at_once = max(1, PIXELS_AT_ONCE // (BLOCK * part[0].numel()))
        for start in range(0, samples, at_once):
            z = rsample(q_z, (min(at_once, samples - start),), generator)
            log_w.append(model.decoder(z).log_prob(part) + p_z.log_prob(z) - q_z.log_prob(z))
        weights = torch.cat(log_w)
        total = weights.logsumexp(0)
        nlls.append((math.log(samples) - total)[:n].cpu())
        sizes.append((2 * total - (2 * weights).logsumexp(0)).exp()[:n].cpu())
    return torch.cat(nlls), torch.cat(sizes)
