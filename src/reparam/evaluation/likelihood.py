"""Likelihoods and bounds of models, in nats per image.

Shapes: `N` images, `B` block, `K` latent, `S` importance samples.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Independent

from reparam.core.blocks import BLOCK, full_block, in_blocks
from reparam.core.model import ConditionedModel
from reparam.distributions import keyed_generator, kl_at, rsample
from reparam.latent.generation import block_condition, device_of
from reparam.metrics.likelihood import LogWeights, Sampled, estimated
from reparam.models import Model
from reparam.objectives.variational import kl_per_dimension
from reparam.progress import Progress


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
) -> Sampled:
    """`reparam.metrics.importance_nll` of a model's parts; of a conditional model -log p(x|c), from draws of q(z|x, c) (Sohn et
    al. 2015, eq. 11). Memory grows with the samples by the weights only, [S, 100]."""
    return _estimate(model, x, samples, seed, progress, c, posterior=True)


@torch.no_grad()
def monte_carlo_nll(
    model: Model, x: Tensor, samples: int, seed: int, progress: Progress | None = None, c: Tensor | None = None
) -> Sampled:
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
    return Sampled(nll, torch.ones_like(nll))


def log_weights(
    model: Model, targets: Sequence[Tensor], number: int, seed: int, c: Tensor | None, posterior: bool
) -> LogWeights:
    """Those of block `number` of the targets [N, C, H, W], given c where there is one, on the model's device."""
    device = device_of(model)
    parts = [x[number * BLOCK :][:BLOCK].to(device) for x in targets]
    model_c = model.given(None if c is None else c[number * BLOCK :][: len(parts[0])].to(device))
    return LogWeights(model_c.encoder if posterior else None, model_c.decoder, model_c.prior, parts, number, seed)


def _estimate(
    model: Model, x: Tensor, samples: int, seed: int, progress: Progress | None, c: Tensor | None, posterior: bool
) -> Sampled:
    """From so many draws for each image."""

    def weights(number: int) -> LogWeights:
        return log_weights(model, [x], number, seed, c, posterior)

    return estimated(weights, len(x), samples, progress, "nll" if posterior else "monte carlo nll")
