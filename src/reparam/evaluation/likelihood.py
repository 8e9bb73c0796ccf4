"""Likelihoods and bounds, in nats per image.

Shapes: `N` images, `B` block, `K` latent, `S` importance samples.
"""

import math

import torch
from torch import Tensor
from torch.distributions import Independent, kl_divergence

from reparam.distributions import keyed_generator, rsample
from reparam.generation import BLOCK, device_of, full_block, in_blocks
from reparam.models import Model
from reparam.objectives.variational import kl_per_dimension
from reparam.training import Progress, Silent

SAMPLES_AT_ONCE = 100  # importance samples of an image that are drawn in one call: it keys the noise
# Decoded in one call: what a processor's caches hold, or enough to fill a GPU. It changes no random number.
PIXELS_AT_ONCE = {"cpu": 400_000}
PIXELS_ON_A_GPU = 40_000_000


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
def kl_by_dimension(model: Model, x: Tensor) -> Tensor | None:
    """KL(q(z_k|x) || p(z_k)) averaged over images, [K]: what each latent says of an image. None where one does not factorise."""
    device = device_of(model)
    if not all(isinstance(one, Independent) for one in (model.encoder(x[:1].to(device)), model.prior())):
        return None
    return (
        in_blocks(lambda part, _: kl_per_dimension(model.encoder(part.to(device)), model.prior()), x).double().mean(0)
    )


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
def importance_nll(
    model: Model, x: Tensor, samples: int, seed: int, progress: Progress | None = None
) -> tuple[Tensor, Tensor]:
    r"""(-log p(x), effective sample size) of each image, [N] each.

    log p(x) is estimated by log 1/S sum_s p(x|z_s) p(z_s) / q(z_s|x), z_s ~ q(z|x) (Rezende et al. 2014; Burda et al. 2016,
    eq. 8): a lower bound in expectation that tightens with S. The effective sample size is (sum w)^2 / sum w^2, from 1 (one
    draw has all the weight: the estimate may be far too low) to S. An image's figures depend on S, the seed and its place
    among the images alone. Memory does not grow with S but for the weights themselves, [S, 100] at a time.
    """
    device = device_of(model)
    rows = PIXELS_AT_ONCE.get(device.type, PIXELS_ON_A_GPU) // x[0].numel()
    nlls, sizes = [], []
    for number, part in enumerate((progress or Silent()).track(x.split(BLOCK), "nll")):
        n, part = len(part), part.to(device)
        q_block, q_z, p_z = model.encoder(full_block(part)), model.encoder(part), model.prior()
        generator = keyed_generator(device, seed, "importance", number)
        log_w = []
        for start in range(0, samples, SAMPLES_AT_ONCE):
            drawn = rsample(q_block, (SAMPLES_AT_ONCE,), generator)[: samples - start, :n]
            for z in drawn.split(max(1, rows // n)):
                log_w.append(model.decoder(z).log_prob(part) + p_z.log_prob(z) - q_z.log_prob(z))
        weights = torch.cat(log_w)
        total = weights.logsumexp(0)
        nlls.append((math.log(samples) - total).cpu())
        sizes.append(1 / (weights - total).exp().square().sum(0).cpu())
    return torch.cat(nlls), torch.cat(sizes)
